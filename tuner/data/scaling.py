"""How a column of numbers becomes what a network learns from: filled, centred, scaled.

Owns the arithmetic of scaling and what it is fitted on. Must not know where the numbers come from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Rows that are converted to float64 at a time: a pool of bytes must not grow eightfold.
CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Scaling:
    """x becomes `(x, or fill where x is NaN, - center) * factor`.

    Attributes:
        center: float32, () for one value for all, or (features,).
        factor: float32, shaped like `center`, never 0, NaN or infinite.
        fill: float32, shaped like `center`: what a missing value is taken for, before scaling.

    Raises:
        ValueError: a value is not finite, a factor is 0, or the shapes differ.
    """

    center: np.ndarray
    factor: np.ndarray
    fill: np.ndarray

    def __post_init__(self) -> None:
        for name in ("center", "factor", "fill"):
            value = np.asarray(getattr(self, name), dtype=np.float32)
            if value.ndim > 1 or not np.all(np.isfinite(value)) or (name == "factor" and np.any(value == 0)):
                raise ValueError(f"Scaling.{name}: got {value!r}; expected finite numbers (a factor is not 0), one for all or one per feature")
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        if not self.center.shape == self.factor.shape == self.fill.shape:
            raise ValueError(f"Scaling: got shapes {self.center.shape}, {self.factor.shape}, {self.fill.shape}; expected one shape")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same scaling back, bit for bit."""
        return {name: getattr(self, name).tolist() for name in ("center", "factor", "fill")}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Scaling":
        return cls(*(np.array(values[name], dtype=np.float32) for name in ("center", "factor", "fill")))


def to_json(scaling: Sequence[Scaling | None]) -> Any:
    """Return the scalings of all inputs as JSON; that of a single one by itself, as records have always held it."""
    parts = [None if part is None else part.to_json() for part in scaling]
    return parts[0] if len(parts) == 1 and parts[0] is not None else parts


def from_json(values: Any) -> tuple[Scaling | None, ...]:
    """Return the scalings that `to_json` wrote."""
    parts = values if isinstance(values, list) else [values]
    return tuple(None if part is None else Scaling.from_json(part) for part in parts)


def apply(scaling: Scaling, x: np.ndarray) -> np.ndarray:
    """Return scaled rows.

    Args:
        scaling: as fitted.
        x: (n, ...) uint8 or float32; NaN is a missing value.

    Returns:
        A new array of x's shape, float32, without NaN.
    """
    scaled = np.array(x, dtype=np.float32)
    if np.issubdtype(x.dtype, np.floating):
        missing = np.isnan(scaled)
        if missing.any():
            scaled = np.where(missing, scaling.fill, scaled)
    scaled -= scaling.center
    scaled *= scaling.factor
    return scaled


def fit(method: str, x: np.ndarray, *, rows: np.ndarray | None = None, fill: str = "mean", largest: float = 255.0, plain: np.ndarray | None = None) -> Scaling:
    """Fit a scaling on some rows, and on nothing else.

    Args:
        method: `none`, `unit`, `standard` or `minmax`.
        x: uint8 or float32, NaN where missing; (n, features): each feature by itself; (n, ...) with more axes: one scaling for all pixels.
        rows: (k,) int64 row numbers to fit on; none: all.
        fill: what a missing value becomes: `mean`, `median` or `zero` (anything else as `zero`).
        largest: the largest value that bytes can take in these data, for `unit`.
        plain: (features,) bool: columns of zeros and ones that stay as they are.

    Returns:
        The scaling. A constant column is centred and keeps a factor of 1; a column without any value in these rows is filled with 0.

    Raises:
        ValueError: there is no row to fit on.
    """
    if method == "none" and x.dtype == np.uint8:
        return Scaling(np.float32(0), np.float32(1), np.float32(0))  # type: ignore[arg-type]
    if method == "unit" and x.dtype == np.uint8:
        return Scaling(np.float32(0), np.float32(1 / largest), np.float32(0))  # type: ignore[arg-type]
    if not len(x if rows is None else rows):
        raise ValueError("fit: got no rows; expected at least one to fit the scaling on")
    columns = _Columns(x, rows)
    filled = columns.mean() if fill == "mean" else columns.median() if fill == "median" else np.zeros(columns.width)
    low, high = columns.bounds(filled)
    mean, deviation = columns.moments(filled) if method == "standard" else (filled, filled)
    if plain is None or x.ndim != 2:
        plain = np.zeros(columns.width, dtype=bool)
    scaling = from_statistics(method, mean=mean, deviation=deviation, low=low, high=high, fill=filled, plain=plain)
    return scaling if x.ndim == 2 else Scaling(*(getattr(scaling, name).reshape(()) for name in ("center", "factor", "fill")))


