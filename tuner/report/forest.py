"""A small random forest for regression, grown level by level for all trees at once.

scikit-learn's would do as well, but importing it takes longer than all else that a report does, and more than half of its memory.

Source: L. Breiman, "Random forests", Machine Learning 45, 2001. Splits lie between a few quantiles of each column: what a report asks needs no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 16
LEAST_IN_LEAF = 3
MOST_LEVELS = 10
# The share of the columns that a node may choose from.
COLUMNS_TRIED = 0.7


@dataclass(frozen=True)
class Forest:
    """Trees as arrays over their nodes; the root of tree t is node t.

    Attributes:
        edges: (columns, BINS - 1) float64: where the bins of each column end.
        column: (nodes,) int: what a node asks for; -1: it is a leaf.
        bin: (nodes,) int: rows up to this bin go to the left child.
        left: (nodes,) int: the left child; the right one is the next.
        value: (nodes,) float64: mean of the node's rows.
    """

    edges: np.ndarray
    column: np.ndarray
    bin: np.ndarray
    left: np.ndarray
    value: np.ndarray

    def predict(self, x: np.ndarray, trees: Sequence[int]) -> np.ndarray:
        """Return the mean prediction of some of the trees.

        Args:
            x: (n, columns) float64.
            trees: their numbers.

        Returns:
            (n,) float64.
        """
        codes, rows = _binned(x, self.edges), np.arange(len(x))
        at = np.repeat(np.asarray(trees)[:, None], len(x), axis=1)
        while (asking := self.column[at] >= 0).any():
            at = np.where(asking, self.left[at] + (codes[rows, self.column[at]] > self.bin[at]), at)
        return self.value[at].mean(axis=0)


def grow(x: np.ndarray, y: np.ndarray, samples: Sequence[np.ndarray], *, draws: np.random.Generator) -> Forest:
    """Grow one tree on each sample of the rows.

    Args:
        x: (n, columns) float64.
        y: (n,) float64.
        samples: of each tree, (its rows,) int64 row numbers; a row may come twice.
        draws: where the choice of columns comes from.
    """
    edges = np.quantile(x, np.linspace(0, 1, BINS + 1)[1:-1], axis=0, method="lower").T
    codes = _binned(x, edges)
    rows, counts, nodes = np.concatenate(samples), np.array([len(sample) for sample in samples]), np.arange(len(samples))
    parts: list[list[np.ndarray]] = [[], [], [], [], []]
    total = len(samples)
    for level in range(MOST_LEVELS + 1):
        of_row = np.repeat(np.arange(len(nodes)), counts)
        value = np.bincount(of_row, weights=y[rows]) / counts
        column, last = np.full(len(nodes), -1), np.zeros(len(nodes), int)
        large = counts >= 2 * LEAST_IN_LEAF
        if level < MOST_LEVELS and large.any():
            entries = large[of_row]
            column[large], last[large] = _splits(codes, y, rows[entries], (np.cumsum(large) - 1)[of_row[entries]], draws)
        splits = column >= 0
        left = np.where(splits, total + 2 * (np.cumsum(splits) - 1), -1)
        for part, values in zip(parts, (nodes, column, last, left, value), strict=True):
            part.append(values)
        total += 2 * int(splits.sum())
        if not splits.any():
            break
        rows, of_row = rows[splits[of_row]], of_row[splits[of_row]]
        child = left[of_row] + (codes[rows, column[of_row]] > last[of_row])
        rows = rows[np.argsort(child, kind="stable")]
        nodes, counts = np.unique(child, return_counts=True)
    placed = np.argsort(np.concatenate(parts[0]))
    return Forest(edges, *(np.concatenate(part)[placed] for part in parts[1:]))


def _binned(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the number of each value's bin: (n, columns) int."""
    return np.stack([np.searchsorted(edge, column, side="left") for edge, column in zip(edges, x.T, strict=True)], axis=1)


def _splits(codes: np.ndarray, y: np.ndarray, rows: np.ndarray, of_row: np.ndarray, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return for each node the column of its best split (-1: none lessens the error), and the last bin that goes left.

    Args:
        codes: (n, columns) int: bins.
        y: (n,) float64.
        rows: (m,) which row each entry is.
        of_row: (m,) the node of each entry, ascending.
        draws: where the choice of columns comes from.
    """
    nodes, columns = int(of_row[-1]) + 1, codes.shape[1]
    shape = (nodes, columns, BINS)
    place = ((of_row[:, None] * columns + np.arange(columns)) * BINS + codes[rows]).ravel()
    amount = np.cumsum(np.bincount(place, minlength=nodes * columns * BINS).reshape(shape), axis=2)
    sums = np.cumsum(np.bincount(place, weights=np.repeat(y[rows], columns), minlength=nodes * columns * BINS).reshape(shape), axis=2)
    rest, rest_sum = amount[:, :, -1:] - amount, sums[:, :, -1:] - sums
    allowed = (np.minimum(amount, rest) >= LEAST_IN_LEAF) & (draws.random((nodes, columns, 1)) < COLUMNS_TRIED)
    gain = np.zeros(shape)
    left, right, both = sums[allowed] ** 2 / amount[allowed], rest_sum[allowed] ** 2 / rest[allowed], sums[:, :, -1] ** 2 / amount[:, :, -1]
    gain[allowed] = left + right - np.broadcast_to(both[:, :, None], shape)[allowed]
    gains = gain.reshape(nodes, -1)
    best = gains.argmax(axis=1)
    return np.where(gains[np.arange(nodes), best] > 1e-12, best // BINS, -1), best % BINS
