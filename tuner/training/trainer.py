"""Training inside a trial's process: one network, or one per fold in lock-step, epoch by epoch.

Owns seeding, precision, what a checkpoint holds and what an epoch reports. Must not know Ray, the search, or the process it runs in.
Every random draw follows from the recipe's seed: the shuffle of an epoch from (seed, fold, epoch), everything else from Keras's own seeded state.
"""

import math
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.pool import Pool
from tuner.data.splits import Fold
from tuner.data.stream import BATCH_ROWS, Stream
from tuner.errors import TrialDiverged
from tuner.training import checkpoint
from tuner.training.epoch import Epoch, choose_rewriting, hurry_single_operations, tensors_of

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# What of a recipe are tuples, and lists in JSON.
_LISTS = ("search_path", "center", "spread")


@dataclass(frozen=True)
class TrainingConfig:
    """What to train; nothing in it but JSON.

    Attributes:
        builder: `module:function` that makes the network.
        configuration: the hyperparameters.
        task: `classification` or `regression`.
        outputs: classes, or targets.
        epochs: the epochs that learning-rate schedules are stretched over.
        seed: everything random follows from it, from 0 to 2**32 - 1.
        deterministic: whether TensorFlow must repeat itself bit by bit (6 to 10 % slower).
        precision: a Keras dtype policy, one of `PRECISIONS`.
        search_path: folders where the builder's module is looked for.
        center, spread: for regression the mean and the standard deviation of each target, see `search_spaces.problem.Problem`.

    Raises:
        ValueError: an unknown precision, less than one epoch, or a seed out of range.
    """

    builder: str
    configuration: dict[str, Any]
    task: str
    outputs: int
    epochs: int
    seed: int
    deterministic: bool = False
    precision: str = "float32"
    search_path: tuple[str, ...] = ()
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: got {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        if self.epochs < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"recipe: got epochs {self.epochs} and seed {self.seed}; expected at least 1 epoch and a seed from 0 to 2**32 - 1")

    def of(self, configuration: Mapping[str, Any], seed: int) -> "TrainingConfig":
        """Return the same recipe for another configuration and seed.

        Args:
            configuration: the hyperparameters.
            seed: from 0 to 2**32 - 1.
        """
        return replace(self, configuration=dict(configuration), seed=seed)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TrainingConfig":
        """Return the recipe that `to_json` wrote."""
        return cls(**{**value, **{name: tuple(value[name]) for name in _LISTS}})


