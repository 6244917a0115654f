"""How several arrays of any kind, or words, become what a network reads: the counterpart of `Features` for what is no single array of numbers.

Owns how a leaf is stored (floats as float32, words as UTF-8 bytes, anything else as it is), and the checks that later data have the same form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data.arrays.structure import Structure, described, leaves, paths, rebuild, skeleton
from tuner.data.features import Features
from tuner.data.tables import plain_columns
from tuner.data.tables.columns import Column
from tuner.data.values import FILLED, to_float32
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Leaf:
    """One array of the inputs.

    Attributes:
        path: in the structure, such as `left/0`; empty for a bare array.
        shape: of one row.
        dtype: as numpy names it; `string` for words.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Inputs:
    """What a network gets to see of an example, as a structure.

    Attributes:
        bones: the structure without its leaves, see `structure.skeleton`.
        leaves: in their order.
        missing: what a missing number means: `error`, `drop`, `mean`, `median` or `zero`.
        columns: of a table that is not encoded: how they are read; empty for arrays.
    """

    bones: Any
    leaves: tuple[Leaf, ...]
    missing: str = "error"
    columns: tuple[Column, ...] = ()

    @classmethod
    def of_table(cls, table: "pa.Table", columns: tuple[Column, ...], missing: str, asked: Mapping[str, str]) -> "Inputs":
        """Return the inputs that the columns of a table are, each as it is.

        Args:
            table: rows to train and validate on, normalised.
            columns: how they are read.
            missing: `dataset.missing`.
            asked: `dataset.columns`.
        """
        types = plain_columns.types_of(table, columns, asked)
        names = {column.name: np.zeros(0) for column in columns}
        return cls(skeleton(names), tuple(Leaf(name, (1,), types[name]) for name in names), missing, columns)

    @classmethod
    def of(cls, x: Structure, missing: str) -> "Inputs":
        """Return the inputs that these arrays are rows of.

        Args:
            x: a structure of arrays as `stored` returns them.
            missing: `dataset.missing`.
        """
        leaves_of_x = tuple(Leaf(each["path"], tuple(each["shape"]), each["dtype"]) for each in described(x))
        return cls(skeleton(x), leaves_of_x, missing)

    def encode(self, x: Structure) -> Structure:
        """Return rows as they are stored, not yet scaled or filled.

        Args:
            x: the same structure of arrays, or a table with the same columns; further names are ignored.

        Raises:
            DatasetError: the structure, a shape or a type differs, or a value is missing where none may be.
        """
        if self.columns:
            types = {leaf.path: leaf.dtype for leaf in self.leaves}
            x = rebuild(self.bones, list(plain_columns.arrays_of(x, self.columns, types, self.missing).values()))
        given = dict(zip(paths(x), leaves(x), strict=True))
        for leaf in self.leaves:
            if leaf.path not in given:
                held = ", ".join(path or "one array" for path in given) or "nothing"
                raise DatasetError(f"x: got {held}; expected {', '.join(each.path or 'one array' for each in self.leaves)}")
        return rebuild(self.bones, [self._leaf(leaf, given[leaf.path]) for leaf in self.leaves])

    def _leaf(self, leaf: Leaf, values: Any) -> np.ndarray:
        name = named("x", leaf.path)
        array = stored(values, name)
        if array.shape[1:] != leaf.shape:
            raise DatasetError(f"{name}: got an array of shape {array.shape}; expected (rows{''.join(f', {length}' for length in leaf.shape)})")
        if (array.dtype.kind == "S") != (leaf.dtype == "string"):
            raise DatasetError(
                f"{name}: got {'words' if array.dtype.kind == 'S' else array.dtype}; expected {'words' if leaf.dtype == 'string' else leaf.dtype}"
            )
        if array.dtype.kind == "S":
            return array
        kind = np.dtype(leaf.dtype)
        if kind.kind == "f":
            array = to_float32(array, name)
            if self.missing not in FILLED:
                check_whole(array, name, self.missing)
            return array
        with np.errstate(invalid="ignore"):
            converted = array.astype(kind, copy=False)
        if array.dtype != kind and not np.array_equal(converted, array):
            raise DatasetError(f"{name}: got {array.dtype} with values that are no {kind}; expected {kind}, as the network was trained on")
        return converted

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `inputs_from_json` gives the same inputs back."""
        parts = [{**asdict(leaf), "shape": list(leaf.shape)} for leaf in self.leaves]
        return {"bones": self.bones, "leaves": parts, "missing": self.missing, "columns": [column.to_json() for column in self.columns]}


def inputs_from_json(values: Mapping[str, Any]) -> Features | Inputs:
    """Return the features of a single array or table, or the inputs of a structure, that a model card holds."""
    if "bones" not in values:
        return Features.from_json(values)
    parts = tuple(Leaf(leaf["path"], tuple(leaf["shape"]), leaf["dtype"]) for leaf in values["leaves"])
    return Inputs(values["bones"], parts, values["missing"], tuple(Column.from_json(column) for column in values["columns"]))


def stored(values: Any, name: str) -> np.ndarray:
    """Return an array as the pool holds it: floats as float32, words as UTF-8 bytes, whole numbers and booleans as they are.

    Args:
        values: of any type that TensorFlow has.
        name: what it is called, for messages.

    Returns:
        (n, ...) float32, bytes (`S`), bool, or a whole type of numbers as it came: an int or uint dtype.

    Raises:
        DatasetError: it has no axis of rows, or holds what no network reads.
    """
    values = np.asarray(values)
    if values.ndim == 0:
        raise DatasetError(f"{name}: got {values.dtype} without an axis of rows; expected an array with a row for each example")
    kind = values.dtype.kind
    if kind == "f":
        return to_float32(values, name)
    if kind in "biu":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if kind == "S":
        return values
    if kind == "U":
        return np.char.encode(values, "utf-8") if values.size else values.astype("S1")
    if kind == "O":
        return _words(values, name)
    raise DatasetError(f"{name}: got values of type {values.dtype}; expected numbers, booleans or words")


def check_whole(values: np.ndarray, name: str, missing: str) -> None:
    """Check that no number is missing.

    Args:
        values: (n, ...) of any type.
        name: what they are called, for messages.
        missing: `dataset.missing`.

    Raises:
        DatasetError: one is; names the first row.
    """
    holes = holes_in(values)
    if holes.any():
        missed = f"{int(holes.sum())} of {len(holes)} rows have a missing value, the first is row {int(np.argmax(holes))}"
        raise DatasetError(f"{name}: {missed}; expected none (dataset.missing = {missing!r})")


def holes_in(values: np.ndarray) -> np.ndarray:
    """Return (n,) bool: the rows in which a number is missing."""
    if values.dtype.kind != "f":
        return np.zeros(len(values), dtype=bool)
    return np.isnan(values.reshape(len(values), -1)).any(axis=1)


def named(root: str, path: str) -> str:
    """Return what a leaf is called in messages: `x`, or `x/left/0`.

    Args:
        root: what the structure is called.
        path: of the leaf in it; empty for a bare array.
    """
    return f"{root}/{path}" if path else root


def weights(w: Structure, name: str) -> Structure:
    """Return row weights as float32, those of a column as one number a row.

    Args:
        w: (n,) or (n, 1) numbers of any type, or a structure of them.
        name: what they are called, for messages.

    Raises:
        DatasetError: one is no finite number, or negative, or none is above 0.
    """
    columns = []
    for path, leaf in zip(paths(w), leaves(w), strict=True):
        values = np.asarray(leaf)
        if values.dtype.kind not in "biuf":
            raise DatasetError(f"{named(name, path)}: got values of type {values.dtype}; expected a number for each row")
        values = values.astype(np.float32)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            raise DatasetError(f"{named(name, path)}: row {int(at[0])} holds {float(values[at])}; expected weights of 0 or more")
        if values.size and not values.any():
            raise DatasetError(f"{named(name, path)}: every weight is 0; expected some above 0, or nothing would be learned")
        columns.append(values)
    return rebuild(skeleton(w), columns)


def _words(values: np.ndarray, name: str) -> np.ndarray:
    flat: Sequence[Any] = values.reshape(-1).tolist()
    encoded = []
    for index, word in enumerate(flat):
        if not isinstance(word, str | bytes):
            row = index // max(1, len(flat) // max(1, len(values)))
            what = "a value that is missing" if word is None or word != word else f"a Python object ({type(word).__name__})"
            ragged = "; rows of different lengths are no array: pad them" if isinstance(word, list | tuple | np.ndarray) else ""
            raise DatasetError(f"{name}: row {row} holds {what}; expected numbers, booleans or words{ragged}")
        encoded.append(word.encode() if isinstance(word, str) else word)
        if encoded[-1].endswith(b"\0"):
            raise DatasetError(f"{name}: row {index} holds bytes that end in a zero byte, which arrays of words lose; expected words, or uint8 arrays")
    return np.array(encoded or [b""], dtype="S")[: len(flat)].reshape(values.shape)
