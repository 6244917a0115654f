"""The whole of an epoch in one TensorFlow function: the loop over batches, the gathering of rows, their scaling, and Keras's own step.

Runs in a trial's process. Must not know what a step does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.data.arrays.structure import leaves, rebuild, skeleton
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.training.inputs import parts_of, scaled
from tuner.training.own_steps import losses_in


def keras_loop(model: Any, step: Callable[..., Any], size: int, *, pool: Pool, scaling: Sequence[Scaling | None]) -> Any:
    """Return a function of (parts, rows, *numbers) that runs one of Keras's own steps over all rows and returns the results of the model's metrics.

    Args:
        model: a compiled and built Keras model.
        step: its `train_step` or `test_step`.
        size: rows per step.
        pool: of tensors; their shapes alone count.
        scaling: of each input.
    """
    import keras
    import tensorflow as tf

    bones, (kinds, _) = skeleton((pool.x, pool.y, pool.w)), parts_of(scaling)
    if model.jit_compile:
        step = tf.function(step, jit_compile=True)

    def epoch(parts: list[Any], rows: Any, *numbers: Any) -> Mapping[str, Any]:
        count = tf.size(rows, out_type=tf.int64)

        def unfinished(start: Any, loss: Any) -> Any:
            return (start < count) & tf.math.is_finite(loss)

        def batch(start: Any, loss: Any) -> Any:
            chosen = rows[start : tf.minimum(start + size, count)]
            x, y, w = rebuild(bones, [tf.gather(part, chosen) for part in parts])
            logs = step(keras.utils.pack_x_y_sample_weight(scaled(x, kinds, numbers), y, w))
            return start + size, tf.cast(logs["loss"], tf.float32)

        tf.while_loop(unfinished, batch, [tf.constant(0, tf.int64), tf.constant(0.0)], parallel_iterations=1)
        return model.get_metrics_result()

    return tf.function(epoch, input_signature=_signature(pool, scaling), autograph=False)


def own_loop(model: Any, step: Callable[..., Any], size: int, *, pool: Pool, scaling: Sequence[Scaling | None]) -> Any:
    """Return the same for a step of the model's own: what it tells of each batch is added up beside its metrics.

    The function returns key -> what the last step says, key -> the sum over rows, and how many `rows` there were.

    Args:
        model: a compiled and built Keras model.
        step: its `train_step` or `test_step`.
        size: rows per step.
        pool: of tensors; their shapes alone count.
        scaling: of each input.
    """
    import keras
    import tensorflow as tf

    bones, (kinds, _) = skeleton((pool.x, pool.y, pool.w)), parts_of(scaling)

    def batch(parts: list[Any], chosen: Any, *numbers: Any) -> Mapping[str, Any]:
        x, y, w = rebuild(bones, [tf.gather(part, chosen) for part in parts])
        logs = step(keras.utils.pack_x_y_sample_weight(scaled(x, kinds, numbers), y, w))
        return {name: tf.reduce_mean(tf.cast(value, tf.float32)) for name, value in logs.items()}

    signature = _signature(pool, scaling)
    # Traced by itself first: variables may be made in a function's first trace, but not in a loop; and its trace has the names of what it tells.
    one = tf.function(batch, input_signature=signature, autograph=False, jit_compile=bool(model.jit_compile) or None)
    names = sorted(one.get_concrete_function().structured_outputs)

    def epoch(parts: list[Any], rows: Any, *numbers: Any) -> Any:
        count = tf.size(rows, out_type=tf.int64)

        def unfinished(start: Any, last: Any, sums: Any) -> Any:
            return (start < count) & tf.reduce_all([tf.math.is_finite(last[name]) for name in losses_in(last)] or [True])

        def body(start: Any, last: Any, sums: Any) -> Any:
            chosen = rows[start : tf.minimum(start + size, count)]
            logs = one(parts, chosen, *numbers)
            weight = tf.cast(tf.size(chosen), tf.float32)
            return start + size, {name: logs[name] for name in names}, {name: sums[name] + weight * logs[name] for name in names}

        zeros = {name: tf.constant(0.0) for name in names}
        done, last, sums = tf.while_loop(unfinished, body, [tf.constant(0, tf.int64), zeros, dict(zeros)], parallel_iterations=1)
        return last, sums, {"rows": tf.cast(tf.minimum(done, count), tf.float32)}

    return tf.function(epoch, input_signature=signature, autograph=False)


def _signature(pool: Pool, scaling: Sequence[Scaling | None]) -> list[Any]:
    import tensorflow as tf

    parts = [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in leaves((pool.x, pool.y, pool.w))]
    return [parts, tf.TensorSpec([None], tf.int64), *(tf.TensorSpec(number.shape, tf.float32) for number in parts_of(scaling)[1])]
