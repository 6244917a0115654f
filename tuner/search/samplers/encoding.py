"""Configurations as points of the unit cube, with the conditions of a space kept: what every sampler of ours draws from and measures by.

Each parameter that Optuna is asked for has one coordinate in [0, 1]: uniform there is uniform (or log-uniform) in its distribution. An inactive
parameter has no coordinate of its own: it is set to `INACTIVE`, so that two configurations never differ by what neither of them uses.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.space import SearchSpace, Value

INACTIVE = 0.5


class Encoding:
    """The unit cube of a search space.

    Args:
        space: the space; parameters with a single value have no coordinate.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.names = tuple(space.searched())
        self.distributions: dict[str, BaseDistribution] = {name: space.parameters[name].distribution for name in self.names}
        self._column = {name: index for index, name in enumerate(self.names)}
        self.categorical = np.array([isinstance(self.distributions[name], CategoricalDistribution) for name in self.names], dtype=bool)

    @property
    def dimensions(self) -> int:
        """Number of coordinates."""
        return len(self.names)

    def encode(self, parameters: Mapping[str, Value]) -> np.ndarray:
        """Return a configuration's point, float64 of shape (dimensions,); what it lacks, or holds outside the space, is inactive."""
        return self.encode_all([parameters])[0]

    def encode_all(self, configurations: Sequence[Mapping[str, Value]]) -> np.ndarray:
        """Return the points of configurations as `encode` does, float64 of shape (n, dimensions)."""
        points = np.full((len(configurations), self.dimensions), INACTIVE)
        for index, name in enumerate(self.names):
            held = [row for row, parameters in enumerate(configurations) if name in parameters]
            points[held, index] = _to_unit(self.distributions[name], [configurations[row][name] for row in held])
        return points

    def decode(self, point: np.ndarray) -> dict[str, Value]:
        """Return the parameters at a point, float64 of shape (dimensions,); inactive ones included, for the space asks only for the active ones."""
        return {name: _from_unit(self.distributions[name], float(value)) for name, value in zip(self.names, point, strict=True)}

    def settle(self, points: np.ndarray) -> np.ndarray:
        """Move points onto values that exist, and inactive coordinates to where they do not count.

        Args:
            points: float64 of shape (n, dimensions), each coordinate in [0, 1].

        Returns:
            float64 of shape (n, dimensions): two rows are equal exactly if they are the same configuration.
        """
        settled = np.empty_like(points)
        values: dict[str, np.ndarray] = {}
        active: dict[str, np.ndarray] = {}
        count = len(points)
        for name, parameter in self.space.parameters.items():
            here = np.ones(count, dtype=bool)
            for condition in parameter.when:
                here &= active[condition.parameter]
                if condition.values:
                    here &= np.isin(values[condition.parameter], _natives(self.space, condition.parameter, condition.values))
                if condition.at_least is not None:
                    here &= _numbers(self.space, condition.parameter, values[condition.parameter]) >= condition.at_least
            active[name] = here
            key = self.space.key_of(name)
            if key != name:
                active[key] = active.get(key, np.zeros(count, dtype=bool)) | here
            if name in self._column:
                index = self._column[name]
                raw = _snap(parameter.distribution, points[:, index])
                values[name] = _native(parameter.distribution, raw)
                settled[:, index] = np.where(here, raw, INACTIVE)
            else:
                values[name] = np.full(count, _single(parameter.distribution))
            if key != name:
                values[key] = np.where(here, values[name], values.get(key, values[name]))
        return settled


def _owner(space: SearchSpace, name: str) -> BaseDistribution:
    """Return the distribution that a condition's name stands for: a parameter's, or that of the first parameter with this key."""
    if name in space.parameters:
        return space.parameters[name].distribution
    return next(parameter.distribution for other, parameter in space.parameters.items() if space.key_of(other) == name)


def _natives(space: SearchSpace, name: str, wanted: Sequence[Value]) -> list[float]:
    """Return the values of a condition as `_native` gives them: the rank of a choice, or the number itself."""
    distribution = _owner(space, name)
    if isinstance(distribution, CategoricalDistribution):
        return [float(_rank(distribution, value)) for value in wanted]
    return [float(value) for value in wanted]


def _numbers(space: SearchSpace, name: str, values: np.ndarray) -> np.ndarray:
    """Return values as `_native` gives them as numbers: of a choice the number that it is, and of a word nothing that reaches any bound."""
    distribution = _owner(space, name)
    if not isinstance(distribution, CategoricalDistribution):
        return values
    choices = [-math.inf if isinstance(choice, str) or choice is None else float(choice) for choice in distribution.choices]
    return np.array(choices)[values.astype(int)]


