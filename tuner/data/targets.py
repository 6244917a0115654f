"""What is to be predicted, as numbers: classes or targets.

Owns which task a target column means and the order of the classes. Must not see a feature.
"""

from dataclasses import dataclass

import numpy as np

from tuner.data.values import to_float32
from tuner.errors import DatasetError

# Whole numbers with at most this many distinct values, and two rows or more of each on average, are taken as classes.
MAX_INFERRED_CLASSES = 100


@dataclass(frozen=True)
class Targets:
    """How labels become numbers.

    Attributes:
        task: `classification` or `regression`.
        classes: the classes' names, in the order of their numbers; empty for regression.
        labels: the raw label of each class, ascending; empty for regression.
    """

    task: str
    classes: tuple[str, ...]
    labels: np.ndarray

    def encode(self, y: np.ndarray, where: str) -> np.ndarray:
        """Return (n,) int32 class numbers, or float32 targets (n,) or (n, k).

        Args:
            y: raw labels or targets.
            where: what they are, for messages, such as `test labels`.

        Raises:
            DatasetError: a label is missing or unknown, or a target is no finite number.
        """
        _check_present(y, where)
        if self.task == "regression":
            if y.dtype == bool or not np.issubdtype(y.dtype, np.number):
                raise DatasetError(f"{where}: got {_kind(y)}; expected numbers, because the task is regression")
            return to_float32(y, where)
        if y.ndim != 1 or _kind(y) != _kind(self.labels):
            raise DatasetError(f"{where}: got {_kind(y)} of shape {y.shape}; expected one of {_kind(self.labels)} per row")
        y = _plain(y)
        numbers = np.searchsorted(self.labels, y).clip(max=len(self.labels) - 1)
        unknown = self.labels[numbers] != y
        if unknown.any():
            row, label = int(np.argmax(unknown)), _name(y[unknown][0])
            raise DatasetError(f"{where}: row {row} has the class {label!r}, which no row to train on has; expected one of {_some(self.classes)}")
        return numbers.astype(np.int32)


def fit(y: np.ndarray, task: str | None, names: tuple[str, ...] = ()) -> Targets:
    """Return how these labels become numbers.

    Args:
        y: (n,) labels or targets, or (n, k) targets.
        task: `classification` or `regression`; none: strings, booleans and whole numbers with few values are classes.
        names: of classes 0, 1, ..., where the source knows them.

    Raises:
        DatasetError: there is nothing to learn, or the labels do not fit the task.
    """
    _check_present(y, "labels")
    task = task or _infer(y)
    if task == "regression":
        targets = Targets(task, (), np.zeros(0))
        if (np.ptp(targets.encode(y, "targets"), axis=0) == 0).any():
            raise DatasetError("targets: every row has the same value; there is nothing to learn")
        return targets
    if y.ndim != 1:
        mend = 'save y.argmax(axis=1) of one-hot labels, or set dataset.task = "regression" for several targets'
        raise DatasetError(f"labels: got shape {y.shape}; expected one label per row; {mend}")
    if np.issubdtype(y.dtype, np.floating) and (y != np.round(y)).any():
        row = int(np.argmax(y != np.round(y)))
        raise DatasetError(f'labels: row {row} holds {y[row]}; expected whole numbers or words for classification; did you mean dataset.task = "regression"?')
    labels = np.unique(_plain(y))
    if len(labels) < 2:
        raise DatasetError(f"labels: every row has the class {_name(labels[0])!r}; expected at least two classes")
    known = names if len(names) == len(labels) and np.array_equal(labels, np.arange(len(names))) else tuple(_name(label) for label in labels)
    return Targets("classification", known, labels)


def _infer(y: np.ndarray) -> str:
    if y.ndim == 2:
        one_hot = np.issubdtype(y.dtype, np.number) and bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())
        return "classification" if one_hot else "regression"
    if np.issubdtype(y.dtype, np.floating):
        return "regression"
    if np.issubdtype(y.dtype, np.integer):
        distinct = len(np.unique(y))
        return "classification" if distinct <= MAX_INFERRED_CLASSES and 2 * distinct <= len(y) else "regression"
    return "classification"


def _check_present(y: np.ndarray, where: str) -> None:
    if not len(y):
        raise DatasetError(f"{where}: got no rows at all")
    if y.dtype.kind not in "biufUSO" or y.ndim not in (1, 2):
        raise DatasetError(f"{where}: got {y.dtype} of shape {y.shape}; expected one number, boolean or word per row")
    if np.issubdtype(y.dtype, np.floating) and np.isnan(y).any():
        missing = np.isnan(y).reshape(len(y), -1).any(axis=1)
        found = f"{int(missing.sum())} of {len(y)} are missing, the first in row {int(np.argmax(missing))}"
        raise DatasetError(f'{where}: {found}; expected a value in every row, or dataset.missing = "drop"')


def _plain(y: np.ndarray) -> np.ndarray:
    return y.astype(str) if y.dtype.kind in "SO" else y


def _kind(y: np.ndarray) -> str:
    return {"b": "booleans", "i": "numbers", "u": "numbers", "f": "numbers"}.get(y.dtype.kind, "words")


def _name(label: object) -> str:
    if isinstance(label, bool | np.bool_):
        return "true" if label else "false"
    return str(int(label)) if isinstance(label, np.number) else str(label)


def _some(words: tuple[str, ...]) -> str:
    return ", ".join(words[:10]) + (f", ... ({len(words)} in all)" if len(words) > 10 else "")
