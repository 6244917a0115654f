"""What a source gives: examples and targets as they are, before splits, categories and scaling.

Owns which rows of arrays count. Must not know where they come from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data.arrays.inputs import holes_in, stored
from tuner.data.arrays.structure import Structure, leaves, row_count, take
from tuner.data.decisions import Decision
from tuner.data.own.pipelines import Pipeline
from tuner.data.own.returned import Arrays
from tuner.data.tables.dialect import Dialect
from tuner.data.tables.interpret import Interpretation
from tuner.data.values import FILLED, to_float32
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Examples:
    """One split's worth of examples.

    Attributes:
        x: a structure of arrays, or a table of the feature columns.
        y: (n,) labels or targets of any type, (n, k) targets, or a structure of arrays; None: there are none.
        rows: (n,) int64: their row numbers in the source, before rows with missing values were dropped.
        w: row weights, float32; None: every row counts the same.
        by: (n,) what rows are divided by; None: nothing.
    """

    x: "Structure | pa.Table"
    y: Structure
    rows: np.ndarray
    w: Structure = None
    by: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source gives.

    Attributes:
        pool: the examples, or those of them that are not the given test split.
        test: a test split that the data bring; none: one is to be drawn.
        content_hash: sha256 of all values, independent of the file's format and chunks.
        task: where the source knows it.
        class_names: the names of classes 0, 1, ..., where the source knows them.
        largest: the largest value that a pixel can take; None: what the values show.
        columns: of a table: what they are.
        dialect: of a text table: how it is written.
        validation: a validation split that the data bring; none: it is to be drawn.
        ask_for_test: gives the test split that the data bring, once it has been opened; none: it is in `test`, or there is none.
        pipelines: by split, where batches are made as they are trained on; `pool` is then the first rows to train on.
        notes: what is said of what was left out.
    """

    pool: Examples
    test: Examples | None
    content_hash: str
    task: str | None = None
    class_names: tuple[str, ...] = ()
    largest: float | None = None
    columns: Interpretation | None = None
    dialect: Dialect | None = None
    validation: Examples | None = None
    ask_for_test: Callable[[], Examples] | None = None
    pipelines: Mapping[str, Pipeline] | None = None
    notes: tuple[Decision, ...] = ()

    @property
    def test_given(self) -> bool:
        """Whether the data bring a test split."""
        return self.test is not None or self.ask_for_test is not None


def of_arrays(part: Arrays, where: str, *, aside: str | None = None) -> Examples:
    """Return the examples that arrays are: of a single array of numbers float32 or uint8, of anything else what `inputs.stored` makes of each.

    Args:
        part: arrays with as many rows in each.
        where: what they are called, for messages, such as `data.npz: x_train`.
        aside: which of the arrays aside rows are divided by; any other is refused.

    Raises:
        DatasetError: an array has no rows, or cannot be used.
    """
    x, y = part.x, part.y
    if isinstance(x, np.ndarray) and x.dtype.kind not in "SUO":
        if not x.size or x.ndim < 2:
            raise DatasetError(f"{where} has {'no rows' if not len(x) else f'shape {x.shape}'}; expected (rows, features) or (rows, height, width[, channels])")
        x = x if x.dtype == np.uint8 else to_float32(x, where)
    else:
        from tuner.data.arrays.inputs import named
        from tuner.data.arrays.structure import paths, rebuild, skeleton

        x = rebuild(skeleton(x), [stored(leaf, named(where, path)) for path, leaf in zip(paths(x), leaves(x), strict=True)])
    for name in part.aside:
        if name != aside:
            mend = (
                f'dataset.split = "{name}"'
                if name in ("group", "time")
                else 'dataset.split = "column"'
                if name == "split"
                else f"dataset.group = {name!r}, or time"
            )
            raise DatasetError(f"{where}: there is an array {name!r} that nothing uses; expected {mend}, or to leave it out")
    return Examples(x, y, np.arange(row_count(x), dtype=np.int64), part.w, None if aside is None else part.aside.get(aside))


def whole(examples: Examples, missing: str, where: str) -> Examples:
    """Return the examples that `missing` leaves.

    Args:
        examples: arrays.
        missing: `dataset.missing`.
        where: what they are called, for messages.

    Raises:
        DatasetError: a value is missing where none may be, or none would be left.
    """
    holes = np.zeros(len(examples), dtype=bool)
    for leaf in leaves((examples.x, examples.y if missing == "drop" else None)):
        holes |= holes_in(leaf)
    if not holes.any() or missing in FILLED:
        return examples
    if missing == "error" or holes.all():
        missed = f"{int(holes.sum())} of {len(holes)} rows have a missing value, the first is row {int(np.argmax(holes))}"
        raise DatasetError(f"{where}: {missed}; expected none (dataset.missing = {missing!r})")
    return rows_of(examples, np.flatnonzero(~holes))


def rows_of(examples: Examples, rows: np.ndarray) -> Examples:
    """Return these rows; all of them in their order without a copy.

    Args:
        examples: arrays or a table.
        rows: (k,) int64 positions.
    """
    if len(rows) == len(examples) and np.array_equal(rows, np.arange(len(rows))):
        return examples
    x = examples.x.take(rows) if is_table(examples.x) else take(examples.x, rows)
    by = None if examples.by is None else examples.by[rows]
    return Examples(x, take(examples.y, rows), examples.rows[rows], take(examples.w, rows), by)


def joined(first: Examples, second: Examples) -> Examples:
    """Return the rows of both, one after the other.

    Args:
        first: arrays to train on.
        second: arrays to validate on.

    Raises:
        DatasetError: they have other inputs or targets.
    """
    from tuner.data.arrays.structure import rebuild, skeleton

    parts = []
    for name, one, other in (("inputs", first.x, second.x), ("targets", first.y, second.y), ("weights", first.w, second.w)):
        shapes = [[(str(leaf.dtype) if leaf.dtype.kind not in "SU" else "words", leaf.shape[1:]) for leaf in leaves(part)] for part in (one, other)]
        if skeleton(one) != skeleton(other) or [shape for _, shape in shapes[0]] != [shape for _, shape in shapes[1]]:
            raise DatasetError(f"validation: its {name} are {shapes[1]}; expected {shapes[0]}, as in train")
        parts.append(rebuild(skeleton(one), [np.concatenate(pair) for pair in zip(leaves(one), leaves(other), strict=True)]))
    return replace(first, x=parts[0], y=parts[1], w=parts[2], rows=np.concatenate([first.rows, second.rows]), by=None)


def is_table(x: Any) -> bool:
    """Say whether inputs are a table, not arrays."""
    return hasattr(x, "column_names")
