"""The states of a sweep's trials on disk: which stay, and which go when the disk that they may take is full.

A trial writes its own (trial.py), under its number; only here are they removed. Those of trials that may go on stay, and those of the best; of what has
ended otherwise none does. Where there is too much, the trials that rank worst lose theirs first: interrupted, they begin again.
"""

import heapq
import math
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from optuna.trial import FrozenTrial

from tuner.study.record import Study

# The states of so many trials always stay, however full the disk is.
BEST_KEPT = 3
EVERY_S = 5.0
# What is being removed has no number any more: a state is there whole or not at all.
GOING = ".going-"


class Places(Protocol):
    """Where states lie, by the numbers of their trials."""

    def sizes(self) -> dict[int, int]:
        """Return the bytes of each state. Raises OSError where they cannot be listed."""

    def remove(self, number: int) -> None:
        """Remove a state. Raises OSError where the storage refuses."""


class Disk:
    """States in a folder, one folder each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sizes(self) -> dict[int, int]:
        """Return the bytes of each state; what an earlier removal left is removed."""
        for left in self._folder.glob(f"{GOING}*"):
            shutil.rmtree(left, ignore_errors=True)
        return {int(place.name): _size(place) for place in self._folder.iterdir() if place.name.isdigit()}

    def remove(self, number: int) -> None:
        """Remove a state."""
        going = self._folder / f"{GOING}{number}-{os.getpid()}"
        (self._folder / str(number)).rename(going)
        shutil.rmtree(going, ignore_errors=True)


class CheckpointRetention:
    """The states of a sweep.

    Args:
        places: where they lie; a folder need not be there.
        study: says how trials stand.
        limit_bytes: what all states together may take.
    """

    def __init__(self, places: Places | Path, study: Study, limit_bytes: float) -> None:
        self._places = Disk(places) if isinstance(places, Path) else places
        self._study = study
        self._limit_bytes = limit_bytes
        self._tidied_at = time.monotonic()

    def prune_now_and_then(self) -> None:
        """Do `prune`, but no more often than every few seconds."""
        if time.monotonic() - self._tidied_at >= EVERY_S:
            self.prune()

    def prune(self) -> None:
        """Remove what is not needed, and then what is too much. Where the storage refuses, the next time does."""
        with suppress(OSError):
            sizes = self._places.sizes()
            trials = self._study.trials() if sizes else []
            best = {trial.number for trial in heapq.nsmallest(BEST_KEPT, trials, key=self._rank)}
            for number in list(sizes):
                if trials[number].state.is_finished() and (number not in best or trials[number].state.name == "FAIL"):
                    self._remove(number, sizes)
            for number in sorted(set(sizes) - best, key=lambda number: self._rank(trials[number]), reverse=True):
                if sum(sizes.values()) <= self._limit_bytes:
                    break
                self._remove(number, sizes)
        self._tidied_at = time.monotonic()  # after it: storage that is slow or away is asked all the more seldom

    def _remove(self, number: int, sizes: dict[int, int]) -> None:
        del sizes[number]
        with suppress(OSError):
            self._places.remove(number)

    def _rank(self, trial: FrozenTrial) -> tuple[float, int]:
        """Return what sorts trials, the best first; those that failed or have no value yet come last."""
        objective, history = self._study.objective, trial.intermediate_values
        if trial.values:  # the best of its history
            return objective.cost(trial.values[0]), trial.number
        if trial.state.name == "FAIL" or not history:
            return math.inf, trial.number
        return min(objective.cost(value) for value in history.values()), trial.number


def _size(place: Path) -> int:
    total = 0
    with suppress(OSError):  # files come and go while a trial writes
        for file in place.iterdir():
            with suppress(OSError):
                total += file.stat().st_size
    return total
