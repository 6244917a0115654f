"""A table that is never in memory as a whole: read piece by piece, mixed in a buffer, and given out in chunks of rows.

A piece is a row group of a Parquet file or a record batch of an Arrow file. Which split a row belongs to follows from its number alone, so that nobody keeps
lists of rows. An epoch reads the pieces in an order drawn anew, several at a time, and every row passes through a buffer that it leaves by lot. Memory is
bounded by the buffer and by a few batches, whatever the table's size. Must not know who trains on it, nor TensorFlow.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data.features import Features
from tuner.data.files import system_of
from tuner.data.tables import columns
from tuner.data.tables.readings import Reading
from tuner.data.tables.table import reading
from tuner.data.targets.single import Targets
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileSystem

TRAIN, VALIDATION, TEST = 0, 1, 2
# Rows that are decoded at a time, and those that are taken of one piece before another has its turn: rows that lie together in a sorted file do not stay so.
BATCH_ROWS, BITE_ROWS = 4096, 256
# Pieces that are open together: so many, and more of them where there are few columns, for each column of each holds a page in memory.
INTERLEAVED, MOST_INTERLEAVED, COLUMNS_OPEN = 8, 64, 512
# Bytes that are read ahead of all pieces that are open together, and the bounds of what each column of one of them gets.
AHEAD_BYTES, LEAST_AHEAD, MOST_AHEAD = 64 << 20, 1 << 14, 1 << 20
# Storage that refuses is asked again after so many seconds each.
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
CHANGED = "has the table changed since the sweep began?"


@dataclass(frozen=True)
class Draw:
    """Which split each row of a table belongs to.

    Attributes:
        seed: of the draw.
        validation, test: the share of the rows that each of them gets, in the long run.
    """

    seed: int
    validation: float
    test: float

    def splits(self, rows: np.ndarray) -> np.ndarray:
        """Draw the split of each of these rows.

        Args:
            rows: (n,) int64 row numbers.

        Returns:
            (n,) uint8: TRAIN, VALIDATION or TEST.
        """
        # SplitMix64: the numbers of neighbours share no bit.
        mixed = rows.astype(np.uint64) + np.uint64((self.seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        drawn = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53
        return np.where(drawn < self.test, TEST, np.where(drawn < self.test + self.validation, VALIDATION, TRAIN)).astype(np.uint8)


@dataclass(frozen=True)
class Piece:
    """A part of a table that is read at a time.

    Attributes:
        file: in the table's file system.
        number: of the row group or record batch in it.
        first: the number of its first row in the table.
        rows: how many it has.
    """

    file: str
    number: int
    first: int
    rows: int


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows to train on, in an order drawn anew for each epoch. Its length is their number.

    Attributes:
        path: the table, absolute or a URL; every node must see it.
        format: `parquet`, `feather` or `arrow`.
        pieces: all of the table.
        features: how a row becomes numbers.
        targets: how labels become numbers.
        answers: target -> how it is read.
        draw: which split a row belongs to.
        splits: those whose rows are given out.
        rows: how many there are.
        buffer_rows: rows that are mixed at a time.
    """

    path: str
    format: str
    pieces: tuple[Piece, ...]
    features: Features
    targets: Targets
    answers: Mapping[str, Reading]
    draw: Draw
    splits: tuple[int, ...]
    rows: int
    buffer_rows: int

    def __len__(self) -> int:
        return self.rows

    def first(self, rows: int) -> "Stream":
        """Return the stream of at most so many rows, the first that an epoch would give out."""
        return replace(self, rows=min(rows, self.rows))

    def chunks(self, random: np.random.Generator, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give out all rows once, in an order that follows from the generator's state.

        Args:
            random: of the order.
            size: rows of a chunk; the last one may have fewer.

        Yields:
            x (n, *features) float32, NaN where a value is missing, and y as many labels or targets.

        Raises:
            DatasetError: a file is missing or damaged, or is no longer what it was when the sweep began.
        """
        held: list[tuple[np.ndarray, np.ndarray]] = []
        waiting, given = 0, 0
        for x, y in self._mixed(random):
            x, y = x[: self.rows - given], y[: self.rows - given]
            given += len(x)
            while waiting + len(x) >= size:
                held.append((x[: size - waiting], y[: size - waiting]))
                x, y = x[size - waiting :], y[size - waiting :]
                yield _joined(held)
                held, waiting = [], 0
            if len(x):
                held.append((x, y))
                waiting += len(x)
            if given == self.rows:
                break
        if held:
            yield _joined(held)
        if given < self.rows:
            raise DatasetError(f"{self.path}: gave {given} rows; expected {self.rows}; {CHANGED}")

    def _mixed(self, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Let rows through a buffer: each that comes takes the place of one that leaves, by lot."""
        buffer: list[np.ndarray] = []
        filled = 0
        for batch in self._interleaved(random):
            if not buffer:
                buffer = [np.empty((self.buffer_rows, *values.shape[1:]), values.dtype) for values in batch]
            for start in range(0, len(batch[0]), self.buffer_rows):
                parts = [values[start : start + self.buffer_rows] for values in batch]
                room = min(len(parts[0]), self.buffer_rows - filled)
                for values, part in zip(buffer, parts, strict=True):
                    values[filled : filled + room] = part[:room]
                filled += room
                count = len(parts[0]) - room
                if count:
                    places = random.choice(self.buffer_rows, count, replace=False)
                    leaving = [values[places] for values in buffer]
                    for values, part in zip(buffer, parts, strict=True):
                        values[places] = part[room:]
                    yield leaving[0], leaving[1]
        order = random.permutation(filled)
        for start in range(0, filled, BATCH_ROWS):
            places = order[start : start + BATCH_ROWS]
            yield buffer[0][places], buffer[1][places]

    def _interleaved(self, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        waiting = [self.pieces[index] for index in random.permutation(len(self.pieces))]
        opened: list[Iterator[tuple[np.ndarray, np.ndarray]]] = []
        # A record batch is in memory as a whole, a row group is not.
        most = _interleaved(len(self.features.columns) + len(self.answers)) if self.format == "parquet" else INTERLEAVED
        while waiting or opened:
            while waiting and len(opened) < most:
                opened.append(_bites(self._encoded(waiting.pop())))
            index = int(random.integers(len(opened)))
            batch = next(opened[index], None)
            if batch is None:
                opened.pop(index)
            elif len(batch[0]):
                yield batch

    def _encoded(self, piece: Piece) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        wanted = [*(column.name for column in self.features.columns), *self.answers]
        readings = {column.name: column.read_as for column in self.features.columns}
        first = piece.first
        for table in self._patiently(piece, wanted):
            numbers = np.arange(first, first + table.num_rows)
            first += table.num_rows
            own = np.isin(self.draw.splits(numbers), self.splits)
            x, y = columns.normalise(table, readings), columns.read_targets(table, self.answers)
            if self.features.missing == "drop":
                own &= columns.holes(x) + columns.holes(y) == 0
            x, y = x.filter(own), y.filter(own)
            yield self.features.encode(x), self.targets.encode(columns.targets(y, y.column_names), "labels") if len(y) else np.zeros(0)
        if first != piece.first + piece.rows:
            raise DatasetError(f"{self.path}: part {piece.number} of {piece.file} has {first - piece.first} rows; expected {piece.rows}; {CHANGED}")

    def _patiently(self, piece: Piece, wanted: Sequence[str]) -> "Iterator[pa.Table]":
        """As `read`; storage that refuses for a moment is asked again, and goes on where it left off."""
        given = 0
        for pause in (*PAUSES_S, None):
            try:
                system, _ = system_of(self.path)
                for index, table in enumerate(read(self.path, system, self.format, piece.file, piece.number, wanted)):
                    if index == given:
                        given += 1
                        yield table
                return
            except DatasetError as error:
                if pause is None or not isinstance(error.__cause__, OSError):
                    raise
                time.sleep(pause)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same stream back."""
        return {
            **{name: getattr(self, name) for name in ("path", "format", "rows", "buffer_rows")},
            "pieces": [[piece.file, piece.number, piece.first, piece.rows] for piece in self.pieces],
            "features": self.features.to_json(),
            "targets": {"task": self.targets.task, "classes": list(self.targets.classes), "labels": self.targets.labels.tolist()},
            "answers": {name: reading.to_json() for name, reading in self.answers.items()},
            "draw": asdict(self.draw),
            "splits": list(self.splits),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Stream":
        targets = values["targets"]
        return cls(
            **{name: values[name] for name in ("path", "format", "rows", "buffer_rows")},
            pieces=tuple(Piece(*piece) for piece in values["pieces"]),
            features=Features.from_json(values["features"]),
            targets=Targets(targets["task"], tuple(targets["classes"]), np.array(targets["labels"])),
            answers={name: Reading.from_json(reading) for name, reading in values["answers"].items()},
            draw=Draw(**values["draw"]),
            splits=tuple(values["splits"]),
        )


def read(path: str, system: "FileSystem", format: str, file: str, number: int, wanted: Sequence[str]) -> "Iterator[pa.Table]":
    """Read some columns of a piece, in order, a few thousand rows at a time.

    Args:
        path: of the table, for messages.
        system: where its files lie.
        format: `parquet`, `feather` or `arrow`.
        file: of the table, in `system`.
        number: of the piece, from 0.
        wanted: names of columns.

    Raises:
        DatasetError: the file is missing or damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path), system.open_input_file(file) as source:
        if format == "parquet":
            ahead = min(MOST_AHEAD, max(LEAST_AHEAD, AHEAD_BYTES // (_interleaved(len(wanted)) * len(wanted))))
            opened = pq.ParquetFile(source, pre_buffer=False, buffer_size=ahead, page_checksum_verification=True)
            _check_columns(path, file, wanted, opened.schema_arrow.names)
            _check_piece(path, file, number, opened.metadata.num_row_groups)
            rows = opened.metadata.row_group(number).num_rows
            batches = opened.iter_batches(BATCH_ROWS, row_groups=[number], columns=list(wanted), use_threads=False)
        else:
            whole_file = pa.ipc.open_file(source)
            names = whole_file.schema.names
            _check_columns(path, file, wanted, names)
            _check_piece(path, file, number, whole_file.num_record_batches)
            source.seek(0)
            options = pa.ipc.IpcReadOptions(included_fields=[names.index(name) for name in wanted], use_threads=False)
            whole = pa.ipc.open_file(source, options=options).get_batch(number)
            rows = whole.num_rows
            batches = iter([whole.slice(start, BATCH_ROWS) for start in range(0, rows, BATCH_ROWS)])
        rows_read = 0
        for batch in batches:
            table = pa.Table.from_batches([batch])
            table.validate(full=True)
            rows_read += table.num_rows
            yield table.select(list(wanted))
        if rows_read != rows:
            raise DatasetError(f"{path}: gave {rows_read} of {rows} rows of part {number} of {file}; is it damaged?")


def count_pieces(path: str, system: "FileSystem", format: str, file: str) -> int:
    """Return how many pieces a file has.

    Args:
        path: of the table, for messages.
        system: where its files lie.
        format: `parquet`, `feather` or `arrow`.
        file: of the table, in `system`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path), system.open_input_file(file) as source:
        return pq.ParquetFile(source).metadata.num_row_groups if format == "parquet" else pa.ipc.open_file(source).num_record_batches


def _check_columns(path: str, file: str, wanted: Sequence[str], columns: Sequence[str]) -> None:
    for name in wanted:
        if name not in columns:
            raise DatasetError(f"{path}: no column {name!r} in {file}; a table that is streamed needs every column in every file")


def _check_piece(path: str, file: str, number: int, count: int) -> None:
    if number >= count:
        raise DatasetError(f"{path}: {file} has {count} parts; expected more than {number}; {CHANGED}")


def _interleaved(columns: int) -> int:
    return min(MOST_INTERLEAVED, max(INTERLEAVED, COLUMNS_OPEN // columns))


def _bites(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for x, y in batches:
        for start in range(0, len(x), BITE_ROWS):
            yield x[start : start + BITE_ROWS], y[start : start + BITE_ROWS]


def _joined(held: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if len(held) == 1:
        return held[0]
    return np.concatenate([x for x, _ in held]), np.concatenate([y for _, y in held])
