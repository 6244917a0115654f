"""What a network's outputs are, and the answers that are made of them: the one place where anything is called a probability.

Keras does not say what a network's last numbers mean: softmax, a sigmoid unit, logits. The last operation of the network tells, then `from_logits` of the
loss that it learns by, then the numbers themselves. Imports Keras inside its functions, which run in a trial's process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.problem import ArraySpec, Problem

# What leaves the order and the meaning of numbers as they are: whatever came before them is the last operation.
_PASSED = ("Reshape", "Flatten", "Permute", "Identity", "Dropout", "Cropping1D", "Cropping2D", "Cropping3D", "Cast")
# By their names in a loss's class or function: the losses whose answers are probabilities, or logits where they say so.
_OF_PROBABILITIES = ("crossentropy", "focal", "kl_divergence", "kldivergence", "kullback")
# How far answers in half precision may miss 1.
_ROUNDING = 2e-2


@dataclass(frozen=True)
class Meaning:
    """What one output of a network is.

    Attributes:
        kind: `probabilities` (a column per class that sum to 1; one column: the probability of the second of two classes), `independent` (a probability for
            each label), `values`, or `scores` (numbers of which the largest wins, and no more is known).
        by: what makes it of the network's outputs: `softmax`, `sigmoid`, or nothing.
    """

    kind: str
    by: str = ""


def meaning_of(model: Any, problem: Problem) -> Meaning:
    """Return what the only output of a compiled model is.

    Args:
        model: a Keras model; compiled, or the loss does not count.
        problem: what it fits.
    """
    if problem.task not in ("classification", "multilabel") or not isinstance(problem.targets, ArraySpec):
        return Meaning("values")
    labels = problem.task == "multilabel"
    last, width = last_operation(model), _width(model, problem)
    if last in ("softmax", "sigmoid"):
        fits = (last == "sigmoid") == (labels or width == 1)
        return Meaning(("independent" if labels else "probabilities") if fits else "scores")
    logits = from_logits(getattr(model, "loss", None))
    if logits:
        by = "sigmoid" if labels or width == 1 else "softmax"
        binary = "binary" in _name_of(model.loss)
        return Meaning("scores") if binary and by == "softmax" else Meaning("independent" if labels else "probabilities", by)
    if logits is None and last is not None:
        return Meaning("scores")
    return Meaning("independent" if labels else "probabilities")


def answers_of(outputs: np.ndarray, meaning: Meaning) -> tuple[np.ndarray, Meaning]:
    """Return what a network answers, and what that is after a look at the numbers.

    Args:
        outputs: of the network, `(n, ...)` of any float dtype.
        meaning: what they are taken for.

    Returns:
        `(n, ...)` float32; for two classes by one unit `(n, 2)`: p becomes (1 - p, p). Numbers that are no probabilities come back as they are, as `scores`.
    """
    found = np.asarray(outputs, np.float32)
    if meaning.by == "softmax":
        powers = np.exp(found - found.max(axis=-1, keepdims=True))
        found = powers / powers.sum(axis=-1, keepdims=True)
    elif meaning.by == "sigmoid":
        found = (0.5 * (1 + np.tanh(0.5 * found.astype(np.float64)))).astype(np.float32)
    if meaning.kind in ("probabilities", "independent"):
        wrong = not found.size or found.min() < -_ROUNDING or found.max() > 1 + _ROUNDING
        if meaning.kind == "probabilities" and found.shape[-1] > 1 and not wrong:
            wrong = bool(np.abs(found.sum(axis=-1) - 1).max() > _ROUNDING)
        if wrong and found.size:
            return found, Meaning("scores")
    if meaning.kind == "probabilities" and found.shape[-1] == 1:
        found = np.concatenate([1 - found, found], axis=-1)
    return found, meaning


def in_graph(outputs: Any, meaning: Meaning) -> Any:
    """Return `answers_of` as a part of a network, for a model that leaves the house.

    Args:
        outputs: of the network, symbolic, `(rows, ...)`.
        meaning: what they are, after a look at some numbers: probabilities that are none are `scores` there already.
    """
    from keras import ops

    if meaning.by:
        outputs = ops.softmax(outputs, axis=-1) if meaning.by == "softmax" else ops.sigmoid(outputs)
    if meaning.kind == "probabilities" and outputs.shape[-1] == 1:
        outputs = ops.concatenate([1 - outputs, outputs], axis=-1)
    return outputs


def last_operation(model: Any) -> str | None:
    """Return what a network ends in: `softmax`, `sigmoid`, or the name of another activation; None where only running it would tell."""
    outputs = getattr(model, "outputs", None) if is_graph(model) else None
    if not isinstance(outputs, list | tuple) or len(outputs) != 1:
        return None
    tensor = outputs[0]
    while True:
        operation = tensor._keras_history.operation
        kind = type(operation).__name__
        if is_graph(operation):
            return last_operation(operation)
        if kind not in _PASSED:
            return _activation(operation)
        tensor = operation._inbound_nodes[tensor._keras_history.node_index].input_tensors[0]


def from_logits(loss: Any) -> bool | None:
    """Say whether a loss of probabilities takes logits; None where it is none that Keras has, or not known as one."""
    if hasattr(loss, "get_config") and not isinstance(loss, type):
        config: Mapping[str, Any] = loss.get_config()
        if "from_logits" in config:
            return bool(config["from_logits"])
    keywords = getattr(loss, "keywords", None) or {}
    if "from_logits" in keywords:
        return bool(keywords["from_logits"])
    return False if any(word in _name_of(loss) for word in _OF_PROBABILITIES) and _is_keras(loss) else None


def _activation(operation: Any) -> str | None:
    if type(operation).__name__ in ("Softmax", "Sigmoid"):
        return type(operation).__name__.lower()
    inner = getattr(operation, "layer", None)
    if inner is not None:  # TimeDistributed and its kin
        return _activation(inner)
    function = getattr(operation, "activation", None)
    name = getattr(function, "__name__", "linear")
    return name if type(operation).__module__.startswith("keras.") else (name if name in ("softmax", "sigmoid") else None)


def reads_names(model: Any) -> str:
    """Say by what a network of one input shows that it takes whole numbers that are names: `an Embedding`, or its input's type; empty where it does not."""
    import keras

    if not is_graph(model) or len(model.inputs) != 1:
        return ""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    kind = str(graph.inputs[0].dtype)
    if kind.startswith(("int", "uint")):
        return kind
    tensor = graph.inputs[0]
    for layer in graph.layers:
        for node in layer._inbound_nodes:
            if isinstance(layer, keras.layers.Embedding) and any(each is tensor for each in node.input_tensors):
                return "an Embedding"
    return ""


def is_graph(model: Any) -> bool:
    """Say whether a model is a graph of layers, and called as such."""
    import keras

    return isinstance(model, keras.Model) and str(type(model).call.__module__).startswith("keras.") and bool(getattr(model, "outputs", None))


def _width(model: Any, problem: Problem) -> int:
    shape = getattr(model, "output_shape", None) if is_graph(model) else None
    return shape[-1] if isinstance(shape, tuple) and shape and isinstance(shape[-1], int) else problem.outputs


def _name_of(loss: Any) -> str:
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__
    if hasattr(loss, "func"):  # functools.partial
        name = getattr(loss.func, "__name__", name)
    return name.lower()


def _is_keras(loss: Any) -> bool:
    loss = getattr(loss, "func", loss)
    return isinstance(loss, str) or str(getattr(loss, "__module__", type(loss).__module__)).startswith("keras.")
