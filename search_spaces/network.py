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

from search_spaces.answers import is_graph
from search_spaces.compiling import give_columns, loss_of, metrics_of
from search_spaces.define_by_run import building, styles
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.optimizers import optimizer_of
from search_spaces.problem import Problem

if TYPE_CHECKING:
    import keras


def batch_size(configuration: Mapping[str, Any]) -> int:
    """Return how many examples a step takes: the configuration's `batch_size`, or 128 where its space has none."""
    return configuration.get("batch_size", 128)


def build(
    builder: str,
    configuration: Mapping[str, Any],
    problem: Problem,
    *,
    batch: Any = None,
    loss: str | None = None,
    metrics: Sequence[str] | None = None,
) -> "keras.Model":
    """Return the compiled model of a configuration.

    A model that its builder has compiled stays so; any other gets the optimizer that the configuration describes (Adam where it describes none) and the
    loss and metric of the task. For regression it learns targets in units of their spread and answers in their own; its loss is in units of their
    variance. Random weights follow Keras's global seed, which is the caller's.

    Args:
        builder: `module:function`; the function takes the configuration and the problem, or asks for its hyperparameters itself (`define_by_run`), and
            returns a `keras.Model`.
        configuration: a checked configuration.
        problem: what the network must fit.
        batch: a few rows as the network gets them, which build a model that has no shapes of its own; None: zeros.
        loss: by name, for a model that its builder leaves uncompiled; None: that of the task.
        metrics: by name, likewise.

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
    outputs = _outputs_of(model, problem, batch)
    _check_shapes(builder, model, problem, outputs)
    named = " and ".join(key for key, value in (("training.loss", loss), ("training.metrics", metrics)) if value is not None)
    if model.compiled:
        if named:
            raise SearchSpaceError(f"{builder}: compiles its model itself, and the spec has {named}; expected one of the two to say what it learns by")
        give_columns(model, problem, outputs)
        return model
    in_units = bool(problem.spread) and problem.task == "regression" and problem.simple and type(model).__module__.startswith("keras.")
    try:
        chosen = loss_of(model, problem, named=loss, outputs=outputs, units=in_units), metrics_of(problem, metrics)
    except SearchSpaceError as error:
        raise SearchSpaceError(f"{builder}: {error}") from error
    if in_units:  # a class of one's own may do more than its layers
        plain = model
        model = _in_units(plain, problem)
        building.pass_on(plain, model)
    model.compile(optimizer=optimizer_of(configuration, problem), loss=chosen[0], metrics=chosen[1])
    return model


def _in_units(model: "keras.Model", problem: Problem) -> "keras.Model":
    """Return a model whose last layer turns standardised outputs into targets.

    A network's outputs begin around 0. Where targets lie around 1,000, it would take thousands of steps to get there, and those of SGD would be as large
    as the targets' variance.
    """
    import keras

    last = keras.layers.Rescaling(list(problem.spread), list(problem.center), dtype="float32", name="in_units")
    return keras.Model(model.inputs, last(model.outputs[0]), name=model.name)


# What a trial's process has imported before it looks for a builder: a file of the user's with such a name would never be reached.
LOADED = {
    "tuner", "cluster", "search_spaces", "keras", "tensorflow", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "optuna", "PIL", "h5py", "rich",
    "requests", "absl", "astunparse", "certifi", "cloudpickle", "dateutil", "flatbuffers", "gast", "google", "idna", "joblib", "ml_dtypes", "namex",
    "keras_tuner", "opt_einsum", "optree", "packaging", "six", "termcolor", "threadpoolctl", "tqdm", "typing_extensions", "urllib3", "wrapt",
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


def _outputs_of(model: "keras.Model", problem: Problem, batch: Any) -> Any:
    """Return what a model makes of a few rows; where its layers tell the shapes of that, these alone."""
    import keras

    # A subclassed or unbuilt model has no shapes of its own: a few rows tell them, and build it.
    if model.built and is_graph(model):
        graph = model._functional if isinstance(model, keras.Sequential) else model
        return keras.tree.map_structure(lambda tensor: keras.KerasTensor(tensor.shape, tensor.dtype), graph._outputs_struct)
    return model(_zeros(problem.inputs) if batch is None else batch, training=False)


def _zeros(inputs: Any) -> Any:
    import keras

    return keras.tree.map_structure(lambda spec: keras.ops.zeros((2, *spec.shape), spec.dtype), inputs)


def _check_shapes(builder: str, model: "keras.Model", problem: Problem, outputs: Any) -> None:
    """Compare what goes in and comes out with the problem, where it is known what has to come out."""
    import keras

    if not problem.simple:
        return
    inputs = getattr(model, "input_shape", None) if is_graph(model) else None
    ins = (None, *problem.input_shape)
    found = ins if inputs is None else inputs
    shape = (None, *outputs.shape[1:]) if hasattr(outputs, "shape") else keras.tree.map_structure(lambda tensor: (None, *tensor.shape[1:]), outputs)
    out = (None, problem.outputs)
    one_unit = problem.task == "classification" and problem.outputs == 2 and not problem.one_hot
    if _fits(found, ins) and (_fits(shape, out) or (one_unit and _fits(shape, (None, 1)))):
        return
    expected = f"{ins} to {out}{f' (softmax), or to {(None, 1)} (one sigmoid unit)' if one_unit else ''}"
    # What it is compiled with may mean something by it: a last layer that is wider than there are classes, say.
    alone = '; or dataset.task = "custom", where the builder alone knows what its outputs mean' if model.compiled else ""
    raise SearchSpaceError(f"{builder}: the model maps {found} to {shape}; expected {expected}{alone}")


def _fits(found: Any, expected: tuple[int | None, ...]) -> bool:
    """Say whether shapes agree, where an axis of any length (None) agrees with all."""
    if not isinstance(found, tuple) or len(found) != len(expected) or not all(length is None or isinstance(length, int) for length in found):
        return False
    return all(length is None or wanted is None or length == wanted for length, wanted in zip(found, expected, strict=True))
