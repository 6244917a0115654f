"""Regression: what networks answer in, and what their losses are measured in."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from search_spaces.network import build
from search_spaces.problem import Problem
from tests.search_spaces.test_network import MLP, TABLE, small


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def far_away() -> tuple[Problem, np.ndarray, np.ndarray]:
    """Two targets that depend on the first feature alone, around 1,000 and around -5."""
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    y = np.stack([1000 + 80 * x[:, 0], -5 + 0.1 * x[:, 0]], axis=1)
    return dataclasses.replace(TABLE, center=tuple(y.mean(axis=0)), spread=tuple(y.std(axis=0))), x, y


def test_networks_answer_in_the_targets_units_and_are_judged_in_their_spread(keras: Any) -> None:
    problem, x, y = far_away()
    model = build(MLP.builder, small(), problem)
    outputs = model.predict(x, verbose=0)
    assert np.abs((outputs - problem.center) / problem.spread).max() < 5
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(np.mean(((outputs - y) / problem.spread) ** 2), rel=1e-4)
    assert found["mae"] == pytest.approx(np.mean(np.abs(outputs - y)), rel=1e-4)
    always_the_mean = np.mean(((np.array(problem.center) - y) / problem.spread) ** 2)
    assert always_the_mean == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_targets_that_are_far_away_are_learnt_at_once(optimizer: str, keras: Any) -> None:
    problem, x, y = far_away()
    keras.utils.set_random_seed(0)
    model = build(MLP.builder, small(optimizer=optimizer, learning_rate=0.01, width=32), problem)
    model.fit(x, y, batch_size=20, epochs=8, verbose=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] < 0.2


def test_one_target_has_no_axis_of_its_own(keras: Any) -> None:
    problem, x, y = far_away()
    one = dataclasses.replace(problem, outputs=1, center=problem.center[:1], spread=problem.spread[:1])
    model = build(MLP.builder, small(), one)
    outputs = model.predict(x, verbose=0)[:, 0]
    assert model.evaluate(x, y[:, 0], verbose=0, return_dict=True)["loss"] == pytest.approx(np.mean(((outputs - y[:, 0]) / one.spread) ** 2), rel=1e-4)


@pytest.mark.parametrize(
    ("builder", "configuration", "last"),
    [("network", {}, "in_units"), ("network", {"optimizer": "Adam"}, "dense"), ("subclassed", {}, "dense")],
    ids=["plain", "compiled", "of a class of its own"],
)
def test_models_that_are_more_than_their_layers_keep_their_own_units(builder: str, configuration: dict[str, Any], last: str, keras: Any) -> None:
    problem, _, _ = far_away()
    model = build(f"tests.builders:{builder}", configuration, problem)
    assert model.layers[-1].name.startswith(last)
