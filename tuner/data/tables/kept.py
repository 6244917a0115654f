"""The rows of a streamed table that stay in memory: those of validation and of test.

Owns how they are gathered and made numbers once the columns are fitted. Must not know how a table is read.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tuner.data.features import Features
from tuner.data.tables import columns
from tuner.data.targets.single import Targets

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class Kept:
    """Rows of a split that stay in memory.

    Attributes:
        tables: parts of the table: features, normalised, and targets.
        rows: their row numbers.
    """

    tables: "list[tuple[pa.Table, pa.Table]]" = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Encoded:
    """The same rows as numbers.

    Attributes:
        x: (n, features) float32, NaN where missing.
        y: (n,) int32 classes, or float32 targets (n,) or (n, k).
        rows: (n,) int64 row numbers.
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, kept: Kept, features: Features, targets: Targets) -> "Encoded":
        """Return kept rows as numbers; see `Features.encode` and `Targets.encode`.

        Args:
            kept: tables of rows, and their numbers.
            features: as fitted.
            targets: as fitted.
        """
        if not kept.tables:
            none = np.zeros(0, np.int32 if targets.task == "classification" else np.float32)
            return cls(np.zeros((0, *features.shape), np.float32), none, np.zeros(0, np.int64))
        x = [features.encode(table) for table, _ in kept.tables]
        y = [targets.encode(columns.targets(answers, answers.column_names), "labels") for _, answers in kept.tables]
        return cls(np.concatenate(x), np.concatenate(y), np.concatenate(kept.rows))
