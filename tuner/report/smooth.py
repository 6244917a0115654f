"""Quantiles: of values, and of points around each place on an axis."""

import math
from collections.abc import Sequence

# Shares of the points that lie below the lower edge of a band, its middle and its upper edge.
QUARTILES = (0.25, 0.5, 0.75)
PLACES = 40
# The width of the neighbourhood, as a share of the axis.
REACH = 0.08
# Where fewer points than these are near, nothing is drawn.
LEAST_NEAR = 4.0


def quantiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Return quantiles, between neighbours where a share falls between them.

    Args:
        values: at least one.
        shares: 0 to 1.
    """
    ordered = sorted(values)
    values_at = []
    for share in shares:
        place = share * (len(ordered) - 1)
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        values_at.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return values_at


def running_quartiles(points: Sequence[tuple[float, float]], low: float, high: float) -> list[tuple[float, list[float]]]:
    """Return the quartiles of the points near each of some places along an axis, each point weighing by its distance.

    Args:
        points: (place, value).
        low, high: the ends of the axis, low < high.

    Returns:
        (place, its three quartiles) where enough points are near.
    """
    ordered = sorted(points, key=lambda point: point[1])
    width, near = (high - low) * REACH, []
    for step in range(PLACES + 1):
        place = low + (high - low) * step / PLACES
        weights = [math.exp(-0.5 * ((at - place) / width) ** 2) for at, _ in ordered]
        if (total := math.fsum(weights)) >= LEAST_NEAR:
            near.append((place, _weighted(ordered, weights, total)))
    return near


def _weighted(ordered: Sequence[tuple[float, float]], weights: Sequence[float], total: float) -> list[float]:
    quartiles, passed, wanted = [], 0.0, list(QUARTILES)
    for (_, value), weight in zip(ordered, weights, strict=True):
        passed += weight
        while wanted and passed >= wanted[0] * total:
            quartiles.append(value)
            wanted.pop(0)
    return quartiles + [ordered[-1][1]] * len(wanted)
