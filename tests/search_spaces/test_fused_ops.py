"""Fused kernels against Keras's own steps and its own normalisation."""

from typing import Any

import numpy as np
import pytest

from search_spaces.fused_ops import fuse, fuse_normalization

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
    monkeypatch.setattr("search_spaces.fused_ops._rule", lambda optimizer: None)
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


NORMALIZED: dict[str, dict[str, Any]] = {"usual": {}, "own numbers": {"momentum": 0.7, "epsilon": 0.01}, "plain": {"scale": False, "center": False}}


def normalized(arguments: dict[str, Any], inputs: np.ndarray, *, fused: bool, dtype: str = "float32") -> list[np.ndarray]:
    """Train a normalisation for two steps; return its outputs, its gradients, its variables, and its outputs for inference."""
    import keras
    import tensorflow as tf

    layer = keras.layers.BatchNormalization(**arguments, dtype=dtype)
    layer.build(inputs.shape)
    layer.set_weights([np.linspace(0.5, 1.5, weight.shape[0]) for weight in layer.weights])
    assert not fused or fuse_normalization(layer)
    x = tf.constant(inputs)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        return y, tape.gradient(loss, [x, *[weight.value for weight in layer.trainable_weights]])

    step()
    y, gradients = step()
    assert y.dtype == layer.compute_dtype
    return [np.asarray(value, "float32") for value in (y, *gradients, *layer.weights, layer(inputs, training=False))]


def inputs_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(3.0, 2.0, shape).astype("float32")


@pytest.mark.parametrize("shape", [(5, 4, 3, 6), (7, 6), (1, 6), (1, 1, 1, 6)], ids=str)
@pytest.mark.parametrize("name", NORMALIZED)
def test_a_fused_normalisation_is_keras_own(name: str, shape: tuple[int, ...]) -> None:
    ours, theirs = (normalized(NORMALIZED[name], inputs_of(*shape), fused=fused) for fused in (True, False))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("shape", [(5, 4, 3, 6), (7, 6)], ids=str)
def test_a_fused_normalisation_computes_in_single_precision_where_the_network_does_not(shape: tuple[int, ...]) -> None:
    ours, theirs = (normalized({}, inputs_of(*shape), fused=fused, dtype="mixed_bfloat16") for fused in (True, False))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.05)


def test_frozen_normalisations_stay_as_they_are() -> None:
    import keras

    layer = keras.layers.BatchNormalization()
    layer.build((7, 6))
    assert fuse_normalization(layer)
    layer.trainable = False
    before = [np.asarray(weight) for weight in layer.weights]
    np.testing.assert_allclose(layer(inputs_of(7, 6), training=True), layer(inputs_of(7, 6), training=False))
    for weight, old in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_other_normalisations_stay_with_keras() -> None:
    import keras

    class Own(keras.layers.BatchNormalization):
        pass

    layers, images = keras.layers, (5, 4, 3, 6)
    others = [layers.BatchNormalization(axis=1), layers.BatchNormalization(epsilon=1e-6), layers.BatchNormalization(renorm=True), layers.LayerNormalization()]
    for layer, shape in [(layers.BatchNormalization(), (5, 4, 6)), (Own(), images), *((other, images) for other in others)]:
        layer.build(shape)
        assert not fuse_normalization(layer)
