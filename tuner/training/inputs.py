"""A pool as tensors, and its rows as a network takes them: gathered, filled, centred, scaled.

Runs in a trial's process; TensorFlow is imported inside its functions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.data.arrays.structure import Structure, leaves, map_leaves, rebuild, skeleton
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling


def tensors_of(pool: Pool) -> Pool:
    """Return the pool's arrays as tensors; see `tensor_of`."""
    x, y, w = map_leaves(tensor_of, (pool.x, pool.y, pool.w))
    return Pool(x, y, w)


def tensor_of(array: np.ndarray) -> Any:
    """Return a tensor over the array's own memory, without a copy where TensorFlow allows that. The array must never be changed.

    Args:
        array: `(rows, ...)` of any dtype that TensorFlow has.
    """
    import tensorflow as tf

    if array.flags.writeable and array.flags.c_contiguous and array.ctypes.data % 64 == 0 and array.size and array.dtype.kind in "iuf":
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)


def gather(structure: Structure, rows: Any) -> Structure:
    """Return these rows of every tensor.

    Args:
        structure: of tensors.
        rows: row numbers, `(n,)` int64.
    """
    import tensorflow as tf

    return map_leaves(lambda part: tf.gather(part, rows), structure)


def parts_of(scaling: Sequence[Scaling | None]) -> tuple[tuple[Any, ...], list[np.ndarray]]:
    """Return what of a scaling is compiled, and what is not.

    Args:
        scaling: of each input; None: it is left as it is.

    Returns:
        For each input whether it is centred, whether scaled, and the shape of its numbers; and center, factor and fill of every input that is scaled,
        float32, scalar or (features,) each.
    """
    kinds = tuple(None if each is None else (bool(np.any(each.center)), bool(np.any(each.factor != 1)), each.center.shape) for each in scaling)
    return kinds, [np.asarray(number, np.float32) for each in scaling if each is not None for number in (each.center, each.factor, each.fill)]


def scaled(batch: Structure, kinds: Sequence[tuple[Any, ...] | None], numbers: Sequence[Any]) -> Structure:
    """Return a batch of inputs as a network takes them.

    Args:
        batch: a structure of tensors.
        kinds: of each input: whether it is centred, whether scaled; None: it is left as it is.
        numbers: center, factor and fill of each input that is scaled.
    """
    rest = iter(numbers)
    inputs = [leaf if kind is None else _scaled(leaf, kind, next(rest), next(rest), next(rest)) for leaf, kind in zip(leaves(batch), kinds, strict=True)]
    return rebuild(skeleton(batch), inputs)


def _scaled(batch: Any, kind: tuple[Any, ...], center: Any, factor: Any, fill: Any) -> Any:
    """Return one input, filled, centred and scaled; of the kind, what would change nothing is left out."""
    import tensorflow as tf

    centers, scales, _ = kind
    whole = batch.dtype.is_integer
    batch = tf.cast(batch, tf.float32)
    if not whole:
        batch = tf.where(tf.math.is_nan(batch), fill, batch)
    if centers:
        batch = batch - center
    if scales:
        batch = batch * factor
    return batch


def described(structure: Structure) -> dict[str, Any]:
    """Return a structure of arrays or tensors as JSON: its skeleton, and the shape and Keras's dtype of each leaf, without the axis of rows."""
    return {"bones": skeleton(structure), "leaves": [[list(leaf.shape[1:]), _dtype_of(leaf)] for leaf in leaves(structure)]}


def _dtype_of(leaf: Any) -> str:
    name = getattr(leaf.dtype, "name", str(leaf.dtype))
    return "string" if name == "string" or name.startswith(("bytes", "str")) else name
