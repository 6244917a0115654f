"""Which rows train, which validate, which test: seeded, and stratified for classes.

Owns the drawing of row numbers and the checks that make a draw possible. Must not see a feature.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.data.scaling import Scaling
from tuner.data.stream import Stream
from tuner.errors import DatasetError

AS_NUMBERS = 'or dataset.task = "regression", which takes the classes as the numbers that they are'


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the pool, for one network.

    Attributes:
        train: int64 row numbers into the pool, ascending; or the stream that gives these rows; None: nothing is trained.
        validation: int64 row numbers into the pool, ascending; none of them in `train`; None: nothing is validated.
        scaling: of each leaf of the inputs, in their order; None for one that is left as it is; empty: not fitted yet.
    """

    train: Any
    validation: np.ndarray | None
    scaling: tuple[Scaling | None, ...] = ()

    def __post_init__(self) -> None:
        streamed = isinstance(self.train, Stream)
        for name in ("validation",) if streamed else ("train", "validation"):
            if getattr(self, name) is None:
                continue
            rows = np.sort(np.asarray(getattr(self, name), dtype=np.int64))
            if rows.ndim != 1 or not len(rows) or rows[0] < 0 or (len(rows) > 1 and np.any(np.diff(rows) == 0)):
                raise ValueError(f"Fold.{name}: expected at least one row number, none negative, none twice")
            rows.flags.writeable = False
            object.__setattr__(self, name, rows)
        if not streamed and self.train is not None and self.validation is not None and len(np.intersect1d(self.train, self.validation, assume_unique=True)):
            raise ValueError("Fold: some rows are in both train and validation")


def count_of(share: float | int, rows: int, key: str, *, left: float = 1.0) -> int:
    """Return how many of `rows` rows a share is.

    Args:
        share: a fraction below 1, or a number of rows.
        rows: how many there are.
        key: the key of `[dataset]` that asked for it, for messages.
        left: what fraction `rows` is of the rows that a fraction counts.

    Raises:
        DatasetError: nothing would be held out, or nothing left.
    """
    count = round(share / left * rows) if isinstance(share, float) else share
    if count < 1 or count >= rows:
        raise DatasetError(f"dataset.{key}: got {share:g}, {count} of {rows} rows; expected at least 1 row, and at least 1 left")
    return count


def hold_out(rows: np.ndarray, labels: np.ndarray | None, *, count: int, seed: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` of these rows.

    Args:
        rows: int64 row numbers.
        labels: (len(rows),) class numbers to stratify by; none: no stratification.
        count: how many rows to draw.
        seed: of the draw.
        key: the key of `[dataset]` that asked for it, for messages.

    Returns:
        The rows that are left and the rows drawn, both ascending.

    Raises:
        DatasetError: a class has too few rows to be on both sides.
    """
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    rest = len(rows) - count
    if labels is None:
        left, drawn = next(ShuffleSplit(1, test_size=count, train_size=rest, random_state=seed).split(rows))
    else:
        classes = len(np.unique(labels))
        if min(count, rest) < classes:
            raise DatasetError(f"dataset.{key}: got {count} rows held out and {rest} left; expected at least {classes} on each side, one per class")
        left, drawn = next(StratifiedShuffleSplit(1, test_size=count, train_size=rest, random_state=seed).split(rows, labels))
    return np.sort(rows[left]), np.sort(rows[drawn])


def sample(rows: np.ndarray, labels: np.ndarray | None, *, count: int, seed: int) -> np.ndarray:
    """Draw at most `count` of these rows, ascending; stratified where labels are given.

    Raises:
        DatasetError: fewer rows than classes are asked for.
    """
    if len(rows) <= count:
        return rows
    if labels is not None and count < len(np.unique(labels)):
        raise DatasetError(f"dataset.max_rows: got {count}; expected at least {len(np.unique(labels))}, one per class")
    if labels is not None and len(rows) - count < len(np.unique(labels)):
        labels = None  # what is left out is too small to hold every class, so it cannot unbalance one either
    _, drawn = hold_out(rows, labels, count=count, seed=seed, key="max_rows")
    return drawn


def folds(labels: np.ndarray | None, *, rows: int, count: int, seed: int) -> tuple[Fold, ...]:
    """Divide `rows` rows into `count` folds, each of which validates once.

    Raises:
        DatasetError: there are fewer rows than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if rows < count:
        raise DatasetError(f"dataset.folds: got {count} folds of {rows} rows; expected at most one fold per row")
    splitter = KFold(count, shuffle=True, random_state=seed) if labels is None else StratifiedKFold(count, shuffle=True, random_state=seed)
    return tuple(Fold(train, validation) for train, validation in splitter.split(np.zeros(rows), labels))


def check_classes(labels: np.ndarray, classes: tuple[str, ...], *, least: int, why: str, numbers: bool = False) -> None:
    """Check that each class has enough rows to be divided.

    Args:
        labels: (n,) int32 class numbers.
        classes: their names.
        least: how many rows of each class there must be.
        why: what they are needed for.
        numbers: whether the classes are numbers, which may be meant as such.

    Raises:
        DatasetError: names the smallest class.
    """
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(np.argmin(counts))
    if counts[smallest] < least:
        raise DatasetError(
            f"dataset.target: class {classes[smallest]!r} has {counts[smallest]} row{'s' if counts[smallest] != 1 else ''}; expected at least {least} {why}; "
            f"leave the class out, merge it with another, or bring more rows{f'; {AS_NUMBERS}' if numbers else ''}"
        )
