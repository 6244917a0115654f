"""From a configuration to a compiled Keras model: finds the builder, calls it, and checks that its model fits the problem.

Must not know any space: the built-in networks and a user's own are built alike. Keras is imported inside the functions that run in a trial's process;
`find` alone is for the driver, and looks at the builder's source without running it.
"""

import ast
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.define_by_run import building, styles
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.optimizers import optimizer_of
from search_spaces.problem import TASKS, Problem

if TYPE_CHECKING:
    import keras

# task -> (loss, metric) that an uncompiled model is given.


def batch_size(configuration: Mapping[str, Any]) -> int:
    """Return how many examples a step takes: the configuration's `batch_size`, or 128 where its space has none."""
    return configuration.get("batch_size", 128)


def build(builder: str, configuration: Mapping[str, Any], problem: Problem) -> "keras.Model":
    """Return the compiled model of a configuration.

    A model that its builder has compiled stays so; any other gets the optimizer that the configuration describes (Adam where it describes none) and the
    loss and metric of the task. For regression it learns targets in units of their spread and answers in their own; its loss is in units of their
    variance. Random weights follow Keras's global seed, which is the caller's.

    Args:
        builder: `module:function`; the function takes the configuration and the problem, or asks for its hyperparameters itself (`define_by_run`), and
            returns a `keras.Model`.
        configuration: a checked configuration.
        problem: what the network must fit.

    Raises:
        SearchSpaceError: there is no such function, it returns no model, or the model does not fit the problem.
    """
    import keras

    function = resolved(builder)
    if styles.style_of(function, builder) == styles.CONFIGURATION:
        model = function(dict(configuration), problem)
    else:
        model = building.call(function, configuration, builder)
    if not isinstance(model, keras.Model):
        raise SearchSpaceError(f"{builder}: returned {type(model).__name__}; expected a keras.Model")
    _check_shapes(builder, model, problem)
    if not model.compiled:
        loss, metric = TASKS[problem.task]
        if problem.spread and type(model).__module__.startswith("keras."):  # a class of one's own may do more than its layers
            plain = model
            model, loss = _in_units(plain, problem), _relative_error(problem.spread)
            building.pass_on(plain, model)
        model.compile(optimizer=optimizer_of(configuration, problem), loss=loss, metrics=[metric])
    return model


def _in_units(model: "keras.Model", problem: Problem) -> "keras.Model":
    """Return a model whose last layer turns standardised outputs into targets.

    A network's outputs begin around 0. Where targets lie around 1,000, it would take thousands of steps to get there, and those of SGD would be as large
    as the targets' variance.
    """
    import keras

    last = keras.layers.Rescaling(list(problem.spread), list(problem.center), dtype="float32", name="in_units")
    return keras.Model(model.inputs, last(model.outputs[0]), name=model.name)


def _relative_error(spread: Sequence[float]) -> Any:
    """Return the mean squared error in units of the targets' variances: 1 for always answering with their means."""
    import keras

    class RelativeSquaredError(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            scale = keras.ops.convert_to_tensor(spread, "float32")
            return keras.losses.mean_squared_error(y_true / scale, y_pred / scale)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "spread": list(spread)}

    return RelativeSquaredError(name="relative_squared_error")


# What a trial's process has imported before it looks for a builder: a file of the user's with such a name would never be reached.
LOADED = {
    "tuner", "cluster", "search_spaces", "keras", "tensorflow", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "optuna", "PIL", "h5py", "rich",
    "requests", "absl", "astunparse", "certifi", "cloudpickle", "dateutil", "flatbuffers", "gast", "google", "idna", "joblib", "ml_dtypes", "namex",
    "opt_einsum", "optree", "packaging", "six", "termcolor", "threadpoolctl", "tqdm", "typing_extensions", "urllib3", "wrapt",
}


