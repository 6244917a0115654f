"""How much a row counts in training by its class: as many times as the spec says, or so that every class counts alike in all.

What is trained is weighted; what is compared, the loss on validation rows among it, is not. Weights of rows and of their classes are multiplied.
Must not know the network, nor import TensorFlow where the driver asks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces.errors import nearest
from tuner.data.arrays.structure import Structure
from tuner.data.pool import Pool
from tuner.errors import SpecError

BALANCED = "balanced"
# Of a recipe: `balanced`, or one weight for each class in the order of their numbers; None: every row counts the same.
ClassWeight = str | tuple[float, ...] | None


def checked(asked: str | Mapping[str, float]) -> str | Mapping[str, float]:
    """Return what a spec asks for, as far as it can be checked without the data.

    Args:
        asked: `balanced`, or class -> weight.

    Raises:
        ValueError: it is another word, or a weight is none.
    """
    if isinstance(asked, str):
        if asked != BALANCED:
            raise ValueError(f'got {asked!r}; expected "{BALANCED}" or a table of weights, such as {{ yes = 5, no = 1 }}')
        return asked
    for name, weight in asked.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"got {weight:g} for the class {name!r}; expected a finite number of at least 0")
    if not any(asked.values()):
        raise ValueError("no class has a weight above 0; expected one at least")
    return asked


def by_number(asked: str | Mapping[str, float] | None, *, task: str, classes: Sequence[str], in_memory: bool) -> ClassWeight:
    """Return a recipe's class weights: a class that the spec does not name has the weight 1, as in Keras and scikit-learn.

    Args:
        asked: as `checked` returns it; None: nothing.
        task: of the data.
        classes: their names in the order of their numbers; a class may be called by its number as well.
        in_memory: whether the rows to train on can be counted.

    Raises:
        SpecError: the task has no classes, or not these.
    """
    if asked is None:
        return None
    if task != "classification":
        raise SpecError(f"training.class_weight: got it for the task {task!r}; expected classification, or weights of rows (dataset.weight, or w) instead")
    if isinstance(asked, str):
        if not in_memory:
            raise SpecError(f'training.class_weight: "{BALANCED}" counts rows, and these are not in memory; expected a table of weights')
        return asked
    weights = [1.0] * len(classes)
    named: dict[int, str] = {}
    for name, weight in asked.items():
        number = classes.index(name) if name in classes else int(name) if name.isascii() and name.isdecimal() and int(name) < len(classes) else None
        if number is None:
            raise SpecError(f"training.class_weight: no row has the class {name!r}; {nearest(name, classes)}")
        if number in named:
            raise SpecError(f"training.class_weight: {named[number]!r} and {name!r} are the same class; expected each once")
        named[number], weights[number] = name, float(weight)
    return tuple(weights)


def of_classes(asked: ClassWeight, y: Structure, rows: Any, count: int) -> np.ndarray | None:
    """Return the weight of each class, (classes,) float32; None where every row counts the same.

    Args:
        asked: of a recipe.
        y: (n,) class numbers of the pool, or (n, classes) columns.
        rows: those to train on, (m,) int64, they alone are counted; or a stream or a pipeline of them; None: nothing is trained.
        count: of classes.
    """
    if asked is None or rows is None:
        return None
    if not isinstance(asked, str):
        return np.array(asked, np.float32)
    counts = np.bincount(numbers_of(y)[rows], minlength=count)
    there = counts > 0
    # As scikit-learn's compute_class_weight has it; a class that no row is of has no weight to be had.
    weights = np.ones(len(counts))
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return weights.astype(np.float32)


def weighted(pool: Pool, y: Structure, weights: np.ndarray | None, rows: Any) -> Pool:
    """Return a pool of tensors to train on, each of whose rows counts by its class as well; its inputs and targets are shared.

    Args:
        pool: of tensors.
        y: its targets as arrays.
        weights: of each class, (classes,) float32; None: the pool as it is.
        rows: those to train on; where they are no numbers of rows of the pool, it stays as it is.
    """
    if weights is None or not isinstance(rows, np.ndarray):
        return pool
    import tensorflow as tf

    of_rows = weights[numbers_of(y)]
    return Pool(pool.x, pool.y, tf.constant(of_rows if pool.w is None else of_rows * np.asarray(pool.w, np.float32)))


def numbers_of(y: Structure) -> np.ndarray:
    """Return the class numbers of targets, (n,) int64; of a column for each class, the largest of each row."""
    values = np.asarray(y)
    return values.argmax(axis=-1) if values.ndim > 1 and values.shape[-1] > 1 else values.reshape(-1).astype(np.int64)


def batches_weighted(batches: Any, weights: np.ndarray | None) -> tuple[Any, dict[str, Any]]:
    """Return batches of the user's own making and the arguments of `fit` by which their rows count by their classes.

    Args:
        batches: a tf.data.Dataset, a PyDataset or a generator of (x, y) or (x, y, w).
        weights: of each class, (classes,) float32; None: all rows alike.
    """
    if weights is None:
        return batches, {}
    if hasattr(batches, "num_batches") or hasattr(batches, "cardinality"):
        return batches, {"class_weight": {number: float(weight) for number, weight in enumerate(weights)}}

    def weighed() -> Iterator[tuple[Any, ...]]:  # `fit` takes no class weights beside a generator (Keras 3.15)
        for x, y, *w in batches:
            of_rows = weights[numbers_of(y)]
            yield x, y, of_rows * np.asarray(w[0], np.float32) if w else of_rows

    return weighed(), {}
