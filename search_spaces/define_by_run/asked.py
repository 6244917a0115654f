"""What a builder asked for in one run: the words in which both dialects, KerasTuner's and Optuna's, are written down.

Must not know either dialect, nor how spaces are found from runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search_spaces import ranges
from search_spaces.errors import SearchSpaceError
from search_spaces.parameter import Condition
from search_spaces.ranges import Value

# What stands for None in configurations, where None means that a hyperparameter is not active.
NONE = "none"


@dataclass(frozen=True)
class Asked:
    """One hyperparameter as a builder asked for it.

    Attributes:
        name: as the builder calls it, with its scopes: `block/units`.
        distribution: the values that it allows.
        default: what it takes where nobody chooses; within `distribution`.
        when: conditions that the builder itself stated (KerasTuner's conditional scopes).
        note: what is not as the builder wrote it, in one line; empty: nothing.
        position: where in the run it was named, from 0.
    """

    name: str
    distribution: BaseDistribution
    default: Value
    when: tuple[Condition, ...] = ()
    note: str = ""
    position: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Run:
    """One run of a builder.

    Attributes:
        asked: what it asked for and was given, in this order.
        dormant: what it named, but is not active under the given values (KerasTuner registers what lies in a conditional scope that does not hold).
        values: name -> what it was given.
        failed: the exception that ended it, in one line; empty: it came to its end.
        details: the traceback of that exception.
    """

    asked: tuple[Asked, ...]
    dormant: tuple[Asked, ...] = ()
    values: Mapping[str, Value] = field(default_factory=dict)
    failed: str = ""
    details: str = ""


# Runs the builder on some values; what they lack is taken at its default.
Ask = Callable[[Mapping[str, Value]], Run]


def choices(name: str, given: object) -> CategoricalDistribution:
    """Return the distribution of a list of choices, None written as `none`, and equal choices of one type once.

    Args:
        name: of the hyperparameter, for messages.
        given: the choices.

    Raises:
        SearchSpaceError: a choice is no number, string, boolean or None, or two are equal and of different types.
    """
    kept: list[tuple[object, Value]] = []
    for choice in list(given):  # type: ignore[call-overload]
        value = plain(name, NONE if choice is None else choice)
        equal = [other for other, known in kept if known == value]
        if not equal:
            kept.append((None if choice is None else value, value))
        elif type(equal[0]) is not type(None if choice is None else value):
            raise SearchSpaceError(f"{name}: the choices {equal[0]!r} and {choice!r} are equal in the record; expected each choice once")
    return CategoricalDistribution([value for _, value in kept])


def plain(name: str, value: object) -> Value:
    """Return a value as plain Python has it: numpy's numbers become int, float or bool.

    Args:
        name: of the hyperparameter, for messages.
        value: what arrived.

    Raises:
        SearchSpaceError: it is no number, string or boolean.
    """
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    if isinstance(value, bool | int | float | str):
        return value
    raise SearchSpaceError(f"{name}: got {value!r}; expected a number, a string, a boolean or None")


def middle(distribution: BaseDistribution) -> Value:
    """Return what stands for a hyperparameter that has no default: the middle of a range (on its own scale), the first choice of a list."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]  # type: ignore[return-value]
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    between = (low * high) ** 0.5 if distribution.log else (low + high) / 2  # type: ignore[attr-defined]
    if isinstance(distribution, FloatDistribution) and distribution.step is None:
        return float(between)
    return ranges.closest(between if isinstance(distribution, FloatDistribution) else round(between), distribution)
