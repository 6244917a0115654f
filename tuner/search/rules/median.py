"""Stopping what is worse than the median of the others."""

import math
from collections.abc import Mapping

import numpy as np

from tuner.search.rules.rule import Unpausing
from tuner.study.objective import Objective


class Median(Unpausing):
    """Stops a trial whose best value is worse than the median of what the others had on average by the same epoch.

    Source: Golovin et al., Google Vizier, KDD 2017, section 3.2.2.

    Args:
        objective: what is optimised.
        grace_period: no trial is stopped before this epoch.
        least: nor before this number of other trials reached the epoch.
    """

    def __init__(self, objective: Objective, *, grace_period: int, least: int = 5) -> None:
        self._objective = objective
        self._grace = grace_period
        self._least = least
        self._means: dict[int, dict[int, float]] = {}

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter the means of a trial up to each of its epochs.

        Args:
            number: the trial.
            history: its values by epoch; NaN where an epoch has none.
        """
        total = 0.0
        epochs = sorted(epoch for epoch, value in history.items() if math.isfinite(value))
        for count, epoch in enumerate(epochs, start=1):
            total += self._objective.cost(history[epoch])
            self._means.setdefault(epoch, {})[number] = total / count

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return why the trial stops at this epoch; None where it goes on.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch; NaN where an epoch has none.
        """
        self.record(number, history)
        others = [mean for other, mean in self._means.get(epoch, {}).items() if other != number]
        best = min((self._objective.cost(value) for value in history.values()), default=math.inf)
        if epoch < self._grace or len(others) < self._least or math.isinf(best):
            return None
        if best <= float(np.median(others)):
            return None
        return f"worse than the median of {len(others)} other trials at epoch {epoch}"
