"""A network as a file: written for inference, and opened by a builder that only opens it.

The latter is for predictions with a network whose own builder was in the memory of a program that has ended.
"""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
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


def write_model(model: Any, path: Path) -> str:
    """Write a network as a Keras file, whole or not at all; where Keras cannot write it down, its weights beside that.

    Args:
        model: built.
        path: of the file, which ends in `.keras`.

    Returns:
        Why Keras cannot, in a line; empty where the file holds the network.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    with warnings.catch_warnings():
        # Keras 3.15 hands its variables to numpy 2.4 in a way that is deprecated; `test_keras_warns_when_it_saves` fails once it no longer does.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            model.save(aside)
        except OSError:
            raise
        except Exception as error:  # a layer of the user's own may raise whatever it likes when it is asked what it is made of
            aside.unlink(missing_ok=True)
            weights = weights_beside(aside)
            model.save_weights(weights)
            os.replace(weights, weights_beside(path))
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"{type(error).__name__}: {' '.join(lines[:4])}"[:240]
    os.replace(aside, path)
    return ""


def weights_beside(path: Path) -> Path:
    """Return where the weights stand of a network that cannot be written whole to a path, which ends in `.keras`."""
    return path.with_suffix(".weights.h5")