def _rank(distribution: CategoricalDistribution, value: Any) -> int:
    """Return the place of a choice; 1, 1.0 and True are three choices."""
    for index, choice in enumerate(distribution.choices):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return index
    return -1


def _single(distribution: BaseDistribution) -> float:
    return 0.0 if isinstance(distribution, CategoricalDistribution) else float(distribution.low)  # type: ignore[attr-defined]


def _levels(distribution: BaseDistribution) -> int | None:
    """Return the number of values; None for a float without step."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step + 1
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        return round((distribution.high - distribution.low) / distribution.step) + 1
    return None


def _snap(distribution: BaseDistribution, unit: np.ndarray) -> np.ndarray:
    """Return the units of the values that a draw falls on."""
    levels = _levels(distribution)
    unit = np.clip(unit, 0.0, 1.0)
    if levels is None:
        return unit
    if _is_log(distribution):
        return _number_to_unit(distribution, _log_integer(distribution, unit))
    return (np.minimum(np.floor(unit * levels), levels - 1) + 0.5) / levels


def _native(distribution: BaseDistribution, unit: np.ndarray) -> np.ndarray:
    """Return settled units as numbers: the rank of a choice, the value of a number."""
    if isinstance(distribution, CategoricalDistribution):
        return np.floor(unit * len(distribution.choices))
    if isinstance(distribution, IntDistribution) and _is_log(distribution):
        return _log_integer(distribution, unit)
    levels = _levels(distribution)
    if levels is not None:
        step = distribution.step  # type: ignore[attr-defined]
        return distribution.low + np.floor(unit * levels) * step  # type: ignore[attr-defined]
    if _is_log(distribution):
        low, high = math.log(distribution.low), math.log(distribution.high)  # type: ignore[attr-defined]
        return np.exp(low + unit * (high - low))
    return distribution.low + unit * (distribution.high - distribution.low)  # type: ignore[attr-defined]


def _to_unit(distribution: BaseDistribution, values: Sequence[Any]) -> np.ndarray:
    """Return where values lie in their distribution's coordinate; what is none of its values, or no number, lies where the inactive do."""
    if isinstance(distribution, CategoricalDistribution):
        ranks = {(choice, isinstance(choice, bool)): rank for rank, choice in reversed(list(enumerate(distribution.choices)))}
        units = [ranks.get((value, isinstance(value, bool)), -1) if value.__hash__ else -1 for value in values]
        places = np.array(units, dtype=float)
        return np.where(places < 0, INACTIVE, (places + 0.5) / len(distribution.choices))
    numbers = np.array([_number(value) for value in values], dtype=float)
    missing = np.isnan(numbers)
    low, high = float(distribution.low), float(distribution.high)  # type: ignore[attr-defined]
    return np.where(missing, INACTIVE, _number_to_unit(distribution, np.clip(np.where(missing, low, numbers), low, high)))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _from_unit(distribution: BaseDistribution, unit: float) -> Value:
    if isinstance(distribution, CategoricalDistribution):
        count = len(distribution.choices)
        return distribution.choices[min(int(unit * count), count - 1)]  # type: ignore[return-value]
    number = float(_native(distribution, _snap(distribution, np.array([unit])))[0])
    if isinstance(distribution, IntDistribution):
        return round(number)
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    if distribution.step is not None:  # type: ignore[attr-defined]
        number = float(round(number, 12))
    return min(max(number, low), high)


def _is_log(distribution: BaseDistribution) -> bool:
    return bool(getattr(distribution, "log", False))


def _number_to_unit(distribution: BaseDistribution, number: np.ndarray) -> np.ndarray:
    low, high = float(distribution.low), float(distribution.high)  # type: ignore[attr-defined]
    levels = _levels(distribution)
    if _is_log(distribution):
        if levels is not None:  # integers: each owns the unit interval of its rounding range
            low, high = low - 0.5, high + 0.5
        return (np.log(number) - math.log(low)) / (math.log(high) - math.log(low))
    if levels is not None:
        step = float(distribution.step)  # type: ignore[attr-defined]
        return (np.round((number - low) / step) + 0.5) / levels
    return (number - low) / (high - low)


def _log_integer(distribution: BaseDistribution, unit: np.ndarray) -> np.ndarray:
    low, high = math.log(distribution.low - 0.5), math.log(distribution.high + 0.5)  # type: ignore[attr-defined]
    number = np.round(np.exp(low + unit * (high - low)))
    return np.clip(number, distribution.low, distribution.high)  # type: ignore[attr-defined]
