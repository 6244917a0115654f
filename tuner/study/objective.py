"""What a sweep optimises: one metric of the epoch reports, and which direction is better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tuner.errors import SpecError
from tuner.study.directions import direction_of


@dataclass(frozen=True)
class Objective:
    """The metric that trials are compared by.

    Attributes:
        metric: a key of the epoch reports, such as `val_accuracy`.
        mode: `max` or `min`.

    Raises:
        SpecError: the mode is neither max nor min.
    """

    metric: str
    mode: str

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise SpecError(f"objective.mode: got {self.mode!r}; expected 'max' or 'min'")

    @classmethod
    def of(cls, metric: str, mode: str | None = None) -> "Objective":
        """Return the objective for a metric; the mode follows from its name where none is given.

        Args:
            metric: a key of the epoch reports.
            mode: `max` or `min`; None for a metric or loss of Keras's own.

        Raises:
            SpecError: the name does not tell the mode.
        """
        mode = mode or direction_of(metric)
        if mode is None:
            raise SpecError(f"objective.{unstated(metric)}")
        return cls(metric, mode)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Optuna's word for the mode: `maximize` or `minimize`."""
        return "maximize" if self.mode == "max" else "minimize"

    def better(self, value: float, other: float) -> bool:
        """Say whether `value` is strictly better than `other`. NaN is better than nothing at all, not even NaN.

        Args:
            value: of the metric.
            other: of the same.
        """
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
            history: epoch (from 1) -> value of the metric; NaN, where it has none, is worse than any.

        Raises:
            ValueError: the history is empty.
        """
        if not history:
            raise ValueError("best_epoch: the history is empty; expected at least one epoch")
        return min(history, key=lambda epoch: (self.cost(history[epoch]), epoch))


def unstated(metric: str) -> str:
    """Say that the direction of a metric has to be stated."""
    return f"mode: missing; expected 'max' or 'min': {metric!r} is none of Keras's own metrics, and its name does not tell which is better"
