"""Networks that are the same but for their variables' values."""

from typing import Any

import pytest

from search_spaces import network
from search_spaces.graph_equality import graphs_equal
from search_spaces.problem import Problem
from search_spaces.spaces import SPACES

IMAGES = Problem("classification", (28, 28, 1), 10, 100, 20)


def built(space: str, **changes: Any) -> Any:
    return network.build(SPACES[space].builder, {**SPACES[space].default(), **changes}, IMAGES)


@pytest.mark.parametrize("space", SPACES)
def test_one_configuration_makes_networks_that_are_alike(space: str) -> None:
    assert graphs_equal(built(space), built(space))
    assert not graphs_equal(built(space), built(space, dropout=0.45))
    assert not graphs_equal(built(space), built(space, learning_rate=0.002))
    assert not graphs_equal(built(space), built(space, width=64))


def test_what_a_user_has_made_is_not_known_well_enough() -> None:
    import keras
    from keras import layers

    class Own(layers.Dense):
        pass

    def compiled(*parts: Any, loss: Any = "mse", optimizer: Any = "adam") -> Any:
        model = keras.Sequential([keras.Input((3,)), *parts, layers.Dense(1)])
        model.compile(optimizer, loss)
        return model

    class Descent(keras.optimizers.SGD):
        pass

    assert graphs_equal(compiled(layers.Dense(2)), compiled(layers.Dense(2)))
    for make in (
        lambda: compiled(Own(2)),
        lambda: compiled(layers.Lambda(lambda x: x)),
        lambda: compiled(loss=lambda y, predicted: y - predicted),
        lambda: compiled(optimizer=Descent()),
        lambda: compiled(layers.Dense(2, kernel_regularizer=lambda weights: 0.0)),
    ):
        assert not graphs_equal(make(), make())
    assert not graphs_equal(compiled(layers.Dense(2)), compiled(layers.Dense(2, activation="relu")))
    assert not graphs_equal(compiled(loss="mse"), compiled(loss="mae"))
