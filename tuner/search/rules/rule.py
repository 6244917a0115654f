"""What a rule of early stopping is."""

from collections.abc import Mapping
from typing import Protocol


class Rule(Protocol):
    """Decides whether a trial goes on."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Take note of a trial of an earlier run, by its values up to the last epoch that was decided upon; NaN where an epoch has none."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Take note of a trial's newest epoch, and return in one line why the trial should stop; None if it goes on.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch, the newest among them; NaN where an epoch has none.
        """
