"""Columns of a table as numbers: their categories, the parts of their dates, their holes.

Owns what a missing value means and how a column that has been read becomes features. Must not know files, splits or scaling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data.tables import dates
from tuner.data.tables.problems import Problems
from tuner.data.tables.readings import Reading, convert, is_text, kind_of
from tuner.data.values import FILLED, to_float32, unknown_column
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as in the table.
        kind: `number`, `boolean`, `date` or `category`.
        categories: of a category, sorted; each becomes a column of zeros and ones. A word that is not among them becomes all zeros.
        missing: a category of its own for missing words; for the others a further column that says where a value was missing.
        reading: how its values are read; None in the records of older sweeps: as they are.
        unscaled: a number that no scaling touches.
        base: of a date: the day that is 0, counted from 1970-01-01.
        parts: of a date: what it becomes; see `dates`.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    missing: bool = False
    reading: Reading | None = None
    unscaled: bool = False
    base: int = 0
    parts: tuple[str, ...] = ()

    @property
    def read_as(self) -> Reading:
        """How its values are read."""
        return self.reading or Reading(self.kind)

    @property
    def values(self) -> tuple[str, ...]:
        """The names of the columns that it becomes, but for the one that says where a value was missing."""
        if self.kind == "category":
            return tuple(f"{self.name} = {word}" for word in self.categories)
        return dates.outputs(self.name, self.parts) if self.kind == "date" else (self.name,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns that it becomes."""
        return (*self.values, f"{self.name} is missing") if self.missing else self.values

    @property
    def scaled(self) -> tuple[bool, ...]:
        """For each of `outputs`, whether it is scaled: numbers and days are, zeros and ones and places on a circle are not."""
        number = (self.kind == "number" and not self.unscaled) or (self.kind == "date" and self.parts[:1] == ("days",))
        return (number, *(False for _ in self.outputs[1:])) if self.outputs else ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same column back."""
        reading = None if self.reading is None else self.reading.to_json()
        return {**asdict(self), "categories": list(self.categories), "parts": list(self.parts), "reading": reading}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Column":
        reading = values.get("reading")
        lists = {name: tuple(values[name]) for name in ("categories", "parts") if name in values}
        return cls(**{**values, **lists, "reading": None if reading is None else Reading.from_json(reading)})


def normalise(table: "pa.Table", readings: Mapping[str, Reading]) -> "pa.Table":
    """Return these columns as float64, boolean, timestamp and large_string; NaN becomes null, the one mark for missing.

    Args:
        table: has these columns, and others maybe.
        readings: column -> how it is read.

    Raises:
        DatasetError: values of a column are of another kind; several columns are named at once.
    """
    import pyarrow as pa

    problems, converted = Problems(), {}
    for name, reading in readings.items():
        with problems.gathered():
            converted[name] = convert(name, table.column(name), reading)
    problems.check()
    return pa.table(list(converted.values()), names=list(converted))


def fit(
    table: "pa.Table",
    readings: Mapping[str, Reading],
    *,
    missing: str,
    indicators: bool = False,
    max_categories: int = 1000,
    unscaled: frozenset[str] = frozenset(),
) -> tuple[Column, ...]:
    """Fit categories and dates on normalised rows to train and validate on.

    Args:
        table: see `normalise`.
        readings: column -> how it was read.
        missing: what a missing value means.
        indicators: adds a column for each column with holes that is no category.
        max_categories: a column with more distinct words is refused.
        unscaled: numbers that are not to be scaled.

    Raises:
        DatasetError: a column is empty, has too many categories, or loses its differences in float32; several columns are named at once.
    """
    columns, problems = [], Problems()
    for name, values in zip(table.column_names, table.columns, strict=True):
        with problems.gathered():
            kind, reading = str(kind_of(values.type)), readings.get(name)
            if values.null_count == len(values):
                raise DatasetError(f"column {name!r}: holds no value in the rows to train on; exclude = [{name!r}] leaves it out")
            holes = missing in FILLED and values.null_count > 0
            if kind == "category":
                columns.append(Column(name, kind, _categories(name, values, max_categories), holes, reading))
            elif kind == "date":
                calendar = dates.Calendar()
                calendar.add(values.to_numpy())
                columns.append(Column(name, kind, (), holes and indicators, reading, base=calendar.base, parts=calendar.parts))
            else:
                if kind == "number":
                    _check_precision(name, values)
                columns.append(Column(name, kind, (), holes and indicators, reading, unscaled=name in unscaled))
    problems.check()
    return tuple(columns)


def encode(table: "pa.Table", columns: Sequence[Column], missing: str) -> np.ndarray:
    """Return (n, features) float32; see `Features.encode`.

    Args:
        table: has these columns, and others maybe.
        columns: as they were fitted.
        missing: what a missing value means.

    Raises:
        DatasetError: a column is missing or of another kind, or a value is missing where none may be.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in columns:
        if column.name not in table.column_names:
            raise DatasetError(f"data: no column {column.name!r}; {unknown_column(column.name, list(table.column_names))}")
    table = normalise(table, {column.name: column.read_as for column in columns})
    if missing not in FILLED:
        check_no_holes(table, missing)
    x = np.zeros((table.num_rows, sum(len(column.outputs) for column in columns)), dtype=np.float32)
    at = 0
    for column, values in zip(columns, table.columns, strict=True):
        holes = values.is_null().to_numpy()
        if column.kind == "category":
            indices = pc.fill_null(pc.index_in(values, value_set=pa.array(column.categories, pa.large_string())), -1).to_numpy()
            rows = np.flatnonzero(indices >= 0)
            x[rows, at + indices[rows]] = 1
        elif column.kind == "date":
            x[:, at : at + len(column.values)] = dates.encode(values.to_numpy(), column.base, column.parts)
        else:
            numbers = values.cast(pa.uint8()).cast(pa.float64()) if column.kind == "boolean" else values
            x[:, at] = to_float32(numbers.to_numpy(), f"column {column.name!r}")
        if column.missing:
            x[holes, at + len(column.outputs) - 1] = 1
        at += len(column.outputs)
    return x


