"""What is to be predicted, as numbers: classes or targets.

Owns which task a target column means and the order of the classes. Must not see a feature.
"""

from dataclasses import dataclass

import numpy as np

from tuner.data.decisions import Decision
from tuner.data.values import to_float32
from tuner.errors import DatasetError

# Whole numbers with two rows or more of each on average are taken as classes where they are few, or count up from 0 or 1 without a gap, as labels do.
FEW_CLASSES, MAX_INFERRED_CLASSES = 10, 100
AS_NUMBER, AS_CLASSES = 'dataset.task = "regression"', 'dataset.task = "classification"'


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

    @property
    def are_numbers(self) -> bool:
        """Whether the classes are numbers, which may be meant as such."""
        return self.labels.dtype.kind in "iuf" and len(self.labels) > 0

    def encode(self, y: np.ndarray, where: str) -> np.ndarray:
        """Return (n,) int32 class numbers, or float32 targets (n,) or (n, k).

        Args:
            y: (n,) raw labels (numbers, booleans or strings), or (n, k) targets (float64).
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
        y: (n,) labels or targets (numbers, booleans or strings), or (n, k) targets.
        task: `classification` or `regression`; none: strings, booleans and whole numbers that look like labels are classes; see `are_labels`.
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
    classes = names if len(names) == len(labels) and np.array_equal(labels, np.arange(len(names))) else tuple(_name(label) for label in labels)
    return Targets("classification", classes, labels)


def decision(targets: Targets, y: np.ndarray, name: str, *, asked: str | None) -> Decision:
    """Return what was decided about the target.

    Args:
        targets: as fitted.
        y: (n,) labels or targets (numbers, booleans or strings), or (n, k) targets.
        name: of the target.
        asked: the task, where the spec or the source knows it.
    """
    if targets.task == "classification":
        seen, key = ("whole numbers", AS_NUMBER) if targets.are_numbers and asked is None else ("", "")
        return Decision(name, "classes", f"{len(targets.classes)} classes ({_some(targets.classes, 6)})", seen, key, target=True)
    low, high = float(np.min(y)), float(np.max(y))
    whole = asked is None and y.ndim == 1 and y.dtype.kind in "iuf" and bool((y == np.round(y)).all())
    seen = f"whole numbers, {len(np.unique(y))} different ones" if whole else ""
    many = f"{y.shape[1]} numbers" if y.ndim == 2 and y.shape[1] > 1 else "a number"
    return Decision(name, "numbers", f"{many}, from {low:g} to {high:g}", seen, AS_CLASSES if whole else "", target=True)


def are_labels(values: np.ndarray, rows: int) -> bool:
    """Say whether these whole numbers are taken as the labels of classes, where the spec does not say.

    Args:
        values: (k,) int64 or float64: the distinct ones, ascending.
        rows: how many rows there are.
    """
    count = len(values)
    if 2 * count > rows or count > MAX_INFERRED_CLASSES:
        return False
    return count <= FEW_CLASSES or (values[0] in (0, 1) and values[-1] - values[0] == count - 1)


def _infer(y: np.ndarray) -> str:
    if y.ndim == 2:
        one_hot = np.issubdtype(y.dtype, np.number) and bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())
        return "classification" if one_hot else "regression"
    if y.dtype.kind in "iuf":
        if y.dtype.kind == "f" and (not np.isfinite(y).all() or (y != np.round(y)).any() or np.ptp(y) == 0):
            return "regression"
        return "classification" if are_labels(np.unique(y), len(y)) else "regression"
    return "classification"


def _check_present(y: np.ndarray, where: str) -> None:
    if not len(y):
        raise DatasetError(f"{where}: got no rows at all")
    if y.dtype.kind not in "biufUSO" or y.ndim not in (1, 2):
        raise DatasetError(f"{where}: got {y.dtype} of shape {y.shape}; expected one number, boolean or word per row")
    if np.issubdtype(y.dtype, np.floating) and np.isnan(y).any():
        missing = np.isnan(y).reshape(len(y), -1).any(axis=1)
        fault = f"{int(missing.sum())} of {len(y)} are missing, the first in row {int(np.argmax(missing))}"
        raise DatasetError(f'{where}: {fault}; expected a value in every row, or dataset.missing = "drop"')


def _plain(y: np.ndarray) -> np.ndarray:
    return y.astype(str) if y.dtype.kind in "SO" else y


def _kind(y: np.ndarray) -> str:
    return {"b": "booleans", "i": "numbers", "u": "numbers", "f": "numbers"}.get(y.dtype.kind, "words")


def _name(label: object) -> str:
    if isinstance(label, bool | np.bool_):
        return "true" if label else "false"
    return str(int(label)) if isinstance(label, np.number) else str(label)


def _some(words: tuple[str, ...], most: int = 10) -> str:
    return ", ".join(words[:most]) + (f", ... ({len(words)} in all)" if len(words) > most else "")
