"""Columns of a table as numbers: which kind each is, its categories, its holes.

Owns what is a feature, what a missing value means and one-hot encoding. Must not know files, splits or scaling.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuner.data.values import FILLED, to_float32, unknown_column
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

# A column of many words that are nearly all numbers is a column of numbers with a slip in it.
SLIP_MIN_WORDS, SLIP_SHARE = 20, 0.9
# What pyarrow reads as one; Python's `float` takes more: other scripts' digits, underscores, and any kind of space around them.
_NUMBER = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*|[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as in the table.
        kind: `number`, `boolean` or `category`.
        categories: of a category, sorted; each becomes a column of zeros and ones. A word that is not among them becomes all zeros.
        missing: a category of its own for missing words; for numbers and booleans a further column that says where a value was missing.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    missing: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns that it becomes."""
        if self.kind == "category":
            return tuple(f"{self.name} = {word}" for word in self.categories) + ((f"{self.name} is missing",) if self.missing else ())
        return (self.name, f"{self.name} is missing") if self.missing else (self.name,)


def kind_of(type_: "pa.DataType") -> str | None:
    """Return `number`, `boolean` or `category`; none for a type that cannot be a feature."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if types.is_boolean(type_):
        return "boolean"
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return "number"
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "category"
    return None


def type_of(kind: str) -> "pa.DataType":
    """Return the type that a normalised column of this kind has."""
    import pyarrow as pa

    return {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.large_string()}[kind]


def kinds_of(table: "pa.Table") -> dict[str, str]:
    """Return the kind of each feature column.

    Raises:
        DatasetError: a column is of a type that cannot be a feature.
    """
    import pyarrow as pa

    kinds = {}
    for field in table.schema:
        kind = kind_of(field.type)
        if pa.types.is_null(field.type):
            raise DatasetError(f"column {field.name!r}: holds no value at all; exclude = [{field.name!r}] leaves it out")
        if kind is None:
            mend = "is the file in UTF-8?" if pa.types.is_binary(field.type) else f"convert it, or exclude = [{field.name!r}]"
            raise DatasetError(f"column {field.name!r}: got values of type {field.type}; expected numbers, booleans or strings; {mend}")
        kinds[field.name] = kind
    return kinds


def check_types(table: "pa.Table", kinds: Mapping[str, str]) -> None:
    """Check that each column is of the kind that it was when the features were fitted, or holds nothing.

    Raises:
        DatasetError: one is not.
    """
    import pyarrow as pa

    for field in table.schema:
        if not pa.types.is_null(field.type) and kind_of(field.type) != kinds[field.name]:
            raise DatasetError(f"column {field.name!r}: got values of type {field.type}; expected a {kinds[field.name]}, as in the rows to train on")


def normalise(table: "pa.Table", kinds: Mapping[str, str]) -> "pa.Table":
    """Return the table with float64, boolean and large_string columns only; NaN becomes null, the one mark for missing.

    Args:
        table: feature columns.
        kinds: column -> the kind that it must have.

    Raises:
        DatasetError: a column is of another kind.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    check_types(table, kinds)
    found = []
    for name, values in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        values = values.cast(type_of(kinds[name]), safe=False)
        if kinds[name] == "number" and pc.any(nan := pc.is_nan(values)).as_py():  # a column that is normalised already is not copied
            values = pc.if_else(nan, pa.scalar(None, pa.float64()), values)
        found.append(values)
    return pa.table(found, names=table.column_names)


def fit(table: "pa.Table", *, missing: str, indicators: bool = False, max_categories: int = 1000) -> tuple[Column, ...]:
    """Fit categories on normalised rows to train and validate on.

    Args:
        table: see `normalise`.
        missing: what a missing value means.
        indicators: adds a column for each number or boolean column with holes.
        max_categories: a column with more distinct words is refused.

    Raises:
        DatasetError: a column is empty, has too many categories, or cannot be told in float32.
    """
    columns = []
    for name, values in zip(table.column_names, table.columns, strict=True):
        kind = str(kind_of(values.type))
        if values.null_count == len(values):
            raise DatasetError(f"column {name!r}: holds no value in the rows to train on; exclude = [{name!r}] leaves it out")
        holes = missing in FILLED and values.null_count > 0
        if kind == "category":
            columns.append(Column(name, kind, _categories(name, values, max_categories), holes))
        else:
            if kind == "number":
                _check_precision(name, values)
            columns.append(Column(name, kind, (), holes and indicators))
    return tuple(columns)