def unknown_words(table: "pa.Table", columns: Sequence[Column]) -> list[str]:
    """Return a line for each category with words that no row to train on had: such a word is none of its categories.

    Args:
        table: rows with these columns, as `encode` takes them.
        columns: as fitted.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lines = []
    for column in columns:
        if column.kind != "category":
            continue
        values = convert(column.name, table.column(column.name), column.read_as)
        odd = pc.and_(values.is_valid(), pc.invert(pc.is_in(values, value_set=pa.array(column.categories, pa.large_string()))))
        if not pc.any(odd).as_py():
            if values.null_count and not column.missing:
                lines.append(
                    f"column {column.name!r}: {values.null_count} of {len(values)} rows have no value, as no row to train on had; they are of no category"
                )
            continue
        words = sorted(values.filter(odd).unique().to_pylist())
        shown = ", ".join(map(repr, words[:5])) + (f", ... ({len(words)} words)" if len(words) > 5 else "")
        lines.append(
            f"column {column.name!r}: {pc.sum(odd).as_py()} of {len(values)} rows hold {shown}, which no row to train on had; "
            "the network sees none of the column's categories there"
        )
    return lines


def check_no_holes(table: "pa.Table", missing: str, notes: Mapping[str, tuple[str, str]] | None = None) -> None:
    """Check that no value of a normalised table is missing.

    Args:
        table: see `normalise`.
        missing: what the spec says of missing values.
        notes: column -> what was seen in it, and a key: which words were read as missing.

    Raises:
        DatasetError: names every column with a hole, and the first of them.
    """
    faults = []
    for name, values in zip(table.column_names, table.columns, strict=True):
        if values.null_count:
            first = int(np.argmax(values.is_null().to_numpy()))
            why, _ = (notes or {}).get(name, ("", ""))
            seen = f" ({why})" if "read as missing" in why else ""
            faults.append(f"column {name!r}: {values.null_count} of {len(values)} values are missing{seen}, the first in row {first}")
    if faults:
        mend = f'expected none (dataset.missing = {missing!r}; "mean", "median" and "zero" fill, "drop" leaves such rows out of training)'
        raise DatasetError(f"{'; '.join(faults)}; {mend}")


def check_values(table: "pa.Table") -> None:
    """Check, on all rows of a source, that numbers fit into float32.

    Raises:
        DatasetError: names the columns and their rows.
    """
    problems = Problems()
    for name, values in zip(table.column_names, table.columns, strict=True):
        if kind_of(values.type) == "number":
            with problems.gathered():
                to_float32(values.to_numpy(), f"column {name!r}")
    problems.check()


def holes(table: "pa.Table") -> np.ndarray:
    """Return (n,) int64: how many values of each row are missing."""
    import pyarrow.compute as pc

    return np.sum([pc.is_null(values, nan_is_null=True).to_numpy() for values in table.columns], axis=0)


def whole_rows(features: "pa.Table", targets: "pa.Table") -> np.ndarray:
    """Return (n,) bool: the rows in which neither a feature nor a target is missing.

    Args:
        features: normalised columns to learn from.
        targets: those to predict, of the same n rows.

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


def read_targets(table: "pa.Table", readings: Mapping[str, Reading]) -> "pa.Table":
    """Return the target columns as they were decided to be read; whole numbers stay whole.

    Args:
        table: has these columns.
        readings: target -> how it is read.

    Raises:
        DatasetError: a word is no number where one is expected.
    """
    import pyarrow as pa

    answers = {}
    for name, reading in readings.items():
        values = table.column(name)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if reading.marks or (is_text(values.type) and reading.kind != "category"):
            converted = convert(name, values, reading)
            # A conversion gives decimals; labels that are whole numbers keep their type.
            whole = pa.types.is_integer(values.type) and not converted.null_count
            values = converted.cast(values.type) if whole else converted
        answers[name] = values
    return pa.table(list(answers.values()), names=list(answers))


def targets(table: "pa.Table", names: Sequence[str]) -> np.ndarray:
    """Return target columns as labels (n,) of their own type (numbers, booleans or strings), or as targets (n, k) float64.

    Args:
        table: see `read_targets`.
        names: of the target columns.

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


def _check_precision(name: str, values: "pa.ChunkedArray") -> None:
    numbers = values.drop_null().to_numpy()
    lost = float(np.max(np.abs(numbers - numbers.astype(np.float32))))
    spread = float(np.std(numbers))
    # Equal values have a deviation too, of rounding.
    if np.ptp(numbers) > 0 and lost > 0.01 * spread:
        fault = f"values near {numbers[0]:g} with a deviation of {spread:.3g} lose their differences in float32"
        raise DatasetError(f"column {name!r}: {fault}; subtract a constant first, or exclude = [{name!r}]")
