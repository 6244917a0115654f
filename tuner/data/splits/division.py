"""How the rows of a source are divided into test, train and validation: at random, by time, by group, or as a column says.

Owns what each way promises: no moment and no group on two sides, gaps that are left out, folds that expand. The drawing itself stands in `drawing.py`.
Must not see a feature.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.errors import nearest
from tuner.data.section import DEFAULT_SHARE, DatasetSection
from tuner.data.splits import drawing
from tuner.data.splits.drawing import Fold
from tuner.errors import DatasetError

WORDS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that are divided.

    Attributes:
        count: how many there are, those of a given validation split included, which are the last.
        strata: what the sides are to have equal shares of: (n,) class numbers or (n, k) labels; None: nothing.
        classes: the classes' names; empty where there are none.
        numbers: whether these are numbers, which may be meant as such.
        by: (n,) what they are divided by: moments, groups or words; None: nothing.
        name: of the column or array that holds it.
        validation: rows of the validation split that the data bring; 0: none.
        test_given: whether the data bring a test split.
    """

    count: int
    strata: np.ndarray | None
    classes: tuple[str, ...] = ()
    numbers: bool = False
    by: np.ndarray | None = None
    name: str = ""
    validation: int = 0
    test_given: bool = False


@dataclass(frozen=True, eq=False)
class Division:
    """Who does what.

    Attributes:
        pool: int64 numbers of the rows that a search may see, in the order in which folds count them.
        test: those of the test split; empty where the data bring one.
        folds: of positions in `pool`.
    """

    pool: np.ndarray
    test: np.ndarray
    folds: tuple[Fold, ...]


def divide(rows: Rows, section: DatasetSection, seed: int) -> Division:
    """Divide rows as `[dataset]` says.

    Args:
        rows: and what they are divided by.
        section: `[dataset]`.
        seed: of whatever is drawn.

    Raises:
        DatasetError: a side would be empty, a class has too few rows, or the data bring what is to be drawn.
    """
    if rows.test_given and section.test is not None:
        raise DatasetError(f"dataset.test: got {section.test}, but the data bring a test split, kept as it is; leave the key out")
    if rows.validation:
        for key in ("validation", "folds"):
            if getattr(section, key) is not None:
                raise DatasetError(
                    f"dataset.{key}: got {getattr(section, key)}, but the data bring a validation split ({rows.validation} rows); leave the key out"
                )
        if section.mode != "random":
            raise DatasetError(f'dataset.split: got "{section.mode}", but the data bring a validation split ({rows.validation} rows); leave one of them out')
    if section.mode in ("group", "column") and rows.by is None:
        raise DatasetError(f'dataset.split: got "{section.mode}", but there is no array {section.aside!r}; expected one with a value for each row')
    if rows.by is not None and section.mode in ("group", "time"):
        _check_present(rows.by, rows.name)
    divided = {"random": _random, "time": _by_time, "group": _by_group, "column": _by_column}[section.mode](rows, section, seed)
    _check_learnable(rows, divided)
    return divided


def _random(rows: Rows, section: DatasetSection, seed: int) -> Division:
    needed, where = section.folds or 2, "in every fold" if section.folds else "in train and in validation"
    strata = rows.strata
    single = strata is not None and strata.ndim == 1
    pool, test = np.arange(rows.count - rows.validation), np.zeros(0, dtype=np.int64)
    given = np.arange(len(pool), rows.count)
    left = 1.0
    if rows.validation:
        needed, where = 1, "in train"
    if strata is not None and single:
        why = f"to be {where}{' and in test' if not rows.test_given else ''}"
        drawing.check_classes(strata[pool], rows.classes, least=needed + (not rows.test_given), why=why, numbers=rows.numbers)
    if not rows.test_given:
        count = drawing.count_of(DEFAULT_SHARE if section.test is None else section.test, len(pool), "test")
        left = 1 - count / len(pool)
        pool, test = drawing.hold_out(pool, None if strata is None else strata[pool], count=count, seed=seed, key="test")
    if section.max_rows is not None:
        # Of a given validation split as large a part is left out as of the rows to train on.
        share = len(pool) / (len(pool) + len(given))
        pool = drawing.sample(pool, None if strata is None else strata[pool], count=max(1, round(section.max_rows * share)), seed=seed)
        if len(given):
            given = drawing.sample(given, None if strata is None else strata[given], count=max(1, round(section.max_rows * (1 - share))), seed=seed)
    labels = None if strata is None else strata[pool]
    if labels is not None and single:
        sample = " and within max_rows" if section.max_rows else ""
        drawing.check_classes(labels, rows.classes, least=needed, why=f"outside the test split{sample}, to be {where}", numbers=rows.numbers)
    if rows.validation:
        return Division(np.concatenate([pool, given]), test, (Fold(np.arange(len(pool)), np.arange(len(pool), len(pool) + len(given))),))
    if section.folds:
        return Division(pool, test, drawing.folds(labels, rows=len(pool), count=section.folds, seed=seed))
    share = DEFAULT_SHARE if section.validation is None else section.validation
    # A fraction counts all rows that the test split was drawn from, so that 0.2 and 0.2 leave 0.6.
    count = drawing.count_of(share, len(pool), "validation", left=left)
    train, validation = drawing.hold_out(np.arange(len(pool)), labels, count=count, seed=seed, key="validation")
    return Division(pool, test, (Fold(train, validation),))


