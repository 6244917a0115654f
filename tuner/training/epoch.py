"""One epoch of one network: the whole of it in a single TensorFlow function, or Keras's own `fit` where that cannot be.

`fit` returns to Python after every batch; on small networks that costs more than the arithmetic. Here the loop over the batches, the gathering
of rows, their scaling and Keras's own training step run inside one compiled function. Both ways train on the same batches in the same order.

Runs in a trial's process. Must not know where the data came from, what the network is, or what is done with the figures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces.fused_ops import fuse, fuse_normalization
from search_spaces.graph_equality import graphs_equal
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.structure import Structure, leaves, map_leaves, rebuild, skeleton

# TensorFlow rewrites every graph before it runs it, which takes 0.12 s of a trial's start (training and validation of two normalised layers). Dense layers
# gain up to 5 % of an epoch by that, convolutions and GPUs more. Most trials are stopped after a few epochs: up to so many multiplications in an epoch's
# forward passes, about a second of one core, it is left out for networks of dense layers.
REWRITTEN_FROM = 2e10

# Rows per step where nothing is trained: large enough that the step's own cost vanishes, small enough to stay in the processor's cache.
EVALUATION_ROWS = 512


class Epoch:
    """Trains a compiled Keras model epoch by epoch over rows of a pool held in memory.

    Attributes:
        path: `compiled epoch` or `fit`.
        reason: why it is `fit`; empty otherwise.
    """

    def __init__(self, model: Any, batch_size: int, scaling: Sequence[Scaling | None], stage: "Epoch | None" = None) -> None:
        """Prepare a model.

        Args:
            model: a compiled Keras model.
            batch_size: rows per training step.
            scaling: of each input, in their order: what makes a network's input out of a row's; None: it is left as it is.
            stage: of a network that is not trained for itself: one that is alike takes its place for every epoch, so that only the stage is compiled.
        """
        self.model = model
        self.batch_size = batch_size
        self.reason = obstacle(model)
        self.path = "fit" if self.reason else "compiled epoch"
        self._scaling = tuple(scaling)
        self._built = False
        self._functions: dict[str, Any] = {}
        self._stage = stage if stage is not None and not self.reason and stage._serves(self) else None
        self._holds: Epoch | None = None  # of a stage: whose values it has

    def train(self, pool: Pool, order: np.ndarray) -> dict[str, float]:
        """Train on every row of `order` once, the last and smaller batch included.

        Args:
            pool: of tensors, see `tensors_of`.
            order: row numbers in the order of training, `(n,)` int64.

        Returns:
            The loss and the compiled metrics over the epoch. A loss that is no finite number ends the epoch early.
        """
        if self.reason:
            history = self.model.fit(self._batches(pool, order, self.batch_size), verbose=0, shuffle=False)
            return {name: float(values[-1]) for name, values in history.history.items()}
        return self._run("train", pool, order)

    def train_chunks(self, chunks: Iterable[tuple[np.ndarray, np.ndarray]], rows: int) -> dict[str, float]:
        """Train on rows that come in chunks, for a pool that is not in memory: the compiled loop runs once per chunk, and Python is met in between.

        Args:
            chunks: x, `(n, *input_shape)` uint8 or float32, and y, `(n, ...)` int32 or float32, in the order of training; all n but the last are a multiple of
            the batch size.
            rows: of all chunks together.

        Returns:
            As `train`.
        """
        import tensorflow as tf

        if self.reason:
            size = self.batch_size
            parts = ((self._scaled(tf.constant(x[at : at + size])), tf.constant(y[at : at + size])) for x, y in chunks for at in range(0, len(x), size))
            history = self.model.fit(parts, verbose=0, shuffle=False, steps_per_epoch=math.ceil(rows / size))
            return {name: float(values[-1]) for name, values in history.history.items()}
        report: dict[str, float] = {}
        for x, y in chunks:
            report = self._run("train", Pool(tf.constant(x), tf.constant(y)), np.arange(len(x)), anew=not report)
            if not np.isfinite(report["loss"]):
                break
        return report

    def evaluate(self, pool: Pool, rows: np.ndarray) -> dict[str, float]:
        """Return the loss and the compiled metrics over some rows; nothing is trained.

        Args:
            pool: of tensors, see `tensors_of`.
            rows: row numbers, `(n,)` int64.
        """
        if self.reason:
            report = self.model.evaluate(self._batches(pool, rows, EVALUATION_ROWS), verbose=0, return_dict=True)
            return {name: float(value) for name, value in report.items()}
        return self._run("evaluate", pool, rows)

    def predict(self, x: Structure, rows: np.ndarray) -> np.ndarray:
        """Return the network's outputs for some rows of the inputs, `(n, ...)` float32, in the order of `rows`.

        Args:
            x: inputs, in tensors.
            rows: row numbers, `(n,)` int64.
        """
        chunks = (_gather(x, rows[start : start + EVALUATION_ROWS]) for start in range(0, len(rows), EVALUATION_ROWS))
        return np.concatenate([np.asarray(self.model(self._scaled(chunk), training=False), dtype="float32") for chunk in chunks])

    def variables(self, pool: Pool) -> list[Any]:
        """Return everything that the next epoch depends on: weights, random states, optimizer; always in the same order. It may be changed by the caller."""
        if self._stage is not None:
            self._stage._holds = None
        return self._variables(pool)

    def _variables(self, pool: Pool) -> list[Any]:
        self._build(pool)
        return [*self.model.variables, *(self.model.optimizer.variables if self.model.optimizer else ())]

    def _run(self, name: str, pool: Pool, rows: np.ndarray, *, anew: bool = True) -> dict[str, float]:
        import tensorflow as tf

        at = self._stage or self
        if name not in at._functions:
            at._build(pool)
            step, size = (at.model.train_step, at.batch_size) if name == "train" else (at.model.test_step, EVALUATION_ROWS)
            at._functions[name] = at._loop(step, size, pool)
        if at is not self and at._holds is not self:
            _copy(self._variables(pool), at._variables(pool))
            at._holds = self
        if anew:
            at.model.reset_metrics()
        numbers = [tf.constant(number, tf.float32) for number in self._numbers()]
        report = {key: float(value) for key, value in at._functions[name](leaves((pool.x, pool.y, pool.w)), tf.constant(rows, tf.int64), *numbers).items()}
        if at is not self and name == "train":
            _copy(at._variables(pool), self._variables(pool))
        return report

    def _serves(self, other: "Epoch") -> bool:
        """Say whether the other network can take this one's place."""
        return not self.reason and self._kind() == other._kind() and graphs_equal(self.model, other.model)

    def _numbers(self) -> list[np.ndarray]:
        scaled = [scaling for scaling in self._scaling if scaling is not None]
        return [np.asarray(number, np.float32) for each in scaled for number in (each.center, each.factor, each.fill)]

    def _kind(self) -> tuple[Any, ...]:
        """Return what of the scaling, but for its numbers, is compiled."""
        return tuple(None if each is None else (bool(np.any(each.center)), bool(np.any(each.factor != 1)), each.center.shape) for each in self._scaling)

    def _build(self, pool: Pool) -> None:
        """Create every variable now: none may be created inside the loop, nor after a checkpoint was read."""
        if self._built:
            return
        first = pool.take(slice(1))
        inputs = self._scaled(first.x)
        outputs = self.model(inputs, training=False)
        self.model.compute_loss(inputs, first.y, outputs, first.w, training=False)
        self.model.compute_metrics(inputs, first.y, outputs, first.w)
        self.model.reset_metrics()
        if self.model.optimizer is not None:
            self.model.optimizer.build(self.model.trainable_variables)
            # XLA fuses operations itself.
            if not self.reason and not self.model.jit_compile:
                fuse(self.model.optimizer)
                for layer in self.model._flatten_layers():
                    fuse_normalization(layer)
        self._built = True

    def _loop(self, step: Any, size: int, pool: Pool) -> Any:
        import keras
        import tensorflow as tf

        model, bones = self.model, skeleton((pool.x, pool.y, pool.w))
        if model.jit_compile:
            step = tf.function(step, jit_compile=True)

        def epoch(parts: list[Any], rows: Any, *numbers: Any) -> Mapping[str, Any]:
            count = tf.size(rows, out_type=tf.int64)

            def unfinished(start: Any, loss: Any) -> Any:
                return (start < count) & tf.math.is_finite(loss)

            def batch(start: Any, loss: Any) -> Any:
                chosen = rows[start : tf.minimum(start + size, count)]
                x, y, w = rebuild(bones, [tf.gather(part, chosen) for part in parts])
                logs = step(keras.utils.pack_x_y_sample_weight(self._scaled(x, *numbers), y, w))
                return start + size, tf.cast(logs["loss"], tf.float32)

            tf.while_loop(unfinished, batch, [tf.constant(0, tf.int64), tf.constant(0.0)], parallel_iterations=1)
            return model.get_metrics_result()

        parts = [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in leaves((pool.x, pool.y, pool.w))]
        signature = [parts, tf.TensorSpec([None], tf.int64)]
        signature += [tf.TensorSpec(number.shape, tf.float32) for number in self._numbers()]
        return tf.function(epoch, input_signature=signature, autograph=False)

    def _scaled(self, batch: Structure, *numbers: Any) -> Structure:
        """Return a batch of inputs as the network takes them.

        Args:
            batch: a structure of tensors.
            numbers: center, factor and fill of each input that is scaled, as tensors; none: those of the scaling itself.
        """
        rest = iter(numbers or self._numbers())
        scaled = [
            leaf if kind is None else _scaled(leaf, kind, next(rest), next(rest), next(rest)) for leaf, kind in zip(leaves(batch), self._kind(), strict=True)
        ]
        return rebuild(skeleton(batch), scaled)

    def _batches(self, pool: Pool, rows: np.ndarray, size: int) -> Any:
        import keras
        import tensorflow as tf

        def batch(chosen: Any) -> Any:
            x, y, w = _gather((pool.x, pool.y, pool.w), chosen)
            return keras.utils.pack_x_y_sample_weight(self._scaled(x), y, w)

        return tf.data.Dataset.from_tensor_slices(tf.constant(rows, tf.int64)).batch(size).map(batch)


