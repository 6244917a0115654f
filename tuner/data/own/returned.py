"""What a user's own function has returned, as arrays or pipelines of each split: every mistake in it is one line that names the function.

Runs in the process that called the function, where it may have made TensorFlow's tensors and pipelines. Must not import TensorFlow or Keras itself: where
nobody has, nothing of theirs is there.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuner.data.arrays.inputs import named, stored, weights
from tuner.data.arrays.structure import Structure, leaves, paths, rebuild, row_count, skeleton
from tuner.errors import DatasetError

SPLITS = ("train", "validation", "test")
EXPECTED = (
    'expected arrays as (x, y), (x, y, w) or {"x": ..., "y": ..., "w": ...}, a pipeline (tf.data.Dataset, keras.utils.PyDataset, batches one by one), or '
    'either of them as {"train": ..., "validation": ..., "test": ...}'
)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Rows in memory.

    Attributes:
        x, y, w: inputs, targets (or None) and row weights (or None), as `inputs.stored` returns them.
        aside: further arrays by name, (n,): what splits go by.
    """

    x: Structure
    y: Structure = None
    w: Structure = None
    aside: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Batches:
    """A pipeline.

    Attributes:
        source: what the function returned.
        form: `dataset` (tf.data), `sequence` (keras.utils.PyDataset) or `iterator`.
    """

    source: Any
    form: str


def by_split(returned: Any, function: str) -> dict[str, Arrays | Batches]:
    """Return what a function without a parameter `split` gave, by split.

    Args:
        returned: by the function.
        function: its name, for messages.

    Raises:
        DatasetError: it is nothing that Tuner takes; one line.
    """
    if isinstance(returned, dict) and set(returned) & set(SPLITS) and "x" not in returned:
        unknown = [str(name) for name in returned if name not in SPLITS]
        if unknown or "train" not in returned:
            raise DatasetError(f"{function}: returned the splits {', '.join(map(str, returned))}; expected train, and validation and test where there are some")
        given = {name: part for name, part in returned.items() if part is not None}
    elif isinstance(returned, tuple) and len(returned) in (2, 3) and all(_is_split(part) for part in returned):
        if _may_be_one(returned):
            mend = 'return {"train": ..., "test": ...}, or {"x": ..., "y": ...} where these are several inputs and several targets'
            raise DatasetError(
                f"{function}: returned {len(returned)} tuples of arrays with as many rows each, which may be splits, or inputs and targets; {mend}"
            )
        # Two are what Keras's own load_data returns.
        given = dict(zip(SPLITS if len(returned) == 3 else ("train", "test"), returned, strict=True))
    else:
        given = {"train": returned}
    return {name: one(part, f"{function}{f' ({name})' if len(given) > 1 else ''}") for name, part in given.items()}


def one(returned: Any, function: str) -> Arrays | Batches:
    """Return what a function gave for one split.

    Args:
        returned: by the function.
        function: its name, and the split, for messages.

    Raises:
        DatasetError: it is nothing that Tuner takes; one line.
    """
    form = form_of(returned)
    if form is not None:
        return Batches(returned, form)
    if returned is None:
        raise DatasetError(f"{function}: returned nothing (None); {EXPECTED}")
    if isinstance(returned, dict):
        if "x" not in returned:
            held = ", ".join(map(str, list(returned)[:8])) or "nothing"
            raise DatasetError(f"{function}: returned a dict of {held}; {EXPECTED}")
        parts = dict(returned)
    elif isinstance(returned, tuple):
        if len(returned) not in (2, 3):
            raise DatasetError(f"{function}: returned a tuple of {len(returned)} things ({_kinds(returned)}); {EXPECTED}")
        parts = dict(zip(("x", "y", "w"), returned, strict=False))
    elif _is_array(returned):
        parts = {"x": returned}
    else:
        raise DatasetError(f"{function}: returned {_kind(returned)}; {EXPECTED}")
    read = {str(name): arrays_in(part, f"{function}: {name}") for name, part in parts.items()}
    x, y, w = read.pop("x"), read.pop("y", None), read.pop("w", None)
    if x is None or not leaves(x):
        raise DatasetError(f"{function}: x holds no array; expected at least one input")
    aside = {name: values for name, values in read.items() if values is not None}
    for name, values in aside.items():
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            raise DatasetError(f"{function}: {name} is {_kind(values)}; expected one value per row, by which rows are split")
    _check_rows({"x": x, "y": y, "w": w, **aside}, function)
    return Arrays(x, y, None if w is None else weights(w, f"{function}: w"), aside)


def form_of(returned: Any) -> str | None:
    """Return which kind of pipeline something is: `dataset`, `sequence`, `iterator`; None for none."""
    if _is_instance(returned, "tensorflow", ("data", "Dataset")):
        return "dataset"
    if _is_instance(returned, "keras", ("utils", "PyDataset")):
        return "sequence"
    if isinstance(returned, Iterator) or (
        hasattr(returned, "__iter__") and not isinstance(returned, list | tuple | Mapping | str | bytes) and not _is_array(returned)
    ):
        return None if _is_frame(returned) else "iterator"
    return None