def find(builder: str, search_path: Sequence[str | Path] = ()) -> Path:
    """Return the file that defines a builder, without running any of it: the driver's check before the first trial.

    Args:
        builder: `module:function`.
        search_path: folders to look in before those of `sys.path`.

    Raises:
        SearchSpaceError: the name is malformed or taken, or there is no such module or function.
    """
    module, function = _parts(builder)
    package = module.partition(".")[0]
    if (package in LOADED or package in sys.stdlib_module_names) and PathFinder.find_spec(package, list(map(str, search_path))) is not None:
        whose = "Python's own" if package in sys.stdlib_module_names else "one that every trial imports"
        raise SearchSpaceError(f"{builder}: the name {package!r} is taken by a module that is {whose}; give your file another name")
    spec = _spec_of(module, search_path)
    if spec is None:
        raise SearchSpaceError(f"{builder}: there is no module {module!r}; expected it in {', '.join(map(str, search_path)) or 'the Python path'}")
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise SearchSpaceError(f"{builder}: {module!r} has no source; expected a Python file")
    try:
        names = _names_of(Path(spec.origin).read_bytes())
    except (SyntaxError, ValueError) as error:
        raise SearchSpaceError(f"{spec.origin}: is not Python ({error}); mend the file") from error
    if function not in names and "*" not in names:
        raise SearchSpaceError(f"{builder}: {module!r} has no {function!r}; {nearest(function, names) if names else 'it defines nothing'}")
    return Path(spec.origin)


def style(builder: str, search_path: Sequence[str | Path] = ()) -> str | None:
    """Return how a builder is called, by its source alone: `configuration`, `hp` or `trial`; None where the source does not say.

    Args:
        builder: `module:function`.
        search_path: folders to look in before those of `sys.path`.

    Raises:
        SearchSpaceError: as `find`, or it is called in no way that is known.
    """
    return styles.style_in(ast.parse(find(builder, search_path).read_bytes()), _parts(builder)[1], builder)


def give(builder: str, function: Any) -> None:
    """Let a builder's name stand for a function that is in no module: one of a notebook's cell, which has come in memory.

    Args:
        builder: `module:function`, the name.
        function: what it stands for.
    """
    _GIVEN[builder] = function


_GIVEN: dict[str, Any] = {}


def _parts(builder: str) -> tuple[str, str]:
    module, colon, function = builder.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise SearchSpaceError(f"builder: got {builder!r}; expected 'module:function'")
    return module, function


def _spec_of(module: str, search_path: Sequence[str | Path]) -> ModuleSpec | None:
    """Return where a module is, without importing its packages."""
    package, *inner = module.split(".")
    # An editable install is known to the import system's hooks, not to the path.
    spec = PathFinder.find_spec(package, list(map(str, search_path))) or importlib.util.find_spec(package)
    for depth in range(2, len(inner) + 2):
        if spec is not None:
            spec = PathFinder.find_spec(".".join(module.split(".")[:depth]), list(spec.submodule_search_locations or []))
    return spec


def resolved(builder: str) -> Any:
    """Return the function, `HyperModel` or class that a builder's name stands for.

    Raises:
        SearchSpaceError: there is no such module or function.
    """
    if builder in _GIVEN:
        return _GIVEN[builder]
    module, function = _parts(builder)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that the user's own imports and that is missing is not the same mistake as a misspelt builder.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise SearchSpaceError(f"{builder}: there is no module {error.name!r}; expected it beside sweep.toml or in the Python path") from error
    if not callable(getattr(found, function, None)) and not styles.is_hypermodel(getattr(found, function, None)):
        raise SearchSpaceError(f"{builder}: {module!r} has no function {function!r}; {nearest(function, [name for name in dir(found) if name[0] != '_'])}")
    return getattr(found, function)


def _names_of(source: bytes) -> set[str]:
    """Return the names that a module binds at its top level; `*` where it imports all of another."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        else:
            names.update(child.id for child in ast.walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store))
            names.update(child.name for child in ast.walk(node) if isinstance(child, ast.FunctionDef | ast.ClassDef))
    return names


def _check_shapes(builder: str, model: "keras.Model", problem: Problem) -> None:
    import numpy

    expected = ((None, *problem.input_shape), (None, problem.outputs))
    found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None)) if model.built else (None, None)
    if found[0] is None or found[1] is None:
        # A subclassed or unbuilt model has no shapes of its own: two examples of zeros tell them, and build it.
        found = (expected[0], (None, *model(numpy.zeros((2, *problem.input_shape), "float32"), training=False).shape[1:]))
    if not (_fits(found[0], expected[0]) and _fits(found[1], expected[1])):
        raise SearchSpaceError(f"{builder}: the model maps {found[0]} to {found[1]}; expected {expected[0]} to {expected[1]}")


def _fits(found: Any, expected: tuple[int | None, ...]) -> bool:
    """Say whether shapes agree, where an axis of any length (None) agrees with all."""
    if not isinstance(found, tuple) or len(found) != len(expected) or not all(length is None or isinstance(length, int) for length in found):
        return False
    return all(length is None or wanted is None or length == wanted for length, wanted in zip(found, expected, strict=True))
