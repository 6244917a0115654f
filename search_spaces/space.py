"""A search space: hyperparameters in order, each with the values it may take and the conditions under which it exists.

Owns what a configuration may be: suggesting one through Optuna, narrowing a space by a spec, checking, counting and listing configurations. How one
range is written and read is the business of `ranges`, one hyperparameter that of `parameter`. Must not know Keras, any network, or any particular
hyperparameter.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from search_spaces import ranges
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.parameter import Condition, Parameter, can_meet, is_active
from search_spaces.ranges import Value

__all__ = ["Condition", "Parameter", "SearchSpace", "Value", "key", "space_of"]


@dataclass(frozen=True)
class SearchSpace:
    """Hyperparameters in order, and who builds the network that they describe.

    A configuration is a dictionary with exactly the active hyperparameters, fixed ones included.

    Attributes:
        name: the space's name, as `[space] name` has it.
        parameters: name -> Parameter; a parameter comes after those that its conditions name.
        builder: `module:function` of the function that turns a configuration into a Keras model.

    Raises:
        SearchSpaceError: a name is none, a condition names no earlier parameter, or two that share a key can be active together.
    """

    name: str
    parameters: Mapping[str, Parameter]
    builder: str

    def __post_init__(self) -> None:
        for name, parameter in self.parameters.items():
            if not all(word and word.isprintable() and word == word.strip() for word in (name, self.key_of(name))):
                raise SearchSpaceError(f"{name!r}: not a name; expected printable characters, none of them a space at either end")
            self._check_conditions(name, parameter)
        for key, sharing in self._keys().items():
            for position, name in enumerate(sharing):
                for other in sharing[:position]:
                    if not self._exclude_each_other(name, other):
                        raise SearchSpaceError(f"{key}: {other} and {name} can be active together; expected conditions that exclude each other")

    # ---- what it consists of

    def key_of(self, name: str) -> str:
        """Return a parameter's name in configurations."""
        return self.parameters[name].key or name

    def is_reachable(self, name: str) -> bool:
        """Say whether any configuration of this space has the parameter active."""
        return not self._unmet(name)

    def searched(self) -> dict[str, Parameter]:
        """Return the parameters that Optuna may be asked for: those that can be active and are not fixed."""
        return {name: parameter for name, parameter in self.parameters.items() if not ranges.is_fixed(parameter.distribution) and self.is_reachable(name)}

    def describe(self) -> dict[str, Any]:
        """Return the space as JSON: its name, builder and, for each parameter that can be active, its range, conditions and help."""
        parameters = {}
        for name, parameter in self.parameters.items():
            if self.is_reachable(name):
                when = {c.parameter: list(c.values) if c.at_least is None else {"at_least": c.at_least} for c in parameter.when}
                extra = {"when": when, "help": parameter.help, "key": parameter.key, "optional": parameter.optional}
                parameters[name] = {**ranges.described(parameter.distribution), **{word: value for word, value in extra.items() if value}}
                if parameter.default is not None and not ranges.is_fixed(parameter.distribution):
                    parameters[name]["default"] = parameter.default
        return {"name": self.name, "builder": self.builder, "parameters": parameters}

    # ---- other spaces from this one

    def narrow(self, choices: Mapping[str, object]) -> "SearchSpace":
        """Return the space that a spec makes of this one.

        Args:
            choices: parameter (or a key that several share) -> a table `{low, high, log, step}`, a list of choices, or one value. A range may be
                moved as far as the parameter's limits.

        Raises:
            SearchSpaceError: a name, key, type or range is wrong, or what is narrowed can never be active.
        """
        parameters = dict(self.parameters)
        keys = self._keys()
        # Shared keys first: a range for one of those that share a key is more exact than one for all, wherever it is written.
        for name in sorted(choices, key=lambda name: name not in keys):
            for each in self._named(name):
                parameter = self.parameters[each]
                distribution = ranges.narrowed(name, choices[name], parameter.distribution, parameter.widest)
                parameters[each] = replace(parameter, distribution=distribution, limits=parameter.widest)
        space = replace(self, parameters=parameters)
        for name in choices:
            unmet = [space._unmet(each) for each in self._named(name)]
            if all(unmet):
                needs = dict.fromkeys(condition for conditions in unmet for condition in conditions)
                has = {c.parameter: ranges.described(parameters[c.parameter].distribution) for c in needs}
                found = ", ".join(f"{other} is {_plain(table)}" for other, table in has.items())
                raise SearchSpaceError(f"{name}: never active; it needs {' or '.join(map(str, needs))}, and {found}; change that or remove {name}")
        return space

    def widest(self) -> "SearchSpace":
        """Return the space with every parameter as wide as its limits: the whole language that configurations may be written in."""
        return replace(self, parameters={name: replace(parameter, distribution=parameter.widest) for name, parameter in self.parameters.items()})

    # ---- configurations

    def suggest(self, trial: Any) -> dict[str, Value]:
        """Ask for a configuration.

        Args:
            trial: an `optuna.Trial`, or anything with its `suggest_` methods; it is asked only for active parameters that are not fixed.

        Returns:
            The active parameters in the space's order, fixed ones included.
        """
        configuration: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if is_active(parameter, configuration):
                configuration[self.key_of(name)] = _ask(trial, name, parameter.distribution)
        return configuration

    def default(self) -> dict[str, Value] | None:
        """Return the configuration that one would try first, each default moved into its range; None where one that it needs is not known."""
        configuration: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if is_active(parameter, configuration):
                if ranges.is_fixed(parameter.distribution):
                    configuration[self.key_of(name)] = ranges.only_value(parameter.distribution)
                elif parameter.default is not None:
                    configuration[self.key_of(name)] = ranges.closest(parameter.default, parameter.distribution)
                else:
                    return None
        return configuration

    def check(self, configuration: Mapping[str, object]) -> dict[str, Value]:
        """Return the configuration in the space's order if it is exactly one of this space.

        Raises:
            SearchSpaceError: a parameter is unknown, missing, given though it is inactive, or its value is not allowed.
        """
        found: dict[str, Value] = {}
        keys = self._keys()
        for key in configuration:
            if key not in keys:
                raise SearchSpaceError(f"{key}: unknown hyperparameter; {nearest(str(key), keys, listed=self._reachable_keys())}")
        for name, parameter in self.parameters.items():
            key = self.key_of(name)
            if is_active(parameter, found):
                if key not in configuration:
                    raise SearchSpaceError(f"{key}: missing; expected {_plain(ranges.described(parameter.distribution))}")
                found[key] = ranges.checked(key, configuration[key], parameter.distribution)
        for key in configuration:
            if key not in found:
                needs = " or ".join(" and ".join(map(str, self.parameters[name].when)) for name in keys[key])
                raise SearchSpaceError(f"{key}: not active in this configuration; it needs {needs}; remove it")
        return found

    def complete(self, configuration: Mapping[str, object]) -> dict[str, object]:
        """Return the configuration with the fixed values of this space that it leaves out; it is not checked."""
        found = dict(configuration)
        for name, parameter in self.parameters.items():
            if ranges.is_fixed(parameter.distribution) and is_active(parameter, found):
                found.setdefault(self.key_of(name), ranges.only_value(parameter.distribution))
        return found

    def contains(self, configuration: Mapping[str, object]) -> bool:
        """Say whether the configuration is exactly one of this space."""
        try:
            self.check(configuration)
        except SearchSpaceError:
            return False
        return True

    def parameters_of(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a configuration of this space that Optuna is asked for, under the parameters' names."""
        return {
            name: configuration[self.key_of(name)]
            for name, parameter in self.parameters.items()
            if not ranges.is_fixed(parameter.distribution) and is_active(parameter, configuration)
        }

    def size(self) -> int | None:
        """Return the number of distinct configurations; None where they are endless (a float range without a step)."""
        conditions = {condition for parameter in self.parameters.values() for condition in parameter.when}
        # How many partial configurations fulfil each set of conditions: all that later parameters depend on.
        counts: Counter[frozenset[Condition]] = Counter({frozenset(): 1})
        for name, parameter in self.parameters.items():
            about = [condition for condition in conditions if condition.parameter == name]
            if not self.is_reachable(name):
                continue
            num_values = ranges.num_values(parameter.distribution)
            if num_values is None:
                return None
            outcomes: Counter[frozenset[Condition]] = Counter({frozenset(): num_values})
            if about:
                outcomes = Counter(frozenset(c for c in about if c.holds(value)) for value in ranges.values(name, parameter.distribution))
            following: Counter[frozenset[Condition]] = Counter()
            for fulfilled, count in counts.items():
                if all(condition in fulfilled for condition in parameter.when):
                    for outcome, times in outcomes.items():
                        following[fulfilled | outcome] += count * times
                else:
                    following[fulfilled] += count
            counts = following
        return sum(counts.values())

    def grid(self) -> Iterator[dict[str, Value]]:
        """Yield every distinct configuration, the last parameter changing fastest.

        Raises:
            SearchSpaceError: they are endless.
        """
        for name in self.searched():
            ranges.values(name, self.parameters[name].distribution)
        return self._grid(list(self.parameters), {})

    def _grid(self, names: list[str], configuration: dict[str, Value]) -> Iterator[dict[str, Value]]:
        for position, name in enumerate(names):
            parameter = self.parameters[name]
            if is_active(parameter, configuration):
                for value in ranges.values(name, parameter.distribution):
                    yield from self._grid(names[position + 1 :], {**configuration, self.key_of(name): value})
                return
        yield configuration

    # ---- conditions

    def _keys(self) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for name in self.parameters:
            keys.setdefault(self.key_of(name), []).append(name)
        return keys

    def _reachable_keys(self) -> set[str]:
        return {self.key_of(name) for name in self.parameters if self.is_reachable(name)}

    def _named(self, name: str) -> list[str]:
        keys = self._keys()
        if name in keys:
            return keys[name]
        if name in self.parameters:
            return [name]
        raise SearchSpaceError(f"{name}: unknown hyperparameter; {nearest(str(name), [*keys, *self.parameters], listed=self._reachable_keys())}")

    def _all_conditions(self, name: str) -> dict[str, list[Condition]]:
        """Return the conditions of a parameter and of those that they name, and so on, by the parameter that they are about."""
        found: dict[str, list[Condition]] = {}
        for condition in self.parameters[name].when:
            for other, conditions in self._all_conditions(condition.parameter).items():
                found.setdefault(other, []).extend(conditions)
            found.setdefault(condition.parameter, []).append(condition)
        return found

    def _unmet(self, name: str) -> list[Condition]:
        """Return the conditions of a parameter that no configuration of this space meets."""
        for other, conditions in self._all_conditions(name).items():
            if not can_meet(self.parameters[other].distribution, conditions):
                return conditions
        return []

    def _exclude_each_other(self, name: str, other: str) -> bool:
        conditions, others = self._all_conditions(name), self._all_conditions(other)
        return any(not can_meet(self.parameters[about].widest, conditions[about] + others[about]) for about in conditions.keys() & others.keys())

    def _check_conditions(self, name: str, parameter: Parameter) -> None:
        earlier = list(self.parameters)[: list(self.parameters).index(name)]
        for condition in parameter.when:
            place, other = f"{name}.when.{condition.parameter}", condition.parameter
            if other not in earlier or self.key_of(other) != other:
                raise SearchSpaceError(f"{place}: unknown hyperparameter, or one that comes later; {nearest(other, earlier)}")
            for value in condition.values:
                ranges.checked(place, value, self.parameters[other].widest)
            if not can_meet(self.parameters[other].widest, [condition]):
                raise SearchSpaceError(f"{place}: got at_least {condition.at_least}; expected what {other} can reach")


def space_of(builder: str, parameters: Mapping[str, object]) -> SearchSpace:
    """Return a space of the user's own.

    Args:
        builder: `module:function` that builds the model.
        parameters: name -> a table `{low, high, log, step}`, `{choices}` or `{value}`, each also with `default`, `when` and `help`; a list of choices; or
            one value. `when = {other = value, another = [values], third = {at_least = number}}` names earlier parameters.

    Raises:
        SearchSpaceError: a key, a type, a range or a condition is wrong.
    """
    declared = {}
    for name, raw in parameters.items():
        table = dict(raw) if isinstance(raw, Mapping) else {}
        if not name.isidentifier():
            raise SearchSpaceError(f"{name}: not a name; expected letters, digits and _, beginning with a letter")
        when, help, default = table.pop("when", {}), table.pop("help", ""), table.pop("default", None)
        if not isinstance(when, Mapping):
            raise SearchSpaceError(f"{name}.when: got {when!r}; expected a table {{other = value}}")
        if not isinstance(help, str):
            raise SearchSpaceError(f"{name}.help: got {help!r}; expected a string")
        conditions = tuple(_condition(f"{name}.when.{other}", other, wanted) for other, wanted in when.items())
        distribution = ranges.declared(name, table if isinstance(raw, Mapping) else raw)
        first = None if default is None else ranges.checked(f"{name}.default", default, distribution)
        declared[name] = Parameter(distribution, conditions, help, default=first)
    return SearchSpace(builder.partition(":")[0], declared, builder)


def described_space(description: Mapping[str, Any]) -> SearchSpace:
    """Return the space that `SearchSpace.describe` wrote down: how a space that was found is read from a record.

    Args:
        description: `name`, `builder` and `parameters`, each a table as in `space_of`, also with `key` and `optional`.

    Raises:
        SearchSpaceError: it is no description of a space.
    """
    declared = {}
    for name, raw in description["parameters"].items():
        table = {word: value for word, value in raw.items() if word not in ("when", "help", "default", "key", "optional")}
        distribution = ranges.declared(name, table)
        conditions = tuple(_condition(f"{name}.when.{other}", other, wanted) for other, wanted in raw.get("when", {}).items())
        only = ranges.only_value(distribution) if ranges.is_fixed(distribution) else None
        default = raw.get("default", only)
        declared[name] = Parameter(distribution, conditions, raw.get("help", ""), None, raw.get("key", ""), default, raw.get("optional", False))
    return SearchSpace(description["name"], declared, description["builder"])


def key(configuration: Mapping[str, Value]) -> str:
    """Return the identity of a checked configuration: equal for equal configurations, whatever their order."""
    return json.dumps(dict(configuration), sort_keys=True, separators=(",", ":"))


def _condition(place: str, other: str, wanted: object) -> Condition:
    if isinstance(wanted, Mapping):
        least = wanted.get("at_least")
        if set(wanted) != {"at_least"} or isinstance(least, bool) or not isinstance(least, int | float):
            raise SearchSpaceError(f"{place}: got {dict(wanted)!r}; expected a value, a list of values or {{at_least = number}}")
        return Condition(other, at_least=least)
    listed = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    values = tuple(value for value in listed if isinstance(value, bool | int | float | str))
    if not values or len(values) < len(listed):
        raise SearchSpaceError(f"{place}: got {wanted!r}; expected a value, a list of values or {{at_least = number}}")
    return Condition(other, values)


def _ask(trial: Any, name: str, distribution: BaseDistribution) -> Value:
    if ranges.is_fixed(distribution):
        return ranges.only_value(distribution)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log, step=distribution.step)  # type: ignore[attr-defined]


def _plain(table: Mapping[str, object]) -> str:
    """Return a described distribution in words: `'same'`, `one of 1, 2` or `from 1 to 4`."""
    if "value" in table:
        return repr(table["value"])
    if "choices" in table:
        return "one of " + ", ".join(repr(choice) for choice in table["choices"])  # type: ignore[attr-defined]
    return f"from {table['low']} to {table['high']}"