def _gather(structure: Structure, rows: Any) -> Structure:
    """Return these rows of every tensor."""
    import tensorflow as tf

    return map_leaves(lambda part: tf.gather(part, rows), structure)


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


def _copy(source: Sequence[Any], target: Sequence[Any]) -> None:
    """Give Keras variables the values of others."""
    import tensorflow as tf

    for one, other in zip(source, target, strict=True):
        tf.raw_ops.AssignVariableOp(resource=other.value.handle, value=one.value.read_value())


def obstacle(model: Any) -> str:
    """Say why a model must be trained by `fit`, in one line; empty where the compiled epoch does the same."""
    import keras

    base = keras.Model
    for name in ("fit", "train_step", "test_step", "evaluate", "compute_metrics", "reset_metrics", "get_metrics_result"):
        if getattr(type(model), name) is not getattr(base, name) and getattr(type(model), name) is not getattr(keras.Sequential, name):
            return f"the model has its own {name}()"
    if model.run_eagerly:
        return "the model is compiled with run_eagerly=True"
    if model.optimizer is None or model.optimizer.use_ema:
        return "the optimizer averages the weights (use_ema)" if model.optimizer else "the model has no optimizer"
    if not model.trainable_variables:
        return "the model has nothing to train"
    return ""


def choose_rewriting(model: Any, rows: int) -> None:
    """Let TensorFlow rewrite the graphs of this process from now on, or not, whichever is sooner done for a model.

    Args:
        model: built or not.
        rows: in an epoch.
    """
    import keras
    import tensorflow as tf

    weighing = [layer for layer in model._flatten_layers(include_self=False) if layer.weights and not layer._layers]
    simple = all(type(layer) in (keras.layers.Dense, keras.layers.BatchNormalization) for layer in weighing)
    small = model.built and model.count_params() * rows < REWRITTEN_FROM
    rewrites = not (simple and small) or bool(tf.config.get_visible_devices("GPU"))
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not rewrites})


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


def hurry_single_operations(tf: Any) -> None:
    """Let TensorFlow run single operations as such, from now on.

    TensorFlow 2.21 turns every operation outside a function into a function of its own first. Building a small network meets some sixty new ones, which takes
    0.15 s, and 0.03 s so. `test_tensorflow_makes_functions_of_single_operations` fails once this can go.
    """
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context

    tf.constant(0.0)
    pywrap_tfe.TFE_ContextSetRunEagerOpAsFunction(context.context()._handle, False)
