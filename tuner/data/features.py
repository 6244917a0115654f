"""How a raw example, a row of a table or an array of pixels, becomes a row of numbers.

Owns the categories and columns fitted on the pool, and the checks that later data have the same shape. Must not know of splits, scaling or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data.tables import columns as table_columns
from tuner.data.tables.columns import Column
from tuner.data.tables.interpret import Interpretation
from tuner.data.values import FILLED, to_float32
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Features:
    """What a network gets to see of an example.

    Attributes:
        shape: one encoded example: (features,) or the pixels of an image.
        dtype: `uint8` (images) or `float32`.
        columns: of a table; empty for arrays.
        missing: what a missing value means: `error`, `drop`, `mean`, `median` or `zero`.
    """

    shape: tuple[int, ...]
    dtype: str
    columns: tuple[Column, ...] = ()
    missing: str = "error"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the encoded features of a table; empty for arrays."""
        return tuple(name for column in self.columns for name in column.outputs)

    @property
    def plain(self) -> np.ndarray:
        """(features,) bool: where a feature is zero or one and is not scaled; empty for arrays."""
        return np.array([not scaled for column in self.columns for scaled in column.scaled], dtype=bool)

    def encode(self, data: "np.ndarray | pa.Table") -> np.ndarray:
        """Return data as rows of numbers, not yet scaled or filled.

        Args:
            data: a table with the same columns, in any order, further ones ignored; or an array of examples, (n, *shape) of uint8 or float32.

        Returns:
            (n, *shape), of the features' dtype; NaN where a number is missing and `missing` says how to fill it.

        Raises:
            DatasetError: a column is missing or of another type, the shape differs, or a value is missing where none may be.
        """
        if isinstance(data, np.ndarray):
            if self.columns:
                names = ", ".join(column.name for column in self.columns[:5])
                raise DatasetError(f"data: got an array; expected a table with the columns {names}{', ...' if len(self.columns) > 5 else ''}")
            return self._encode_array(data)
        if not self.columns:
            raise DatasetError(f"data: got a table; expected an array of examples of shape {self.shape}")
        return table_columns.encode(data, self.columns, self.missing)

    def _encode_array(self, data: np.ndarray) -> np.ndarray:
        if data.shape[1:] != self.shape or data.ndim == 0:
            raise DatasetError(f"x: got an array of shape {data.shape}; expected (rows, {', '.join(map(str, self.shape))})")
        if self.dtype == "uint8":
            if data.dtype == np.uint8:
                return data
            if not np.issubdtype(data.dtype, np.integer) or (data.size and (data.min() < 0 or data.max() > 255)):
                raise DatasetError(f"x: got {data.dtype}; expected whole numbers from 0 to 255, as the network was trained on (it scales them itself)")
            return data.astype(np.uint8)
        x = to_float32(data, "x")
        if self.missing not in FILLED and np.isnan(x).any():
            raise DatasetError(f"x: {_first_missing(x)}; expected none (dataset.missing = {self.missing!r})")
        return x

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same features back."""
        return {"shape": list(self.shape), "dtype": self.dtype, "missing": self.missing, "columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Features":
        columns = tuple(Column.from_json(column) for column in values["columns"])
        return cls(tuple(values["shape"]), values["dtype"], columns, values["missing"])


def of_array(x: np.ndarray, missing: str) -> Features:
    """Return the features of an array of examples.

    Args:
        x: (n, ...) uint8 or float32.
        missing: what a missing value means.
    """
    return Features(x.shape[1:], "uint8" if x.dtype == np.uint8 else "float32", (), missing)


def of_table(table: "pa.Table", interpretation: Interpretation, *, missing: str, indicators: bool = False, max_categories: int = 1000) -> Features:
    """Return the features of a normalised table; see `columns.fit`.

    Args:
        table: see `columns.normalise`.
        interpretation: what its columns are.
        missing: what a missing value means.
        indicators: adds a column for each column with holes that is no category.
        max_categories: a column with more distinct words is refused.
    """
    columns = table_columns.fit(
        table, interpretation.features, missing=missing, indicators=indicators, max_categories=max_categories, unscaled=interpretation.unscaled
    )
    return Features((sum(len(column.outputs) for column in columns),), "float32", columns, missing)


def _first_missing(x: np.ndarray) -> str:
    missing = np.isnan(x)
    return f"{int(missing.sum())} of {x.size} values are missing, the first in row {int(np.argwhere(missing)[0][0])}"