def encode(table: "pa.Table", columns: Sequence[Column], missing: str) -> np.ndarray:
    """Return (n, features) float32; see `Features.encode`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in columns:
        if column.name not in table.column_names:
            raise DatasetError(f"data: no column {column.name!r}; {unknown_column(column.name, list(table.column_names))}")
    table = normalise(table.select([column.name for column in columns]), {column.name: column.kind for column in columns})
    if missing not in FILLED:
        check_no_holes(table, missing)
    x = np.zeros((table.num_rows, sum(len(column.outputs) for column in columns)), dtype=np.float32)
    at = 0
    for column, values in zip(columns, table.columns, strict=True):
        holes = values.is_null().to_numpy()
        if column.kind == "category":
            found = pc.fill_null(pc.index_in(values, value_set=pa.array(column.categories, pa.large_string())), -1).to_numpy()
            known = np.flatnonzero(found >= 0)
            x[known, at + found[known]] = 1
        else:
            numbers = values.cast(pa.uint8()).cast(pa.float64()) if column.kind == "boolean" else values
            x[:, at] = to_float32(numbers.to_numpy(), f"column {column.name!r}")
        if column.missing:
            x[holes, at + len(column.outputs) - 1] = 1
        at += len(column.outputs)
    return x


def check_no_holes(table: "pa.Table", missing: str) -> None:
    """Check that no value of a normalised table is missing.

    Raises:
        DatasetError: names the first column with a hole.
    """
    for name, values in zip(table.column_names, table.columns, strict=True):
        if values.null_count:
            first = int(np.argmax(values.is_null().to_numpy()))
            raise DatasetError(
                f"column {name!r}: {values.null_count} of {len(values)} values are missing, the first in row {first}; "
                f'expected none (dataset.missing = {missing!r}; "mean", "median" and "zero" fill, "drop" leaves such rows out of training)'
            )


def check_values(table: "pa.Table") -> None:
    """Check, on all rows of a source, that numbers fit into float32 and that words are not numbers with a slip among them.

    Raises:
        DatasetError: names the column, and the row or the word.
    """
    for name, values in zip(table.column_names, table.columns, strict=True):
        kind = kind_of(values.type)
        if kind == "number":
            to_float32(values.to_numpy(), f"column {name!r}")
        elif kind == "category":
            check_slips(name, sorted(_words(values)))


def check_slips(name: str, words: Sequence[str]) -> None:
    """Check that a column's distinct words are not numbers with a slip among them.

    Raises:
        DatasetError: names the word.
    """
    slips = [word for word in words if not _is_number(word)]
    if len(words) > SLIP_MIN_WORDS and 0 < len(slips) <= (1 - SLIP_SHARE) * len(words):
        raise DatasetError(f"column {name!r}: nearly all its values are numbers, but {slips[0]!r} is none; mend such fields, or exclude = [{name!r}]")


def holes(table: "pa.Table") -> np.ndarray:
    """Return (n,) int: how many values of each row are missing."""
    import pyarrow.compute as pc

    return np.sum([pc.is_null(values, nan_is_null=True).to_numpy() for values in table.columns], axis=0)


def whole_rows(features: "pa.Table", targets: "pa.Table") -> np.ndarray:
    """Return (n,) bool: the rows in which neither a feature nor a target is missing.

    Raises:
        DatasetError: there is no such row.
    """
    import pyarrow.compute as pc

    holes = {}
    for table in (features, targets):
        for name, values in zip(table.column_names, table.columns, strict=True):
            holes[name] = pc.is_null(values, nan_is_null=True).to_numpy()
    whole = ~np.any(list(holes.values()), axis=0)
    if not whole.any():
        worst = max(holes, key=lambda name: int(holes[name].sum()))
        raise DatasetError(f'dataset.missing: "drop" leaves no row; column {worst!r} alone misses {int(holes[worst].sum())} of {len(whole)} values')
    return whole


def check_targets(table: "pa.Table") -> None:
    """Check that target columns are of types that can be predicted.

    Raises:
        DatasetError: one is not; several targets must be numbers.
    """
    for field in table.schema:
        kind = kind_of(field.type)
        if kind is None or (kind != "number" and len(table.schema) > 1):
            expected = "numbers, as there are several targets" if len(table.schema) > 1 else "numbers, booleans or strings"
            raise DatasetError(f"target {field.name!r}: got values of type {field.type}; expected {expected}")


def targets(table: "pa.Table", names: Sequence[str]) -> np.ndarray:
    """Return target columns as labels (n,) of their own type, or as targets (n, k).

    Raises:
        DatasetError: a value is missing.
    """
    import pyarrow as pa

    columns = []
    for name in names:
        values = table.column(name)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if values.null_count:
            first = int(np.argmax(values.is_null().to_numpy()))
            missing = f"{values.null_count} of {len(values)} values are missing, the first in row {first}"
            raise DatasetError(f'target {name!r}: {missing}; expected a value in every row, or dataset.missing = "drop"')
        if pa.types.is_decimal(values.type):
            values = values.cast(pa.float64())
        columns.append(values.to_numpy().astype(str) if kind_of(values.type) == "category" else values.to_numpy())
    return columns[0] if len(columns) == 1 else np.stack([column.astype(np.float64) for column in columns], axis=1)


def _categories(name: str, values: "pa.ChunkedArray", most: int) -> tuple[str, ...]:
    words = sorted(_words(values))
    if len(words) > most:
        mend = f"exclude = [{name!r}], or raise dataset.max_categories"
        raise DatasetError(f"column {name!r}: {len(words)} distinct words, each of which becomes a feature; expected at most {most}; {mend}")
    return tuple(words)


def _words(values: "pa.ChunkedArray") -> list[str]:
    return [word for word in values.unique().to_pylist() if word is not None]


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None


def _check_precision(name: str, values: "pa.ChunkedArray") -> None:
    numbers = values.drop_null().to_numpy()
    lost = float(np.max(np.abs(numbers - numbers.astype(np.float32))))
    spread = float(np.std(numbers))
    # Equal values have a deviation too, of rounding.
    if np.ptp(numbers) > 0 and lost > 0.01 * spread:
        found = f"values near {numbers[0]:g} with a deviation of {spread:.3g} lose their differences in float32"
        raise DatasetError(f"column {name!r}: {found}; subtract a constant first, or exclude = [{name!r}]")
