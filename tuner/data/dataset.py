"""The data of a sweep: a pool that the search may see, and a sealed test split that it may not.

Owns how what a source gives becomes numbers, splits and facts. Which sources there are, how tables are read and rows are drawn stands in `tuner/datasets/`.
Must not know networks, trials or Ray, and must not import TensorFlow.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from tuner.data import arrays, baseline, hashes, splits
from tuner.data import features as features_room
from tuner.data import scaling as scaling_room
from tuner.data import targets as targets_room
from tuner.data.features import Features
from tuner.data.from_tables import read_test, table_of
from tuner.data.interpret import Interpretation, of_columns
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling, apply
from tuner.data.section import DEFAULT_SHARE, DatasetSection
from tuner.data.sources import SOURCES, Raw, read_for_prediction
from tuner.data.splits import Fold
from tuner.data.stream import TEST, VALIDATION, Stream
from tuner.data.survey import Survey, survey
from tuner.data.targets import Targets
from tuner.errors import DatasetError

__all__ = ["SOURCES", "Dataset", "DatasetSection", "Features", "Fold", "Scaling", "SealedTest", "apply", "assemble", "load", "read_for_prediction"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """All that a search may see.

    Attributes:
        name: the source's name.
        task: `classification` or `regression`.
        x: the pool, every row that is not in the test split: (n, *input_shape), uint8 (images) or float32 (NaN = missing); read-only.
        y: (n,) int32 classes, or float32 targets (n,) or (n, k); read-only.
        folds: one for a held-out validation split, k for cross-validation.
        classes: the labels' names, in the order of their numbers; empty for regression.
        features: how a raw example becomes a row of x.
        facts: JSON values for the record: source, content hash, rows, splits, seed, shapes, scaling, versions.
        scale: the scaling's method: `none`, `unit`, `standard` or `minmax`.
        largest: the largest value that a pixel can take.
        rows: (n,) int64: the pool's row numbers in the source; empty: 0, 1, ...
        test_rows: int64: the test split's row numbers in the source, or in its own file.
        survey: of a table that is streamed: x and y are then the validation rows alone, and a fold's training rows are a stream.
    """

    name: str
    task: str
    x: np.ndarray
    y: np.ndarray
    folds: tuple[Fold, ...]
    classes: tuple[str, ...]
    features: Features
    facts: dict[str, Any]
    scale: str = "none"
    largest: float = 255.0
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    test_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    survey: Survey | None = None

    def __post_init__(self) -> None:
        if self.task not in ("classification", "regression"):
            raise ValueError(f"Dataset.task: got {self.task!r}; expected 'classification' or 'regression'")
        if len(self.x) != len(self.y):
            raise ValueError(f"Dataset: got {len(self.x)} examples and {len(self.y)} labels; expected as many")
        if self.x.dtype not in (np.uint8, np.float32) or self.y.dtype != (np.int32 if self.task == "classification" else np.float32):
            raise ValueError(f"Dataset: got x of {self.x.dtype} and y of {self.y.dtype}; expected uint8 or float32, and int32 classes or float32 targets")
        used = [rows for fold in self.folds for rows in (fold.train, fold.validation) if isinstance(rows, np.ndarray)]
        if not used or max(int(rows[-1]) for rows in used) >= len(self.x):
            raise ValueError("Dataset.folds: expected at least one, with row numbers within the pool")
        if not len(self.rows):
            object.__setattr__(self, "rows", np.arange(len(self.x), dtype=np.int64))
        for values in (self.x, self.y, self.rows, self.test_rows):
            values.flags.writeable = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example, without the batch axis."""
        return tuple(self.x.shape[1:])

    @property
    def outputs(self) -> int:
        """How many values a network must give: classes, or targets."""
        if self.task == "classification":
            return len(self.classes)
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])

    @property
    def units(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and the standard deviation of each target over `y`: what losses are measured in, the same for every trial and fold. Empty for classes."""
        if self.task == "classification":
            return (), ()
        targets = self.y.reshape(len(self.y), -1).astype(np.float64)
        spreads = targets.std(axis=0)
        return tuple(map(float, targets.mean(axis=0))), tuple(float(spread) or 1.0 for spread in spreads)

    @property
    def whole(self) -> Any:
        """What the final retraining trains on: all row numbers of the pool, or the stream of them."""
        return np.arange(len(self.y)) if self.survey is None else self.survey.whole

    @property
    def pool(self) -> Pool:
        """What trials share."""
        return Pool(self.x, self.y)

    def scalings(self, rows: Any) -> tuple[Scaling | None, ...]:
        """Return the scaling of each input, in their order, fitted on these rows of the pool only (none: on all of it, for the final retraining)."""
        return (self.scaling(rows),)

    def scaling(self, rows: Any) -> Scaling:
        """Return the scaling of the only input; see `scalings`."""
        if self.survey is not None:
            return self.survey.scaling(rows)
        plain = self.features.plain if self.features.columns else None
        return scaling_room.fit(self.scale, self.x, rows=rows, fill=self.features.missing, largest=self.largest, plain=plain)

    def indices(self) -> dict[str, np.ndarray]:
        """Return the row numbers, in the source, of every split.

        Returns:
            `train` (unless it is streamed) and `validation`; or `train_1`, `validation_1`, `train_2`, ... for folds; and `test` (in its own file where the
            data bring it).
        """
        found: dict[str, np.ndarray] = {}
        for number, fold in enumerate(self.folds, start=1):
            suffix = "" if len(self.folds) == 1 else f"_{number}"
            if not isinstance(fold.train, Stream):  # the rows of a stream are all the others
                found[f"train{suffix}"] = self.rows[fold.train]
            found[f"validation{suffix}"] = self.rows[fold.validation]
        found["test"] = self.test_rows
        return found


class SealedTest:
    """The test split. It cannot be pickled or copied, so that it reaches no worker by accident; opening it is put on record first."""

    __slots__ = ("_give", "rows")

    rows: int

    def __init__(self, pool: Pool) -> None:
        self.rows = len(pool)
        pool.seal()
        # A closure, not an attribute: nothing that walks over attributes (a logger, a serialiser) meets the rows.
        self._give = lambda: pool

    def open(self, record: Callable[[str], None], reason: str) -> Pool:
        """Give out the test split, after the opening has been recorded.

        Args:
            record: called with the reason; the rows are given out only once it has returned.
            reason: why it is opened; not empty.

        Returns:
            The rows, not yet scaled; read-only.
        """
        if not reason.strip():
            raise ValueError("SealedTest.open: expected a reason; every opening of the test split is recorded with one")
        record(reason)
        return self._give()

    def __repr__(self) -> str:
        return f"SealedTest(rows={self.rows})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("the test split is sealed: it is neither pickled nor copied; send what SealedTest.open gives only where it is evaluated")


def load(section: DatasetSection, seed: int) -> tuple[Dataset, SealedTest]:
    """Read, split and encode the data of a sweep.

    Args:
        section: `[dataset]`.
        seed: of the splits, unless the section has its own.

    Returns:
        What a search may see, and the test split.

    Raises:
        DatasetError: one line that says what is wrong with the data.
    """
    try:
        return _streamed(section, seed) if section.stream else assemble(SOURCES[section.source](section), section, seed)
    except MemoryError as error:
        held = section.source == "table" and not section.stream
        mend = "dataset.stream = true reads Parquet, Feather and Arrow files part by part" if held else "it needs a larger one"
        raise DatasetError(f"{section.path or section.source}: does not fit into this machine's memory; {mend}") from error
    except DatasetError as error:
        files = " and ".join(path for path in (section.path, section.test_path) if path)
        if not files or str(section.path) in str(error) or (section.test_path or files) in str(error):
            raise
        raise DatasetError(f"{files}: {error}") from error


def assemble(raw: Raw, section: DatasetSection, seed: int) -> tuple[Dataset, SealedTest]:
    """Split and encode what a source gave; see `load`."""
    seed = seed if section.split_seed is None else section.split_seed
    targets = targets_room.fit(raw.pool.y, raw.task or section.task, raw.class_names)
    y = targets.encode(raw.pool.y, "labels")
    answer = targets_room.decision(targets, raw.pool.y, ", ".join(section.targets) or "y", asked=raw.task or section.task)
    pool, test, folds = _split(raw, section, targets, y, seed)

    rows = _take(raw.pool.x, pool)
    features = _features(rows, section, raw.columns)
    x = features.encode(rows)
    if raw.test is None:
        sealed = SealedTest(Pool(features.encode(_take(raw.pool.x, test)), y[test]))
        test_rows = raw.pool.rows[test]
    else:
        sealed = SealedTest(Pool(features.encode(raw.test.x), targets.encode(raw.test.y, "test labels")))
        test_rows = raw.test.rows
    if raw.columns is None:
        scale, largest, decision = arrays.decide(x, section.scaling, raw.largest)
        decisions = [answer, decision]
    else:
        scale, largest = ("standard" if section.scaling == "auto" else section.scaling), 255.0
        decisions = [answer, *of_columns(features.columns, scale, raw.columns)]
    dataset = Dataset(section.source, targets.task, x, y[pool], folds, targets.classes, features, {}, scale, largest, raw.pool.rows[pool], test_rows)
    facts = _facts(dataset, raw.content_hash, section, seed) | {"test_given": raw.test is not None, "decisions": [each.to_json() for each in decisions]}
    if raw.dialect is not None:
        facts["dialect"] = raw.dialect.to_json()
    return replace(dataset, facts=facts), sealed


def _streamed(section: DatasetSection, seed: int) -> tuple[Dataset, SealedTest]:
    """As `load`, of a table that is not to be in memory."""
    seed = seed if section.split_seed is None else section.split_seed
    table, features = table_of(section)
    if table.format not in ("parquet", "feather", "arrow"):
        raise DatasetError(f"{table.path}: is {table.format}; expected Parquet, Feather or Arrow for stream = true, which can be read in parts")
    found = survey(section, table, features, seed)
    x, y, rows, content_hash = found.x[TEST], found.y[TEST], found.rows[TEST], found.content_hash
    if section.test_path is not None:
        test, test_hash = read_test(section, found.columns)
        x, y, rows = found.features.encode(test.x), found.targets.encode(test.y, "test labels"), test.rows
        content_hash = hashes.of_parts((content_hash, test_hash))
    fold = Fold(found.train, np.arange(len(found.y[VALIDATION])))
    pool = found.x[VALIDATION], found.y[VALIDATION]
    dataset = Dataset(
        section.source, found.targets.task, *pool, (fold,), found.targets.classes, found.features, {}, found.method, 255.0, found.rows[VALIDATION], rows, found
    )
    facts = _facts(dataset, content_hash, section, seed)
    if facts["task"] == "classification":
        facts["classes"] = dict(found.counts)
    facts |= {"streamed": True, "pool_rows": len(found.whole), "rows": len(found.whole) + len(rows), "shuffle_buffer": section.shuffle_buffer}
    facts["decisions"] = [each.to_json() for each in (found.answer, *of_columns(found.features.columns, found.method, found.columns))]
    return replace(dataset, facts=facts), SealedTest(Pool(x, y))


def _split(raw: Raw, section: DatasetSection, targets: Targets, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[Fold, ...]]:
    """Return the pool's rows, the test split's (none where the data bring it), and the folds of the pool."""
    classes = targets.task == "classification"
    needed = section.folds or 2
    where = "in every fold" if section.folds else "in train and in validation"
    pool, test = np.arange(len(y)), np.zeros(0, dtype=np.int64)
    left = 1.0
    if raw.test is not None and section.test is not None:
        raise DatasetError(f"dataset.test: got {section.test}, but the data bring a test split ({len(raw.test.y)} rows), kept as it is; leave the key out")
    if classes:
        why = f"to be {where}{' and in test' if raw.test is None else ''}"
        splits.check_classes(y, targets.classes, least=needed + (raw.test is None), why=why, numbers=targets.are_numbers)
    if raw.test is None:
        count = splits.count_of(DEFAULT_SHARE if section.test is None else section.test, len(pool), "test")
        left = 1 - count / len(pool)
        pool, test = splits.hold_out(pool, y if classes else None, count=count, seed=seed, key="test")
    if section.max_rows is not None:
        pool = splits.sample(pool, y[pool] if classes else None, count=section.max_rows, seed=seed)
    labels = y[pool] if classes else None
    if labels is not None:
        sample = " and within max_rows" if section.max_rows else ""
        splits.check_classes(labels, targets.classes, least=needed, why=f"outside the test split{sample}, to be {where}", numbers=targets.are_numbers)
    if section.folds:
        return pool, test, splits.folds(labels, rows=len(pool), count=section.folds, seed=seed)
    share = DEFAULT_SHARE if section.validation is None else section.validation
    # A fraction counts all rows that the test split was drawn from, so that 0.2 and 0.2 leave 0.6.
    count = splits.count_of(share, len(pool), "validation", left=left)
    train, validation = splits.hold_out(np.arange(len(pool)), labels, count=count, seed=seed, key="validation")
    return pool, test, (Fold(train, validation),)


def _features(rows: Any, section: DatasetSection, columns: Interpretation | None) -> Features:
    if columns is None:
        return features_room.of_array(rows, section.missing)
    options = {"missing": section.missing, "indicators": section.missing_indicators, "max_categories": section.max_categories}
    return features_room.of_table(rows, columns, **options)  # type: ignore[arg-type]


def _facts(dataset: Dataset, content_hash: str, section: DatasetSection, seed: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "source": section.source,
        "path": section.path,
        "test_path": section.test_path,
        "content_hash": content_hash,
        "split_hash": hashes.of_rows(dataset.indices()),
        "seed": seed,
        "task": dataset.task,
        "rows": len(dataset.x) + len(dataset.test_rows),
        "pool_rows": len(dataset.x),
        "train_rows": [len(fold.train) for fold in dataset.folds],
        "validation_rows": [0 if fold.validation is None else len(fold.validation) for fold in dataset.folds],
        "test_rows": len(dataset.test_rows),
        "test_given": section.test_path is not None,
        "max_rows": section.max_rows,
        "input_shape": list(dataset.input_shape),
        "dtype": str(dataset.x.dtype),
        "outputs": dataset.outputs,
        "scaling": dataset.scale,
        "missing": section.missing,
        "target": list(section.targets),
        # The splitters' and the readers' versions: another one may draw or read differently.
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "scikit-learn", "pyarrow")},
    }
    if dataset.task == "classification":
        facts["classes"] = dict(zip(dataset.classes, np.bincount(dataset.y, minlength=len(dataset.classes)).tolist(), strict=True))
    facts["baseline"] = _baseline(dataset)
    return facts


def _baseline(dataset: Dataset) -> dict[str, Any] | None:
    """Return what doing nothing scores on the validation rows; of a stream, whose training rows are not in memory, by the validation rows' own targets."""
    found = []
    for fold in dataset.folds:
        if fold.validation is None:
            continue
        learned, y = dataset.y[fold.train if isinstance(fold.train, np.ndarray) else fold.validation], dataset.y[fold.validation]
        if dataset.task == "classification":
            found.append(baseline.of_classes(np.bincount(learned, minlength=len(dataset.classes)), y, dataset.classes))
        elif dataset.task == "regression":
            found.append(baseline.of_targets(learned.reshape(len(learned), -1).mean(axis=0, dtype=np.float64), y, dataset.units[1]))
    return baseline.of_folds(found) if found else None


def _take(values: Any, rows: np.ndarray) -> Any:
    """Return these rows; all of them without a copy."""
    if len(rows) == len(values):
        return values
    return values[rows] if isinstance(values, np.ndarray) else values.take(rows)
