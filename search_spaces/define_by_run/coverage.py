"""Which values a builder is run on next, so that soon every pair of choices has been tried together.

Most branches of a builder hang on one value or on two together. Covering all pairs takes few runs, whose number grows with the logarithm of the
number of hyperparameters. Of a range its two ends stand for all of it in pairs; of a short one each value is tried by itself as well. Must not know
what a run showed beyond the values that it took.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search_spaces import ranges
from search_spaces.ranges import Value

# The best of so many random proposals is taken.
PROPOSALS = 12
# Of a longer list of choices, all are tried, but not all pairs with others.
MOST_PAIRED = 16
# A range of at most so many values is short.
SHORT = 8

Level = tuple[str, str]


class Coverage:
    """The pairs of levels that have been tried together.

    Args:
        seed: of the random proposals.
    """

    def __init__(self, seed: int) -> None:
        self._draws = np.random.default_rng(seed)
        self._levels: dict[str, list[Value]] = {}
        self._tried: set[tuple[Level, Level]] = set()
        self._met: set[Level] = set()
        self._paired: set[Level] = set()

    def learn(self, name: str, distribution: BaseDistribution) -> None:
        """Take a hyperparameter into account; one of the same name adds its values.

        Args:
            name: of the hyperparameter.
            distribution: the values that it was asked for.
        """
        levels = self._levels.setdefault(name, [])
        every: Any
        if isinstance(distribution, CategoricalDistribution):
            every = distribution.choices
            paired = every if len(every) <= MOST_PAIRED else ()
        else:
            every = paired = (distribution.low, distribution.high)  # type: ignore[attr-defined]
            if (ranges.num_values(distribution) or SHORT + 1) <= SHORT:
                every = ranges.values(name, distribution)
        levels += [value for value in every if not any(ranges.is_same(value, known) for known in levels)]
        self._paired |= {(name, repr(value)) for value in paired}

    def note(self, values: Mapping[str, Value]) -> None:
        """Take note of a run's values."""
        levels = self._named(values)
        self._met |= set(levels)
        self._tried |= set(combinations(levels, 2))

    def propose(self, possible: Sequence[str]) -> dict[str, Value] | None:
        """Return values that cover many pairs not tried yet; None where nothing is left.

        Args:
            possible: names that are known; values are proposed for all of them.
        """
        names = [name for name in sorted(possible) if len(self._levels[name]) > 1]
        best, most = None, 0.0
        for proposal in range(PROPOSALS):
            values = {name: self._draw(name, eager=proposal % 2 == 0) for name in names}
            levels = self._named(values)
            pairs = sum(pair not in self._tried for pair in combinations(levels, 2) if self._is_paired(pair))
            gain = pairs + 1000.0 * sum(level not in self._met for level in levels)
            if gain > most:
                best, most = values, gain
        return best

    def random(self, possible: Sequence[str]) -> dict[str, Value]:
        """Return values of levels drawn at random."""
        return {name: self._draw(name, eager=False) for name in sorted(possible) if len(self._levels[name]) > 1}

    def _draw(self, name: str, *, eager: bool) -> Value:
        levels = self._levels[name]
        unmet = [value for value in levels if (name, repr(value)) not in self._met] if eager else []
        return (unmet or levels)[int(self._draws.integers(len(unmet or levels)))]

    def _is_paired(self, pair: tuple[Level, Level]) -> bool:
        return self._paired.issuperset(pair)

    def _named(self, values: Mapping[str, Value]) -> list[Level]:
        return sorted((name, repr(value)) for name, value in values.items() if any(ranges.is_same(value, level) for level in self._levels.get(name, ())))
