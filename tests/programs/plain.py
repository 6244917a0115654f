"""What plain Keras scores with the network of a program: the winner's configuration, for as many epochs, on the same split."""

import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from tests.programs.kinds import KINDS
from tuner.data.structure import leaves, map_leaves, rebuild, skeleton
from tuner.results.leaderboard import Leaderboard

# What Tuner compiles with where a builder leaves that to it.
COMPILED: dict[str, dict[str, Any]] = {
    "classification": {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
    "multilabel": {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"]},
    "regression": {"loss": "mse", "metrics": ["mae"]},
}


def scores(program: str, board: Leaderboard, parts: dict[str, Any] | None = None) -> dict[str, float]:
    """Train by `fit` on the rows to train and to validate on, as the final training does, and return what `evaluate` says of the test rows.

    Args:
        program: the module's name.
        board: of its sweep.
        parts: "train", "validation", "test" -> (x, y) or {"x": ..., "y": ...}; None: what the program's `load` gives.
    """
    module, final, data = importlib.import_module(f"tests.programs.{program}"), board.facts["final"], board.facts["dataset"]
    if parts is None:
        asks = "split" in inspect.signature(module.load).parameters
        parts = {name: module.load(name) for name in ("train", "validation", "test")} if asks else module.load()
    train, validation, test = (_pair(parts[name]) for name in ("train", "validation", "test"))
    x, y = (_joined(one, other) for one, other in zip(train, validation, strict=True))
    standard = [each["scaling"] == "standard" for each in data["inputs"]]
    moments = [(leaf.mean(axis=0), leaf.std(axis=0)) if scaled else None for leaf, scaled in zip(leaves(x), standard, strict=True)]
    # As Tuner scales where a program leaves that to it; numpy's own arithmetic.
    scale = lambda rows: rebuild(  # noqa: E731
        skeleton(rows), [leaf if each is None else (leaf - each[0]) / each[1] for leaf, each in zip(leaves(rows), moments, strict=True)]
    )
    keras.utils.set_random_seed(1)
    model = module.build(dict(final["configuration"]), _problem(x, data))
    if not model.compiled:
        model.compile(keras.optimizers.Adam(final["configuration"].get("learning_rate", 0.001)), **COMPILED[data["task"]])
    model.fit(scale(x), y, batch_size=final["configuration"].get("batch_size", 128), epochs=final["epochs"], verbose=0)
    told = model.evaluate(scale(test[0]), test[1], verbose=0, return_dict=True)
    return {f"test_{name}": float(value) for name, value in told.items()}


def compare(program: str, board: Leaderboard, parts: dict[str, Any] | None = None) -> tuple[float, float]:
    """Check that the final training's score is near plain Keras's, and return both; see `scores`."""
    kind = KINDS[program]
    ours, theirs = board.facts["final"]["mean"][kind.score], scores(program, board, parts)[kind.score]
    assert abs(ours - theirs) <= kind.near, f"{program}: {kind.score} {ours:.4f}, plain Keras {theirs:.4f}"
    return ours, theirs


def _pair(part: Any) -> tuple[Any, Any]:
    if isinstance(part, dict):
        return part["x"], part.get("y")
    if hasattr(part, "as_numpy_iterator"):  # a tf.data.Dataset: its batches, joined
        batches = list(part.as_numpy_iterator())
        return tuple(np.concatenate(each) for each in zip(*batches, strict=True))  # type: ignore[return-value]
    return part[0], part[1]


def _joined(one: Any, other: Any) -> Any:
    if one is None:
        return None
    rest = iter(leaves(other))
    return map_leaves(lambda leaf: np.concatenate([leaf, next(rest)]), one)


def _problem(x: Any, data: dict[str, Any]) -> Any:
    return SimpleNamespace(input_shape=map_leaves(lambda leaf: leaf.shape[1:], x), outputs=data["outputs"], task=data["task"])
