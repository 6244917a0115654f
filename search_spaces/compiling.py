"""What a model learns by, and is judged by, where its builder leaves that to Tuner.

Imports Keras inside its functions, which run in a trial's process. Must not know where the names in the spec come from.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from search_spaces.answers import last_operation
from search_spaces.errors import SearchSpaceError
from search_spaces.metrics import RELATIVE_LOSSES, loss_key, metric_of, usual
from search_spaces.problem import ArraySpec, Problem

# Keras's own losses that want a column for each class, by their names without case and underscores.
_OF_COLUMNS = {
    "categoricalcrossentropy", "categoricalfocalcrossentropy", "categoricalhinge", "kldivergence", "kullbackleiblerdivergence", "kld", "cosinesimilarity",
    "binarycrossentropy", "bce", "binaryfocalcrossentropy", "meansquarederror", "mse", "meanabsoluteerror", "mae",
}  # fmt: skip


def loss_of(model: Any, problem: Problem, *, named: str | None, outputs: Any, units: bool) -> Any:
    """Return the loss of an uncompiled model, as `compile` takes it.

    Args:
        model: what it is of; for regression it answers in the targets' own units.
        problem: what is learnt.
        named: the loss that the spec names; None: that of the task.
        outputs: what the model makes of a few rows, or their shape alone where its layers tell what its last operation is.
        units: whether it is to be in units of the targets' spread.

    Raises:
        SearchSpaceError: the task has no loss of its own, or not this one.
    """
    if problem.task == "custom" or not isinstance(problem.targets, ArraySpec):
        if named is None:
            raise SearchSpaceError("the model is not compiled; expected a builder that compiles it, as it alone knows what is learnt; or training.loss")
        return loss_key(named)
    key = loss_key(named, problem.task) if named is not None else "mean_squared_error" if problem.task == "regression" else "crossentropy"
    if problem.task == "regression":
        return _in_units(key, problem.spread) if units and key in RELATIVE_LOSSES else key
    return _of_classes(key, problem, width=_last_length(outputs) or problem.outputs, logits=_gives_logits(model, outputs))


def metrics_of(problem: Problem, named: Sequence[str] | None) -> list[Any]:
    """Return the metrics of an uncompiled model, as `compile` takes them.

    Args:
        problem: what is judged.
        named: by the spec; None: those of the task.
    """
    return [metric_of(name, problem) for name in (usual(problem.task) if named is None else named)]


def give_columns(model: Any, problem: Problem, outputs: Any) -> None:
    """Let the loss that a builder has compiled its model with have a column for each class, where it is one of Keras's own that wants them and the data have
    class numbers; its metrics are given what they want by `metrics.suit`. A loss of the user's own stays as it is.

    Args:
        model: compiled, and not trained yet; changed.
        problem: what is learnt.
        outputs: what the model makes of a few rows, or their shape alone.
    """
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None or problem.task != "classification" or not problem.simple or problem.one_hot or _last_length(outputs) != problem.outputs:
        return
    loss = model.loss
    named = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    theirs = isinstance(loss, str) or getattr(loss, "__module__", "").startswith("keras.")
    if theirs and named.replace("_", "").lower() in _OF_COLUMNS:
        compiled._user_loss = _by_columns(loss, problem.outputs)


def _by_columns(loss: Any, count: int) -> Any:
    import keras

    inner = keras.losses.get(loss)
    of_pairs = inner.call if isinstance(inner, keras.losses.Loss) else inner

    class ByColumns(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            numbers = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32")
            return of_pairs(keras.ops.one_hot(numbers, count, dtype=y_pred.dtype), y_pred)

    return ByColumns(name=getattr(inner, "name", None) or inner.__name__, reduction=getattr(inner, "reduction", "sum_over_batch_size"))


def _of_classes(key: str, problem: Problem, *, width: int, logits: bool) -> Any:
    import keras

    focal = "focal" in key
    if problem.task == "multilabel" or width == 1 or key.startswith("binary"):
        if problem.task == "classification" and width != 1:
            raise SearchSpaceError(f"loss {key!r} needs one unit for two classes; the network ends in {width}; expected categorical_crossentropy, or one unit")
        key = "binary_focal_crossentropy" if focal else "binary_crossentropy"
    elif focal:
        if not problem.one_hot:
            raise SearchSpaceError(f"loss {key!r} needs one-hot targets; the targets are class numbers; expected crossentropy")
        key = "categorical_focal_crossentropy"
    else:
        key = "categorical_crossentropy" if problem.one_hot else "sparse_categorical_crossentropy"
    if not logits:
        return key
    kinds = {"binary_crossentropy": "BinaryCrossentropy", "binary_focal_crossentropy": "BinaryFocalCrossentropy"}
    kinds |= {"categorical_crossentropy": "CategoricalCrossentropy", "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy"}
    kinds |= {"categorical_focal_crossentropy": "CategoricalFocalCrossentropy"}
    return getattr(keras.losses, kinds[key])(from_logits=True)


def _gives_logits(model: Any, outputs: Any) -> bool:
    """Say whether a model gives numbers that are no probabilities yet: by its last operation, or where that is hidden by what it makes of a few rows."""
    last = last_operation(model)
    if last is not None:
        return last not in ("softmax", "sigmoid")
    if outputs is None or isinstance(outputs, dict | list | tuple):
        return False
    found = np.asarray(outputs, np.float32)
    sums = found.shape[-1] == 1 or bool(np.abs(found.sum(axis=-1) - 1).max() < 2e-2)
    return not (sums and found.min() >= 0 and found.max() <= 1)


def _last_length(outputs: Any) -> int | None:
    shape = getattr(outputs, "shape", None)
    return int(shape[-1]) if shape is not None and len(shape) and shape[-1] is not None else None


def _in_units(key: str, spread: Sequence[float]) -> Any:
    """Return a loss in units of the targets' spread: of the squared error, 1 is always answering with their means."""
    import keras

    function = getattr(keras.losses, key)

    class Relative(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            scale = keras.ops.convert_to_tensor(spread, "float32")
            return function(y_true / scale, y_pred / scale)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "error": key, "spread": list(spread)}

    Relative.__name__ = "RelativeSquaredError" if key == "mean_squared_error" else "RelativeError"
    return Relative(name="relative_squared_error" if key == "mean_squared_error" else f"relative_{key}")
