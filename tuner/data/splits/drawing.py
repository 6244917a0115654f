"""Which rows train, which validate, which test: seeded, and stratified for classes.

Owns the drawing of row numbers and the checks that make a draw possible. Must not see a feature.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.data.own.pipelines import Pipeline
from tuner.data.scaling import Scaling
from tuner.data.tables.stream import Stream
from tuner.errors import DatasetError

AS_NUMBERS = 'or dataset.task = "regression", which takes the classes as the numbers that they are'

# Dates that are in order as text.
ISO = re.compile(r"\d{4}(-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?)?)?(Z|[+-]\d{2}:?\d{2})?$")


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the pool, for one network.

    Attributes:
        train: int64 row numbers into the pool, ascending; or the stream or pipeline that gives these rows; None: nothing is trained.
        validation: int64 row numbers into the pool, ascending, none of them in `train`; or the pipeline that gives these rows; None: nothing is validated.
        scaling: of each leaf of the inputs, in their order; None for one that is left as it is; empty: not fitted yet.

    Raises:
        ValueError: there is no row number, one is negative or there twice, or on both sides.
    """

    train: Any
    validation: Any
    scaling: tuple[Scaling | None, ...] = ()

    def __post_init__(self) -> None:
        given = {name: isinstance(getattr(self, name), Stream | Pipeline) or getattr(self, name) is None for name in ("train", "validation")}
        for name in (name for name, is_none in given.items() if not is_none):
            rows = np.sort(np.asarray(getattr(self, name), dtype=np.int64))
            if rows.ndim != 1 or not len(rows) or rows[0] < 0 or (len(rows) > 1 and np.any(np.diff(rows) == 0)):
                raise ValueError(f"Fold.{name}: expected at least one row number, none negative, none twice")
            rows.flags.writeable = False
            object.__setattr__(self, name, rows)
        if not any(given.values()) and len(np.intersect1d(self.train, self.validation, assume_unique=True)):
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
        rows: (n,) int64 row numbers.
        labels: (n,) int class numbers, or (n, k) float32 or int labels of 0 and 1, to stratify by; none: no stratification.
        count: how many rows to draw.
        seed: of the draw.
        key: the key of `[dataset]` that asked for it, for messages.

    Returns:
        (n - count,) int64, the rows that are left, and (count,) int64, those drawn; both ascending.

    Raises:
        DatasetError: a class has too few rows to be on both sides.
    """
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    rest = len(rows) - count
    if labels is None:
        left, drawn = next(ShuffleSplit(1, test_size=count, train_size=rest, random_state=seed).split(rows))
    elif labels.ndim == 2:
        sides = of_labels(labels, counts=(rest, count), seed=seed)
        left, drawn = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
    else:
        classes = len(np.unique(labels))
        if min(count, rest) < classes:
            raise DatasetError(f"dataset.{key}: got {count} rows held out and {rest} left; expected at least {classes} on each side, one per class")
        left, drawn = next(StratifiedShuffleSplit(1, test_size=count, train_size=rest, random_state=seed).split(rows, labels))
    return np.sort(rows[left]), np.sort(rows[drawn])


def sample(rows: np.ndarray, labels: np.ndarray | None, *, count: int, seed: int) -> np.ndarray:
    """Draw at most `count` of these rows; stratified where labels are given.

    Args:
        rows: (n,) int64 row numbers, ascending.
        labels: (n,) int class numbers, or (n, k) float32 or int labels of 0 and 1, to stratify by; none: no stratification.
        count: how many rows at most.
        seed: of the draw.

    Returns:
        (at most count,) int64, ascending.

    Raises:
        DatasetError: fewer rows than classes are asked for.
    """
    if len(rows) <= count:
        return rows
    if labels is not None and labels.ndim == 2:
        return hold_out(rows, labels, count=count, seed=seed, key="max_rows")[1]
    if labels is not None and count < len(np.unique(labels)):
        raise DatasetError(f"dataset.max_rows: got {count}; expected at least {len(np.unique(labels))}, one per class")
    if labels is not None and len(rows) - count < len(np.unique(labels)):
        labels = None  # what is left out is too small to hold every class, so it cannot unbalance one either
    _, drawn = hold_out(rows, labels, count=count, seed=seed, key="max_rows")
    return drawn


def folds(labels: np.ndarray | None, *, rows: int, count: int, seed: int) -> tuple[Fold, ...]:
    """Divide `rows` rows into `count` folds, each of which validates once.

    Args:
        labels: (rows,) int class numbers, or (rows, k) float32 or int labels of 0 and 1, to stratify by; none: no stratification.
        rows: how many there are.
        count: number of folds.
        seed: of the draw.

    Raises:
        DatasetError: there are fewer rows than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if rows < count:
        raise DatasetError(f"dataset.folds: got {count} folds of {rows} rows; expected at most one fold per row")
    if labels is not None and labels.ndim == 2:
        sizes = [len(part) for part in np.array_split(np.arange(rows), count)]
        sides = of_labels(labels, counts=sizes, seed=seed)
        return tuple(Fold(np.flatnonzero(sides != fold), np.flatnonzero(sides == fold)) for fold in range(count))
    splitter = KFold(count, shuffle=True, random_state=seed) if labels is None else StratifiedKFold(count, shuffle=True, random_state=seed)
    return tuple(Fold(train, validation) for train, validation in splitter.split(np.zeros(rows), labels))


