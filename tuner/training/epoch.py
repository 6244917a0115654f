"""One epoch of one network: the whole of it in a single TensorFlow function, or Keras's own `fit` where that cannot be.

`fit` returns to Python after every batch; on small networks that costs more than the arithmetic. Here the loop over the batches, the gathering
of rows, their scaling and Keras's own training step run inside one compiled function. Both ways train on the same batches in the same order.

Runs in a trial's process. Must not know where the data came from, what the network is, or what is done with the figures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from search_spaces.answers import Meaning, meaning_of
from search_spaces.fused_ops import fuse, fuse_normalization
from search_spaces.graph_equality import graphs_equal
from search_spaces.metrics import suit
from search_spaces.problem import Problem
from tuner.data.arrays.structure import Structure, leaves, map_leaves
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.training.class_weight import batches_weighted
from tuner.training.inputs import gather, parts_of, scaled
from tuner.training.loops import keras_loop, own_loop
from tuner.training.own_steps import LOOPS, STEPS, Logs, flat, optimizers_of, own, resolved, results_of
from tuner.training.scoring import averaged, averages_of, metrics_kept, not_finished, without_penalties

# Rows per step where nothing is trained: large enough that the step's own cost vanishes, small enough to stay in the processor's cache.
EVALUATION_ROWS = 512


class Epoch:
    """Trains a compiled Keras model epoch by epoch over rows of a pool held in memory.

    Attributes:
        path: `compiled epoch` or `fit`.
        reason: why it is `fit`; empty otherwise.
        said: in one line each, what is computed otherwise than Keras alone would, once the model is built.
        unscored: why rows cannot be scored; empty where they can, once the model is built.
    """

    def __init__(self, model: Any, batch_size: int, scaling: Sequence[Scaling | None], stage: "Epoch | None" = None, *, problem: Problem | None = None) -> None:
        """Prepare a model.

        Args:
            model: a compiled Keras model.
            batch_size: rows per training step.
            scaling: of each input, in their order: what makes a network's input out of a row's; None: it is left as it is.
            stage: of a network that is not trained for itself: one that is alike takes its place for every epoch, so that only the stage is compiled.
            problem: what the model fits; None: its outputs are values, and its metrics are left to themselves.
        """
        self.model = model
        self.batch_size = batch_size
        self.reason = obstacle(model)
        self.path = "fit" if self.reason else "compiled epoch"
        self.said: list[str] = []
        self.unscored = ""
        self._problem = problem
        self._own = own(model, STEPS)
        self._scaling = tuple(scaling)
        self._built = False
        self._functions: dict[str, Any] = {}
        self._stage = stage if stage is not None and not self.reason and stage._serves(self) else None
        self._holds: Epoch | None = None  # of a stage: whose values it has
        self._listeners: list[Any] = []

    def leave_to_keras(self, reason: str, *, path: str = "fit", listeners: Sequence[Any] = ()) -> None:
        """Train by Keras's `fit` from now on, and score by its `evaluate`.

        Args:
            reason: why, in one line.
            listeners: callbacks that hear of each batch.
            path: what the way is called.
        """
        self.reason, self.path, self._listeners, self._stage = reason, path, list(listeners), None

    @property
    def meaning(self) -> Meaning:
        """What the model's only output is."""
        return Meaning("values") if self._problem is None else meaning_of(self.model, self._problem)

    def train(self, pool: Pool, order: np.ndarray) -> dict[str, float]:
        """Train on every row of `order` once, the last and smaller batch included.

        Args:
            pool: of tensors, see `tensors_of`.
            order: row numbers in the order of training, `(n,)` int64.

        Returns:
            The loss and the compiled metrics over the epoch. A loss that is no finite number ends the epoch early.
        """
        if not self.reason:
            report = self._run("train", pool, order)
            if report is not None:
                return report
        self._build(pool)
        return self._fit(self._batches(pool, order, self.batch_size))

    def train_chunks(self, chunks: Iterable[tuple[np.ndarray, np.ndarray]], rows: int, of_classes: np.ndarray | None = None) -> dict[str, float]:
        """Train on rows that come in chunks, for a pool that is not in memory: the compiled loop runs once per chunk, and Python is met in between.

        Args:
            chunks: x, `(n, *input_shape)` uint8 or float32, and y, `(n, ...)` int32 or float32, in the order of training; all n but the last are a multiple of
            the batch size.
            rows: of all chunks together.
            of_classes: how much a row counts by its class, (classes,) float32; None: all alike.

        Returns:
            As `train`.
        """
        import tensorflow as tf

        def counted(y: np.ndarray) -> tuple[Any, ...]:
            return (tf.constant(y),) if of_classes is None else (tf.constant(y), tf.constant(of_classes[y]))

        if self._own and not self.reason:
            self.reason, self.path = f"the model has its own {self._own}(), and its rows are streamed", "fit"
        if self.reason:
            size = self.batch_size
            parts = ((self._scaled(tf.constant(x[at : at + size])), *counted(y[at : at + size])) for x, y in chunks for at in range(0, len(x), size))
            return self._fit(parts, steps_per_epoch=math.ceil(rows / size))
        report: dict[str, float] = {}
        for x, y in chunks:
            report = self._run("train", Pool(tf.constant(x), *counted(y)), np.arange(len(x)), anew=not report) or {}
            if not np.isfinite(report["loss"]):
                break
        return report

    def train_batches(self, batches: Any, steps: int, pool: Pool, of_classes: np.ndarray | None = None) -> dict[str, float]:
        """Train on batches of the user's own making, as they come.

        Args:
            batches: a tf.data.Dataset, a PyDataset or a generator, which end with the epoch.
            steps: how many.
            pool: of tensors: a few rows of the same form.
            of_classes: how much a row counts by its class, (classes,) float32; None: all alike.

        Returns:
            As `train`.
        """
        self.reason, self.path = self.reason or "its batches come from a pipeline", "fit"
        self._build(pool)
        # A PyDataset's batches are mixed, as Keras does it; of others only their maker decides.
        counted, weights = batches_weighted(batches, of_classes)
        return self._fit(counted, shuffle=hasattr(batches, "num_batches"), steps_per_epoch=_untold(batches, steps), **weights)

    def evaluate_batches(self, batches: Any, steps: int, pool: Pool) -> dict[str, float]:
        """Return what `evaluate` does, over batches of the user's own making.

        Args:
            batches: as in `train_batches`.
            steps: how many.
            pool: of tensors: a few rows of the same form.
        """
        self._build(pool)
        return self._evaluate(batches, steps=_untold(batches, steps))

    def evaluate(self, pool: Pool, rows: np.ndarray) -> dict[str, float]:
        """Return the loss and the compiled metrics over some rows; nothing is trained, and no penalty on weights counts.

        Args:
            pool: of tensors, see `tensors_of`.
            rows: row numbers, `(n,)` int64.
        """
        if not self.reason:
            report = self._run("evaluate", pool, rows)
            if report is not None:
                return report
        self._build(pool)
        return self._evaluate(self._batches(pool, rows, EVALUATION_ROWS))

    def predict(self, x: Structure, rows: np.ndarray) -> Structure:
        """Return the network's outputs for some rows of the inputs, `(n, ...)` float32, in the order of `rows`; of several outputs a structure.

        Args:
            x: inputs, in tensors.
            rows: row numbers, `(n,)` int64.
        """
        import keras

        with averaged(self.model):
            chunks = (gather(x, rows[start : start + EVALUATION_ROWS]) for start in range(0, len(rows), EVALUATION_ROWS))
            outputs = [self.model(self._scaled(chunk), training=False) for chunk in chunks]
        return keras.tree.map_structure(lambda *parts: np.concatenate([np.asarray(part, dtype="float32") for part in parts]), *outputs)

    def weights(self, pool: Pool) -> list[Any]:
        """Return the network's own variables, without its optimizer's, always in the same order: what scores and answers depend on."""
        self._build(pool)
        return list(self.model.variables)

    def inputs(self, x: Structure, rows: np.ndarray) -> Structure:
        """Return rows as the network takes them, in numpy arrays.

        Args:
            x: inputs, in tensors.
            rows: row numbers, `(n,)` int64.
        """
        return map_leaves(np.asarray, self._scaled(gather(x, rows)))

    def variables(self, pool: Pool) -> list[Any]:
        """Return everything that the next epoch depends on: weights, random states, optimizer; always in the same order. It may be changed by the caller."""
        if self._stage is not None:
            self._stage._holds = None
        return self._variables(pool)

    def scored(self, pool: Pool) -> list[Any]:
        """Return what the network's answers depend on, always in the same order: its weights, and their averages where it keeps some."""
        self.variables(pool)
        return [*self.model.weights, *averages_of(self.model.optimizer)]

    def _variables(self, pool: Pool) -> list[Any]:
        self._build(pool)
        return [*self.model.variables, *(variable for optimizer in optimizers_of(self.model) for variable in optimizer.variables)]

    def _fit(self, batches: Any, *, shuffle: bool = False, **options: Any) -> dict[str, float]:
        logs = Logs()
        with not_finished(self.model):
            history = self.model.fit(batches, verbose=0, shuffle=shuffle, callbacks=self._listening(logs), **options)
        return self._figures({name: values[-1] for name, values in history.history.items()}, logs)

    def _evaluate(self, batches: Any, **options: Any) -> dict[str, float]:
        logs = Logs()
        with without_penalties(self.model), averaged(self.model), metrics_kept(self.model):
            report = self.model.evaluate(batches, verbose=0, return_dict=True, callbacks=self._listening(logs), **options)
        return self._figures(report, logs)

    def _listening(self, logs: Logs) -> list[Any]:
        # To hear of every batch costs an epoch a good part of its time.
        return [*self._listeners, *([logs.callback()] if self._own else [])]

    def _figures(self, report: Mapping[str, Any], logs: Logs) -> dict[str, float]:
        """Return what Keras reports; of steps of one's own, what they say."""
        return flat({**report, **logs.report(results_of(self.model))} if self._own else report)

    def _run(self, name: str, pool: Pool, rows: np.ndarray, *, anew: bool = True) -> dict[str, float] | None:
        """Run one compiled epoch; None where it turns out that it cannot be compiled, and nothing has happened."""
        import tensorflow as tf

        at = self._stage or self
        if name not in at._functions and not at._compile(name, pool):
            self.reason, self.path = at.reason, "fit"
            return None
        if at is not self and at._holds is not self:
            _copy(self._variables(pool), at._variables(pool))
            at._holds = self
        if anew:
            at.model.reset_metrics()
        numbers = [tf.constant(number, tf.float32) for number in self._numbers()]
        given = leaves((pool.x, pool.y, pool.w)), tf.constant(rows, tf.int64), *numbers
        if name == "train":
            results = at._functions[name](*given)
        else:
            with averaged(at.model):
                results = at._functions[name](*given)
        if at is not self and name == "train":
            _copy(at._variables(pool), self._variables(pool))
        if not at._own:
            return flat(results)
        logs, sums, count = ({key: float(value) for key, value in part.items()} for part in results)
        return resolved(logs, {key: sums[key] / count["rows"] for key in sums}, results_of(at.model))

    def _compile(self, name: str, pool: Pool) -> bool:
        """Compile an epoch; False, and why, where a step of the model's own does not let itself be compiled with the rest."""
        self._build(pool)
        step, size = (self.model.train_step, self.batch_size) if name == "train" else (self.model.test_step, EVALUATION_ROWS)
        with nullcontext() if name == "train" else without_penalties(self.model):
            if not self._own:
                loop = keras_loop(self.model, step, size, pool=pool, scaling=self._scaling)
                loop.get_concrete_function()  # now, while penalties are left out
                self._functions[name] = loop
                return True
            try:
                loop = own_loop(self.model, step, size, pool=pool, scaling=self._scaling)
                loop.get_concrete_function()
            except Exception as error:
                line = str(error).strip().splitlines() or [type(error).__name__]
                self.reason, self.path = f"the model has its own {self._own}(), which cannot be compiled with its loop ({line[0][:120]})", "fit"
                return False
        self._functions[name] = loop
        return True

    def _serves(self, other: "Epoch") -> bool:
        """Say whether the other network can take this one's place."""
        return not self.reason and self._kind() == other._kind() and graphs_equal(self.model, other.model)

    def _numbers(self) -> list[np.ndarray]:
        return parts_of(self._scaling)[1]

    def _kind(self) -> tuple[Any, ...]:
        return parts_of(self._scaling)[0]

    def _build(self, pool: Pool) -> None:
        """Create every variable now: none may be created inside the loop, nor after a checkpoint was read."""
        if self._built:
            return
        self._built = True
        model = self.model
        first = pool.take(slice(1))
        inputs = self._scaled(first.x)
        outputs = model(inputs, training=False)
        if not model.compiled:
            return
        if model._compile_metrics is not None and first.y is not None and not model._compile_metrics.built:
            model._compile_metrics.build(first.y, outputs)
            if self._problem is not None:
                self.said = suit(model._compile_metrics.metrics, self._problem, self.meaning)
        own_step = own(model, ("train_step",))
        try:
            if not own_step or not own(model, ("test_step",)):
                model._compute_loss(inputs, first.y, outputs, first.w, training=False)
        except ValueError as error:
            if not own_step or "No loss to compute" not in str(error):
                raise
            self.unscored = "it is compiled without a loss, and has no test_step() of its own"
        if not own_step:
            model.compute_metrics(inputs, first.y, outputs, first.w)
        model.reset_metrics()
        for optimizer in optimizers_of(model):
            if optimizer is model.optimizer and not optimizer.built:
                optimizer.build(model.trainable_variables)
                # XLA fuses operations itself.
                if not self.reason and not model.jit_compile:
                    fuse(optimizer)
                    for layer in model._flatten_layers():
                        fuse_normalization(layer)

    def _scaled(self, batch: Structure, *numbers: Any) -> Structure:
        """Return a batch of inputs as the network takes them; see `scaled`."""
        return scaled(batch, self._kind(), numbers or self._numbers())

    def _batches(self, pool: Pool, rows: np.ndarray, size: int) -> Any:
        import keras
        import tensorflow as tf

        def batch(chosen: Any) -> Any:
            x, y, w = gather((pool.x, pool.y, pool.w), chosen)
            return keras.utils.pack_x_y_sample_weight(self._scaled(x), y, w)

        return tf.data.Dataset.from_tensor_slices(tf.constant(rows, tf.int64)).batch(size).map(batch)


def _untold(batches: Any, steps: int) -> int | None:
    """Return how many batches there are where they do not tell it themselves; None where they do.

    Keras 3.15 takes a step of the optimizer on nothing where it meets an end that it did not foresee. Where it was foreseen, to say the number again would
    begin a pass through the data that nobody ends.
    """
    tells = hasattr(batches, "num_batches") or (hasattr(batches, "cardinality") and int(batches.cardinality()) >= 0)
    return None if tells else steps


def _copy(source: Sequence[Any], target: Sequence[Any]) -> None:
    """Give Keras variables the values of others."""
    import tensorflow as tf

    for one, other in zip(source, target, strict=True):
        tf.raw_ops.AssignVariableOp(resource=other.value.handle, value=one.value.read_value())


def obstacle(model: Any) -> str:
    """Say why a model must be trained by `fit`, in one line; empty where the compiled epoch does the same."""
    if name := own(model, LOOPS):
        return f"the model has its own {name}()"
    if model.run_eagerly:
        return "the model is compiled with run_eagerly=True"
    if model.optimizer is None:
        return "the model has no optimizer"
    if not model.trainable_variables:
        return "the model has nothing to train"
    return ""
