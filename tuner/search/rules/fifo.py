"""Stopping nothing."""

from collections.abc import Mapping

from tuner.search.rules.rule import Unpausing


class Fifo(Unpausing):
    """Stops nothing."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return None."""
        return None
