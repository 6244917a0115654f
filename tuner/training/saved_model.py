"""A network as a file: written for inference, and opened by a builder that only opens it.

The latter is for predictions with a network whose own builder was in the memory of a program that has ended.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.answers import Meaning
from tuner.data.arrays.structure import Structure
from tuner.data.scaling import Scaling
from tuner.training import whole

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

    path = configuration["path"]
    model = whole.network_in(keras.models.load_model(path, compile=False, safe_mode=True), path)
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


def write_for_raw_rows(
    network: Any, path: Path, features: Mapping[str, Any] | None, *, scaling: Sequence[Scaling | None], meaning: Meaning, rows: Structure
) -> str:
    """Write a network within a model that takes rows as they are in their source, see `tuner.training.whole`; by itself where that cannot be.

    Args:
        network: built; takes rows that are filled and scaled.
        path: of the file, which ends in `.keras`.
        features: see `tuner.data.arrays.inputs.inputs_from_json`; None: the network is written by itself.
        scaling: of each input.
        meaning: what its only output is taken for.
        rows: some rows as the network takes them, `(n, ...)` each.

    Returns:
        As `write_model`.
    """
    if features is None:
        return write_model(network, path)
    model, metadata = whole.made_of(network, features, scaling, meaning=meaning, rows=rows)
    unsaved = write_model(model, path)
    if unsaved and model is not network:
        metadata = {"whole": False, "why": unsaved, "meaning": metadata["meaning"]}
        unsaved = write_model(network, path)
    if not unsaved:
        whole.describe(path, metadata)
    return unsaved


def weights_beside(path: Path) -> Path:
    """Return where the weights stand of a network that cannot be written whole to a path, which ends in `.keras`."""
    return path.with_suffix(".weights.h5")
