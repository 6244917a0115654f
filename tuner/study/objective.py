"""What a sweep optimises: one metric of the epoch reports, and which direction is better.

Knows nothing of trials, samplers or networks: only how two values, or the epochs of one history, compare.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tuner.errors import SpecError

# Metrics of which more is better; every other name is taken as a loss or an error, unless the spec states the mode.
MAXIMISED = ("accuracy", "auc", "precision", "recall", "f1_score", "r2_score", "acc")


@dataclass(frozen=True)
class Objective:
    """The metric that trials are compared by.

    Attributes:
        metric: a key of the epoch reports, such as `val_accuracy`.
        mode: `max` or `min`.
    """

    metric: str
    mode: str

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise SpecError(f"objective.mode: got {self.mode!r}; expected 'max' or 'min'")

    @classmethod
    def of(cls, metric: str, mode: str | None = None) -> "Objective":
        """Return the objective for a metric; the mode follows from its name where none is given."""
        if mode is None:
            mode = "max" if metric.removeprefix("val_").endswith(MAXIMISED) else "min"
        return cls(metric, mode)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Optuna's word for the mode: `maximize` or `minimize`."""
        return "maximize" if self.mode == "max" else "minimize"

    def better(self, value: float, other: float) -> bool:
        """Say whether `value` is strictly better than `other`. NaN is better than nothing at all, not even NaN."""
        if math.isnan(value):
            return False
        if math.isnan(other):
            return True
        return value > other if self.mode == "max" else value < other

    def cost(self, value: float) -> float:
        """Return the value with its sign set so that less is better (NaN becomes +inf)."""
        if math.isnan(value):
            return math.inf
        return -value if self.mode == "max" else value

    def best_epoch(self, history: Mapping[int, float]) -> int:
        """Return the earliest epoch with the best value.

        Args:
            history: epoch (from 1) -> value of the metric.

        Raises:
            ValueError: the history is empty.
        """
        if not history:
            raise ValueError("best_epoch: the history is empty; expected at least one epoch")
        return min(history, key=lambda epoch: (self.cost(history[epoch]), epoch))
