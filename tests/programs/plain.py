"""What plain Keras scores with the network of a program: the winner's configuration, for as many epochs, on the same split."""

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.programs.kinds import KINDS
from tuner.data.arrays.structure import leaves, map_leaves
from tuner.results.leaderboard import Leaderboard

SPLITS = ("train", "validation", "test")
# What Tuner compiles with where a builder leaves that to it.
COMPILED: dict[str, dict[str, Any]] = {
    "classification": {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
    "multilabel": {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"]},
    "regression": {"loss": "mse", "metrics": ["mae"]},
}


def compare(program: str, board: Leaderboard, folder: Path) -> tuple[float, float]:
    """Check that the final training's score is near plain Keras's, and return both.

    Args:
        program: the module's name, a row of `KINDS`.
        board: of its sweep.
        folder: of its sweep.
    """
    kind = KINDS[program]
    ours, theirs = board.facts["final"]["mean"][kind.score], scores(program, board, folder)[kind.score]
    assert abs(ours - theirs) <= kind.near, f"{program}: {kind.score} {ours:.4f}, plain Keras {theirs:.4f}"
    return ours, theirs


def scores(program: str, board: Leaderboard, folder: Path) -> dict[str, float]:
    """Train by `fit` on the rows to train and to validate on, as the final training does, and return what `evaluate` says of the test rows."""
    module, final, data = importlib.import_module(f"tests.programs.{program}"), board.facts["final"], board.facts["dataset"]
    train, validation, test = (_pair(part) for part in _parts(module, folder))
    x, y = (_joined(one, other) for one, other in zip(train, validation, strict=True))
    methods = [each["scaling"] for each in data["inputs"]]
    scale = _scaling(x, methods)
    # Numbers are learnt as numbers around 0, as people do by hand.
    numbers = data["task"] == "regression"
    center, spread = (y.mean(axis=0), y.std(axis=0)) if numbers else (0, 1)
    keras.utils.set_random_seed(1)
    configuration = dict(final["configuration"])
    problem = SimpleNamespace(input_shape=map_leaves(lambda leaf: leaf.shape[1:], x), outputs=data["outputs"], task=data["task"])
    model = module.build(configuration, problem)
    if not model.compiled:
        model.compile(keras.optimizers.Adam(configuration.get("learning_rate", 0.001)), **COMPILED[data["task"]])
    size = configuration.get("batch_size", 128)
    if any(leaf.dtype.kind == "S" for leaf in leaves(x)):  # Keras takes words from a tf.data.Dataset alone
        model.fit(tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(y)).batch(size), epochs=final["epochs"], shuffle=False, verbose=0)
        told = model.evaluate(tf.data.Dataset.from_tensor_slices(test).batch(size), verbose=0, return_dict=True)
        return {f"test_{name}": float(value) for name, value in told.items()}
    if hasattr(module, "fit"):
        module.fit(model, SimpleNamespace(x=scale(x), y=y, validation=None, batch_size=size), final["epochs"], [], configuration)
        return {f"test_{name}": float(value) for name, value in model.evaluate(scale(test[0]), test[1], verbose=0, return_dict=True).items()}
    model.fit(scale(x), (y - center) / spread if numbers else y, batch_size=size, epochs=final["epochs"], verbose=0)
    if numbers:
        return {"test_mae": float(np.abs(model.predict(scale(test[0]), verbose=0) * spread + center - test[1]).mean())}
    return {f"test_{name}": float(value) for name, value in model.evaluate(scale(test[0]), test[1], verbose=0, return_dict=True).items()}


def _parts(module: Any, folder: Path) -> list[Any]:
    """Return train, validation and test: as the program gives them, or as the sweep has divided its rows."""
    if hasattr(module, "parts"):
        return [module.parts(folder.parent)[name] for name in SPLITS]
    if "split" in inspect.signature(module.load).parameters:
        return [module.load(name) for name in SPLITS]
    given = module.load()
    if "train" in given:
        return [given[name] for name in SPLITS]
    with np.load(folder / "split.npz") as rows:
        return [(given["x"][rows[name]], given["y"][rows[name]]) for name in SPLITS]


def _pair(part: Any) -> tuple[Any, Any]:
    if isinstance(part, dict):
        return part["x"], part.get("y")
    if hasattr(part, "as_numpy_iterator"):  # a tf.data.Dataset: its batches, joined
        images, labels = zip(*part.as_numpy_iterator(), strict=True)
        return np.concatenate(images), np.concatenate(labels)
    return part[0], part[1]


def _joined(one: Any, other: Any) -> Any:
    if one is None:
        return None
    rest = iter(leaves(other))
    return map_leaves(lambda leaf: np.concatenate([leaf, next(rest)]), one)


def _scaling(x: Any, methods: list[str | None]) -> Any:
    """Return a function that scales rows as Tuner does where a program leaves that to it."""
    moments = [_moments(leaf, method) for leaf, method in zip(leaves(x), methods, strict=True)]

    def scale(rows: Any) -> Any:
        rest = iter(moments)
        return map_leaves(lambda leaf: leaf if (each := next(rest)) is None else (leaf - each[0]) / each[1], rows)

    return scale


def _moments(leaf: np.ndarray, method: str | None) -> tuple[Any, Any] | None:
    if method == "unit":
        return 0, np.float32(255)
    if method != "standard":
        return None
    axis = 0 if leaf.ndim == 2 else None
    deviation = leaf.std(axis=axis)
    return leaf.mean(axis=axis), np.where(deviation == 0, 1, deviation).astype("float32")
