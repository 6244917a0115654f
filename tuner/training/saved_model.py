"""A builder that only opens what was saved: for predictions with a network whose own builder was in the memory of a program that has ended."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem

# Says what its answers are, where its last layer does not: see `search_spaces.answers`.
_LOSSES = {"classification": "sparse_categorical_crossentropy", "multilabel": "binary_crossentropy"}
BUILDER = "tuner.training.saved_model:load"


def load(configuration: Mapping[str, Any], problem: "Problem") -> "keras.Model":
    """Return a saved network, compiled, so that nobody adds to it.

    Args:
        configuration: holds its `path`.
        problem: what it was trained for.
    """
    import keras

    model = keras.models.load_model(configuration["path"], compile=False, safe_mode=True)
    model.compile("sgd", _LOSSES.get(problem.task, "mean_squared_error"))
    return model
