"""The saved model of a sweep, loaded into this very process: for a program that wants to go on with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search_spaces.code import code_in, take_code
from tuner.errors import SweepError
from tuner.results.card import read_card
from tuner.study import builder_copy
from tuner.training.config import TrainingConfig
from tuner.training.whole import with_weights


def load_model(folder: Path, *, code: bytes = b"", search_path: Sequence[str] = ()) -> Any:
    """Return the retrained winner as a `keras.Model`: Keras loads the file, and where it has layers of the user's own, the builder makes them anew.

    Args:
        folder: of a sweep that has ended.
        code: the builder itself, packed, where it is in no module.
        search_path: folders in which its module is looked for.

    Raises:
        SweepError: there is no model, or nobody here can build it.
    """
    import keras

    card = read_card(folder)
    path = folder / card["model"]
    if not path.is_file():
        raise SweepError(f"{path}: is not there; expected the model that Tuner wrote beside its card")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as unknown:  # whatever Keras says of layers that it does not know
        try:
            return _rebuilt(folder, card, code, search_path)
        except Exception as error:
            raise SweepError(f"{path}: cannot be loaded ({unknown}), nor built anew ({error}); expected the builder that made it") from error


def _rebuilt(folder: Path, card: dict[str, Any], code: bytes, search_path: Sequence[str]) -> Any:
    import sys

    import keras

    from search_spaces import network
    from search_spaces.problem import Problem

    places = (*builder_copy.kept(card, folder), *search_path)
    config = TrainingConfig.from_json({**card["recipe"], "search_path": places})
    sys.path[:0] = [place for place in places if place not in sys.path]
    take_code(code_in(code))
    problem = Problem(config.task, tuple(card["input_shape"]), config.outputs, 1, config.epochs, config.center, config.spread)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        model = network.build(config.builder, config.configuration, problem)
    finally:
        keras.config.set_dtype_policy(before)
    return with_weights(model, folder / card["model"])
