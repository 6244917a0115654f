"""How a builder wants to be called, told apart by the names of its parameters: `(configuration, problem)`, `(hp)` or `(trial)`.

Seen twice: in the driver, which only reads the builder's source, and in a trial's process, where the function is there. Must not call any builder.
"""

import ast
import inspect
from collections.abc import Sequence
from typing import Any

from search_spaces.errors import SearchSpaceError

CONFIGURATION, HP, TRIAL = "configuration", "hp", "trial"
# Beside the names of the documentation those that people use.
NAMES = {"hp": HP, "hps": HP, "hparams": HP, "hyperparameters": HP, "hyper_parameters": HP, "trial": TRIAL}
TYPES = {"HyperParameters": HP, "Trial": TRIAL, "FrozenTrial": TRIAL, "FixedTrial": TRIAL, "BaseTrial": TRIAL}


def style_of(builder: Any, name: str = "builder") -> str:
    """Return how a builder is called: `configuration`, `hp` or `trial`.

    Args:
        builder: a function, a `HyperModel` or its class.
        name: what the error message begins with.

    Raises:
        SearchSpaceError: its parameters say none of the three.
    """
    if is_hypermodel(builder):
        return HP
    try:
        parameters = list(inspect.signature(builder).parameters.values())
    except (TypeError, ValueError):
        return CONFIGURATION
    given = [each for each in parameters if each.kind in _POSITIONAL]
    needed = [(each.name, _last_word(each.annotation)) for each in given if each.default is each.empty]
    return _style(needed, len(given) >= 2 or any(each.kind is each.VAR_POSITIONAL for each in parameters), name)


def is_hypermodel(builder: Any) -> bool:
    """Say whether this is KerasTuner's `HyperModel`, its class, or what looks like one: it has `build` and may have `fit`."""
    if inspect.isfunction(builder) or inspect.ismethod(builder) or inspect.isbuiltin(builder):
        return False
    return any(each.__name__ == "HyperModel" for each in (builder if inspect.isclass(builder) else type(builder)).__mro__)


def style_in(source: ast.Module, function: str, name: str = "builder") -> str | None:
    """Return how the builder of this name is called, by a module's source alone; None where that does not say (it is imported, or made by a call).

    Args:
        source: the module.
        function: the builder's name in it.
        name: what the error message begins with.

    Raises:
        SearchSpaceError: its parameters say none of the three.
    """
    for node in reversed(source.body):
        if isinstance(node, ast.ClassDef) and node.name == function:
            return HP if any(_word(base) == "HyperModel" for base in node.bases) else None
        if isinstance(node, ast.FunctionDef) and node.name == function:
            if node.decorator_list:
                return None
            listed = [*node.args.posonlyargs, *node.args.args]
            needed = listed[: len(listed) - len(node.args.defaults)]
            return _style([(each.arg, _word(each.annotation)) for each in needed], len(listed) >= 2 or node.args.vararg is not None, name)
    return None


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _style(needed: Sequence[tuple[str, str]], more: bool, name: str) -> str:
    if len(needed) >= 2:
        return CONFIGURATION
    if len(needed) == 1:
        parameter, annotation = needed[0]
        found = TYPES.get(annotation) or NAMES.get(parameter.lower())
        if found is not None:
            return found
    if more:  # it can be called with both
        return CONFIGURATION
    got = ", ".join(parameter for parameter, _ in needed)
    raise SearchSpaceError(f"{name}: got a builder ({got}); expected (configuration, problem), (hp) for KerasTuner's or (trial) for Optuna's")


def _word(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2]
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _last_word(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2]
    return getattr(annotation, "__name__", "") if annotation is not inspect.Parameter.empty else ""
