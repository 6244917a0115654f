"""What one pass over columns of numbers tells of them: count, mean, deviation and bounds, gathered part by part.

Owns arithmetic that loses nothing however many parts there are. Must not know where the numbers come from, nor what is done with them.
"""

import numpy as np

from tuner.data.values import FILLED


class Moments:
    """Count, mean, deviation, bounds of the columns of numbers, of which NaN is none; gathered part by part, in float64."""

    def __init__(self, width: int) -> None:
        self.count, self.holes = np.zeros(width), np.zeros(width)
        self.mean, self.squares = np.zeros(width), np.zeros(width)
        self.low, self.high, self.lost = np.full(width, np.inf), np.full(width, -np.inf), np.zeros(width)

    def add(self, values: np.ndarray) -> None:
        """Take in (n, width) float64."""
        part = Moments(values.shape[1])
        missing = np.isnan(values)
        part.holes = missing.sum(axis=0).astype(float)
        part.count = len(values) - part.holes
        has_values = part.count > 0
        part.mean = np.divide(np.where(missing, 0, values).sum(axis=0), part.count, out=np.zeros(len(has_values)), where=has_values)
        part.squares = np.where(missing, 0, np.square(values - part.mean)).sum(axis=0)
        part.low = np.where(missing, np.inf, values).min(axis=0, initial=np.inf)
        part.high = np.where(missing, -np.inf, values).max(axis=0, initial=-np.inf)
        part.lost = np.where(missing, 0, np.abs(values - values.astype(np.float32))).max(axis=0, initial=0)
        self.merge(part)

    def merge(self, other: "Moments") -> None:
        """Take in what another has gathered (Chan, Golub and LeVeque, 1979: no cancellation, whatever the columns' offsets)."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros(len(count)), where=count > 0)
        away = other.mean - self.mean
        self.squares = self.squares + other.squares + np.square(away) * self.count * share
        self.mean = self.mean + away * share
        self.count, self.holes = count, self.holes + other.holes
        self.low, self.high, self.lost = np.minimum(self.low, other.low), np.maximum(self.high, other.high), np.maximum(self.lost, other.lost)

    def filled(self, how: str, zero: np.ndarray | None = None) -> tuple["Moments", np.ndarray]:
        """Return the moments with the holes filled, and what fills them: the mean, or zero.

        Args:
            how: `mean` or `zero`; anything else fills nothing.
            zero: (width,) float64: what zero is in each column; None: 0.

        Returns:
            The moments, and (width,) float64.
        """
        fill = self.mean if how == "mean" else np.zeros(len(self.mean)) if zero is None else zero
        holes = Moments(len(fill))
        if how in FILLED:
            holes.count, holes.mean = self.holes, fill
            holes.low, holes.high = np.where(self.holes > 0, fill, np.inf), np.where(self.holes > 0, fill, -np.inf)
        whole = Moments(len(fill))
        whole.merge(self)
        whole.merge(holes)
        return whole, fill
