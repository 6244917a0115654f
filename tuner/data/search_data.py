"""All that a search may see of the data: a pool of rows, how it is divided, and how its inputs are scaled.

Must not know where the rows come from, nor who trains on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuner.data import scaling as scaling_room
from tuner.data.arrays import usual_scaling
from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.structure import Structure, described, leaves, paths, rebuild, row_count, skeleton
from tuner.data.features import Features
from tuner.data.own.pipelines import Pipeline
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.splits.drawing import Fold
from tuner.data.tables.survey import Survey
from tuner.data.targets.tasks import TASKS

# Numbers beyond are of customers or the like: an embedding with a row for each below would fill the memory.
MOST_NAMES = 2**24


@dataclass(frozen=True, eq=False)
class Dataset:
    """All that a search may see.

    Attributes:
        name: the source's name.
        task: one of `tasks.TASKS`.
        x: the pool, every row that is not in the test split: (n, *input_shape), uint8 (images) or float32 (NaN = missing); or a structure of arrays of any
            type; read-only.
        y: (n,) int32 classes, (n, k) float32 one-hot classes, labels of 0 and 1, or targets (n,) or (n, k); for `custom` a structure, or None; read-only.
        folds: one for a held-out validation split, k for cross-validation.
        classes: the classes' or labels' names, in the order of their numbers or columns; empty for regression.
        features: how a raw example becomes a row of x.
        facts: JSON values for the record: source, content hash, rows, splits, seed, shapes, scaling, versions.
        scale: the scaling's method: `none`, `unit`, `standard` or `minmax`.
        largest: the largest value that a pixel can take.
        rows: (n,) int64: the pool's row numbers in the source; empty: 0, 1, ...
        test_rows: int64: the test split's row numbers in the source, or in its own file.
        survey: of a table that is streamed: x and y are then the validation rows alone, and a fold's training rows are a stream.
        w: row weights, float32 (n,), or a structure of them; None: every row counts the same.
        methods: of each leaf of a structure of inputs, the method of its scaling and its largest value; a method of None leaves it as it is.
        heads: path of a target -> its classes' names, in the order of their numbers, for those of several targets that are classes.
        pipeline: gives all rows that a search may see, for data that are pipelines: x, y and w are then the first few rows of training, to show their form.

    Raises:
        ValueError: the task is unknown, or arrays and folds do not fit it or each other.
    """

    name: str
    task: str
    x: Structure
    y: Structure
    folds: tuple[Fold, ...]
    classes: tuple[str, ...]
    features: Features | Inputs
    facts: dict[str, Any]
    scale: str = "none"
    largest: float = 255.0
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    test_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    survey: Survey | None = None
    w: Structure = None
    methods: tuple[tuple[str | None, float], ...] = ()
    pipeline: Pipeline | None = None
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"Dataset.task: got {self.task!r}; expected one of {', '.join(TASKS)}")
        try:
            rows = row_count((self.x, self.y, self.w))
        except ValueError as error:
            raise ValueError(f"Dataset: {error}") from error
        if not self.methods and (not isinstance(self.x, np.ndarray) or self.x.dtype not in (np.uint8, np.float32)):
            raise ValueError(f"Dataset: got x of {_kinds(self.x)}; expected uint8 or float32, or a method of scaling for each input")
        fits = self.task == "custom" or (
            isinstance(self.y, np.ndarray) and self.y.dtype in (np.float32, *([np.int32] if self.task == "classification" else []))
        )
        if not fits and self.pipeline is None:
            raise ValueError(f"Dataset: got y of {_kinds(self.y)} for {self.task}; expected int32 classes, or float32 columns or targets")
        used = [rows for fold in self.folds for rows in (fold.train, fold.validation) if isinstance(rows, np.ndarray)]
        if not self.folds or any(int(numbers[-1]) >= rows for numbers in used) or not (used or self.pipeline):
            raise ValueError("Dataset.folds: expected at least one, with row numbers within the pool")
        if not len(self.rows):
            object.__setattr__(self, "rows", np.arange(rows, dtype=np.int64))
        for values in leaves((self.x, self.y, self.w, self.rows, self.test_rows)):
            values.flags.writeable = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example, without the batch axis; empty where there are several inputs."""
        return tuple(self.x.shape[1:]) if isinstance(self.x, np.ndarray) else ()

    @property
    def outputs(self) -> Any:
        """How many values a network must give: classes, labels or targets; for `custom` of each target its classes, or its last axis (1 for rank 1); or 0."""
        if self.task in ("classification", "multilabel"):
            return len(self.classes)
        if self.y is None:
            return 0
        widths = [1 if leaf.ndim == 1 else int(leaf.shape[-1]) for leaf in leaves(self.y)]
        return rebuild(skeleton(self.y), [len(self.heads.get(path, ())) or width for path, width in zip(paths(self.y), widths, strict=True)])

    @property
    def labels(self) -> np.ndarray | None:
        """(n,) int32 class numbers, also of one-hot classes; None for other tasks."""
        if self.task != "classification":
            return None
        return self.y.argmax(axis=1).astype(np.int32) if self.y.ndim == 2 else self.y

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Each input as JSON: `path`, `shape` of one row, `dtype`, and `scaling` (None: it is left as it is)."""
        methods = self.methods or ((self.scale, self.largest),)
        return [{**each, "scaling": method} for each, (method, _) in zip(described(self.x), methods, strict=True)]

    @property
    def targets(self) -> list[dict[str, Any]]:
        """Each target as JSON: `path`, `shape` of one row, `dtype`, and `classes`, where it is one of several and has classes."""
        return [{**each, **({"classes": list(self.heads[each["path"]])} if each["path"] in self.heads else {})} for each in described(self.y)]

    @property
    def names(self) -> tuple[int, ...]:
        """How many names the numbers of each input are (see `ArraySpec`): whole numbers from 0 on, several in a row, left as they are; 0: they are none."""
        methods = [method for method, _ in self.methods] or [self.scale]
        if self.pipeline is not None or self.survey is not None:
            return (0,) * len(methods)
        return tuple(_names_in(leaf) if method in (None, "none") else 0 for leaf, method in zip(leaves(self.x), methods, strict=True))

    @property
    def units(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and the standard deviation of each target over `y`: what losses are measured in, the same for every trial and fold. For regression alone."""
        if self.task != "regression" or self.pipeline is not None:
            return (), ()
        targets = self.y.reshape(len(self.y), -1).astype(np.float64)
        spreads = targets.std(axis=0)
        return tuple(map(float, targets.mean(axis=0))), tuple(float(spread) or 1.0 for spread in spreads)

    @property
    def whole(self) -> Any:
        """What the final retraining trains on: all row numbers of the pool, or the stream or pipeline of them."""
        if self.pipeline is not None:
            return self.pipeline
        return np.arange(len(self.rows)) if self.survey is None else self.survey.whole

    @property
    def pool(self) -> Pool:
        """What trials share."""
        return Pool(self.x, self.y, self.w)

    def scalings(self, rows: Any) -> tuple[Scaling | None, ...]:
        """Return the scaling of each input, in their order, fitted on these rows of the pool only (none: on all of it, for the final retraining)."""
        if not self.methods:
            return (self.scaling(rows),)
        fill = self.features.missing
        return tuple(
            None if method is None else scaling_room.fit(method, leaf, rows=rows, fill=fill, largest=largest)
            for leaf, (method, largest) in zip(leaves(self.x), self.methods, strict=True)
        )

    def scaling(self, rows: Any) -> Scaling:
        """Return the scaling of the only input; see `scalings`."""
        if self.survey is not None:
            return self.survey.scaling(rows)
        plain = self.features.plain if isinstance(self.features, Features) and self.features.columns else None
        return scaling_room.fit(self.scale, self.x, rows=rows, fill=self.features.missing, largest=self.largest, plain=plain)

    def indices(self) -> dict[str, np.ndarray]:
        """Return the row numbers, in the source, of every split.

        Returns:
            name -> (k,) int64, ascending: `train` and (unless they are streamed) `validation`; or `train_1`, `validation_1`, `train_2`, ... for
            folds; and `test` (in its own file where the data bring it).
        """
        indices: dict[str, np.ndarray] = {}
        for number, fold in enumerate(self.folds, start=1):
            suffix = "" if len(self.folds) == 1 else f"_{number}"
            for name, rows in (("train", fold.train), ("validation", fold.validation)):
                if isinstance(rows, np.ndarray):  # the rows of a stream are all the others; those of a pipeline have no numbers
                    indices[f"{name}{suffix}"] = self.rows[rows]
        indices["test"] = self.test_rows
        return indices


def _names_in(x: np.ndarray) -> int:
    bounds = usual_scaling.whole_numbers(x) if x.ndim == 2 and x.shape[1] > 1 and x.dtype.kind in "iuf" else None
    return bounds[1] + 1 if bounds is not None and bounds[0] >= 0 and bounds[1] < MOST_NAMES else 0


def _kinds(structure: Structure) -> str:
    return ", ".join(str(leaf.dtype) for leaf in leaves(structure)) or "nothing"