class Training:
    """One network, or k of them in lock-step, one per fold.

    Attributes:
        recipe: what is trained.
        epoch: epochs that are done.
        parameters: trainable parameters of one network.
        path: how an epoch is run: `compiled epoch` or `fit`.
        reason: why it is `fit`; empty otherwise.
        asked: how what the builder asked for differs from its configuration, see `search_spaces.define_by_run.building.Difference`.
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
        self._folds = list(folds)
        self._pool = tensors_of(pool)
        self._batch_size = network.batch_size(config.configuration)
        networks = []
        for number in range(len(self._folds)):
            keras.utils.set_random_seed(fold_seed(config.seed, number))
            networks.append(self._network(config.precision))
        # Compiling takes longer than many an epoch of a table: with folds it is done once, on a network that is none of theirs.
        stage = Epoch(self._network(config.precision), self._batch_size, self._folds[0].scaling) if len(networks) > 1 else None
        self._runners = [Epoch(model, self._batch_size, fold.scaling, stage) for model, fold in zip(networks, self._folds, strict=True)]
        model = self._runners[0].model
        choose_rewriting(model, max(0 if fold.train is None else len(fold.train) for fold in self._folds))
        self.parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        self.path, self.reason = self._runners[0].path, self._runners[0].reason
        self.asked = difference_of(networks[0]).to_json()

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
            if isinstance(train, Stream):
                size = self._batch_size * max(1, BATCH_ROWS // self._batch_size)
                report = runner.train_chunks(train.chunks(shuffle, size), len(train))
            else:
                report = runner.train(self._pool, shuffle.permutation(train))
            self._check(report["loss"], "loss")
            if validation is not None:
                validated = runner.evaluate(self._pool, validation)
                self._check(validated["loss"], "val_loss")
                report |= {f"val_{name}": value for name, value in validated.items()}
            reports.append(report)
        self.epoch += 1
        return {**_over_folds(reports), "seconds": time.perf_counter() - started}

    def evaluate(self) -> tuple[dict[str, float], np.ndarray]:
        """Return the only network's loss and metrics on its validation rows, and its outputs for them, `(rows, ...)` float32, in their order.

        Raises:
            ValueError: there is more than one network, or no validation rows.
        """
        runner, fold = self._only("evaluate")
        if fold.validation is None:
            raise ValueError("evaluate: got no validation rows; expected some")
        return runner.evaluate(self._pool, fold.validation), runner.predict(self._pool.x, fold.validation)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the only network's outputs, `(rows, ...)` float32, for rows as the pool holds them, `(rows, *input_shape)` of its dtype."""
        runner, _ = self._only("predict")
        return runner.predict(tensors_of(Pool(np.array(x))).x, np.arange(len(x)))

    def layers(self) -> list[dict[str, Any]]:
        """Return the network layer by layer: `name`, `type` (its class), `shape` (of an output, without batch axis) and `parameters`."""
        return [_layer(layer) for layer in self._runners[0].model.layers]

    def export(self, path: str | Path) -> None:
        """Write the only network as a Keras file for inference: float32, without optimizer; whole or not at all."""
        runner, _ = self._only("export")
        plain = self._network("float32")
        if not plain.built:
            plain(np.zeros((1, *self._pool.x.shape[1:]), "float32"))
        for ours, trained in zip(plain.weights, runner.model.weights, strict=True):
            ours.assign(trained)
        plain.compiled, plain.optimizer = False, None
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{os.getpid()}-{path.name}")
        with warnings.catch_warnings():
            # Keras 3.15 hands its variables to numpy 2.4 in a way that is deprecated; `test_keras_warns_when_it_saves` fails once it no longer does.
            warnings.simplefilter("ignore", DeprecationWarning)
            plain.save(aside)
        os.replace(aside, path)

    def load_weights(self, path: str | Path) -> None:
        """Give the only network the weights of one that `export` wrote; nothing in the file is executed.

        Raises:
            ValueError: the file is damaged, or of another network.
        """
        runner, _ = self._only("load_weights")
        runner.model.load_weights(path)

    def save(self, folder: str | Path) -> None:
        """Write weights, optimizer, random state and epoch into a folder; an older checkpoint there stays whole until the new one is.

        Raises:
            OSError: the folder cannot be written.
        """
        checkpoint.write(folder, self.epoch, [runner.variables(self._pool) for runner in self._runners])

    def restore(self, folder: str | Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            ValueError: the checkpoint is damaged, or of another network.
            OSError: there is none.
        """
        self.epoch = checkpoint.read(folder, [runner.variables(self._pool) for runner in self._runners])

    def _network(self, precision: str) -> Any:
        import keras

        from search_spaces import network
        from search_spaces.problem import Problem

        config = self.config
        steps = max(1, math.ceil(min(len(fold.train) if fold.train is not None else 0 for fold in self._folds) / self._batch_size))
        shape = tuple(self._pool.x.shape[1:])
        problem = Problem(config.task, shape, config.outputs, steps_per_epoch=steps, epochs=config.epochs, center=config.center, spread=config.spread)
        keras.config.set_dtype_policy(precision)
        return network.build(config.builder, config.configuration, problem)

    def _only(self, verb: str) -> tuple[Epoch, Fold]:
        if len(self._runners) != 1:
            raise ValueError(f"{verb}: got {len(self._runners)} networks; expected one")
        return self._runners[0], self._folds[0]

    def _check(self, loss: float, name: str) -> None:
        if not math.isfinite(loss):
            raise TrialDiverged(f"{name} is {loss} in epoch {self.epoch + 1}")


def fold_seed(seed: int, fold: int) -> int:
    """Return the seed of a fold's network: the recipe's own for the first.

    Args:
        seed: of the training, from 0 to 2**32 - 1.
        fold: from 0.
    """
    return seed if fold == 0 else int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def _over_folds(reports: Sequence[dict[str, float]]) -> dict[str, float]:
    if len(reports) == 1:
        return dict(reports[0])
    values = {name: [report[name] for report in reports] for name in reports[0]}
    means = {name: float(np.mean(each)) for name, each in values.items()}
    return means | {f"{name}_spread": float(np.std(each, ddof=1)) for name, each in values.items()}


def _layer(layer: Any) -> dict[str, Any]:
    shape = getattr(getattr(layer, "output", None), "shape", None) if layer.built else None
    return {
        "name": layer.name,
        "type": type(layer).__name__,
        "shape": "unknown" if shape is None else " x ".join(str(length) for length in shape[1:]),
        "parameters": int(layer.count_params()) if layer.built else 0,
    }
