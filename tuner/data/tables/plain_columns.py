"""Columns of a table as they are, for builders that have layers to prepare them: one array for each, words as words.

Owns which type each column has then. How its values are read is the same as for columns that are encoded.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tuner.data.tables import columns as table_columns
from tuner.data.tables.columns import Column
from tuner.data.tables.interpret import Interpretation
from tuner.data.values import FILLED, to_float32, unknown_column
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

WORDS = "string"


def columns_of(interpretation: Interpretation) -> tuple[Column, ...]:
    """Return how the columns are read.

    Raises:
        DatasetError: one is a date, which no network reads as it is.
    """
    for name, reading in interpretation.features.items():
        if reading.kind == "date":
            mend = f"exclude = [{name!r}], or encode = true, which makes numbers of it"
            raise DatasetError(f"column {name!r}: is a date, which encode = false would leave as it is; expected numbers, booleans or words; {mend}")
    return tuple(Column(name, reading.kind, reading=reading) for name, reading in interpretation.features.items())


def types_of(table: "pa.Table", columns: tuple[Column, ...], asked: Mapping[str, str]) -> dict[str, str]:
    """Return the type of each column: `string`, `int64` (whole numbers and booleans without a hole) or `float32`.

    Args:
        table: rows to train and validate on, normalised.
        columns: of it.
        asked: `dataset.columns`: what is called a number there is float32, whole or not.
    """
    types = {}
    for column in columns:
        values = table.column(column.name)
        if column.kind == "category":
            types[column.name] = WORDS
        elif values.null_count or asked.get(column.name) in ("number", "unscaled"):
            types[column.name] = "float32"
        else:
            types[column.name] = "int64" if column.kind == "boolean" or _are_whole(values.to_numpy()) else "float32"
    return types


def arrays_of(table: "pa.Table", columns: tuple[Column, ...], types: Mapping[str, str], missing: str) -> dict[str, np.ndarray]:
    """Return each column as (n, 1): words as UTF-8 bytes (a missing one is empty), numbers as int64 or float32 (a missing one is NaN).

    Args:
        table: has these columns, and others maybe.
        columns: how they are read.
        types: see `types_of`.
        missing: `dataset.missing`.

    Raises:
        DatasetError: a column is missing or of another kind, or a value is missing where none may be.
    """
    import pyarrow as pa

    for column in columns:
        if column.name not in table.column_names:
            raise DatasetError(f"data: no column {column.name!r}; {unknown_column(column.name, list(table.column_names))}")
    table = table_columns.normalise(table, {column.name: column.read_as for column in columns})
    if missing not in FILLED:
        table_columns.check_no_holes(table, missing)
    arrays = {}
    for column, values in zip(columns, table.columns, strict=True):
        if column.kind == "category":
            words = [(word or "").encode() for word in values.to_pylist()]
            arrays[column.name] = np.array(words or [b""], dtype="S")[: len(words), None]
            continue
        numbers = (values.cast(pa.uint8()).cast(pa.float64()) if column.kind == "boolean" else values).to_numpy()
        if types[column.name] == "int64":
            if not _are_whole(numbers):
                row = int(np.argmax(numbers != np.round(numbers)))
                mend = f'dataset.columns.{column.name} = "number" takes fractions'
                raise DatasetError(f"column {column.name!r}: row {row} holds {numbers[row]:g}; expected whole numbers, as in the rows to train on; {mend}")
            arrays[column.name] = numbers.astype(np.int64)[:, None]
        else:
            arrays[column.name] = to_float32(numbers, f"column {column.name!r}")[:, None]
    return arrays


def target_arrays(table: "pa.Table") -> dict[str, np.ndarray]:
    """Return several targets of mixed kinds, each by itself: (n,) strings, booleans, int64 or float64."""
    return {name: table_columns.targets(table, [name]) for name in table.column_names}


def _are_whole(numbers: np.ndarray) -> bool:
    return bool(np.isfinite(numbers).all() and (numbers == np.round(numbers)).all() and np.abs(numbers).max(initial=0) < 2**53)
