"""One epoch of one network: the whole of it in a single TensorFlow function, or Keras's own `fit` where that cannot be.

`fit` returns to Python after every batch; on small networks that costs more than the arithmetic. Here the loop over the batches, the gathering
of rows, their scaling and Keras's own training step run inside one compiled function. Both ways train on the same batches in the same order.

Runs in a trial's process. Must not know where the data came from, what the network is, or what is done with the figures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from search_spaces.fused_ops import fuse, fuse_normalization
from search_spaces.graph_equality import graphs_equal

# TensorFlow rewrites every graph before it runs it, which takes 0.12 s of a trial's start (training and validation of two normalised layers). Dense layers
# gain up to 5 % of an epoch by that, convolutions and GPUs more. Most trials are stopped after a few epochs: up to so many multiplications in an epoch's
# forward passes, about a second of one core, it is left out for networks of dense layers.
REWRITTEN_FROM = 2e10

# Rows per step where nothing is trained: large enough that the step's own cost vanishes, small enough to stay in the processor's cache.
EVALUATION_ROWS = 512


class Scaling(Protocol):
    """How raw values become a network's inputs: `(where(isnan(x), fill, x) - center) * factor`, float32, one number or one per feature."""

    @property
    def center(self) -> np.ndarray: ...
    @property
    def factor(self) -> np.ndarray: ...
    @property
    def fill(self) -> np.ndarray: ...


