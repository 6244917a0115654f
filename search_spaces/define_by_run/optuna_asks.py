"""Optuna's dialect: a trial that hands out given values and notes what was suggested.

An `optuna.trial.FixedTrial`, so that whatever a `build(trial)` may call is there: `suggest_*`, `set_user_attr`, `report`, `should_prune`.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FixedTrial

from search_spaces import ranges
from search_spaces.define_by_run.asked import NONE, Asked, middle
from search_spaces.define_by_run.asked import choices as checked
from search_spaces.errors import SearchSpaceError
from search_spaces.ranges import Value


class AskedTrial(FixedTrial):
    """A trial of Optuna's with a configuration; what the configuration lacks is taken from the middle of its range.

    Attributes:
        asked: name -> what was suggested, in order.
        given: name -> what it was given, None as `none`.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        """Hand out these values."""
        super().__init__(dict(values))
        self.asked: dict[str, Asked] = {}
        self.given: dict[str, Value] = {}

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices; what a record cannot hold is refused before Optuna warns of it."""
        checked(name, choices)
        return super().suggest_categorical(name, choices)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        plain = checked(name, distribution.choices) if isinstance(distribution, CategoricalDistribution) else distribution
        if plain.single():
            plain = ranges.fixed(ranges.only_value(plain))
        if name not in self.asked:
            self.asked[name] = Asked(name, plain, middle(plain), position=len(self.asked))
            self.given[name] = self._params.get(name, self.asked[name].default)
        elif self.asked[name].distribution != plain:
            raise SearchSpaceError(f"{name}: suggested twice in one run, with different ranges; expected a name for each")
        value = self.given[name]
        # The base class keeps what `params` and `distributions` show.
        handed = None if value == NONE and _has_none(distribution) else value
        self._suggested_params[name] = handed
        self._distributions[name] = distribution
        return handed


def _has_none(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, CategoricalDistribution) and None in distribution.choices
