"""What a network's outputs are, by its last operation, its loss, and the numbers themselves."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from search_spaces.answers import Meaning, answers_of, last_operation, meaning_of
from search_spaces.problem import ArraySpec, Problem

TWO = Problem("classification", (3,), 2, steps_per_epoch=1, epochs=1)
FOUR = Problem("classification", (3,), 4, steps_per_epoch=1, epochs=1)
LABELS = Problem("multilabel", (3,), 4, steps_per_epoch=1, epochs=1)


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def ending(keras: Any, *layers: Any, loss: Any = None) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), *layers])
    model.compile("sgd", loss)
    return model


def test_the_last_operation_is_found_behind_what_leaves_numbers_as_they_are(keras: Any) -> None:
    layers = keras.layers
    assert last_operation(ending(keras, layers.Dense(2, activation="softmax"))) == "softmax"
    assert last_operation(ending(keras, layers.Dense(4), layers.Softmax(), layers.Reshape((2, 2)))) == "softmax"
    assert last_operation(ending(keras, layers.Activation("sigmoid"))) == "sigmoid"
    assert last_operation(ending(keras, keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="sigmoid")]))) == "sigmoid"
    assert last_operation(ending(keras, layers.Reshape((2, 2)), layers.TimeDistributed(layers.Dense(3, activation="softmax")))) == "softmax"
    assert last_operation(ending(keras, layers.Dense(2))) == "linear"
    inputs = keras.Input((3,))
    assert last_operation(keras.Model(inputs, keras.ops.softmax(layers.Dense(2)(inputs)))) == "softmax"

    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    assert last_operation(Own()) is None


@pytest.mark.parametrize(
    ("problem", "units", "last", "loss", "meaning"),
    [
        (TWO, 2, "softmax", "sparse_categorical_crossentropy", Meaning("probabilities")),
        (TWO, 1, "sigmoid", "binary_crossentropy", Meaning("probabilities")),
        (TWO, 1, None, "BinaryCrossentropy", Meaning("probabilities", "sigmoid")),
        (FOUR, 4, None, "SparseCategoricalCrossentropy", Meaning("probabilities", "softmax")),
        (FOUR, 4, None, partial, Meaning("probabilities", "softmax")),
        (FOUR, 4, None, "categorical_hinge", Meaning("scores")),
        (FOUR, 4, "sigmoid", "sparse_categorical_crossentropy", Meaning("scores")),
        (LABELS, 4, "sigmoid", "binary_crossentropy", Meaning("independent")),
        (LABELS, 4, None, "BinaryCrossentropy", Meaning("independent", "sigmoid")),
        # Keras, too, sees that these are no logits.
        (TWO, 2, "softmax", "SparseCategoricalCrossentropy", Meaning("probabilities")),
    ],
)
def test_last_operation_and_loss_say_what_the_outputs_are(keras: Any, problem: Problem, units: int, last: str | None, loss: Any, meaning: Meaning) -> None:
    if loss is partial:
        loss = partial(keras.losses.sparse_categorical_crossentropy, from_logits=True)
    elif loss[0].isupper():
        loss = getattr(keras.losses, loss)(from_logits=True)
    assert meaning_of(ending(keras, keras.layers.Dense(units, activation=last), loss=loss), problem) == meaning


def test_probabilities_are_made_of_logits_and_of_one_unit() -> None:
    logits = np.array([[2.0, -1.0, 0.5], [-90.0, 90.0, 0.0]], np.float32)
    found, meaning = answers_of(logits, Meaning("probabilities", "softmax"))
    np.testing.assert_allclose(found[0], np.exp(logits[0]) / np.exp(logits[0]).sum(), rtol=1e-6)
    assert meaning.kind == "probabilities" and found[1, 1] == 1.0
    found, _ = answers_of(np.array([[0.0], [800.0], [-800.0]], np.float32), Meaning("probabilities", "sigmoid"))
    np.testing.assert_array_equal(found, [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    found, _ = answers_of(np.array([[0.25]], np.float32), Meaning("probabilities"))
    np.testing.assert_array_equal(found, [[0.75, 0.25]])


@pytest.mark.parametrize("outputs", [[[0.2, 0.9]], [[1.5, -0.5]], [[3.0]]])
def test_what_cannot_be_a_probability_is_never_called_one(outputs: list[list[float]]) -> None:
    given = np.array(outputs, np.float32)
    found, meaning = answers_of(given, Meaning("probabilities"))
    assert meaning == Meaning("scores")
    np.testing.assert_array_equal(found, given)


def test_numbers_are_left_as_they_are(keras: Any) -> None:
    numbers = Problem("regression", (3,), 1, steps_per_epoch=1, epochs=1)
    several = Problem("custom", (3,), 1, steps_per_epoch=1, epochs=1, targets={"a": ArraySpec(()), "b": ArraySpec((2,))})
    for problem in (numbers, several):
        assert meaning_of(ending(keras, keras.layers.Dense(1), loss="mse"), problem) == Meaning("values")
    assert answers_of(np.array([[7.5]], np.float64), Meaning("values"))[0].dtype == np.float32
