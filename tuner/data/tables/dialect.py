"""How a text table is written: what separates its columns, whether its first line names them, and which words stand for a missing value.

Owns what the first lines of a file show. Must not know what a column means.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from tuner.errors import DatasetError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

# Where several would do, the first: a comma is often within a value, the others seldom are.
SEPARATORS = ("\t", ";", "|", ",", " ")
SAMPLE_BYTES, SAMPLE_ROWS = 1 << 18, 200
# What pyarrow takes for a missing value by default (pyarrow 26, `ConvertOptions().null_values`).
MISSING_WORDS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)
# What may be a number, in some way of writing them.
NUMBER = re.compile(r"\s*[+-]?[\d.,']*\d[\d.,']*([eE][+-]?\d+)?%?\s*", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        separator: what stands between columns.
        header: whether the first line names the columns; None: its values decide.
        names: of the columns, where the file has none: all of them, in their order.
        missing: the words that stand for a missing value, besides the empty field; None: those that are usual.
    """

    separator: str = ","
    header: bool | None = None
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None

    @property
    def null_values(self) -> list[str]:
        """The words that are read as missing wherever they stand without quotes."""
        return list(MISSING_WORDS) if self.missing is None else ["", *self.missing]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same dialect back."""
        return {"separator": self.separator, "header": self.header, "names": list(self.names), "missing": None if self.missing is None else list(self.missing)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Dialect":
        missing = values["missing"]
        return cls(values["separator"], values["header"], tuple(values["names"]), None if missing is None else tuple(missing))


def dialect_in(facts: Mapping[str, Any]) -> Dialect:
    """Return how the data of a sweep are written, by its facts; what an older record lacks is detected."""
    recorded = facts.get("dialect")
    return Dialect() if recorded is None else Dialect.from_json(recorded)


def find_out(dialect: Dialect, system: "FileSystem", file: str, path: str) -> tuple[Dialect, tuple[str, ...], tuple[str, ...] | None]:
    """Find out the rest of a dialect from the first lines of a file.

    Args:
        dialect: as asked for. A separator other than a comma is taken at its word; a comma gives way to what divides all lines alike where it does not.
        system: where the file is.
        file: its path there.
        path: of the table, for messages.

    Returns:
        The dialect, the names of the columns, and the names that the reader has to be given because the file has none, or none that differ.

    Raises:
        DatasetError: its first line looks like data, and nothing says whether it is; or it names a column twice.
    """
    text, whole = _head(system, file)
    if dialect.separator == ",":
        dialect = replace(dialect, separator=_separator(text, whole, path))
    rows = _rows(text, dialect.separator)
    if not rows:
        return dialect, (), None  # pyarrow says so in its own words
    if dialect.names:
        names = _named(dialect.names, rows[0], path)
        return replace(dialect, header=False), names, names
    if dialect.header is False:
        names = tuple(str(number) for number in range(1, len(rows[0]) + 1))
        return dialect, names, names
    if dialect.header is None:
        if looks_like_data(rows):
            raise DatasetError(f"{path}: {first_line(rows)} looks like data; {HEADER_KEYS}")
        dialect = replace(dialect, header=True)
    own = [name.strip() for name in rows[0]]
    twice = next((name for name, count in Counter(own).items() if name and count > 1), None)
    if twice is not None:
        raise DatasetError(f"{path}: its first line names the column {twice!r} twice; expected each name once; {HEADER_KEYS}")
    # Without a name, a column is called by its place.
    names = tuple(name or f"column {number}" for number, name in enumerate(own, start=1))
    return dialect, names, names if own.count("") > 1 else None


HEADER_KEYS = (
    'has it a header? header = false names its columns "1", "2", ..., header = ["...", ...] as you like; header = true says that this line holds their names'
)


def first_line(rows: Sequence[Sequence[str]]) -> str:
    """Return the words for the first line of a file, cut where it is long."""
    shown = ", ".join(rows[0][:5])
    return f"its first line ({shown}{', ...' if len(rows[0]) > 5 else ''})"


def looks_like_data(rows: Sequence[Sequence[str]]) -> bool:
    """Say whether the first of these rows is one like the others, and no header.

    It is where each column of numbers has a number there too; unless these count evenly (0, 1, 2, ... or 1990, 2000, ...), as names do, or are all there is.
    """
    head, body = rows[0], rows[1:]
    if not body or any(not cell.strip() for cell in head):
        return False
    numbers = [all(NUMBER.fullmatch(row[index]) or row[index].strip() in _MARKS for row in body if index < len(row)) for index in range(len(head))]
    named = [cell for cell, number in zip(head, numbers, strict=True) if number]
    if not named or not all(NUMBER.fullmatch(cell) or cell.strip() in _MARKS for cell in named):
        return False
    if not all(re.fullmatch(r"\s*\d+\s*", cell) for cell in named):
        return True
    steps = {int(after) - int(before) for before, after in pairwise(named)}
    # Any two numbers are one step apart: then it has to be a usual one.
    return not (len(steps) == 1 and (min(steps) in (1, 2, 5, 10) if len(named) == 2 else min(steps) > 0))


_MARKS = ("", "?", "NA", "NaN", "nan")


def _head(system: "FileSystem", file: str) -> tuple[str, bool]:
    """Return the beginning of a file as text, and whether it is all of it."""
    with system.open_input_stream(file, compression="detect") as stream:
        begun = stream.read(SAMPLE_BYTES)
    return begun.decode("utf-8-sig", errors="replace"), len(begun) < SAMPLE_BYTES


def _rows(text: str, separator: str) -> list[list[str]]:
    """Return the first rows; blank lines are none."""
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True):
            if row:
                rows.append(row)
            if len(rows) > SAMPLE_ROWS:
                break
    except csv.Error:  # a field without end, or a null byte: pyarrow has the words for it
        pass
    return rows


def _separator(text: str, whole: bool, path: str) -> str:
    """Return what divides every line into equally many columns, at least two; a comma where nothing does.

    Raises:
        DatasetError: blanks do, in varying number.
    """
    for separator in SEPARATORS:
        rows = [] if separator == " " and "  " in text else _rows(text, separator)
        if not whole and len(rows) <= SAMPLE_ROWS:
            rows = rows[:-1]  # cut in the middle
        if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return separator
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if len(rows) > 2 and "," not in text and len(rows[0]) > 1 and len({len(row) for row in rows[: -1 if not whole else None]}) == 1:
        fault = f"its columns are {len(rows[0])} with a varying number of blanks between them"
        raise DatasetError(f"{path}: {fault}; expected one sign between columns, such as a comma or a tab (pandas.read_csv with sep=r'\\s+' reads such a file)")
    return ","


def _named(names: tuple[str, ...], row: Sequence[str], path: str) -> tuple[str, ...]:
    if len(names) != len(row):
        differ = next((f"; {name!r} has no column" for name, cell in zip_longest(names, row) if cell is None), "")
        raise DatasetError(f"{path}: dataset.header names {len(names)} columns, but the file has {len(row)}{differ}")
    return names
