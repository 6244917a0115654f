"""Rows to predict, a part at a time: whatever size their file has, no more than one part is in memory.

Owns how a part is cut from each kind of file, and which of its rows cannot be read. How rows become numbers is the same as for those to train on.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tuner.data.arrays import archives, images
from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.structure import Structure, map_leaves, nested, row_count
from tuner.data.features import Features
from tuner.data.files import first_line, is_url
from tuner.data.tables import columns, from_tables
from tuner.data.tables.dialect import Dialect
from tuner.errors import DatasetError

# How many rows are read at a time where nobody says: so many, or as many as take so much memory as numbers.
MOST_ROWS, MOST_BYTES = 16_384, 64 * 2**20


@dataclass(frozen=True)
class Part:
    """Some rows of a file, one after the other.

    Attributes:
        rows: how many.
        encode: (from, to) -> those of them, as a pool holds them; raises DatasetError where one cannot be read.
        unknown: a line for each column with words that no row to train on had.
    """

    rows: int
    encode: Callable[[int, int], Structure]
    unknown: Callable[[], Sequence[str]] = lambda: ()


def usual_rows(features: Features | Inputs) -> int:
    """Return how many rows are read at a time where nobody says."""
    shapes = [features.shape] if isinstance(features, Features) else [leaf.shape for leaf in features.leaves]
    return max(1, min(MOST_ROWS, MOST_BYTES // max(1, sum(4 * int(np.prod(shape)) for shape in shapes))))


def parts_of(path: str, features: Features | Inputs, rows: int, *, dialect: Dialect, target: tuple[str, ...] = ()) -> Iterator[Part]:
    """Yield the rows of a file in their order.

    Args:
        path: as `tuner.data.sources.read_for_prediction` takes it.
        features: fitted when the network was trained.
        rows: of a part, at most.
        dialect: how the table that the network was trained on is written.
        target: the columns that were predicted, which a file without a header may lack.

    Raises:
        DatasetError: it is missing or damaged, or holds something else than the network was trained on.
    """
    if features.columns:
        table = from_tables.table_to_predict(path, features, dialect, target=target)
        for batch in table.batches([column.name for column in features.columns], rows):
            yield _of_table(batch, features)
    elif isinstance(features, Features) and images.are_images(path):
        files, look = images.files_to_predict(path, features.shape)
        for start in range(0, len(files), rows):
            yield _of_files(files[start : start + rows], look, features)
    else:
        for x in _arrays(path, features, rows):
            yield _of_arrays(x, features)


def readable(part: Part, *, some: bool) -> tuple[list[int], list[Structure], dict[int, str]]:
    """Return what of a part can be read.

    Args:
        part: some rows.
        some: whether one of them has to be, as the first of a file have: where none can, it is of another kind.

    Returns:
        The numbers of the rows that can be, in their order; these rows, in pieces; and why each of the others cannot be: number -> one line.

    Raises:
        DatasetError: none can be, and some have to.
    """
    fine: list[int] = []
    pieces: list[Structure] = []
    problems: dict[int, str] = {}
    waiting, of_all = [(0, part.rows)], None
    while waiting:
        low, high = waiting.pop()
        try:
            pieces.append(part.encode(low, high))
        except DatasetError as error:
            of_all = of_all or error  # the first time it was all of them
            if high - low == 1:
                problems[low] = re.sub(r"(, the first in|:) row 0\b", lambda match: match[1] if match[1] == ":" else "", str(error))
                if some and len(problems) == part.rows:
                    raise of_all from None
            else:
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
        else:
            fine += range(low, high)
    return fine, pieces, problems


def _of_table(batch: Any, features: Features | Inputs) -> Part:
    lines = (lambda: columns.unknown_words(batch, features.columns)) if isinstance(features, Features) else lambda: ()
    return Part(batch.num_rows, lambda low, high: features.encode(batch.slice(low, high - low)), lines)


def _of_files(files: Sequence[Path], look: images.Look, features: Features) -> Part:
    return Part(len(files), lambda low, high: features.encode(images.decode(files[low:high], look)[0].reshape(-1, *features.shape)))


def _of_arrays(x: Structure, features: Features | Inputs) -> Part:
    return Part(row_count(x), lambda low, high: features.encode(map_leaves(lambda leaf: leaf[low:high], x)))


def _arrays(path: str, features: Features | Inputs, rows: int) -> Iterator[Structure]:
    """Yield the inputs of an .npz or .npy file in parts; one that cannot be read so, from a bucket or column by column, is read whole."""
    if isinstance(features, Features) and path.lower().endswith(".npy") and not is_url(path):
        x: Structure = archives.read_examples(path, mapped=True)
    else:
        opened = None if is_url(path) else _opened(path, "x" if isinstance(features, Features) else "x/")
        if opened is not None:
            yield from _streamed(path, opened, isinstance(features, Features), rows)
            return
        x = archives.read_examples(path) if isinstance(features, Features) else archives.read_inputs(path)
    for start in range(0, row_count(x), rows):
        yield map_leaves(lambda leaf, at=start: leaf[at : at + rows], x)  # type: ignore[misc]


@dataclass(frozen=True)
class _Member:
    """An array in an archive, read from its beginning on: the open file, the shape of a row, and its dtype."""

    file: IO[bytes]
    count: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, rows: int) -> np.ndarray:
        content = self.file.read(rows * self.dtype.itemsize * int(np.prod(self.shape)))
        return np.frombuffer(content, self.dtype).reshape(-1, *self.shape)


def _opened(path: str, root: str) -> dict[str, _Member] | None:
    """Open the inputs of an archive; None where they cannot be read in parts, or not at all, which the reader of whole archives says."""
    members: dict[str, _Member] = {}
    try:
        archive = zipfile.ZipFile(path)
        for entry in archive.namelist():
            name = entry.removesuffix(".npy")
            if name != "x" and not (root == "x/" and name.startswith("x/")):
                continue
            file = archive.open(entry)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(file)
            if (fortran and len(shape) > 1) or dtype.hasobject or not shape or not dtype.itemsize or 0 in shape:
                return None
            members[name.partition("/")[2]] = _Member(file, shape[0], shape[1:], dtype)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return members if members and len({member.count for member in members.values()}) == 1 else None


def _streamed(path: str, members: Mapping[str, _Member], single: bool, rows: int) -> Iterator[Structure]:
    count = next(iter(members.values())).count
    for start in range(0, count, rows):
        try:
            parts = {name: member.read(min(rows, count - start)) for name, member in members.items()}
        except Exception as error:  # zipfile and zlib each raise their own when the bytes are wrong
            raise DatasetError(f"{path}: cannot be read ({first_line(error)}); is it damaged?") from error
        yield parts[""] if single else _nested(path, parts)


def _nested(path: str, parts: Mapping[str, np.ndarray]) -> Structure:
    try:
        return nested(parts)
    except ValueError as error:
        raise DatasetError(f"{path}: x: {error}") from error
