"""How the values of a column are read: as numbers, booleans, dates or words, whatever type a file gives them.

Owns the conversion, which is the same for the rows to train on, a test file and the rows to predict. Must not decide what a column is.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data.tables import dates
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("number", "boolean", "date", "category")
# Signs of money and shares around numbers, and spaces between thousands.
AFFIXES = ("$", "€", "£", "¥", "%")
SPACES = " \u00a0\u202f"
SHOWN = {"number": "a number", "boolean": "a boolean", "date": "a date", "category": "a word"}


@dataclass(frozen=True)
class Reading:
    """How a column is read.

    Attributes:
        kind: one of KINDS.
        decimal: the sign before decimals, in numbers that are text.
        thousands: the sign between thousands; empty for none, a space for any of them.
        affix: a sign before or after each number, such as `%`; it is left out.
        words: of a boolean that is text, in lower case: what false and true are called; empty: false and true.
        format: of dates that are text, as `strptime` has it; empty: ISO 8601.
        marks: words, and numbers as text, that stand for a missing value.
    """

    kind: str
    decimal: str = "."
    thousands: str = ""
    affix: str = ""
    words: tuple[str, ...] = ()
    format: str = ""
    marks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same reading back."""
        return {**asdict(self), "words": list(self.words), "marks": list(self.marks)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Reading":
        return cls(**{**values, "words": tuple(values["words"]), "marks": tuple(values["marks"])})


def kind_of(type_: "pa.DataType") -> str | None:
    """Return which of KINDS the values of a type are by themselves; none for a type that cannot be a feature."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if types.is_boolean(type_):
        return "boolean"
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_) or types.is_duration(type_):
        return "number"
    if types.is_timestamp(type_) or types.is_date(type_) or types.is_time(type_):
        return "date"
    return "category" if is_text(type_) else None


def is_text(type_: "pa.DataType") -> bool:
    """Say whether values of a type are strings."""
    import pyarrow as pa

    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def type_of(kind: str) -> "pa.DataType":
    """Return the type that a normalised column of this kind has."""
    import pyarrow as pa

    return {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.large_string(), "date": pa.timestamp("us")}[kind]


def number_pattern(decimal: str, thousands: str) -> str:
    """Return the pattern of a whole number or a decimal as text, for Python and for RE2.

    Args:
        decimal: the sign before decimals.
        thousands: the sign between thousands; empty: none.
    """
    point, space = re.escape(decimal), f"[{SPACES}]" if thousands == " " else re.escape(thousands)
    grouped = rf"[1-9][0-9]{{0,2}}(?:{space}[0-9]{{3}})+|" if thousands else ""
    return rf"[+-]?(?:(?:{grouped}[0-9]+)(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity|nan|Inf|Infinity|NaN)"


def convert(name: str, values: "pa.ChunkedArray", reading: Reading) -> "pa.ChunkedArray":
    """Return a column as float64, bool, timestamp or large_string; NaN becomes null, the one mark for missing.

    Args:
        name: of the column, for messages.
        values: of any type that fits the reading, or all null.
        reading: how they are read.

    Raises:
        DatasetError: they are of another kind, or a word cannot be read; names its row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    wanted = type_of(reading.kind)
    if pa.types.is_null(values.type):
        return values.cast(wanted)
    kind = kind_of(values.type)
    if is_text(values.type):
        values = _unmarked(values.cast(pa.large_string()), reading.marks)
        return values if reading.kind == "category" else _from_text(name, values, reading)
    if kind == "number" and reading.kind in ("number", "category"):
        values = _unmarked_numbers(values, reading.marks)
    if kind == "number" and reading.kind == "date" and reading.format == dates.DIGITS and _is_code(values.type):
        return _from_text(name, values.cast(pa.large_string()), reading)
    if kind != reading.kind and not (reading.kind == "category" and _is_code(values.type)) and not (reading.kind == "boolean" and kind == "number"):
        raise DatasetError(f"column {name!r}: got values of type {values.type}; expected {SHOWN[reading.kind]}, as in the rows to train on")
    if pa.types.is_duration(values.type):
        values = pc.divide(values.cast(pa.duration("us")).cast(pa.int64()).cast(pa.float64()), 1e6)
    if kind == "date":
        return _timestamps(values)
    if reading.kind == "boolean" and kind == "number":
        numbers = values.cast(pa.float64(), safe=False)
        if not pc.all(pc.or_(pc.equal(numbers, 0), pc.equal(numbers, 1))).as_py():
            raise DatasetError(f"column {name!r}: holds other numbers than 0 and 1; expected a boolean")
    values = values.cast(wanted, safe=False)
    if reading.kind == "number" and pc.any(nan := pc.is_nan(values)).as_py():  # a column that is normalised already is not copied
        values = pc.if_else(nan, pa.scalar(None, pa.float64()), values)
    return values


def _is_code(type_: "pa.DataType") -> bool:
    """Say whether values may be the names of categories: whole numbers and booleans, whose words are the same in every file."""
    import pyarrow as pa

    return pa.types.is_integer(type_) or pa.types.is_boolean(type_)


def _unmarked(values: "pa.ChunkedArray", marks: tuple[str, ...]) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not marks or not pc.any(is_mark := pc.is_in(values, value_set=pa.array(marks, values.type))).as_py():
        return values
    return pc.if_else(is_mark, pa.scalar(None, values.type), values)


def _unmarked_numbers(values: "pa.ChunkedArray", marks: tuple[str, ...]) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = [float(mark) for mark in marks if re.fullmatch(number_pattern(".", ""), mark) and np.isfinite(float(mark))]
    if not numbers or pa.types.is_duration(values.type):
        return values
    is_mark = pc.is_in(values.cast(pa.float64(), safe=False), value_set=pa.array(numbers, pa.float64()))
    return pc.if_else(is_mark, pa.scalar(None, values.type), values) if pc.any(is_mark).as_py() else values


def _from_text(name: str, values: "pa.ChunkedArray", reading: Reading) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(values)
    if reading.kind == "date":
        parsed = dates.parse(values, reading.format)
        _check_read(name, values, pc.is_valid(parsed), f"a date like {reading.format}" if reading.format else "a date like 2026-01-31 or 2026-01-31 12:00")
        return parsed
    if reading.kind == "boolean":
        false, true = reading.words or ("false", "true")
        lower = pc.utf8_lower(values)
        is_true = pc.is_in(lower, value_set=pa.array([true, "1"] if not reading.words else [true], lower.type))
        is_false = pc.is_in(lower, value_set=pa.array([false, "0"] if not reading.words else [false], lower.type))
        _check_read(name, values, pc.or_(is_true, is_false), f"{false} or {true}")
        return pc.if_else(pc.is_valid(values), is_true, pa.scalar(None, pa.bool_()))
    plain = pc.utf8_trim(values, reading.affix + SPACES) if reading.affix else values
    _check_read(name, values, pc.match_substring_regex(plain, f"^(?:{number_pattern(reading.decimal, reading.thousands)})$"), "a number")
    for sign in SPACES if reading.thousands == " " else reading.thousands:
        plain = pc.replace_substring(plain, sign, "")
    if reading.decimal != ".":
        plain = pc.replace_substring(plain, reading.decimal, ".")
    if pc.any(pc.match_substring_regex(plain, r"^[+]|^[-]?[.]|[.]$|[a-zA-Z]")).as_py():  # forms that a cast may not take
        numbers = pa.chunked_array([pa.array([None if word is None else float(word) for word in plain.to_pylist()], pa.float64())])
    else:
        numbers = plain.cast(pa.float64())
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def _check_read(name: str, values: "pa.ChunkedArray", fine: Any, expected: str) -> None:
    import pyarrow.compute as pc

    wrong = pc.and_(pc.is_valid(values), pc.invert(pc.fill_null(fine, False)))
    if pc.any(wrong).as_py():
        row = int(np.argmax(wrong.to_numpy(zero_copy_only=False) if not hasattr(wrong, "chunks") else wrong.to_numpy()))
        raise DatasetError(f"column {name!r}: row {row} holds {values[row].as_py()!r}; expected {expected}, as in the rows to train on")


def _timestamps(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    if pa.types.is_time(values.type):  # a time of day is one of the first day of 1970
        return values.cast(pa.time64("us")).cast(pa.int64()).cast(pa.timestamp("us"))
    return values.cast(pa.timestamp("us"), safe=False)
