"""Intervals of scores on rows that nobody has seen before: what another test split of the same kind would have given.

Owns the formulas and their sources. Each interval stays within what its score can be. Must not know where scores come from.
"""

import math
from typing import Any

import numpy as np

from tuner.results import wilson
from tuner.results.wilson import Z95

LEVEL = 0.95
# Resamples of a bootstrap: the ends of a 95 % interval then scatter by about a tenth of its width.
RESAMPLES = 1000


def of_share(share: float, rows: float) -> dict[str, Any]:
    """Return the interval of a share of rows, such as an accuracy, as `wilson.py` computes it.

    Args:
        share: 0 to 1.
        rows: that it is a share of, above 0.
    """
    low, high = wilson.of_share(share, rows)
    return {"low": low, "high": high, "level": LEVEL, "method": f"Wilson, {rows:,.0f} rows"}


def of_mean(each: np.ndarray) -> dict[str, Any] | None:
    """Return the interval of a mean of positive, skewed errors, on the scale of the logarithm, where it is nearer to normal.

    Args:
        each: (n,) float64: the error of each row.

    Returns:
        The interval; None where there is no spread to tell it from.
    """
    from scipy import stats

    rows, mean = len(each), float(each.mean())
    if rows < 2 or mean <= 0:
        return None
    reach = float(stats.t.ppf(0.975, rows - 1) * each.std(ddof=1) / np.sqrt(rows) / mean)
    return {"low": mean * float(np.exp(-reach)), "high": mean * float(np.exp(reach)), "level": LEVEL, "method": f"log-normal, {rows:,} test rows"}


def of_area(y: np.ndarray, p: np.ndarray) -> dict[str, Any] | None:
    """Return the area under the receiver operating characteristic with its interval.

    Args:
        y: (n,) int64: 0 or 1.
        p: (n,) float64: more for what is rather 1.

    Returns:
        `value` and the interval; None where one class is missing.

    Source: E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic curves: a
    nonparametric approach", Biometrics 44, 1988, on the scale of the logit, which keeps it within 0 and 1.
    """
    ones, zeros = p[y == 1].astype(np.float64), p[y == 0].astype(np.float64)
    if not len(ones) or not len(zeros):
        return None
    ranks = _midranks(np.concatenate([ones, zeros]))
    of_ones = (ranks[: len(ones)] - _midranks(ones)) / len(zeros)
    of_zeros = 1 - (ranks[len(ones) :] - _midranks(zeros)) / len(ones)
    area = float(of_ones.mean())
    fewer = min(len(ones), len(zeros))
    method = f"DeLong, {len(ones):,} and {len(zeros):,} rows"
    if fewer < 2 or not 0 < area < 1:
        # Where not one pair is out of order, the rows do not scatter; a share of the smaller class, all of it right, says how little that is.
        return {"value": area, **of_share(area, fewer), "method": method}
    variance = of_ones.var(ddof=1) / len(ones) + of_zeros.var(ddof=1) / len(zeros)
    reach = Z95 * math.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-(math.log(area / (1 - area)) + side * reach))) for side in (-1, 1))
    return {"value": area, "low": low, "high": high, "level": LEVEL, "method": method}


def _midranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, from 1; equal ones share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def of_macro_f1(confusion: np.ndarray) -> dict[str, Any]:
    """Return the mean F1 over the classes with its interval, by drawing the test rows anew.

    Args:
        confusion: (k, k) int64 counts, true classes downwards.
    """
    size, rows = len(confusion), int(confusion.sum())
    drawn = np.random.default_rng(0).multinomial(rows, confusion.ravel() / rows, size=RESAMPLES).reshape(-1, size, size)
    low, high = np.quantile(_macro_f1(drawn), [0.025, 0.975])
    value = float(_macro_f1(confusion[None])[0])
    # A bootstrap of a score that is 0 or 1 has no width; the score itself lies within its interval always.
    return {"value": value, "low": min(value, float(low)), "high": max(value, float(high)), "level": LEVEL, "method": f"bootstrap over {rows:,} test rows"}


def _macro_f1(confusions: np.ndarray) -> np.ndarray:
    """Return the mean F1 over those classes that occur in the confusion, true or predicted: (m, k, k) counts -> (m,)."""
    right = np.diagonal(confusions, axis1=1, axis2=2)
    either = confusions.sum(axis=1) + confusions.sum(axis=2)
    occurring = either > 0
    return np.where(occurring, 2 * right / np.maximum(either, 1), 0.0).sum(axis=1) / np.maximum(occurring.sum(axis=1), 1)