def batch(given: Any, function: str) -> Arrays:
    """Return a batch of a pipeline as arrays.

    Args:
        given: (x, y), (x, y, w), (x,) or x.
        function: the name of the function that made the pipeline, for messages.

    Raises:
        DatasetError: it is no batch; one line.
    """
    parts = given if isinstance(given, tuple) else (given,)
    if len(parts) not in (1, 2, 3):
        raise DatasetError(f"{function}: gave a batch of {len(parts)} things ({_kinds(parts)}); expected (x, y), (x, y, w), or x where there are no targets")
    read = [arrays_in(part, f"{function}: a batch's {name}") for name, part in zip("xyw", parts, strict=False)]
    x, y, w = (*read, None, None)[:3]
    if not leaves(x):
        raise DatasetError(f"{function}: gave a batch without an array; expected (x, y), (x, y, w), or x where there are no targets")
    _check_rows({"x": x, "y": y, "w": w}, function)
    return Arrays(x, y, w)


def arrays_in(part: Any, name: str) -> Structure:
    """Return a structure of arrays as they are stored; lists of plain values are arrays.

    Args:
        part: arrays, tensors or lists, in any structure.
        name: what it is called, for messages.

    Raises:
        DatasetError: something in it is no array.
    """
    structure = _structure(part, name)
    return rebuild(skeleton(structure), [stored(leaf, named(name, path)) for path, leaf in zip(paths(structure), leaves(structure), strict=True)])


def _structure(part: Any, name: str) -> Structure:
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {str(key): _structure(value, f"{name}/{key}") for key, value in part.items()}
    if isinstance(part, tuple | list):
        if _holds_arrays(part):
            return (
                type(part)(_structure(value, f"{name}/{index}") for index, value in enumerate(part))
                if type(part) in (tuple, list)
                else _structure(tuple(part), name)
            )
        try:
            return np.array(part)
        except ValueError as error:
            raise DatasetError(f"{name}: holds lists of different lengths; expected an array: pad them, or batch them in a pipeline") from error
    if _is_frame(part):
        mend = "expected arrays: frame.to_numpy(), or {name: frame[name].to_numpy() for name in frame} for a builder that takes columns by name"
        raise DatasetError(f"{name}: is a {type(part).__name__}; {mend}")
    if hasattr(part, "numpy") and hasattr(part, "dtype"):  # a tensor
        if not hasattr(part, "shape") or type(part).__name__ in ("RaggedTensor", "SparseTensor"):
            raise DatasetError(f"{name}: is a {type(part).__name__}; expected a dense tensor (to_tensor(), tf.sparse.to_dense)")
        return np.asarray(part.numpy())
    if _is_array(part) or isinstance(part, bool | int | float | str | bytes):
        return np.asarray(part)
    raise DatasetError(f"{name}: is {_kind(part)}; expected an array, or a tuple, list or dict of arrays")


def _holds_arrays(part: Any) -> bool:
    return any(
        _is_array(value) or _is_frame(value) or isinstance(value, Mapping) or value is None or (isinstance(value, tuple | list) and _holds_arrays(value))
        for value in part
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "__array__") and hasattr(value, "dtype") and not isinstance(value, np.generic)) or _is_ragged(value)


def _is_ragged(value: Any) -> bool:
    return type(value).__name__ in ("RaggedTensor", "SparseTensor")


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def _is_instance(value: Any, package: str, names: tuple[str, ...]) -> bool:
    """Say whether something is of a class that a package has, if anyone has imported it."""
    kind = sys.modules.get(package)
    for name in names:
        kind = getattr(kind, name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_split(part: Any) -> bool:
    return form_of(part) is not None or (
        isinstance(part, tuple) and len(part) in (2, 3) and all(_is_array(value) or isinstance(value, list | tuple | Mapping) for value in part)
    )


def _may_be_one(parts: tuple[Any, ...]) -> bool:
    """Say whether tuples of arrays may as well be inputs and targets: they all have as many rows."""
    if any(not isinstance(part, tuple) for part in parts):
        return False
    lengths = {len(leaf) if hasattr(leaf, "__len__") else -1 for part in parts for leaf in leaves(part)}
    return len(lengths) == 1


def _check_rows(parts: dict[str, Structure], function: str) -> None:
    try:
        rows = row_count(parts)
    except ValueError as error:
        raise DatasetError(f"{function}: {error}") from error
    if not rows:
        raise DatasetError(f"{function}: gave arrays without rows; expected some")


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, type) or callable(value):
        return f"{getattr(value, '__name__', value)!r}, which is to be called first"
    return f"{type(value).__name__} ({value!r})" if isinstance(value, bool | int | float | str) else f"a {type(value).__name__}"


def _kinds(parts: Any) -> str:
    return ", ".join(_kind(part).removeprefix("a ").removeprefix("an ") for part in parts[:6])
