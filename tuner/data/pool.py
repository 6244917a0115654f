"""The rows that trials share, as Keras takes them: inputs, targets and row weights."""

from dataclasses import dataclass

import numpy as np

from tuner.data.arrays.structure import Structure, leaves, map_leaves, row_count, take


@dataclass(frozen=True, eq=False)
class Pool:
    """Structures of arrays with as many rows in each.

    Attributes:
        x: inputs; each leaf (n, ...), of any dtype that TensorFlow has; words as UTF-8 bytes (numpy's `S`).
        y: targets; each leaf (n, ...); None: there are none.
        w: row weights, float32; each leaf (n,); None: every row counts the same.

    Raises:
        ValueError: there is no input, or the arrays differ in their number of rows.
    """

    x: Structure
    y: Structure = None
    w: Structure = None

    def __post_init__(self) -> None:
        if not leaves(self.x):
            raise ValueError("Pool.x: got no array; expected at least one input")
        row_count((self.x, self.y, self.w))

    def __len__(self) -> int:
        return row_count(self.x)

    def take(self, rows: np.ndarray | slice) -> "Pool":
        """Return these rows, in their order.

        Args:
            rows: (k,) int64 positions, or a slice.
        """
        return Pool(take(self.x, rows), take(self.y, rows), take(self.w, rows))

    def seal(self) -> "Pool":
        """Make every array read-only, and return the pool."""
        map_leaves(lambda leaf: leaf.setflags(write=False), (self.x, self.y, self.w))
        return self
