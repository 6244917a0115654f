"""A builder that only opens what was saved: for predictions with a network whose own builder was in the memory of a program that has ended."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.problem import TASKS

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem

BUILDER = "tuner.training.saved_model:load"


def load(configuration: Mapping[str, Any], problem: "Problem") -> "keras.Model":
    """Return a saved network, compiled, so that nobody adds to it.

    Args:
        configuration: holds its `path`.
        problem: what it was trained for.
    """
    import keras

    model = keras.models.load_model(configuration["path"], compile=False, safe_mode=True)
    model.compile("sgd", TASKS.get(problem.task, ("mean_squared_error",))[0])
    return model
