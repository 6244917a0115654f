"""Fused update kernels against Keras's own steps."""

from typing import Any

import numpy as np
import pytest

from search_spaces.fused import fuse

FUSED: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD momentum": {"momentum": 0.9},
    "SGD nesterov": {"momentum": 0.9, "nesterov": True},
    "RMSprop": {"rho": 0.8},
    "RMSprop momentum": {"momentum": 0.5},
    "Adadelta": {"rho": 0.9},
    "Adam": {"beta_1": 0.8, "beta_2": 0.99},
    "Adam clipped": {"clipnorm": 0.1},
    "AdamW": {"weight_decay": 0.1},
    "Adamax": {"beta_2": 0.9},
}
KERAS_OWN: dict[str, dict[str, Any]] = {"RMSprop centered": {"centered": True}, "Adam amsgrad": {"amsgrad": True}, "Adagrad": {}, "Nadam": {}, "Lion": {}}


def optimizer_of(name: str, arguments: dict[str, Any], rate: Any) -> Any:
    import keras

    return getattr(keras.optimizers, name.partition(" ")[0])(learning_rate=rate, **arguments)


def stepped(optimizer: Any, *, fused: bool) -> list[np.ndarray]:
    """Take five steps on two weights and return the weights and the optimizer's own variables."""
    import keras

    draw = np.random.default_rng(0)
    weights = [keras.Variable(draw.normal(size=shape).astype("float32")) for shape in ((3, 4), (4,))]
    optimizer.build(weights)
    assert fuse(optimizer) is fused
    for _ in range(5):
        optimizer.apply([keras.ops.convert_to_tensor(draw.normal(size=weight.shape).astype("float32")) for weight in weights])
    return [np.asarray(variable) for variable in [*weights, *optimizer.variables]]


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_step_is_keras_own_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def rate() -> Any:
        return keras.optimizers.schedules.ExponentialDecay(0.05, 5, 0.5)

    fused = stepped(optimizer_of(name, FUSED[name], rate()), fused=True)
    monkeypatch.setattr("search_spaces.fused._rule", lambda optimizer: None)
    plain = stepped(optimizer_of(name, FUSED[name], rate()), fused=False)
    for ours, theirs in zip(fused, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", KERAS_OWN)
def test_rules_without_an_equal_kernel_stay_with_keras(name: str) -> None:
    stepped(optimizer_of(name, KERAS_OWN[name], 0.1), fused=False)


def test_optimizers_of_ones_own_stay_with_keras() -> None:
    import keras

    class Own(keras.optimizers.Adam):
        pass

    stepped(Own(), fused=False)


def test_gradients_of_single_rows_go_to_keras() -> None:
    import keras
    import tensorflow as tf

    weight = keras.Variable(np.ones((4, 2), "float32"))
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build([weight])
    assert fuse(optimizer)
    optimizer.apply([tf.IndexedSlices(tf.ones((1, 2)), tf.constant([2]), tf.constant([4, 2]))])
    assert np.asarray(weight).tolist() == [[1, 1], [1, 1], [0.5, 0.5], [1, 1]]
