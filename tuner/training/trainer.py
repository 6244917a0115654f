"""Training inside a trial's process: one network, or one per fold in lock-step, epoch by epoch.

Owns seeding, precision, what a checkpoint holds and what an epoch reports. Must not know Ray, the search, or the process it runs in.
Every random draw follows from the recipe's seed: the shuffle of an epoch from (seed, fold, epoch), everything else from Keras's own seeded state.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.answers import answers_of, reads_names
from search_spaces.errors import SearchSpaceError
from tuner.data.arrays.structure import Structure, map_leaves, rebuild
from tuner.data.own.pipelines import Opened, Pipeline
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.data.tables.stream import BATCH_ROWS, Stream
from tuner.errors import TrialDiverged
from tuner.training import checkpoint, class_weight, whole
from tuner.training.callbacks import callbacks_over
from tuner.training.config import TrainingConfig
from tuner.training.epoch import Epoch
from tuner.training.folds import fold_seed, over_folds
from tuner.training.graph_options import choose_rewriting, hurry_single_operations
from tuner.training.inputs import described, parts_of, scaled, tensors_of
from tuner.training.layers import layers_of
from tuner.training.own_fit import OWN, fit_of
from tuner.training.own_steps import losses_in, naming_anew
from tuner.training.patience import Waiting
from tuner.training.saved_model import write_for_raw_rows
from tuner.training.scoring import averaged

# Rows that build a model which has no shapes of its own, and show what it gives out.
FIRST_ROWS = 32


class Training:
    """One network, or k of them in lock-step, one per fold.

    Attributes:
        recipe: what is trained.
        epoch: epochs that are done.
        parameters: trainable parameters of one network.
        path: how an epoch is run: `compiled epoch` or `fit`.
        reason: why it is `fit`; empty otherwise.
        asked: how what the builder asked for differs from its configuration, see `search_spaces.define_by_run.building.Difference`.
        kind: what the answers that were asked for last are, see `search_spaces.answers.Meaning`.
        stopped: why it came to its end before its last epoch, `(kind, message)` as in `study.failures.Cause`; None as long as it goes on.
    """

    def __init__(self, config: TrainingConfig, pool: Pool, folds: Sequence[Fold]) -> None:
        """Build the networks.

        Args:
            recipe: what to train.
            pool: the rows; arrays are writable, so that TensorFlow can use them as they lie, and never changed.
            folds: one for each network, with its scaling.

        Raises:
            SearchSpaceError: the builder or its configuration is wrong.
        """
        import keras
        import tensorflow as tf

        sys.path[:0] = [folder for folder in config.search_path if folder not in sys.path]
        from search_spaces import network
        from search_spaces.define_by_run.building import difference_of

        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        hurry_single_operations(tf)
        self.config = config
        self.epoch = 0
        self.kind = ""
        self.stopped: tuple[str, str] | None = None
        self._folds = list(folds)
        self._opened: dict[tuple[int, str], Opened] = {}
        self._pool = tensors_of(pool)
        self._class_weights = [class_weight.of_classes(config.class_weight, pool.y, fold.train, config.outputs) for fold in folds]
        self._trained = [class_weight.weighted(self._pool, pool.y, each, fold.train) for each, fold in zip(self._class_weights, folds, strict=True)]
        self._batch_size = network.batch_size(config.configuration)
        self._problem = self._described()
        networks = []
        for number in range(len(self._folds)):
            keras.utils.set_random_seed(fold_seed(config.seed, number))
            naming_anew()
            networks.append(self._network(config.precision))
        # Compiling takes longer than many an epoch of a table: with folds it is done once, on a network that is none of theirs.
        one = self._network(config.precision) if len(networks) > 1 else None
        stage = None if one is None or config.fit or config.callbacks else Epoch(one, self._batch_size, self._folds[0].scaling, problem=self._problem)
        self._runners = [Epoch(model, self._batch_size, fold.scaling, stage, problem=self._problem) for model, fold in zip(networks, self._folds, strict=True)]
        model = self._runners[0].model
        choose_rewriting(model, max(0 if fold.train is None else len(fold.train) for fold in self._folds))
        self.parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        self.asked = difference_of(networks[0]).to_json()
        self._callbacks = [callbacks_over(runner, config) for runner in self._runners]
        self._fits = [
            fit_of(config, runner, fold, (trained, self._pool), seed=fold_seed(config.seed, number), batches=partial(self._batches, number=number))
            for number, (runner, fold, trained) in enumerate(zip(self._runners, self._folds, self._trained, strict=True))
        ]

    @property
    def path(self) -> str:
        return self._runners[0].path

    @property
    def reason(self) -> str:
        return self._runners[0].reason

    def run_epoch(self) -> dict[str, float]:
        """Train and validate every network for one epoch.

        Returns:
            `loss`, the compiled metrics, the same with `val_` before them, and `seconds`. Over folds: means, and `<metric>_spread`, the
            sample standard deviation.

        Raises:
            TrialDiverged: a loss is no finite number.
            ValueError: a fold has no training rows.
        """
        started = time.perf_counter()
        reports = []
        for number, (runner, fold) in enumerate(zip(self._runners, self._folds, strict=True)):
            train, validation = fold.train, fold.validation
            if train is None:
                raise ValueError("run_epoch: got no training rows; expected some in every fold")
            shuffle = np.random.default_rng([self.config.seed, number, self.epoch])
            fit, callbacks = self._fits[number], self._callbacks[number]
            if callbacks is not None:
                callbacks.begin(self.epoch)
            if fit is not None:
                report, ended = fit.epoch()
                if ended and self.epoch + 1 < self.config.epochs:
                    self.stopped = "itself", f"its own fit came to its end after {self.epoch + 1} epochs"
            elif isinstance(train, Stream):
                size = self._batch_size * max(1, BATCH_ROWS // self._batch_size)
                report = runner.train_chunks(train.chunks(shuffle, size), len(train), self._class_weights[number])
            elif isinstance(train, Pipeline):
                batches = self._batches(train, number=number, name="train")
                report = runner.train_batches(batches, train.steps, self._pool, self._class_weights[number])
            else:
                report = runner.train(self._trained[number], shuffle.permutation(train))
            self._check(report)
            if validation is not None and not runner.unscored:
                if isinstance(validation, Pipeline):
                    validated = runner.evaluate_batches(self._batches(validation, number=number, name="validation"), validation.steps, self._pool)
                else:
                    validated = runner.evaluate(self._pool, validation)
                self._check(validated, "val_")
                report |= {f"val_{name}": value for name, value in validated.items()}
            if callbacks is not None and (stopper := callbacks.end(self.epoch, report)) and self.epoch + 1 < self.config.epochs:
                self.stopped = "itself", f"the callback {stopper} ended it after {self.epoch + 1} epochs"
            reports.append(report)
        self.epoch += 1
        report = over_folds(reports)
        if self._waiting is not None:
            self._waiting.note(self.epoch, report)
            self.stopped = self.stopped or self._waiting.why
            if self.stopped or self.epoch >= self.config.epochs:
                self._waiting.bring_back()
        return {**report, "seconds": time.perf_counter() - started}

    @cached_property
    def _waiting(self) -> Waiting | None:
        """How long the training has waited to get better, which can be said once all variables are there."""
        return None if self.config.patience is None else Waiting(self.config.patience, [runner.scored(self._pool) for runner in self._runners])

    def close(self) -> None:
        """Let go of what runs beside: no further epoch is wanted."""
        for fit in self._fits:
            if fit is not None:
                fit.close()

    def _state(self) -> list[list[Any]]:
        """Return what a checkpoint holds: of a network that an own fit may compile anew, its own variables alone."""
        networks = [list(runner.model.variables) if runner.path == OWN else runner.variables(self._pool) for runner in self._runners]
        return networks + ([] if self._waiting is None else self._waiting.variables)

    def _batches(self, pipeline: Pipeline, *, number: int, name: str) -> Any:
        """Return the batches of a fold's next epoch; its function is called once in this training."""
        if (number, name) not in self._opened:
            self._opened[number, name] = pipeline.open(self.epoch)
        return self._opened[number, name].epoch()

    def evaluate(self) -> tuple[dict[str, float], Structure]:
        """Return the only network's loss and metrics on its validation rows, and its answers for them, `(rows, ...)` float32, in their order; see `predict`.

        Raises:
            ValueError: there is more than one network, or no validation rows.
        """
        runner, fold = self._only("evaluate")
        if fold.validation is None:
            raise ValueError("evaluate: got no validation rows; expected some")
        report = {} if runner.unscored else runner.evaluate(self._pool, fold.validation)
        return report, self._answers(runner.predict(self._pool.x, fold.validation))

    def predict(self, x: Structure) -> Structure:
        """Return the only network's answers, `(rows, ...)` float32, for rows as the pool holds them, `(rows, *input_shape)` of its dtypes.

        Probabilities for classes (rows, classes) and labels, values for numbers; of several outputs a structure of what the network gives. `kind` says which.
        """
        runner, _ = self._only("predict")
        given = Pool(map_leaves(np.array, x))
        return self._answers(runner.predict(tensors_of(given).x, np.arange(len(given))))

    def _answers(self, outputs: Structure) -> Structure:
        if isinstance(outputs, dict | list | tuple):
            self.kind = "values"
            return outputs
        answers, meaning = answers_of(outputs, self._runners[0].meaning)
        self.kind = meaning.kind
        return answers

    def layers(self) -> list[dict[str, Any]]:
        """Return the network layer by layer: `name`, `type` (its class), `shape` (of an output, without batch axis) and `parameters`."""
        return layers_of(self._runners[0].model)

    def export(self, path: str | Path, features: Mapping[str, Any] | None = None) -> str:
        """Write the only network as a Keras file for inference: float32, without optimizer; whole or not at all.

        Args:
            path: of the file, which ends in `.keras`. Where Keras cannot write the network down, its weights stand beside it, see `saved_model.weights_beside`.
            features: how rows of the source become those of the pool, see `inputs_from_json`: the model takes the former; None: the network by itself.

        Returns:
            Why Keras cannot, in a line; empty where the file holds the network.
        """
        runner, fold = self._only("export")
        plain = self._network("float32")
        first = scaled(self._pool.take(slice(FIRST_ROWS)).x, *parts_of(fold.scaling))
        if not plain.built:
            plain(first)
        with averaged(runner.model):
            for ours, trained in zip(plain.weights, runner.model.weights, strict=True):
                ours.assign(trained)
        plain.compiled, plain.optimizer = False, None
        return write_for_raw_rows(plain, Path(path), features, scaling=fold.scaling, meaning=runner.meaning, rows=first)

    def load_weights(self, path: str | Path) -> None:
        """Give the only network the weights of one that `export` wrote; nothing in the file is executed.

        Raises:
            ValueError: the file is damaged, or of another network.
        """
        runner, _ = self._only("load_weights")
        whole.with_weights(runner.model, path)

    def save(self, folder: str | Path) -> None:
        """Write weights, optimizer, random state and epoch into a folder; an older checkpoint there stays whole until the new one is.

        Raises:
            OSError: the folder cannot be written.
        """
        checkpoint.write(folder, self.epoch, self._state())

    def restore(self, folder: str | Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            ValueError: the checkpoint is damaged, or of another network.
            OSError: there is none.
        """
        self.epoch = checkpoint.read(folder, self._state())
        for layer in (each for runner in self._runners for each in runner.model._flatten_layers()):
            if hasattr(layer, "finalize_state"):  # Normalization works with copies of its variables
                layer.finalize_state()
        self.stopped = None if self._waiting is None else self._waiting.why

    def _network(self, precision: str) -> Any:
        import keras

        from search_spaces import network

        config = self.config
        keras.config.set_dtype_policy(precision)
        kinds, numbers = parts_of(self._folds[0].scaling)
        batch = scaled(self._pool.take(slice(FIRST_ROWS)).x, kinds, numbers)
        model = network.build(config.builder, config.configuration, self._problem, batch=batch, loss=config.loss, metrics=config.metrics)
        names = reads_names(model)
        if names and any(kind is not None and (kind[0] or kind[1]) for kind in kinds):
            raise SearchSpaceError(
                f'{config.builder}: its network begins with {names}, for whole numbers, and these are scaled; expected dataset.scaling = "none"'
            )
        return model

    def _described(self) -> Any:
        """Return what a builder learns of the data."""
        from search_spaces.problem import ArraySpec, Problem

        config, pool = self.config, self._pool
        steps = max(1, min(_steps(fold.train, self._batch_size) for fold in self._folds))
        given = described((pool.x, pool.y))
        inputs, targets = rebuild(given["bones"], [ArraySpec(tuple(shape), dtype) for shape, dtype in given["leaves"]])
        scalings, names = iter(self._folds[0].scaling), iter(config.names)
        inputs = map_leaves(lambda spec: ArraySpec(spec.shape, spec.dtype if next(scalings, None) is None else "float32", next(names, 0)), inputs)
        if targets is None and config.targets is not None:
            targets = rebuild(config.targets["bones"], [ArraySpec(tuple(shape), dtype) for shape, dtype in config.targets["leaves"]])
        shapes = map_leaves(lambda spec: spec.shape, inputs)
        return Problem(
            config.task,
            shapes,
            config.outputs,
            steps_per_epoch=steps,
            epochs=config.epochs,
            center=config.center,
            spread=config.spread,
            inputs=inputs,
            targets=targets,
            classes=config.classes,
        )

    def _only(self, verb: str) -> tuple[Epoch, Fold]:
        if len(self._runners) != 1:
            raise ValueError(f"{verb}: got {len(self._runners)} networks; expected one")
        return self._runners[0], self._folds[0]

    def _check(self, report: Mapping[str, float], before: str = "") -> None:
        for name in losses_in(report):
            if not math.isfinite(report[name]):
                raise TrialDiverged(f"{before}{name} is {report[name]} in epoch {self.epoch + 1}")


def _steps(rows: Any, batch_size: int) -> int:
    if isinstance(rows, Pipeline):
        return rows.steps
    return 0 if rows is None else math.ceil(len(rows) / batch_size)