def from_statistics(method: str, *, mean: np.ndarray, deviation: np.ndarray, low: np.ndarray, high: np.ndarray, fill: np.ndarray, plain: np.ndarray) -> Scaling:
    """Return the scaling that follows from what columns hold.

    Args:
        method: `none`, `unit`, `standard` or `minmax`.
        mean, deviation, low, high: (features,) float64: of the filled columns; those that the method does not need are not looked at.
        fill: (features,) float64: what a missing value becomes.
        plain: (features,) bool: columns of zeros and ones that stay as they are.
    """
    center, spread = np.zeros(len(fill)), np.ones(len(fill))
    if method == "standard":
        center, spread = mean, deviation
    elif method == "minmax":
        center, spread = low, high - low
    elif method == "unit":
        spread = np.maximum(np.abs(low), np.abs(high))
    # Its bounds show a constant column: the deviation of equal values is rounding, not zero. And 1 / spread must not overflow float32.
    constant = ((low == high) & (method != "unit")) | (spread < 1e-37)
    factor = 1 / np.where(constant, 1.0, spread)
    center, factor = np.where(plain, 0.0, center), np.where(plain, 1.0, factor)
    return Scaling(*(np.asarray(value, dtype=np.float32) for value in (center, factor, fill)))


class _Columns:
    """The columns of some rows, visited a chunk at a time in float64."""

    def __init__(self, x: np.ndarray, rows: np.ndarray | None) -> None:
        self._x = x
        self._rows = rows
        self.width = x.shape[1] if x.ndim == 2 else 1

    def _chunks(self) -> Iterator[np.ndarray]:
        count = len(self._x) if self._rows is None else len(self._rows)
        for start in range(0, count, CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            chunk = self._x[part] if self._rows is None else self._x[self._rows[part]]
            yield chunk.reshape(-1, self.width).astype(np.float64)

    def mean(self) -> np.ndarray:
        total, count = np.zeros(self.width), np.zeros(self.width)
        for chunk in self._chunks():
            total += np.nansum(chunk, axis=0)
            count += np.sum(~np.isnan(chunk), axis=0)
        return np.divide(total, count, out=np.zeros(self.width), where=count > 0)

    def median(self) -> np.ndarray:
        medians = np.zeros(self.width)
        rows = self._x if self._rows is None else self._x[self._rows]
        for column, values in enumerate(rows.reshape(-1, self.width).T):
            present = values[~np.isnan(values)]
            medians[column] = np.median(present) if len(present) else 0.0
        return medians

    def bounds(self, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.full(self.width, np.inf), np.full(self.width, -np.inf)
        for chunk in self._filled(filled):
            low, high = np.minimum(low, chunk.min(axis=0)), np.maximum(high, chunk.max(axis=0))
        return low, high

    def moments(self, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation, in two passes: the one-pass formula loses columns with a large offset."""
        count, total = 0, np.zeros(self.width)
        for chunk in self._filled(filled):
            total += chunk.sum(axis=0)
            count += len(chunk)
        mean = total / count
        squares = np.zeros(self.width)
        for chunk in self._filled(filled):
            squares += np.square(chunk - mean).sum(axis=0)
        return mean, np.sqrt(squares / count)

    def _filled(self, filled: np.ndarray) -> Iterator[np.ndarray]:
        for chunk in self._chunks():
            missing = np.isnan(chunk)
            yield np.where(missing, filled, chunk) if missing.any() else chunk
