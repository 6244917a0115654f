"""From what runs of a builder showed to a `SearchSpace`: order, conditions, and names that are asked for with several ranges."""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import ranges
from search_spaces.define_by_run.asked import Asked
from search_spaces.define_by_run.causes import Causes, Kind, Observed
from search_spaces.errors import SearchSpaceError
from search_spaces.parameter import Condition, Parameter
from search_spaces.ranges import Value
from search_spaces.space import SearchSpace

# More ranges of one name than these are one range that moves.
MOST_RANGES = 16


def space_from(builder: str, observed: Observed, causes: dict[Kind, Causes]) -> tuple[SearchSpace, list[str]]:
    """Return the space that the runs showed, and what a user should know of it, one line each.

    Args:
        builder: the name of the builder.
        observed: its runs.
        causes: what is known of when each hyperparameter is active.

    Raises:
        SearchSpaceError: a name stands for values of several types at once.
    """
    by_name: dict[str, list[Kind]] = {}
    for kind in observed.kinds:
        by_name.setdefault(kind[0], []).append(kind)
    parameters: dict[str, Parameter] = {}
    notes: list[str] = []
    for name, kinds in by_name.items():
        found = {kind: causes[kind].conditions(observed) for kind in kinds}
        settled = all(causes[kind].settled for kind in kinds)
        if len(kinds) == 1:
            parameters[name] = _parameter(observed.kinds[kinds[0]], found[kinds[0]], optional=not settled)
        elif settled and len(kinds) <= MOST_RANGES and _exclusive(builder, parameters, name, observed, found):
            for number, kind in enumerate(kinds, 1):
                parameters[f"{name}@{number}"] = _parameter(observed.kinds[kind], found[kind], key=name)
        else:
            merged = _merged(name, [kind[1] for kind in kinds])
            first = observed.kinds[kinds[0]]
            shared = [condition for condition in found[kinds[0]] if all(condition in found[kind] for kind in kinds)]
            parameters[name] = _parameter(Asked(name, merged, ranges.closest(first.default, merged)), tuple(shared), optional=True)
            notes.append(f"{name}: asked for with {len(kinds)} ranges; all of them together are searched: {_shown(merged)}")
        notes += dict.fromkeys(note for kind in kinds if (note := observed.kinds[kind].note))
        if not settled and len(kinds) == 1:
            notes.append(f"{name}: the builder decides when it is used, in a way that no condition describes; it is drawn for every trial that may use it")
    return SearchSpace(builder.rpartition(":")[2], _conditions_kept(parameters), builder), notes


def _parameter(asked: Asked, when: Sequence[Condition], *, optional: bool = False, key: str = "") -> Parameter:
    return Parameter(asked.distribution, tuple(when), key=key, default=asked.default, optional=optional)


def _conditions_kept(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """Drop conditions on what cannot carry one: a name with several ranges. What depends on it is then the builder's own decision."""
    kept: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        when = tuple(condition for condition in parameter.when if condition.parameter in kept)
        optional = parameter.optional or len(when) < len(parameter.when)
        kept[name] = Parameter(parameter.distribution, when, key=parameter.key, default=parameter.default, optional=optional)
    return kept


def _exclusive(builder: str, before: dict[str, Parameter], name: str, observed: Observed, found: dict[Kind, tuple[Condition, ...]]) -> bool:
    several = {f"{name}@{number}": _parameter(observed.kinds[kind], when, key=name) for number, (kind, when) in enumerate(found.items(), 1)}
    try:
        SearchSpace(name, _conditions_kept({**before, **several}), builder)
    except SearchSpaceError:
        return False
    return all(condition.parameter in before for when in found.values() for condition in when)


def _merged(name: str, distributions: Sequence[BaseDistribution]) -> BaseDistribution:
    """Return the range that all of these lie in."""
    if all(isinstance(each, CategoricalDistribution) for each in distributions):
        every: list[Value] = []
        for each in distributions:
            every += [choice for choice in each.choices if choice not in every]  # type: ignore[attr-defined]
        return CategoricalDistribution(every)
    numeric = [each for each in distributions if not isinstance(each, CategoricalDistribution)]
    ends: list[Any] = [value for each in distributions for value in (each.choices if isinstance(each, CategoricalDistribution) else (each.low, each.high))]  # type: ignore[attr-defined]
    if any(isinstance(value, bool | str) for value in ends):
        raise SearchSpaceError(f"{name}: asked for as a number and as a choice; expected a name for each")
    low, high, log = min(ends), max(ends), all(each.log for each in numeric)  # type: ignore[attr-defined]
    if all(isinstance(value, int) for value in ends) and all(isinstance(each, IntDistribution) for each in numeric):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _shown(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return "one of " + ", ".join(map(repr, distribution.choices))
    return f"from {distribution.low} to {distribution.high}"  # type: ignore[attr-defined]
