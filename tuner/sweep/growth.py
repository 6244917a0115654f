"""A space that grows while it is searched: what a trial's builder asks for beyond it joins it, for all trials that are proposed from then on."""

from collections.abc import Callable
from typing import Any

from search_spaces import ranges
from search_spaces.parameter import Parameter
from search_spaces.space import SearchSpace
from tuner.monitor.console import View
from tuner.study.record import FOUND, Study


class Growth:
    """Sees what trials have said since it was last asked.

    Args:
        study: the record; what joins is written down in it.
        space: as it is searched now.
        learn_from: makes the sampler of a larger space.
        view: hears of what joins.
    """

    def __init__(self, study: Study, space: SearchSpace, *, learn_from: Callable[[SearchSpace], None], view: View) -> None:
        self._study = study
        self._space = space
        self._learn_from = learn_from
        self._view = view
        self._read: set[int] = set()

    def __call__(self) -> SearchSpace | None:
        """Return the larger space where something has joined; None where nothing has."""
        joined: dict[str, dict[str, Any]] = {}
        for number in range(self._study.count()):
            if number not in self._read and "parameters" in (facts := self._study.trial(number).user_attrs):
                self._read.add(number)
                joined |= {table["name"]: table for table in facts.get("found", []) if table["name"] not in _keys(self._space)}
        if not joined:
            return None
        parameters = {name: _parameter(table) for name, table in joined.items()}
        self._space = SearchSpace(self._space.name, {**self._space.parameters, **parameters}, self._space.builder)
        recorded = self._study.facts[FOUND] or {}
        described = SearchSpace(self._space.name, parameters, self._space.builder).describe()["parameters"]
        names = [*recorded.get("joined", ()), *parameters]
        self._study.set_facts({"found_space": {**recorded, "parameters": {**recorded["parameters"], **described}, "joined": names}})
        self._study.set_facts({"space": self._space.describe()["parameters"]})
        self._learn_from(self._space)
        self._view.note(f"{self._space.builder} asked for more than was found before: {', '.join(parameters)}; searched from now on")
        return self._space


def _keys(space: SearchSpace) -> set[str]:
    return {space.key_of(name) for name in space.parameters}


def _parameter(table: dict[str, Any]) -> Parameter:
    distribution = ranges.declared(table["name"], {word: value for word, value in table.items() if word not in ("name", "default")})
    return Parameter(distribution, default=table["default"], optional=not ranges.is_fixed(distribution))
