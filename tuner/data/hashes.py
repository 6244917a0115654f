"""Hashes that tell data and splits apart in the record.

Owns what counts as the same data: the values, not how a file holds them. Must not know where they come from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of named arrays: their names, types, shapes and values in row order.

    Args:
        arrays: name -> array, of any shape and dtype.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        # Images are hashed where they lie; only numbers show their bytes as a buffer.
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size and array.dtype.kind in "biuf" else array.tobytes())
    return digest.hexdigest()


def of_table(table: "pa.Table") -> str:
    """Return the sha256 of a table's values: the same for every format, chunking, number width and dictionary encoding that hold them."""
    digest = TableHash(table.column_names, table.num_rows)
    digest.add(table)
    return digest.hexdigest()


class TableHash:
    """The sha256 of a table that comes in parts; see `of_table`.

    Args:
        names: of its columns.
        rows: of all parts together.
    """

    def __init__(self, names: Sequence[str], rows: int) -> None:
        self._rows = rows
        self._columns = {name: (hashlib.sha256(), hashlib.sha256()) for name in sorted(names)}

    def add(self, part: "pa.Table") -> None:
        """Take in the next rows."""
        for name, (values, lengths) in self._columns.items():
            for chunk in part.column(name).chunks:
                _canonical(chunk, values, lengths)

    def hexdigest(self) -> str:
        """Return the hash of all parts."""
        digest = hashlib.sha256(f"{self._rows} rows\n".encode())
        for name, streams in self._columns.items():
            digest.update(f"{name}\n".encode())
            for stream in streams:
                digest.update(stream.digest())
        return digest.hexdigest()


def of_parts(parts: Sequence[str]) -> str:
    """Return the sha256 of several hashes, in their order."""
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def of_texts(texts: Mapping[str, bytes]) -> str:
    """Return the sha256 of named texts."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(f"{name} {len(texts[name])}\n".encode())
        digest.update(texts[name])
    return digest.hexdigest()


def of_rows(splits: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of the row numbers of named splits.

    Args:
        splits: name -> (k,) int64 row numbers.
    """
    digest = hashlib.sha256()
    for name in sorted(splits):
        digest.update(f"{name} {len(splits[name])}\n".encode())
        digest.update(splits[name].astype("<i8").tobytes())
    return digest.hexdigest()


def _canonical(chunk: "pa.Array", values: Any, lengths: Any) -> None:
    """Feed a column's values to the hashes in a form that only the values decide."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_decode()
    if pa.types.is_boolean(chunk.type):
        values.update(pc.fill_null(chunk.cast(pa.uint8()), 2).to_numpy(zero_copy_only=False).tobytes())
    elif pa.types.is_integer(chunk.type) or pa.types.is_floating(chunk.type) or pa.types.is_decimal(chunk.type):
        numbers = chunk.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype("<f8")
        values.update(np.where(np.isnan(numbers), np.nan, numbers).tobytes())
    else:
        words = pc.fill_null(chunk.cast(pa.large_string()), "")
        lengths.update(pc.fill_null(pc.binary_length(chunk.cast(pa.large_string())), -1).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        values.update("".join(words.to_pylist()).encode())
