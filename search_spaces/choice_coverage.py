"""The branches of a space: for each choice in it a configuration that has it, with everything else as large or as small as the space allows.

Whoever builds them all knows whether any part of the space is impossible, before a search stumbles upon it. Must not know Keras, nor any particular
hyperparameter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from search_spaces import ranges
from search_spaces.errors import SearchSpaceError
from search_spaces.ranges import Value
from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class Branch:
    """A part of a space.

    Attributes:
        name: which choice it stands for, such as `kind = 'wide'`.
        largest: its configuration with every number at its upper end, and the first of all other choices.
        smallest: the same with every number at its lower end.
    """

    name: str
    largest: Mapping[str, Value]
    smallest: Mapping[str, Value]


def branches(space: SearchSpace) -> list[Branch]:
    """Return one branch per choice of every hyperparameter that is a list; one in all where there is none."""
    found = []
    for name, parameter in space.searched().items():
        if isinstance(parameter.distribution, CategoricalDistribution):
            for choice in parameter.distribution.choices:
                forced = {**_needs(space, name), name: choice}
                largest, smallest = (space.suggest(_Corner(forced, high=high)) for high in (True, False))
                if all(space.key_of(name) in configuration for configuration in (largest, smallest)):
                    found.append(Branch(f"{name} = {choice!r}", largest, smallest))
    plain: dict[str, Any] = {}
    return found or [Branch(space.name, space.suggest(_Corner(plain, high=True)), space.suggest(_Corner(plain, high=False)))]


def _needs(space: SearchSpace, name: str) -> dict[str, Any]:
    """Return values of other parameters under which this one is active."""
    found: dict[str, Any] = {}
    for condition in space.parameters[name].when:
        other = condition.parameter
        distribution = space.parameters[other].distribution
        values = condition.values if condition.at_least is None else (getattr(distribution, "high", condition.at_least),)
        found |= _needs(space, other)
        possible = [value for value in values if _contains(other, value, distribution)]
        if possible:
            found[other] = possible[0]
    return found


def _contains(name: str, value: Value, distribution: BaseDistribution) -> bool:
    try:
        ranges.checked(name, value, distribution)
    except SearchSpaceError:
        return False
    return True


class _Corner:
    """Suggests as an `optuna.Trial` does: what is forced, else an end of each range and the first of each list."""

    def __init__(self, forced: Mapping[str, Any], *, high: bool) -> None:
        self._forced = forced
        self._high = high

    def suggest_categorical(self, name: str, choices: Any) -> Value:
        return self._forced.get(name, choices[0])

    def suggest_int(self, name: str, low: int, high: int, **scale: Any) -> int:
        return self._forced.get(name, high if self._high else low)

    def suggest_float(self, name: str, low: float, high: float, **scale: Any) -> float:
        return self._forced.get(name, high if self._high else low)
