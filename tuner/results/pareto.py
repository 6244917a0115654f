"""The Pareto front of two objectives: what no other trial beats in both.

Knows nothing of trials: pairs of costs in, positions out.
"""

from collections.abc import Sequence


def front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Return the positions on the Pareto front, by rising first cost.

    A pair is on it if no other is at least as good in both and better in one; of equal pairs the first counts.

    Args:
        costs: of each candidate, less is better in both.
    """
    positions: list[int] = []
    least = float("inf")
    for position in sorted(range(len(costs)), key=lambda position: (costs[position], position)):
        if costs[position][1] < least:
            positions.append(position)
            least = costs[position][1]
    return positions
