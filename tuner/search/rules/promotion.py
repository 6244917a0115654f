"""Asynchronous successive halving by promotion: every trial waits at a rung until it is among the best there."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuner.search.rules.milestones import milestones
from tuner.study.objective import Objective
from tuner.study.seeds import seed_of


class Promotion:
    """Asynchronous successive halving, the promotion variant, in one or several brackets.

    Every trial pauses at each rung. Where a worker is free, the highest rung that has one promotes its best paused trial, if that is in the best fraction of
    all that reached the rung; else a new trial begins. With several brackets a trial passes the lowest rungs of its bracket by, which is drawn, without being
    compared there: a hedge where early epochs mislead. All brackets share their rungs.

    The best value so far counts, for that is what trials are ranked by.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; rungs, cutoff and the chances of brackets as in Syne Tune 0.13.

    Args:
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        grace_period: the first rung, in epochs.
        reduction_factor: from rung to rung epochs grow, and trials shrink, by this factor.
        brackets: number of brackets; no more than there are rungs, and one.
        seed: of the draw of brackets.
    """

    def __init__(self, objective: Objective, *, max_epochs: int, grace_period: int, reduction_factor: float, brackets: int = 1, seed: int = 0) -> None:
        self._objective = objective
        self._factor = reduction_factor
        self._seed = seed
        self.rungs: dict[int, dict[int, float]] = {milestone: {} for milestone in milestones(max_epochs, grace_period, reduction_factor)}
        levels = [*self.rungs, max_epochs]
        weights = np.array([1.0 / ((len(levels) - skipped) * level) for skipped, level in enumerate(levels[:brackets])])
        self._chances = np.cumsum(weights / weights.sum())
        self._beyond: dict[int, int] = {}  # the last epoch of each trial

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter a trial at the rungs of its bracket whose own epoch it has reported.

        Args:
            number: the trial.
            history: its values by epoch; NaN where an epoch has none.
        """
        self._beyond[number] = max(history, default=0)
        for milestone in self._rungs_of(number):
            if milestone in history and number not in self.rungs[milestone]:
                best = min(self._objective.cost(value) for epoch, value in history.items() if epoch <= milestone)
                self.rungs[milestone][number] = best

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Take note of the epoch; nothing is stopped.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch; NaN where an epoch has none.
        """
        self.record(number, history)
        return None

    def pauses(self, number: int, epoch: int) -> bool:
        """Say whether the epoch is a rung of the trial's bracket.

        Args:
            number: the trial.
            epoch: its newest epoch.
        """
        return epoch in self._rungs_of(number)

    def resumes(self, paused: Sequence[int], *, may_begin: bool) -> int | None:
        """Return the best paused trial of the highest rung that promotes one.

        Args:
            paused: numbers of the trials that wait.
            may_begin: whether a new trial may begin; promotion does not depend on it.
        """
        waiting = set(paused)
        for milestone, recorded in reversed(self.rungs.items()):
            here = [number for number in recorded if number in waiting and self._beyond[number] == milestone]
            if len(recorded) < 2 or not here:
                continue
            best = min(here, key=lambda number: (recorded[number], number))
            if recorded[best] <= _quantile(list(recorded.values()), 1 / self._factor):
                return best
        return None

    def _rungs_of(self, number: int) -> tuple[int, ...]:
        skipped = 0
        if len(self._chances) > 1:
            lot = np.random.default_rng(seed_of(self._seed, number, "bracket")).random()
            skipped = int(np.searchsorted(self._chances, lot, side="right"))
        return tuple(self.rungs)[skipped:]


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile, where values may be infinite: those of trials without one."""
    place = (len(values) - 1) * share
    low, high = sorted(values)[math.floor(place)], sorted(values)[math.ceil(place)]
    return low if math.isinf(high) else low + (high - low) * (place - math.floor(place))
