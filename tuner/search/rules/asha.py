"""Asynchronous successive halving."""

import math
from collections.abc import Mapping

import numpy as np

from tuner.search.rules.milestones import milestones
from tuner.search.rules.rule import Unpausing
from tuner.study.objective import Objective


class Asha(Unpausing):
    """Asynchronous successive halving, the stopping variant: at each rung a trial goes on if it is in the best fraction of those before it.

    The best value so far counts, for that is what trials are ranked by. A tie with the cutoff stops: the first of its kind runs on already. A trial that
    has no value yet goes on to the next rung.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; the cutoff as in Ray Tune's ASHAScheduler.

    Args:
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        grace_period: the first rung, in epochs.
        reduction_factor: from rung to rung epochs grow, and trials shrink, by this factor.
    """

    def __init__(self, objective: Objective, *, max_epochs: int, grace_period: int, reduction_factor: float) -> None:
        self._objective = objective
        self._factor = reduction_factor
        self.rungs: dict[int, dict[int, float]] = {milestone: {} for milestone in milestones(max_epochs, grace_period, reduction_factor)}

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter a trial at the rungs whose own epoch it has reported.

        Args:
            number: the trial.
            history: its values by epoch; NaN where an epoch has none.
        """
        for milestone, recorded in self.rungs.items():
            if milestone in history and number not in recorded:
                best = min(self._objective.cost(value) for epoch, value in history.items() if epoch <= milestone)
                if math.isfinite(best):
                    recorded[number] = best

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return why the trial falls at this rung; None between rungs, and where it goes on.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch; NaN where an epoch has none.
        """
        recorded = self.rungs.get(epoch)
        if recorded is None or number in recorded:
            return None
        others = list(recorded.values())
        self.record(number, history)
        if not others or number not in recorded:
            return None
        cutoff = float(np.quantile(others, 1 / self._factor))
        if recorded[number] < cutoff:
            return None
        return f"not in the best 1/{self._factor:g} of {len(others) + 1} trials at epoch {epoch}"
