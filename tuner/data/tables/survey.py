"""The first pass over a table that is streamed: what its columns hold, how they are scaled, and the rows that are kept apart.

Owns what an epoch needs before it can be read: kinds, categories, classes, means and deviations by split, the content's hash; and the rows of
validation and test, the only ones that stay in memory. One pass, a few thousand rows at a time. Must not know who asks, nor how rows are mixed later.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data import hashes, scaling
from tuner.data.decisions import LEFT_OUT, Decision, key_for
from tuner.data.features import Features
from tuner.data.scaling import Scaling
from tuner.data.section import DEFAULT_SHARE, DatasetSection
from tuner.data.splits.drawing import AS_NUMBERS
from tuner.data.tables import columns, dates, stream
from tuner.data.tables.columns import Column
from tuner.data.tables.from_tables import rules_of
from tuner.data.tables.interpret import FEW_WORDS, MOSTLY_DISTINCT, Interpretation, Rules, interpret
from tuner.data.tables.kept import Encoded, Kept
from tuner.data.tables.moments import Moments
from tuner.data.tables.problems import Problems
from tuner.data.tables.stream import TEST, TRAIN, VALIDATION, Draw, Piece, Stream
from tuner.data.tables.table import Table
from tuner.data.tables.words import check_slips
from tuner.data.targets import single
from tuner.data.targets.single import Targets
from tuner.data.values import FILLED
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

# Validation and test rows stay in memory: unless the spec asks for more, at most so many each.
MOST_KEPT = 100_000
MOST_CLASSES = 10_000


@dataclass(frozen=True, eq=False)
class Survey:
    """What the first pass gathered.

    Attributes:
        features, targets: how rows and labels become numbers.
        train: the rows to train on.
        whole: the same and those of validation, for the final training.
        x, y, rows: of each kept split (VALIDATION, TEST), by its number.
        content_hash: as of a table that is read at once.
        total: rows of the table.
        counts: rows of train and validation by class; empty for regression.
        moments: of the numbers, dates and booleans of each split, in the columns' order; of dates, the days since 1970.
        method: of scaling.
        columns: what the columns are.
        answer: what was decided about the target.
    """

    features: Features
    targets: Targets
    train: Stream
    whole: Stream
    x: Mapping[int, np.ndarray]
    y: Mapping[int, np.ndarray]
    rows: Mapping[int, np.ndarray]
    content_hash: str
    total: int
    counts: Mapping[str, int]
    moments: Mapping[int, Moments]
    method: str
    columns: Interpretation
    answer: Decision

    def scaling(self, rows: Any) -> Scaling:
        """Return the scaling fitted on the rows to train on, or (None) on those and the validation rows."""
        gathered = Moments(len(self.moments[TRAIN].mean))
        for split in (TRAIN,) if rows is not None else (TRAIN, VALIDATION):
            gathered.merge(self.moments[split])
        # Days are counted from the first one of their column.
        bases = np.array([float(column.base) for column in self.features.columns if column.kind != "category"])
        moments, fill = gathered.filled(self.features.missing, bases)
        deviation = np.sqrt(np.divide(moments.squares, moments.count, out=np.zeros(len(moments.mean)), where=moments.count > 0))
        width, plain = self.features.shape[0], self.features.plain
        numbers = {"mean": moments.mean - bases, "deviation": deviation, "low": moments.low - bases, "high": moments.high - bases, "fill": fill - bases}
        spread = {name: np.zeros(width) for name in numbers}
        at, index = 0, 0
        for column in self.features.columns:
            if column.kind != "category":
                has_values = moments.count[index] > 0 and (column.kind != "date" or "days" in column.parts)
                for name, values in numbers.items():
                    spread[name][at] = values[index] if has_values else 0.0
                index += 1
            at += len(column.outputs)
        return scaling.from_statistics(self.method, plain=plain, **spread)


def survey(section: DatasetSection, table: Table, features: Sequence[str], seed: int) -> Survey:
    """Pass once over a table.

    Args:
        section: `[dataset]`.
        table: Parquet, Feather or Arrow.
        features: the columns to predict from.
        seed: of the splits.

    Raises:
        DatasetError: a column or the target cannot be used, or a split would be empty.
    """
    total = table.count()
    draw = _draw(section, total, seed)
    names = section.targets
    gatherer = _Gatherer(section, tuple(features), names, draw, replace(rules_of(section, table), partial=True), total)
    pieces = []
    first = 0
    for file in table.files:
        for number in range(stream.count_pieces(table.path, table.system, table.format, file)):
            begin = first
            for part in stream.read(table.path, table.system, table.format, file, number, [*features, *names]):
                gatherer.add(part, first)
                first += part.num_rows
            pieces.append(Piece(file, number, begin, first - begin))
    return gatherer.result(table, tuple(pieces), first)


def _draw(section: DatasetSection, total: int, seed: int) -> Draw:
    def share(value: float | int | None, key: str) -> float:
        if value is None:
            return min(DEFAULT_SHARE, MOST_KEPT / total)
        fraction = value if isinstance(value, float) else value / total
        if not 0 < fraction < 1:
            raise DatasetError(f"dataset.{key}: got {value:g} of {total} rows; expected at least 1 row, and at least 1 left")
        return fraction

    test = 0.0 if section.test_path else share(section.test, "test")
    validation = share(section.validation, "validation")
    if test + validation >= 1:
        raise DatasetError(f"dataset.validation: with the test split it takes {test + validation:.3g} of {total} rows; expected less than all")
    return Draw(seed, validation, test)


class _Gatherer:
    """Takes in a table part by part."""

    def __init__(self, section: DatasetSection, features: tuple[str, ...], names: tuple[str, ...], draw: Draw, rules: Rules, total: int) -> None:
        self._section, self._names, self._features, self._draw, self._rules = section, names, features, draw, rules
        self._found = Interpretation({}, {})
        self._kinds: dict[str, str] = {}
        self._hash = hashes.TableHash((*features, *names), total)
        self._words: dict[str, set[str]] = {}
        self._calendars: dict[str, dates.Calendar] = {}
        self._left: dict[str, Decision] = {}
        self._holes: Counter[str] = Counter()
        self._kept = {VALIDATION: Kept(), TEST: Kept()}
        self._moments: dict[int, Moments] = {}
        self._rows: Counter[int] = Counter()
        self._task: str | None = None
        self._labels: dict[int, Counter[Any]] = {TRAIN: Counter(), VALIDATION: Counter(), TEST: Counter()}
        self._bounds = [np.inf, -np.inf]

    def add(self, part: "pa.Table", first: int) -> None:
        """Take in the rows from number `first` on."""
        if not self._moments:
            self._begin(part)
        self._hash.add(part)
        x, answers = columns.normalise(part, self._found.features), columns.read_targets(part, self._found.targets)
        numbers = np.arange(first, first + part.num_rows)
        splits = self._draw.splits(numbers)
        if self._section.missing == "drop":
            whole = columns.holes(x) + columns.holes(answers) == 0
            x, answers, numbers, splits = x.filter(whole), answers.filter(whole), numbers[whole], splits[whole]
        elif self._section.missing == "error":
            self._check_no_holes(x, first)
        if not len(numbers):
            return
        values = self._numbers(x, numbers)
        y = self._labelled(answers, numbers)
        for split in (TRAIN, VALIDATION, TEST):
            own = splits == split
            self._rows[split] += int(own.sum())
            if split != TEST:
                self._moments[split].add(values[own])
            self._count(y[own], split)
            if split != TRAIN and own.any():
                self._kept[split].tables.append((x.filter(own), answers.filter(own)))
                self._kept[split].rows.append(numbers[own])
        pool = x.filter(splits != TEST)
        for name, column in zip(pool.column_names, pool.columns, strict=True):
            self._holes[name] += column.null_count
            if name in self._words:
                self._words[name].update(word for word in column.unique().to_pylist() if word is not None)
                self._check_words(name)
            elif name in self._calendars:
                self._calendars[name].add(column.to_numpy())

    def result(self, table: Table, pieces: tuple[Piece, ...], total: int) -> Survey:
        for split, key in ((TRAIN, "train"), (VALIDATION, "validation"), *(() if self._section.test_path else ((TEST, "test"),))):
            if not self._rows[split]:
                raise DatasetError(f"{table.path}: no row of {total} fell to {key}; expected more rows, or a larger share")
        features = self._fitted()
        targets = self._targets()
        kept = {split: Encoded.of(each, features, targets) for split, each in self._kept.items()}
        buffer_rows = min(self._section.shuffle_buffer, self._rows[TRAIN] + self._rows[VALIDATION])
        train = Stream(
            table.absolute, table.format, pieces, features, targets, self._found.targets, self._draw, (TRAIN,), rows=self._rows[TRAIN], buffer_rows=buffer_rows
        )
        whole = Stream(**{**vars(train), "splits": (TRAIN, VALIDATION), "rows": self._rows[TRAIN] + self._rows[VALIDATION]})
        counts = {}
        if targets.task == "classification":
            pool = self._labels[TRAIN] + self._labels[VALIDATION]
            counts = {name: pool[label] for name, label in zip(targets.classes, targets.labels.tolist(), strict=True)}
        method = self._section.method
        return Survey(
            features=features,
            targets=targets,
            train=train,
            whole=whole,
            x={split: each.x for split, each in kept.items()},
            y={split: each.y for split, each in kept.items()},
            rows={split: each.rows for split, each in kept.items()},
            content_hash=self._hash.hexdigest(),
            total=total,
            counts=counts,
            moments=self._moments,
            method=method,
            columns=replace(self._found, left_out=(*self._found.left_out, *self._left.values())),
            answer=self._answer(targets),
        )

    def _answer(self, targets: Targets) -> Decision:
        """Return what was decided about the target."""
        values = np.array(sorted(set().union(*self._labels.values()))) if targets.task == "classification" else np.array(self._bounds)
        if targets.task == "regression" and len(self._names) > 1:
            values = np.repeat(values[:, None], len(self._names), axis=1)
        answer = single.decision(targets, values, ", ".join(self._names), asked=self._section.task)
        # Of numbers that are no classes there are only the bounds.
        return answer if targets.task == "classification" else replace(answer, why="", key="")

    def _begin(self, part: "pa.Table") -> None:
        problems = Problems()
        rules = self._rules
        self._found = interpret(part, self._features, self._names, rules=rules, holes=lambda name: Counter(), problems=problems)
        problems.check()
        columns.check_targets(columns.read_targets(part, self._found.targets))
        self._kinds = kinds = {name: reading.kind for name, reading in self._found.features.items()}
        self._words = {name: set() for name, kind in kinds.items() if kind == "category"}
        self._calendars = {name: dates.Calendar() for name, kind in kinds.items() if kind == "date"}
        width = len(kinds) - len(self._words)
        self._moments = {TRAIN: Moments(width), VALIDATION: Moments(width)}
        kind = self._found.targets[self._names[0]].kind
        # Numbers: classes, unless one is no whole number, or there turn out to be many.
        self._task = self._section.task or ("regression" if len(self._names) > 1 else "undecided" if kind == "number" else "classification")

    def _labelled(self, part: "pa.Table", numbers: np.ndarray) -> np.ndarray:
        """Return the labels or targets; all of them are there, and what the task can use."""
        import pyarrow.compute as pc

        for name in self._names:
            missing = pc.is_null(part.column(name), nan_is_null=True).to_numpy()
            if missing.any():
                row = numbers[int(np.argmax(missing))]
                raise DatasetError(f'target {name!r}: the value of row {row} is missing; expected one in every row, or dataset.missing = "drop"')
        y = columns.targets(part, self._names)
        if self._task == "undecided" and y.dtype.kind == "f" and (y != np.round(y)).any():
            self._task = "regression"
        if self._task in ("regression", "undecided"):
            with np.errstate(over="ignore"):
                wrong = y.dtype.kind not in "iuf" or np.isinf(np.asarray(y, dtype=np.float32)).any()
            if wrong:
                raise DatasetError(f"target {self._names[0]!r}: expected finite numbers within float32's range, because the task is regression")
        elif y.dtype.kind == "f" and (y != np.round(y)).any():
            row = numbers[int(np.argmax(y != np.round(y)))]
            raise DatasetError(f'target {self._names[0]!r}: row {row} holds no whole number; expected classes, or dataset.task = "regression"')
        return y

    def _numbers(self, x: "pa.Table", numbers: np.ndarray) -> np.ndarray:
        import pyarrow as pa

        values = np.zeros((x.num_rows, len(self._kinds) - len(self._words)))
        names = [name for name, kind in self._kinds.items() if kind != "category"]
        for index, name in enumerate(names):
            column = x.column(name)
            if self._kinds[name] == "date":
                values[:, index] = dates.encode(column.to_numpy(), 0, ("days",))[:, 0]
            else:
                values[:, index] = (column.cast(pa.uint8()) if self._kinds[name] == "boolean" else column).cast(pa.float64()).to_numpy()
        with np.errstate(over="ignore"):
            infinite = np.argwhere(np.isinf(values.astype(np.float32)))
        if len(infinite):
            row, index = infinite[0]
            raise DatasetError(f"column {names[index]!r}: row {numbers[row]} holds {values[row, index]}; expected finite numbers within float32's range")
        return values

    def _check_no_holes(self, x: "pa.Table", first: int) -> None:
        for name, column in zip(x.column_names, x.columns, strict=True):
            if column.null_count:
                row = first + int(np.argmax(column.is_null().to_numpy()))
                raise DatasetError(
                    f'column {name!r}: the value of row {row} is missing; expected none (dataset.missing = "error"; "mean" and "zero" fill, '
                    '"drop" leaves such rows out of training)'
                )

    def _check_words(self, name: str) -> None:
        words = len(self._words[name])
        if words <= self._section.max_categories:
            return
        seen = self._rows[TRAIN] + self._rows[VALIDATION] - self._holes[name]
        if name not in self._rules.named and words > MOSTLY_DISTINCT * seen:
            self._leave_out(name, words, seen)
            return
        raise DatasetError(
            f"column {name!r}: more than {self._section.max_categories} distinct words, each of which becomes a feature; exclude = [{name!r}], or raise "
            "dataset.max_categories"
        )

    def _leave_out(self, name: str, words: int, rows: int) -> None:
        self._left[name] = Decision(name, "category", LEFT_OUT, f"{words} distinct words in {rows} rows", key_for(name, "category"))
        del self._words[name]

    def _count(self, y: np.ndarray, split: int) -> None:
        if not len(y):
            return
        if y.dtype.kind in "iuf":
            self._bounds = [min(self._bounds[0], float(y.min())), max(self._bounds[1], float(y.max()))]
        if self._task == "regression":
            return
        labels, counts = np.unique(y, return_counts=True)
        self._labels[split].update(dict(zip(labels.tolist(), counts.tolist(), strict=True)))
        distinct = len(set().union(*self._labels.values()))
        if self._task == "undecided" and distinct > single.MAX_INFERRED_CLASSES:
            self._task = "regression"
        elif distinct > MOST_CLASSES:
            raise DatasetError(f'dataset.target: more than {MOST_CLASSES} distinct labels; expected classes, or dataset.task = "regression"')

    def _fitted(self) -> Features:
        fitted, index, problems = [], 0, Problems()
        gathered = Moments(len(self._moments[TRAIN].mean))
        for moments in self._moments.values():
            gathered.merge(moments)
        rows = self._rows[TRAIN] + self._rows[VALIDATION]
        for name, kind in self._kinds.items():
            at, index = index, index + (kind != "category")
            if name in self._left:
                continue
            reading = self._found.features[name]
            holes = self._section.missing in FILLED and self._holes[name] > 0
            with problems.gathered():
                if self._holes[name] == rows:
                    raise DatasetError(f"column {name!r}: holds no value in the rows to train on; exclude = [{name!r}] leaves it out")
                if kind == "category":
                    words = sorted(self._words[name])
                    check_slips(name, words)
                    if name not in self._rules.named and len(words) > max(FEW_WORDS, MOSTLY_DISTINCT * (rows - self._holes[name])):
                        self._leave_out(name, len(words), rows - self._holes[name])
                        continue
                    fitted.append(Column(name, kind, tuple(words), holes, reading))
                    continue
                if kind == "number":
                    _check_precision(name, gathered, at)
                shown = holes and self._section.missing_indicators
                if kind == "date":
                    calendar = self._calendars[name]
                    fitted.append(Column(name, kind, (), shown, reading, base=calendar.base, parts=calendar.parts))
                else:
                    fitted.append(Column(name, kind, (), shown, reading, unscaled=name in self._found.unscaled))
        problems.check()
        if not fitted:
            raise DatasetError("dataset.features: no column is left to predict from")
        return Features((sum(len(column.outputs) for column in fitted),), "float32", tuple(fitted), self._section.missing)

    def _targets(self) -> Targets:
        labels = set().union(*self._labels.values())
        if self._task == "undecided":
            classes = single.are_labels(np.array(sorted(labels)), sum(self._rows.values()))
            self._task = "classification" if classes else "regression"
        if self._task == "regression":
            if self._bounds[0] == self._bounds[1]:
                raise DatasetError("targets: every row has the same value; there is nothing to learn")
            return Targets("regression", (), np.zeros(0))
        if len(labels) < 2:
            raise DatasetError(f"labels: every row has the class {next(iter(labels))!s}; expected at least two classes")
        for split, key in ((TRAIN, "train"), (VALIDATION, "validation")):
            if missing := labels - set(self._labels[split]):
                mend = "leave the class out, merge it with another, or bring more rows"
                number = f"; {AS_NUMBERS}" if all(isinstance(label, int | float) for label in labels) else ""
                raise DatasetError(f"dataset.target: class {min(missing, key=str)!s} has no row in {key}; {mend}{number}")
        return single.fit(np.array(sorted(labels)), "classification")


def _check_precision(name: str, gathered: Moments, at: int) -> None:
    deviation = float(np.sqrt(gathered.squares[at] / gathered.count[at]))
    if gathered.high[at] > gathered.low[at] and gathered.lost[at] > 0.01 * deviation:
        near = f"values near {gathered.mean[at]:g} with a deviation of {deviation:.3g} lose their differences in float32"
        raise DatasetError(f"column {name!r}: {near}; subtract a constant first, or exclude = [{name!r}]")
