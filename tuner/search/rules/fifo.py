"""Stopping nothing."""

from collections.abc import Mapping


class Fifo:
    """Stops nothing."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return None."""
        return None
