"""Whether two networks are the same but for the values of their variables: then one compiled training step serves both.

Must not know why there are two, or what is done with them.
"""

import json
import warnings
from collections.abc import Iterator
from typing import Any

# What these define is told by its configuration alone. A layer, loss or schedule of a user's own may hold anything besides.
KNOWN = ("keras", "builtins", "search_spaces")


def graphs_equal(model: Any, other: Any) -> bool:
    """Say whether two compiled Keras models train alike: same layers, connections, loss, metrics and optimizer, same variables by shape and kind.

    In doubt the answer is no: a model, a layer or an optimizer of one's own, a Lambda layer.

    Args:
        model: compiled.
        other: compiled.
    """
    if [(variable.shape, variable.dtype) for variable in model.variables] != [(variable.shape, variable.dtype) for variable in other.variables]:
        return False
    ours, theirs = _described(model), _described(other)
    return ours is not None and ours == theirs


def _described(model: Any) -> str | None:
    """Return what a model is, in words that do not depend on how its layers are called; None where that may not be all."""
    import keras

    parts = [*model._flatten_layers(), model.optimizer, *filter(None, [getattr(model.optimizer, "inner_optimizer", None)])]
    if any(not _known(type(part).__module__) or isinstance(part, keras.layers.Lambda) for part in parts):
        return None
    names = {part.name: f"part {number}" for number, part in enumerate(parts)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lambdas, which would be unsafe to read back
        try:
            described = [model.get_config(), model.get_compile_config()]
            text = json.dumps(_renamed(described, names), sort_keys=True)
        except (TypeError, ValueError, NotImplementedError, AttributeError):
            return None
    return text if all(_known(word) for word in _origins(described)) else None


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(part, names) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def _origins(value: Any) -> Iterator[str]:
    """Yield the modules of all that is described; of a function, of which no more is told than its name, that it is one."""
    if isinstance(value, dict):
        if isinstance(module := value.get("module"), str):
            yield module
        if value.get("class_name") in ("function", "__lambda__"):
            yield "a function"
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _origins(part)


def _known(module: str) -> bool:
    return module.partition(".")[0] in KNOWN