def of_labels(labels: np.ndarray, *, counts: Sequence[int], seed: int) -> np.ndarray:
    """Divide rows so that each side has its share of every label: the rarest label first, each of its rows to the side that lacks it most.

    Source: Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, 2011.

    Args:
        labels: (n, k) float32 or int of 0 and 1.
        counts: rows of each side; n together.
        seed: of what is a matter of indifference.

    Returns:
        (n,) int64: the side of each row.
    """
    random = np.random.default_rng(seed)
    has = labels > 0.5
    room = np.asarray(counts, dtype=np.float64)
    wanted = np.outer(room / room.sum(), has.sum(axis=0))
    sides = np.full(len(labels), -1)
    waiting = has.sum(axis=0)
    while waiting.any():
        rarest = int(np.argmin(np.where(waiting > 0, waiting, np.iinfo(waiting.dtype).max)))
        for row in random.permutation(np.flatnonzero(has[:, rarest] & (sides < 0))):
            # Ties go to the side with most room, then by lot.
            order = np.lexsort((random.random(len(room)), -room, -wanted[:, rarest], room < 1))
            side = int(order[0])
            sides[row] = side
            wanted[side, has[row]] -= 1
            room[side] -= 1
            waiting = waiting - has[row]
    rest = random.permutation(np.flatnonzero(sides < 0))
    sides[rest] = np.repeat(np.arange(len(room)), room.astype(int))
    return sides


def of_groups(groups: np.ndarray, strata: np.ndarray | None, *, shares: Sequence[float], seed: int, name: str) -> np.ndarray:
    """Divide rows so that no group is on two sides, and each side has about its share of the rows and of every class or label.

    The groups that stand out most come first, each to the side that it leaves nearest to its shares.

    Args:
        groups: (n,) int: 0, 1, ...
        strata: (n,) int class numbers or (n, k) int or float32 labels; None: rows alone count.
        shares: of each side; 1 together.
        seed: of what is a matter of indifference.
        name: of the column, for messages.

    Returns:
        (n,) int64: the side of each row.

    Raises:
        DatasetError: there are fewer groups than sides.
    """
    present, groups = np.unique(groups, return_inverse=True)
    if len(present) < len(shares):
        raise DatasetError(
            f"column {name!r}: has {len(present)} group{'s' * (len(present) != 1)} to divide into {len(shares)} sides; expected at least one for each"
        )
    kinds = np.ones((len(groups), 1)) if strata is None else np.eye(int(strata.max()) + 1)[strata] if strata.ndim == 1 else strata
    counts = np.stack(
        [np.bincount(groups, weights=column, minlength=len(present)) for column in (np.ones(len(groups)), *np.asarray(kinds, np.float64).T)], axis=1
    )
    shares_of = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(present))
    order = order[np.argsort(-shares_of[order].max(axis=1), kind="stable")]
    wanted = np.asarray(shares, dtype=np.float64)[:, None]
    held = np.zeros((len(shares), counts.shape[1]))
    sides = np.zeros(len(present), dtype=np.int64)
    for index, group in enumerate(order):
        empty = np.flatnonzero(~held.any(axis=1))
        after = held[:, None, :] + np.eye(len(shares))[:, :, None] * shares_of[group]
        miss = np.square(after.transpose(1, 0, 2) - wanted).sum(axis=(1, 2))
        # The last groups go where there is none yet.
        side = int(empty[0]) if len(order) - index <= len(empty) else int(np.argmin(miss))
        held[side] += shares_of[group]
        sides[group] = side
    return sides[groups]


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
