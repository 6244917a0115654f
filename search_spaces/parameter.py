"""One hyperparameter: the values it may take, how far a spec may move them, and the conditions under which it exists.

Owns `Parameter` and `Condition`, and the three short words that the built-in spaces declare theirs with. Must not know what a space is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import ranges
from search_spaces.errors import SearchSpaceError
from search_spaces.ranges import Value


@dataclass(frozen=True)
class Condition:
    """Holds while another hyperparameter is active and has one of some values, or at least some value.

    Attributes:
        parameter: the other one; it comes earlier in the space.
        values: the values under which the condition holds; empty where `at_least` says it.
        at_least: the least value under which the condition holds.

    Raises:
        SearchSpaceError: both values and at_least are given, or neither.
    """

    parameter: str
    values: tuple[Value, ...] = ()
    at_least: float | None = None

    def __post_init__(self) -> None:
        if bool(self.values) == (self.at_least is not None):
            raise SearchSpaceError(f"condition on {self.parameter}: expected either values or at_least")

    def holds(self, value: Value) -> bool:
        """Say whether the condition holds when the other hyperparameter has this value."""
        if self.at_least is not None:
            return not isinstance(value, str) and value >= self.at_least
        return any(ranges.is_same(value, wanted) for wanted in self.values)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"{self.parameter} >= {self.at_least}"
        return f"{self.parameter} = {' or '.join(repr(value) for value in self.values)}"


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter.

    Attributes:
        distribution: the values that are searched; a fixed value is a categorical distribution with a single choice.
        when: it is active while all of these hold.
        help: one sentence for users.
        limits: the values that are possible at all: as far as a spec may move the range. The distribution itself where nothing is said.
        key: its name in configurations, where that is not its name in the space: parameters whose conditions exclude each other may share one, so
            that one thing can be searched in different ranges under different conditions.
        default: what one would try first, within its limits; None where nobody can say.
        optional: whether the builder decides by itself if it uses what it is given, in a way that no condition describes.

    Raises:
        SearchSpaceError: the distribution reaches beyond the limits, or the default lies outside them.
    """

    distribution: BaseDistribution
    when: tuple[Condition, ...] = ()
    help: str = ""
    limits: BaseDistribution | None = None
    key: str = ""
    default: Value | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if not ranges.is_within(self.distribution, self.widest):
            raise SearchSpaceError(f"{self.help or self.key}: {self.distribution} reaches beyond its limits {self.limits}")
        if self.default is not None:
            ranges.checked("default", self.default, self.widest)

    @property
    def widest(self) -> BaseDistribution:
        """What is possible at all."""
        return self.distribution if self.limits is None else self.limits


def is_active(parameter: Parameter, configuration: Mapping[str, object]) -> bool:
    """Say whether a parameter exists beside the earlier ones of a configuration.

    Args:
        parameter: which comes after them.
        configuration: hyperparameter -> value, of those that come before.
    """
    return all(c.parameter in configuration and c.holds(configuration[c.parameter]) for c in parameter.when)  # type: ignore[arg-type]


def can_meet(distribution: BaseDistribution, conditions: list[Condition]) -> bool:
    """Say whether any value that the distribution allows fulfils all of the conditions, which are about one parameter.

    Args:
        distribution: of the parameter that the conditions are about.
        conditions: about it alone.
    """
    candidates: list[Any]
    if isinstance(distribution, CategoricalDistribution):
        candidates = list(distribution.choices)
    else:
        # Of a range only its highest value and those that a condition names can decide.
        named = [value for condition in conditions for value in condition.values]
        candidates = [distribution.high, *(value for value in named if ranges.is_within(ranges.fixed(value), distribution))]  # type: ignore[attr-defined]
    return any(all(condition.holds(value) for condition in conditions) for value in candidates)


# ---- declaring the parameters of a built-in space, one line each


def integer(
    low: int, high: int, *, limits: tuple[int, int], default: int | None = None, log: bool = False, when: tuple[Condition, ...] = (), help: str = ""
) -> Parameter:
    """Return a hyperparameter with whole numbers from low to high.

    Args:
        low: the lowest value that is searched.
        high: the highest.
        limits: lowest and highest value that a spec may say.
        default: what one would try first; where low is high, that.
        log: searched on a logarithmic scale.
        when: the conditions under which it exists.
        help: one sentence for users.
    """
    first = low if low == high else default
    return Parameter(IntDistribution(low, high, log=log), when, help, IntDistribution(*limits, log=log), default=first)


def real(
    low: float,
    high: float,
    *,
    limits: tuple[float, float],
    default: float | None = None,
    log: bool = False,
    when: tuple[Condition, ...] = (),
    help: str = "",
) -> Parameter:
    """Return a hyperparameter with numbers from low to high; one that is fixed by default where they are equal.

    Limits that begin with 0 are on a linear scale, so that a spec can say 0; a range that is narrowed keeps the scale given by `log`.

    Args:
        low: the lowest value that is searched.
        high: the highest.
        limits: lowest and highest value that a spec may say.
        default: what one would try first; where low is high, that.
        log: searched on a logarithmic scale.
        when: the conditions under which it exists.
        help: one sentence for users.
    """
    distribution = ranges.fixed(low) if low == high else FloatDistribution(low, high, log=log)
    return Parameter(distribution, when, help, FloatDistribution(*limits, log=log and limits[0] > 0), default=low if low == high else default)


def choice(*choices: Value, among: tuple[Value, ...] = (), default: Value | None = None, when: tuple[Condition, ...] = (), help: str = "") -> Parameter:
    """Return a hyperparameter with a few choices (fixed where there is one), `among` all that are possible.

    Args:
        choices: the values that are searched.
        among: all that a spec may say; none: the same.
        default: what one would try first; of a single choice, that.
        when: the conditions under which it exists.
        help: one sentence for users.
    """
    return Parameter(
        CategoricalDistribution(choices), when, help, CategoricalDistribution(among or choices), default=choices[0] if len(choices) == 1 else default
    )
