"""What `tuner predict` reads and writes, part by part: standard input kept aside, tables and archives of answers, and what people hear meanwhile.

A row without predictions has its place in the output all the same: missing in a table, NaN in an archive. Files appear when they are whole.
"""

import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from search_spaces.errors import nearest
from tuner.errors import SweepError

STANDARD = "-"
ARCHIVE = ".npz"
_OPEN: dict[str, Callable[[Any, pa.Schema], Any]] = {
    ".csv": pa.csv.CSVWriter,
    ".parquet": pa.parquet.ParquetWriter,
    ".feather": pa.ipc.new_file,
    ".arrow": pa.ipc.new_file,
}
ENDINGS = (*_OPEN, ARCHIVE)
# By its first bytes: what came through standard input.
_MAGIC = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK\x03\x04": ".npz", b"\x93NUMPY": ".npy", b"\x1f\x8b": ".csv.gz"}
MOST_NAMED, REPORT_EVERY_S = 20, 5.0


@dataclass(frozen=True)
class Predicted:
    """What was written.

    Attributes:
        rows: how many there were.
        without: how many of them have no predictions, because they could not be read.
    """

    rows: int
    without: int


def check(target: Path | None) -> None:
    """Check that predictions can be written there.

    Args:
        target: a file; None or `-`: standard output.

    Raises:
        SweepError: its ending is unknown, or its folder is not there.
    """
    if target is None or str(target) == STANDARD:
        return
    if target.suffix not in ENDINGS:
        raise SweepError(f"{target}: cannot write {target.suffix or 'a file without ending'}; {nearest(target.suffix, ENDINGS)}")
    if not target.parent.is_dir():
        raise SweepError(f"{target}: there is no folder {target.parent}; expected one that exists")


def spooled(source: Path, scratch: Path) -> Path:
    """Return where rows are read from: standard input is kept in a file, for tables are looked at more than once.

    Args:
        source: a file or folder, or `-`.
        scratch: a folder for such a file.
    """
    if str(source) != STANDARD:
        return source
    stream = sys.stdin.buffer
    head = stream.read(8)
    path = scratch / f"stdin{next((ending for magic, ending in _MAGIC.items() if head.startswith(magic)), '.csv')}"
    with path.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(stream, file)
    return path


class Writer:
    """Writes tables, or answers as arrays, one part after the other.

    Attributes:
        last: the table that was written last.
    """

    def __init__(self, target: Path | None) -> None:
        """Remember where to; nothing is written yet.

        Args:
            target: see `check`; None or `-`: CSV to standard output.
        """
        self._target = None if target is None or str(target) == STANDARD else target
        self._aside = None if self._target is None else self._target.with_name(f".{os.getpid()}-{self._target.name}")
        self._sink: Any = None
        self._schema: pa.Schema | None = None
        self._arrays: dict[str, _Growing] = {}
        self.last: pa.Table | None = None

    def answered(self, table: pa.Table, arrays: Sequence[tuple[str, np.ndarray]], fine: Sequence[int], rows: int) -> None:
        """Write a part.

        Args:
            table: the predictions of the rows that have some.
            arrays: the same as arrays, each with its name: `(n, ...)` float32.
            fine: the n numbers of these rows in the part.
            rows: of the part.
        """
        if len(fine) < rows:
            places: list[int | None] = [None] * rows
            for at, row in enumerate(fine):
                places[row] = at
            table = table.take(pa.array(places, pa.int64()))
        self._write(table)
        if self._target is not None and self._target.suffix == ARCHIVE:
            for name, array in arrays:
                whole = np.full((rows, *array.shape[1:]), np.nan, np.float32)
                whole[list(fine)] = array
                if name not in self._arrays:
                    self._arrays[name] = _Growing(self._target.with_name(f".{os.getpid()}-{len(self._arrays)}.part"), array.shape[1:])
                self._arrays[name].add(whole)

    def unanswered(self, rows: int) -> None:
        """Write a part of which no row has predictions.

        Args:
            rows: of the part, which is not the first.

        Raises:
            ValueError: it is the first.
        """
        if self._schema is None:
            raise ValueError("unanswered: got the first part; expected one before that has predictions")
        self._write(pa.table([pa.nulls(rows, field.type) for field in self._schema], schema=self._schema))
        for array in self._arrays.values():
            array.add(np.full((rows, *array.shape), np.nan, np.float32))

    def _write(self, table: pa.Table) -> None:
        self.last, self._schema = table, self._schema or table.schema
        suffix = ".csv" if self._target is None else self._target.suffix
        if suffix == ARCHIVE:
            return
        if self._sink is None:
            self._sink = _OPEN[suffix](sys.stdout.buffer if self._aside is None else str(self._aside), table.schema)
        if suffix == ".csv" and table.num_columns == 1 and pa.types.is_floating(table.schema.field(0).type):
            # A line with nothing in it is no row to most readers.
            table = table.set_column(0, table.schema.field(0), table.column(0).fill_null(float("nan")))
        self._sink.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._sink is not None:
            self._sink.close()
        if kind is None and self._aside is not None and self._target is not None:
            if self._arrays:
                with zipfile.ZipFile(self._aside, "w") as archive:
                    for name, array in self._arrays.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                            array.copy_to(file)
            os.replace(self._aside, self._target)
        for array in self._arrays.values():
            array.close()
        if self._aside is not None:
            self._aside.unlink(missing_ok=True)


class _Growing:
    """An array on the disk that gets rows: an archive says how many there are before the first of them."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._path, self._file, self._rows = path, path.open("w+b"), 0

    def add(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        self._rows += len(rows)

    def copy_to(self, file: Any) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": (self._rows, *self.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)

    def close(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


class Progress:
    """What people hear: how far it is, which rows cannot be predicted, and which words are new, once for each column."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Begin to count.

        Args:
            say: is given each line.
        """
        self.rows = self._without = 0
        self._say, self._began = say, time.monotonic()
        self._reported, self._columns = self._began, set[str]()

    def unknown(self, lines: Sequence[str]) -> None:
        """Say which words no row to train on had.

        Args:
            lines: one for each column, which begins with its name.
        """
        for line in lines:
            column = line.partition(": ")[0]
            if column not in self._columns:
                self._columns.add(column)
                self._say(line)

    def add(self, rows: int, problems: Mapping[int, str]) -> None:
        """Count a part.

        Args:
            rows: of it.
            problems: why rows of it cannot be predicted, by their numbers in it.
        """
        for row, why in sorted(problems.items())[: max(0, MOST_NAMED - self._without)]:
            self._say(f"row {self.rows + row} is not predicted: {why}")
        self._without += len(problems)
        self.rows += rows
        now = time.monotonic()
        if now - self._reported > REPORT_EVERY_S:
            self._reported = now
            self._say(f"{self.rows:,} rows predicted, {self.rows / (now - self._began):,.0f} a second")

    def ended(self) -> Predicted:
        """Say how many rows have no predictions, where there are some, and return what was written."""
        if self._without:
            more = f" ({self._without - MOST_NAMED:,} of them not named)" if self._without > MOST_NAMED else ""
            self._say(f"{self._without:,} of {self.rows:,} rows could not be predicted{more}; they have their places, without predictions")
        return Predicted(self.rows, self._without)
