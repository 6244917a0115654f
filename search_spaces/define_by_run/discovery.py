"""How the space of a builder is found: it is run on ever new values until no new name appears and every run is as predicted.

Owns the order of the runs and their budget, and how what they showed becomes a `SearchSpace`. The builder is run by whoever calls; this module sees
only what it asked for. Must not know KerasTuner, Keras or processes.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.define_by_run.asked import Ask, Asked, Run
from search_spaces.define_by_run.causes import Causes, Kind, Observed, explain
from search_spaces.define_by_run.coverage import Coverage
from search_spaces.define_by_run.merging import space_from
from search_spaces.errors import SearchSpaceError
from search_spaces.parameter import Condition
from search_spaces.ranges import Value
from search_spaces.space import SearchSpace

# So many runs in a row must bring nothing new before the space is taken as found.
CALM = 6
# A builder that fails on all of the first so many values is broken.
MOST_FAILURES = 8


@dataclass(frozen=True)
class Found:
    """What running a builder showed.

    Attributes:
        space: what it asks for.
        runs: how often it was run.
        failed: how many of these runs ended in an exception, and the first of these exceptions in one line (empty: none).
        complete: False where the budget ended before every pair of choices had been tried.
        notes: what a user should know, one line each.
    """

    space: SearchSpace
    runs: int
    failed: tuple[int, str]
    complete: bool
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        failures = {"failed_runs": self.failed[0], "failure": self.failed[1]}
        return {**self.space.describe(), "runs": self.runs, **failures, "complete": self.complete, "notes": list(self.notes)}


def discover(
    ask: Ask,
    builder: str,
    *,
    max_runs: int = 300,
    seconds: float = 60.0,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Return the space of a builder.

    Args:
        ask: runs it on values and says what it asked for.
        builder: its name, for the space and for messages.
        max_runs: how often it may be run.
        seconds: how long that may take; the run under way is finished, and the first one always is.
        seed: of the random part of the values.
        clock: returns seconds.

    Raises:
        SearchSpaceError: the builder fails on all values that were tried first, asks for nothing, or for what no space can describe.
    """
    return _Discovery(ask, builder, max_runs, clock() + seconds, seed, clock).found()


class _Discovery:
    def __init__(self, ask: Ask, builder: str, max_runs: int, until: float, seed: int, clock: Callable[[], float]) -> None:
        self._ask, self._builder = ask, builder
        self._max_runs, self._until, self._clock = max_runs, until, clock
        self._observed = Observed()
        self._coverage = Coverage(seed)
        self._causes: dict[Kind, Causes] = {}
        self._stopped = False

    def found(self) -> Found:
        self._attempt({})
        calm = 0
        while not self._stopped and calm < CALM:
            proposal = self._coverage.propose(self._names())
            calm += proposal is None
            before = self._knowledge()
            self._attempt(self._coverage.random(self._names()) if proposal is None else proposal)
            self._explain()
            if self._knowledge() != before:
                calm = 0
            if proposal is None and not self._names():
                break
        self._explain()
        self._refuse_failures()
        failed = [run for run in self._observed.runs if run.failed]
        if not self._causes:
            raise SearchSpaceError(f"{self._builder}: asks for no hyperparameter; expected at least one, such as hp.Int('units', 32, 512)")
        space, notes = space_from(self._builder, self._observed, self._causes)
        return Found(space, len(self._observed.runs), (len(failed), failed[0].failed if failed else ""), not self._stopped, (*self._notes(failed), *notes))

    def _knowledge(self) -> tuple[tuple[Kind, tuple[Condition, ...]], ...]:
        return tuple((kind, causes.conditions(self._observed)) for kind, causes in self._causes.items() if self._observed.having(kind))

    def _names(self) -> list[str]:
        return list(dict.fromkeys(kind[0] for kind in self._causes))

    def _attempt(self, values: Mapping[str, Value]) -> Run | None:
        """Run the builder on values, or return the run that did; None where the budget is spent."""
        known = self._observed.alike(values) if self._observed.runs else None
        if known is not None:
            self._coverage.note(values)
            return known
        runs = self._observed.runs
        if runs and (len(runs) >= self._max_runs or self._clock() > self._until):
            self._stopped = True
            return None
        run = self._ask(values)
        for asked in self._observed.add(run):
            self._learn(asked)
        # What was proposed and not asked for was tried as well: it cannot be had together.
        self._coverage.note({**values, **run.values})
        if len(runs) == MOST_FAILURES:
            self._refuse_failures()
        return run

    def _refuse_failures(self) -> None:
        runs = self._observed.runs
        if all(run.failed for run in runs):
            raise SearchSpaceError(f"{self._builder}: fails on all of {len(runs)} configurations ({runs[0].failed})\n{runs[0].details}".rstrip())

    def _learn(self, asked: Asked) -> None:
        kind: Kind = (asked.name, asked.distribution, asked.when)
        self._causes[kind] = Causes(kind)
        self._coverage.learn(asked.name, asked.distribution)

    def _explain(self) -> None:
        """Find the conditions of all that is named; a run that this takes may name more."""
        num_known = -1
        while num_known < len(self._causes) and not self._stopped:
            num_known = len(self._causes)
            for kind in list(self._observed.kinds):
                structural = list(dict.fromkeys(name for causes in self._causes.values() for name in causes.shown))
                explain(self._causes[kind], self._observed, self._attempt, structural)

    def _notes(self, failed: list[Run]) -> list[str]:
        notes = []
        if self._stopped:
            notes.append(
                f"{self._builder} was run {len(self._observed.runs)} times, and not every pair of its choices was tried; what a trial asks for beyond "
                "the space that was found joins it then"
            )
        if failed:
            notes.append(f"{self._builder} failed in {len(failed)} of {len(self._observed.runs)} runs, first with {failed[0].failed}")
        return notes