class Epoch:
    """Trains a compiled Keras model epoch by epoch over rows of a pool held in memory.

    Attributes:
        path: `compiled epoch` or `fit`.
        reason: why it is `fit`; empty otherwise.
    """

    def __init__(self, model: Any, batch_size: int, scaling: Scaling, stage: "Epoch | None" = None) -> None:
        """Prepare a model.

        Args:
            model: a compiled Keras model with one input.
            batch_size: rows per training step.
            scaling: what makes a network's input out of a row.
            stage: of a network that is not trained for itself: one that is alike takes its place for every epoch, so that only the stage is compiled.
        """
        self.model = model
        self.batch_size = batch_size
        self.reason = obstacle(model)
        self.path = "fit" if self.reason else "compiled epoch"
        self._scaling = scaling
        self._built = False
        self._functions: dict[str, Any] = {}
        self._stage = stage if stage is not None and not self.reason and stage._serves(self) else None
        self._holds: Epoch | None = None  # of a stage: whose values it has

    def train(self, x: Any, y: Any, order: np.ndarray) -> dict[str, float]:
        """Train on every row of `order` once, the last and smaller batch included.

        Args:
            x: tensor `(rows of the pool, *input_shape)`, uint8 or float32.
            y: tensor of labels or targets, as many rows.
            order: row numbers in the order of training, int64.

        Returns:
            The loss and the compiled metrics over the epoch. A loss that is no finite number ends the epoch early.
        """
        if self.reason:
            history = self.model.fit(self._batches(x, y, order, self.batch_size), verbose=0, shuffle=False)
            return {name: float(values[-1]) for name, values in history.history.items()}
        return self._run("train", x, y, order)

    def train_chunks(self, chunks: Iterable[tuple[np.ndarray, np.ndarray]], rows: int) -> dict[str, float]:
        """Train on rows that come in chunks, for a pool that is not in memory: the compiled loop runs once per chunk, and Python is met in between.

        Args:
            chunks: x and y, in the order of training; all but the last are a multiple of the batch size long.
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
            report = self._run("train", tf.constant(x), tf.constant(y), np.arange(len(x)), anew=not report)
            if not np.isfinite(report["loss"]):
                break
        return report

    def evaluate(self, x: Any, y: Any, rows: np.ndarray) -> dict[str, float]:
        """Return the loss and the compiled metrics over some rows; nothing is trained. Arguments as for `train`."""
        if self.reason:
            return {name: float(value) for name, value in self.model.evaluate(self._batches(x, y, rows, EVALUATION_ROWS), verbose=0, return_dict=True).items()}
        return self._run("evaluate", x, y, rows)

    def predict(self, x: Any, rows: np.ndarray) -> np.ndarray:
        """Return the network's outputs for some rows of `x`, float32, in the order of `rows`."""
        import tensorflow as tf

        chunks = (tf.gather(x, rows[start : start + EVALUATION_ROWS]) for start in range(0, len(rows), EVALUATION_ROWS))
        return np.concatenate([np.asarray(self.model(self._scaled(chunk), training=False), dtype="float32") for chunk in chunks])

    def variables(self, x: Any, y: Any) -> list[Any]:
        """Return everything that the next epoch depends on: weights, random states, optimizer; always in the same order. It may be changed by the caller."""
        if self._stage is not None:
            self._stage._holds = None
        return self._variables(x, y)

    def _variables(self, x: Any, y: Any) -> list[Any]:
        self._build(x, y)
        return [*self.model.variables, *(self.model.optimizer.variables if self.model.optimizer else ())]

    def _run(self, name: str, x: Any, y: Any, rows: np.ndarray, *, anew: bool = True) -> dict[str, float]:
        import tensorflow as tf

        at = self._stage or self
        if name not in at._functions:
            at._build(x, y)
            step, size = (at.model.train_step, at.batch_size) if name == "train" else (at.model.test_step, EVALUATION_ROWS)
            at._functions[name] = at._loop(step, size, x, y)
        if at is not self and at._holds is not self:
            _copy(self._variables(x, y), at._variables(x, y))
            at._holds = self
        if anew:
            at.model.reset_metrics()
        numbers = [tf.constant(number, tf.float32) for number in self._numbers()]
        report = {key: float(value) for key, value in at._functions[name](x, y, tf.constant(rows, tf.int64), *numbers).items()}
        if at is not self and name == "train":
            _copy(at._variables(x, y), self._variables(x, y))
        return report

    def _serves(self, other: "Epoch") -> bool:
        """Say whether the other network can take this one's place."""
        return not self.reason and self._kind() == other._kind() and graphs_equal(self.model, other.model)

    def _numbers(self) -> list[np.ndarray]:
        return [np.asarray(number, np.float32) for number in (self._scaling.center, self._scaling.factor, self._scaling.fill)]

    def _kind(self) -> tuple[Any, ...]:
        """Return what of the scaling, but for its numbers, is compiled."""
        center, factor, fill = self._numbers()
        return bool(np.any(center)), bool(np.any(factor != 1)), center.shape, factor.shape, fill.shape

    def _build(self, x: Any, y: Any) -> None:
        """Create every variable now: none may be created inside the loop, nor after a checkpoint was read."""
        if self._built:
            return
        inputs = self._scaled(x[:1])
        outputs = self.model(inputs, training=False)
        self.model.compute_loss(inputs, y[:1], outputs, training=False)
        self.model.compute_metrics(inputs, y[:1], outputs)
        self.model.reset_metrics()
        if self.model.optimizer is not None:
            self.model.optimizer.build(self.model.trainable_variables)
            # XLA fuses operations itself.
            if not self.reason and not self.model.jit_compile:
                fuse(self.model.optimizer)
                for layer in self.model._flatten_layers():
                    fuse_normalization(layer)
        self._built = True

    def _loop(self, step: Any, size: int, x: Any, y: Any) -> Any:
        import tensorflow as tf

        model = self.model
        if model.jit_compile:
            step = tf.function(step, jit_compile=True)

        def epoch(x: Any, y: Any, rows: Any, *numbers: Any) -> Mapping[str, Any]:
            count = tf.size(rows, out_type=tf.int64)

            def unfinished(start: Any, loss: Any) -> Any:
                return (start < count) & tf.math.is_finite(loss)

            def batch(start: Any, loss: Any) -> Any:
                chosen = rows[start : tf.minimum(start + size, count)]
                logs = step((self._scaled(tf.gather(x, chosen), *numbers), tf.gather(y, chosen)))
                return start + size, tf.cast(logs["loss"], tf.float32)

            tf.while_loop(unfinished, batch, [tf.constant(0, tf.int64), tf.constant(0.0)], parallel_iterations=1)
            return model.get_metrics_result()

        signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype), tf.TensorSpec([None, *y.shape[1:]], y.dtype), tf.TensorSpec([None], tf.int64)]
        signature += [tf.TensorSpec(number.shape, tf.float32) for number in self._numbers()]
        return tf.function(epoch, input_signature=signature, autograph=False)

    def _scaled(self, batch: Any, *numbers: Any) -> Any:
        import tensorflow as tf

        center, factor, fill = numbers or self._numbers()
        centers, scales, *_ = self._kind()
        whole = batch.dtype.is_integer
        batch = tf.cast(batch, tf.float32)
        if not whole:
            batch = tf.where(tf.math.is_nan(batch), fill, batch)
        if centers:
            batch = batch - center
        if scales:
            batch = batch * factor
        return batch

    def _batches(self, x: Any, y: Any, rows: np.ndarray, size: int) -> Any:
        import tensorflow as tf

        batches = tf.data.Dataset.from_tensor_slices(tf.constant(rows, tf.int64)).batch(size)
        return batches.map(lambda chosen: (self._scaled(tf.gather(x, chosen)), tf.gather(y, chosen)))


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
    if len(model.inputs or [None]) != 1:
        return f"the model has {len(model.inputs)} inputs"
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


def tensor_of(array: np.ndarray) -> Any:
    """Return a tensor over the array's own memory, without a copy where TensorFlow allows that. The array must never be changed."""
    import tensorflow as tf

    if array.flags.writeable and array.flags.c_contiguous and array.ctypes.data % 64 == 0 and array.size:
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