def _by_time(rows: Rows, section: DatasetSection, seed: int) -> Division:
    """Train, then validation, then test; equal moments stay together, on the later side."""
    moments = np.arange(rows.count) if rows.by is None else _moments(rows.by, rows.name)
    order = np.argsort(moments, kind="stable")
    moments = moments[order]
    end, test, left = rows.count, np.zeros(0, dtype=np.int64), 1.0
    if not rows.test_given:
        count = drawing.count_of(DEFAULT_SHARE if section.test is None else section.test, rows.count, "test")
        first = _first_of(moments, rows.count - count)
        test, end = order[first:], first - section.gap
        left = end / rows.count  # so that a fraction counts all rows
    begin = 0 if section.max_rows is None else max(0, end - section.max_rows)  # the latest
    if end - begin < 2:
        raise DatasetError(_too_few(rows, section, "test"))
    pool, moments = order[begin:end], moments[begin:end]
    if section.folds:
        # Each validates on as many rows as the next, and trains on all before them.
        size = len(pool) // (section.folds + 1)
        bounds = [len(pool) - size * (section.folds - index) for index in range(section.folds + 1)]
    else:
        bounds = [
            len(pool) - drawing.count_of(DEFAULT_SHARE if section.validation is None else section.validation, len(pool), "validation", left=left),
            len(pool),
        ]
    bounds = [_first_of(moments, bound) for bound in bounds]
    folds = []
    for first, last in itertools.pairwise(bounds):
        if first - section.gap < 1 or last <= first:
            raise DatasetError(_too_few(rows, section, "validation"))
        folds.append(Fold(np.arange(first - section.gap), np.arange(first, last)))
    return Division(pool, test, tuple(folds))


def _by_group(rows: Rows, section: DatasetSection, seed: int) -> Division:
    """At random, with every group on one side, and classes in as equal shares as that allows."""
    if rows.by is None:
        raise ValueError("_by_group: got no groups")
    _, groups = np.unique(rows.by, return_inverse=True)
    groups = groups.reshape(-1)
    pool, test, left = np.arange(rows.count), np.zeros(0, dtype=np.int64), 1.0
    if not rows.test_given:
        count = drawing.count_of(DEFAULT_SHARE if section.test is None else section.test, rows.count, "test")
        left = 1 - count / rows.count
        sides = drawing.of_groups(groups, rows.strata, shares=(left, 1 - left), seed=seed, name=rows.name)
        pool, test = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
    if section.max_rows is not None and section.max_rows < len(pool):
        # Whole groups, in an order drawn by the seed.
        order = np.random.default_rng(seed).permutation(groups.max() + 1)
        taken = np.cumsum(np.bincount(groups[pool], minlength=len(order))[order]) <= section.max_rows
        pool = pool[np.isin(groups[pool], order[taken])]
        if not len(pool):
            raise DatasetError(f"dataset.max_rows: got {section.max_rows}; expected more rows than a group has")
    labels = None if rows.strata is None else rows.strata[pool]
    if section.folds:
        sides = drawing.of_groups(groups[pool], labels, shares=(1 / section.folds,) * section.folds, seed=seed, name=rows.name)
        folds = tuple(Fold(np.flatnonzero(sides != fold), np.flatnonzero(sides == fold)) for fold in range(section.folds))
        return Division(pool, test, folds)
    share = DEFAULT_SHARE if section.validation is None else section.validation
    count = drawing.count_of(share, len(pool), "validation", left=left)
    sides = drawing.of_groups(groups[pool], labels, shares=(1 - count / len(pool), count / len(pool)), seed=seed, name=rows.name)
    return Division(pool, test, (Fold(np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)),))


