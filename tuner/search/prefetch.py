"""The next configuration, drawn in a thread while workers train.

A driver that thinks about the next trial answers nobody: where that takes a noticeable share of its time, because the sampler is slow or the workers are
many, the configuration of the trial after the next is drawn ahead. It knows as much as if one worker more were at work; where drawing is quick, each is
drawn when it is asked for, and knows all. Here stands when and where a draw is made; the sampler then looks at a snapshot of the study, for the record
itself belongs to the driver's own thread.
"""

import math
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from threadpoolctl import ThreadpoolController

from search_spaces.space import SearchSpace
from tuner.search.samplers.pending import PendingTrial
from tuner.study.record import Study
from tuner.study.view import NotInSnapshot, StudyView

# Draws are made ahead from this share of the driver's time on, over so many draws.
NOTICEABLE = 0.05
RECENT = 20
# Who asks for a draw that is not done waits so long (seconds), and is then asked to come again.
PATIENCE_S = 0.02


@dataclass(frozen=True)
class Drawn:
    """A configuration that was drawn for a trial, and the draft of that trial."""

    draft: PendingTrial
    configuration: dict[str, Any]


def draw(view: StudyView, space: SearchSpace, number: int) -> Drawn:
    """Ask the study's sampler for a configuration for the trial of this number; nothing is recorded.

    Args:
        view: of the study, for this one draw.
        space: what is searched.
        number: of the trial.
    """
    draft = PendingTrial(view, number)
    return Drawn(draft, space.suggest(draft))


class Prefetcher:
    """Draws configurations, one ahead where that pays.

    Args:
        study: has the sampler. Only the thread that calls these methods touches its storage.
        space: what is searched.
        noticeable: the share of the time from which on draws are made ahead; 0 is always, infinity never.
        at_once: make them in the calling thread, for simulations, whose clock stands still meanwhile.
    """

    def __init__(self, study: Study, space: SearchSpace, *, noticeable: float = NOTICEABLE, at_once: bool = False) -> None:
        self._study = study
        self._space = space
        self._noticeable = noticeable
        self._at_once = at_once
        self._thread: futures.ThreadPoolExecutor | None = None
        self._limit: Any = None
        self._next: futures.Future[tuple[Drawn, float]] | None = None
        self._taken: deque[tuple[float, float]] = deque(maxlen=RECENT)  # when a draw was handed out, and how long it took

    def search(self, space: SearchSpace) -> None:
        """Draw from another space from now on; what has been drawn ahead is handed out all the same."""
        self._space = space

    def take(self, number: int, *, wait: bool) -> Drawn | None:
        """Return a configuration for the next trial; None where it is still being drawn, and nobody waits.

        Args:
            number: of the next trial.
            wait: until it is there, however long that takes.
        """
        ahead = self._next
        if ahead is not None and not futures.wait([ahead], None if wait else PATIENCE_S).done:
            return None
        self._next = None
        try:
            drawn, seconds = self._draw(self._study.view(), number) if ahead is None else ahead.result()
        except NotInSnapshot:  # a sampler that reads or writes more than trials is asked in time
            self._noticeable = math.inf
            drawn, seconds = self._draw(self._study.view(), number)
        if drawn.draft.frozen.number != number:  # somebody put a trial into the queue meanwhile
            drawn, seconds = self._draw(self._study.view(), number)
        self._taken.append((time.monotonic(), seconds))
        drawn.draft.frozen.datetime_start = datetime.now()
        return drawn

    def begin(self, number: int) -> None:
        """Begin to draw for the trial after the next, if that pays."""
        if self._next is not None or self._share() < self._noticeable:
            return
        snapshot = self._study.view(snapshot=True)
        if self._at_once:
            self._next = futures.Future()
            self._next.set_result(self._draw(snapshot, number))
            return
        if self._thread is None:
            self._thread = futures.ThreadPoolExecutor(1, "ahead")
            # Two threads that each limit BLAS for a moment would undo each other's limits.
            self._limit = ThreadpoolController().limit(limits=1)
        self._next = self._thread.submit(self._draw, snapshot, number)

    def close(self) -> None:
        """Wait for the thread, and end it."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
            self._limit.restore_original_limits()
        self._thread = self._next = None

    def _share(self) -> float:
        """Return which share of the time went into the recent draws."""
        if len(self._taken) < 2:
            return 0.0
        took = sum(seconds for _, seconds in list(self._taken)[1:])
        return took / max(self._taken[-1][0] - self._taken[0][0], 1e-9)

    def _draw(self, view: StudyView, number: int) -> tuple[Drawn, float]:
        began = time.monotonic()
        return draw(view, self._space, number), time.monotonic() - began
