"""Stopping nothing."""

from collections.abc import Mapping

from tuner.search.rules.rule import Unpausing


class Fifo(Unpausing):
    """Stops nothing."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing.

        Args:
            number: the trial.
            history: its values by epoch; NaN where an epoch has none.
        """

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return None.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch; NaN where an epoch has none.
        """
        return None