def _by_column(rows: Rows, section: DatasetSection, seed: int) -> Division:
    """As a column says; of validation and test, what it does not name is drawn from the rows to train on."""
    words = _text(np.asarray(rows.by))
    unknown = sorted({word for word in np.unique(words).tolist() if word.strip().lower() not in WORDS})
    if unknown:
        raise DatasetError(f"column {rows.name!r}: holds {unknown[0]!r}; {nearest(unknown[0].strip().lower(), list(WORDS))}")
    sides = np.array([WORDS[word.strip().lower()] for word in words.tolist()])
    parts = {side: np.flatnonzero(sides == side) for side in ("train", "validation", "test")}
    if not len(parts["train"]):
        raise DatasetError(f'column {rows.name!r}: no row is called "train"; expected some')
    if rows.test_given and len(parts["test"]):
        raise DatasetError(f'column {rows.name!r}: calls {len(parts["test"])} rows "test", but the data bring a test split of their own; leave one of them out')
    for side in ("validation", "test"):
        share = getattr(section, side)
        if len(parts[side]) and share is not None:
            raise DatasetError(f"dataset.{side}: got {share}, but column {rows.name!r} says which rows these are; leave the key out")
        if len(parts[side]) or (side == "test" and rows.test_given):
            continue
        strata = None if rows.strata is None else rows.strata[parts["train"]]
        count = drawing.count_of(DEFAULT_SHARE if share is None else share, len(parts["train"]), side)
        parts["train"], parts[side] = drawing.hold_out(parts["train"], strata, count=count, seed=seed, key=side)
    train, validation = parts["train"], parts["validation"]
    if section.max_rows is not None and section.max_rows < len(train) + len(validation):
        share = section.max_rows / (len(train) + len(validation))
        train, validation = (
            drawing.sample(part, None if rows.strata is None else rows.strata[part], count=max(1, int(len(part) * share)), seed=seed)
            for part in (train, validation)
        )
    pool = np.sort(np.concatenate([train, validation]))
    return Division(pool, parts["test"], (Fold(np.searchsorted(pool, train), np.searchsorted(pool, validation)),))


def _first_of(moments: np.ndarray, at: int) -> int:
    """Return the first row of the moment that row `at` is of."""
    return int(np.searchsorted(moments, moments[at])) if 0 <= at < len(moments) else at


def _moments(by: np.ndarray, name: str) -> np.ndarray:
    if by.dtype.kind in "biufM":
        return by
    words = _text(by)
    # As text, only dates that begin with the year come in their order.
    wrong = [word for word in words.tolist() if not drawing.ISO.match(word)]
    if wrong:
        raise DatasetError(f"column {name!r}: holds {wrong[0]!r}; expected numbers, or dates like 2026-01-31 or 2026-01-31 12:00, to put rows in order by")
    return words


def _text(by: np.ndarray) -> np.ndarray:
    return np.char.decode(by, "utf-8") if by.dtype.kind == "S" else by.astype(str)


def _check_present(by: np.ndarray, name: str) -> None:
    missing = np.isnan(by) if by.dtype.kind == "f" else np.isnat(by) if by.dtype.kind == "M" else by == (b"" if by.dtype.kind == "S" else "")
    if by.dtype.kind in "fMSU" and missing.any():
        raise DatasetError(f"column {name!r}: the value of row {int(np.argmax(missing))} is missing; expected one in every row, by which rows are split")


def _check_learnable(rows: Rows, division: Division) -> None:
    """Check that what is trained on holds more than one class."""
    if rows.strata is None or rows.strata.ndim != 1:
        return
    for number, fold in enumerate(division.folds, start=1):
        classes = np.unique(rows.strata[division.pool[fold.train]])
        if len(classes) < 2:
            where = f"of fold {number} " if len(division.folds) > 1 else ""
            raise DatasetError(f"dataset.split: the rows to train on {where}are all of class {rows.classes[int(classes[0])]!r}; expected at least two classes")


def _too_few(rows: Rows, section: DatasetSection, side: str) -> str:
    gap = f" with a gap of {section.gap}" if section.gap else ""
    ties = " and with equal moments on one side" if rows.by is not None else ""
    return f"dataset.{side}: {rows.count} rows{gap}{ties} leave nothing to train on before it, or nothing to score; expected more rows or a smaller gap"


def class_notes(rows: Rows, division: Division) -> list[str]:
    """Return a line for each fold in which a class is validated that is not trained on.

    Args:
        rows: as they were divided.
        division: of them.
    """
    if rows.strata is None or rows.strata.ndim != 1:
        return []
    notes = []
    for number, fold in enumerate(division.folds, start=1):
        sides: list[Any] = [set(rows.strata[division.pool[part]].tolist()) for part in (fold.train, fold.validation)]
        if unseen := sorted(sides[1] - sides[0]):
            names = ", ".join(repr(rows.classes[label]) for label in unseen[:5])
            notes.append(f"{f'fold {number}: ' if len(division.folds) > 1 else ''}no row to train on is of class {names}, which rows to validate on are")
    return notes
