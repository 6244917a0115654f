"""Columns of a table that are neither features nor targets: row weights, and what rows are divided by.

Owns how they are read. Must not know what is done with them.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tuner.data import hashes
from tuner.data.arrays.inputs import weights
from tuner.data.examples import Examples
from tuner.data.section import DatasetSection
from tuner.data.tables.from_tables import dialect_of
from tuner.data.tables.table import Table
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


def of_table(section: DatasetSection, path: str, examples: Examples, *, to_split: bool = True) -> tuple[Examples, str]:
    """Return a table's examples with their weights and what they are divided by, and the hash of both; empty where there is neither.

    Args:
        section: `[dataset]`.
        path: of the table that the examples were read from.
        examples: without them.
        to_split: whether the rows are divided; those of a test file are not.

    Raises:
        DatasetError: a column is missing, or a weight is none.
    """
    wanted = {key: name for key, names in section.set_aside.items() for name in names if to_split or key == "weight"}
    if not wanted:
        return examples, ""
    table = Table(path, format=section.format, dialect=dialect_of(section))
    for key, name in wanted.items():
        table.check(name, f"dataset.{key}")
    read = table.read(tuple(dict.fromkeys(wanted.values())))
    values = {key: _array(read.column(name), name, numbers=key == "weight")[examples.rows] for key, name in wanted.items()}
    w = weights(values.pop("weight"), f"column {section.weight!r}") if "weight" in values else None
    return replace(examples, w=w, by=next(iter(values.values()), None)), hashes.of_table(read)


def _array(values: "pa.ChunkedArray", name: str, *, numbers: bool) -> np.ndarray:
    """Return a column as an array; a missing value is NaN, NaT or empty."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        if pa.types.is_boolean(kind):
            values = values.cast(pa.uint8())
        # Numbers that only a float64 rounds stay what they are: two groups must not become one.
        return (values if pa.types.is_integer(values.type) and not values.null_count and not numbers else values.cast(pa.float64(), safe=False)).to_numpy()
    if numbers:
        raise DatasetError(f"column {name!r}: got values of type {kind}; expected numbers, the weights of the rows")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return values.cast(pa.timestamp("us"), safe=False).to_numpy().astype("datetime64[us]")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.array([(word or "").encode() for word in values.to_pylist()], dtype="S")
    raise DatasetError(f"column {name!r}: got values of type {kind}; expected numbers, words or dates")
