"""What tables and arrays share: numbers as float32, ways to fill what is missing, and the words for a column that is not there."""

import numpy as np

from search_spaces.errors import nearest
from tuner.errors import DatasetError

FILLED = ("mean", "median", "zero")


def to_float32(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers as float32, of the same shape (n, ...); NaN stays.

    Args:
        values: (n, ...) of any dtype.
        name: what they are, for the message.

    Raises:
        DatasetError: they are no numbers, infinite, or too large.
    """
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool) or np.issubdtype(values.dtype, np.complexfloating):
        raise DatasetError(f"{name}: got values of type {values.dtype}; expected numbers")
    with np.errstate(over="ignore"):
        converted = values.astype(np.float32, copy=False)
    infinite = np.isinf(converted)
    if infinite.any():
        row = int(np.argwhere(infinite)[0][0])
        raise DatasetError(f"{name}: row {row} holds {float(values[infinite][0])}; expected finite numbers within float32's range")
    return converted


def unknown_column(name: str, columns: list[str]) -> str:
    """Return the tail of a message for a column that is not there.

    Args:
        name: of the column.
        columns: that are there.
    """
    if not columns:
        return "it has no columns at all"
    suggestion = nearest(name, columns)
    return (
        suggestion if len(columns) <= 12 or suggestion.startswith("did you mean") else f"it has {len(columns)} columns, from {columns[0]!r} to {columns[-1]!r}"
    )
