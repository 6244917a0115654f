"""What several targets that the builder alone knows of are, each by itself: classes, labels or numbers, by what was to be predicted and what came out.

Owns which kind a head is taken for. What is said of each kind is said by whoever calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.data.arrays.structure import leaves, paths, skeleton
from tuner.results.figures import are_probabilities

# Whole numbers beyond so many are counts, whatever comes out.
MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class Head:
    """One of several targets, on rows with known values.

    Attributes:
        task: `classification`, `multilabel` or `regression`.
        y: (n,) int64 classes, (n, k) float32 labels, or (n,) or (n, k) float32 numbers.
        predictions: (n, k) float32; for two classes also (n, 1).
        names: of the classes, labels or targets.
    """

    task: str
    y: np.ndarray
    predictions: np.ndarray
    names: tuple[str, ...]


def heads_of(y: Any, predictions: Any, classes: Mapping[str, Sequence[str]]) -> dict[str, Head]:
    """Return the heads of which more can be said than their metrics, by name.

    Args:
        y: a structure of targets, (n, ...) each.
        predictions: what the model gives for these rows, (n, ...) float32 each: of the same structure, or nothing can be said.
        classes: path of a target -> its classes' names, for those that are known to be classes.
    """
    if isinstance(y, np.ndarray) or y is None or skeleton(y) != skeleton(predictions):
        return {}
    parts = zip(paths(y), leaves(y), leaves(predictions), strict=True)
    heads = {path: head_of(truth, np.asarray(answer), classes.get(path, ())) for path, truth, answer in parts}
    return {path: head for path, head in heads.items() if head is not None}


def head_of(y: np.ndarray, predictions: np.ndarray, classes: Sequence[str] = ()) -> Head | None:
    """Return what one target is; None where it has more axes than a row, or another shape than what came out.

    Args:
        y: (n, ...) of any type.
        predictions: (n, ...) float32.
        classes: their names, where it is known that they are classes.
    """
    if y.dtype.kind not in "biuf" or y.ndim > 2 or predictions.ndim > 2 or not len(y):
        return None
    p = predictions.reshape(len(predictions), -1)
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim == 1:
        if _are_classes(flat, p, bool(classes)):
            count = max(2, p.shape[1])
            return Head("classification", flat.astype(np.int64), p, tuple(classes) or tuple(map(str, range(count))))
        return Head("regression", flat.astype(np.float32), p, ("",)) if p.shape[1] == 1 else None
    if flat.shape != p.shape:
        return None
    names = tuple(map(str, range(p.shape[1])))
    if np.isin(flat, (0, 1)).all() and are_probabilities(p.reshape(-1)):
        if (flat.sum(axis=1) == 1).all() and are_probabilities(p):
            return Head("classification", flat.argmax(axis=1), p, names)
        return Head("multilabel", flat.astype(np.float32), p, names)
    return Head("regression", flat.astype(np.float32), p, names)


def _are_classes(y: np.ndarray, p: np.ndarray, are_known: bool) -> bool:
    """Say whether (n,) targets are class numbers of what came out: as many columns, or one column of probabilities for 0 and 1."""
    if not np.array_equal(y, np.round(y)) or y.min() < 0:
        return False
    if p.shape[1] > 1:
        return y.max() < p.shape[1] <= MOST_CLASSES
    return bool(y.max() <= 1) and (are_known or are_probabilities(p))
