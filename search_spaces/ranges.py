"""How a range, a choice or a fixed value is written in a spec, and what it then allows: Optuna's distributions, one at a time.

Owns the reading (`narrowed`, `declared`), the checking of one value (`checked`), the counting and the description of one distribution. Must not
know of conditions, of other hyperparameters or of any network. A fixed value is a categorical distribution with a single choice.
"""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.errors import SearchSpaceError, nearest

Value = bool | int | float | str
RANGE_KEYS = ("low", "high", "log", "step")


def fixed(value: Value) -> CategoricalDistribution:
    """Return the distribution that allows one value."""
    return CategoricalDistribution((value,))


def is_fixed(distribution: BaseDistribution) -> bool:
    """Say whether there is nothing to choose."""
    return distribution.single()


def only_value(distribution: BaseDistribution) -> Value:
    """Return the value of a fixed distribution."""
    return distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low  # type: ignore[attr-defined, return-value]


def is_same(value: object, other: object) -> bool:
    """Say whether two values are equal, where True is not 1.

    Args:
        value: one.
        other: the other.
    """
    return isinstance(value, bool) == isinstance(other, bool) and value == other


def checked(name: str, value: object, distribution: BaseDistribution) -> Value:
    """Return the value if the distribution allows it; an integer becomes a float where a float is expected.

    Args:
        name: what the error message begins with.
        value: what arrived.
        distribution: what is allowed.

    Raises:
        SearchSpaceError: the value has another type, is out of range, between two steps, or no choice.
    """
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if is_same(value, choice):
                return float(value) if isinstance(choice, float) else value  # type: ignore[arg-type, return-value]
        raise SearchSpaceError(_no_choice(name, value, distribution))
    number = _number(name, value, whole=isinstance(distribution, IntDistribution))
    low, high, step = distribution.low, distribution.high, distribution.step  # type: ignore[attr-defined]
    if not low <= number <= high:
        raise SearchSpaceError(f"{name}: got {value!r}; expected {_kind(distribution)} from {low} to {high}")
    if step is not None and not _is_whole((number - low) / step):
        raise SearchSpaceError(f"{name}: got {value!r}; expected {low} plus a whole number of steps of {step}")
    return number


def narrowed(name: str, raw: object, current: BaseDistribution, limits: BaseDistribution) -> BaseDistribution:
    """Read what a spec makes of a hyperparameter: a table is a range, a list a choice, a bare value fixed.

    Args:
        name: the hyperparameter, for error messages.
        raw: `{low, high, log, step}` (what is left out stays as it was), a list, or a value.
        current: what the hyperparameter allows by default.
        limits: what is possible at all.

    Raises:
        SearchSpaceError: a key, a type, a choice or a range is wrong, or lies outside the limits.
    """
    if isinstance(raw, Mapping):
        return _narrowed_range(name, raw, current, limits)
    if isinstance(raw, list | tuple):
        return _choices(name, [checked(f"{name}[{position}]", value, limits) for position, value in enumerate(raw)])
    return fixed(checked(name, raw, limits))


def declared(name: str, raw: object) -> BaseDistribution:
    """Read a hyperparameter of the user's own: `{low, high, log, step}`, `{choices}` or `{value}`, a list, or a bare value.

    Whole numbers as low, high and step make an integer, anything else a float.

    Args:
        name: the hyperparameter, for error messages.
        raw: what the spec says.

    Raises:
        SearchSpaceError: a key, a type or a range is wrong.
    """
    if isinstance(raw, Mapping):
        return _declared_table(name, raw)
    if isinstance(raw, list | tuple):
        return _choices(name, [_value(f"{name}[{position}]", value) for position, value in enumerate(raw)])
    return fixed(_value(name, raw))


def num_values(distribution: BaseDistribution) -> int | None:
    """Return how many values the distribution allows; None where they are endless (a float range without a step)."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if is_fixed(distribution):
        return 1
    step = distribution.step  # type: ignore[attr-defined]
    return None if step is None else round((distribution.high - distribution.low) / step) + 1  # type: ignore[attr-defined]


def values(name: str, distribution: BaseDistribution) -> Iterable[Value]:
    """Return every value that the distribution allows, in order.

    Args:
        name: the hyperparameter, for error messages.
        distribution: what is allowed.

    Raises:
        SearchSpaceError: they are endless.
    """
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices  # type: ignore[return-value]
    count = num_values(distribution)
    if count is None:
        raise SearchSpaceError(f"{name}: a range of floats without a step has endless values; expected a list, a step or one value")
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    low, step = Decimal(str(distribution.low)), Decimal(str(distribution.step or 0))  # type: ignore[attr-defined]
    return [float(low + number * step) for number in range(count)]


def closest(value: Value, distribution: BaseDistribution) -> Value:
    """Return what the distribution allows nearest to a value; of choices of which none is a number near it, the first.

    Args:
        value: what is wanted.
        distribution: what is allowed.
    """
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        if any(is_same(value, choice) for choice in choices):
            return value
        if isinstance(value, bool | str) or any(isinstance(choice, bool | str) for choice in choices):
            return choices[0]  # type: ignore[return-value]
        return min(choices, key=lambda choice: abs(choice - value))  # type: ignore[operator, return-value]
    low, high, step = distribution.low, distribution.high, distribution.step  # type: ignore[attr-defined]
    inside = min(max(value, low), high)  # type: ignore[type-var]
    if step is None:
        return inside
    nearest_one = Decimal(str(low)) + round((inside - low) / step) * Decimal(str(step))
    return int(nearest_one) if isinstance(distribution, IntDistribution) else float(nearest_one)


def described(distribution: BaseDistribution) -> dict[str, object]:
    """Return the distribution as JSON: `{value}`, `{choices}` or `{low, high, log, step}`; `declared` reads it back."""
    if is_fixed(distribution):
        return {"value": only_value(distribution)}
    if isinstance(distribution, CategoricalDistribution):
        return {"choices": list(distribution.choices)}
    table = {key: getattr(distribution, key) for key in RANGE_KEYS}
    return table if table["step"] is not None else {key: value for key, value in table.items() if key != "step"}


def is_within(distribution: BaseDistribution, limits: BaseDistribution) -> bool:
    """Say whether everything that the distribution allows is within the limits.

    Args:
        distribution: what is allowed.
        limits: what is possible at all.
    """
    ends = distribution.choices if isinstance(distribution, CategoricalDistribution) else (distribution.low, distribution.high)  # type: ignore[attr-defined]
    try:
        return all(is_same(checked("", end, limits), end) for end in ends)
    except SearchSpaceError:
        return False


def _narrowed_range(name: str, raw: Mapping[str, object], current: BaseDistribution, limits: BaseDistribution) -> BaseDistribution:
    if isinstance(limits, CategoricalDistribution):
        raise SearchSpaceError(f"{name}: got a table; expected one or a list of {_listed(limits.choices)}")
    _refuse_unknown(name, raw, RANGE_KEYS)
    given: dict[str, object] = {} if isinstance(current, CategoricalDistribution) else described(current)
    table = {"log": limits.log, **given, **raw}  # type: ignore[attr-defined]
    if "step" in raw and "log" not in raw:
        table["log"] = False
    if table["log"] is True and "step" not in raw:
        table.pop("step", None)
    distribution = _range(name, table, whole=isinstance(limits, IntDistribution))
    for key, bound, fits in (("low", limits.low, distribution.low >= limits.low), ("high", limits.high, distribution.high <= limits.high)):  # type: ignore[attr-defined]
        if not fits:
            raise SearchSpaceError(f"{name}.{key}: got {table[key]!r}; expected at {'least' if key == 'low' else 'most'} {bound}")
    return fixed(distribution.low) if is_fixed(distribution) else distribution  # type: ignore[attr-defined]


def _declared_table(name: str, raw: Mapping[str, object]) -> BaseDistribution:
    _refuse_unknown(name, raw, (*RANGE_KEYS, "choices", "value"))
    for key in ("choices", "value"):
        if key in raw:
            if len(raw) > 1:
                raise SearchSpaceError(f"{name}: got {key} beside {_listed(set(raw) - {key})}; expected either a range, choices or a value")
            if (key == "choices") != isinstance(raw[key], list | tuple) or isinstance(raw[key], Mapping):
                raise SearchSpaceError(f"{name}.{key}: got {raw[key]!r}; expected {'a list' if key == 'choices' else 'a bare value'}")
            return declared(f"{name}.{key}", raw[key])
    whole = not any(isinstance(raw.get(key), float) for key in ("low", "high", "step"))
    distribution = _range(name, {"log": False, **raw}, whole=whole)
    return fixed(distribution.low) if is_fixed(distribution) else distribution  # type: ignore[attr-defined]


def _range(name: str, table: Mapping[str, object], *, whole: bool) -> BaseDistribution:
    for key in ("low", "high"):
        if key not in table:
            raise SearchSpaceError(f"{name}: {key} is missing; expected {{low = ..., high = ...}}")
    low, high = (_number(f"{name}.{key}", table[key], whole=whole) for key in ("low", "high"))
    log = table["log"]
    if not isinstance(log, bool):
        raise SearchSpaceError(f"{name}.log: got {log!r}; expected true or false")
    if low > high:
        raise SearchSpaceError(f"{name}: low {low} is above high {high}; expected low <= high")
    if log and low <= 0:
        raise SearchSpaceError(f"{name}.low: got {low}; expected above 0 on a log scale (log = false allows it)")
    step = table.get("step")
    if step is not None:
        step = _number(f"{name}.step", step, whole=whole)
        if step <= 0:
            raise SearchSpaceError(f"{name}.step: got {step}; expected above 0")
        if log and not (whole and step == 1):
            raise SearchSpaceError(f"{name}: got both a step and log = true; expected one of them")
        if not _is_whole((high - low) / step):
            raise SearchSpaceError(f"{name}.high: got {high}; expected low {low} plus a whole number of steps of {step}")
    if whole:
        return IntDistribution(int(low), int(high), log=log, step=1 if step is None else int(step))
    return FloatDistribution(low, high, log=log, step=step)


def _choices(name: str, choices: list[Value]) -> CategoricalDistribution:
    if not choices:
        raise SearchSpaceError(f"{name}: got an empty list; expected at least one choice")
    for position, choice in enumerate(choices):
        # Optuna finds a choice by ==, which takes True for 1 and 1 for 1.0.
        if choice in choices[:position]:
            raise SearchSpaceError(f"{name}: {choice!r} equals an earlier choice; expected each choice once")
    return CategoricalDistribution(choices)


def _value(name: str, value: object) -> Value:
    if isinstance(value, float):
        return _number(name, value, whole=False)
    if isinstance(value, bool | int | str):
        return value
    raise SearchSpaceError(f"{name}: got {value!r}; expected a number, a string, true or false")


def _number(name: str, value: object, *, whole: bool) -> float | int:
    if isinstance(value, int if whole else int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value if whole else float(value)
    raise SearchSpaceError(f"{name}: got {value!r}; expected {'an integer' if whole else 'a number'}")


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-8


def _kind(distribution: BaseDistribution) -> str:
    return "an integer" if isinstance(distribution, IntDistribution) else "a number"


def _no_choice(name: str, value: object, distribution: CategoricalDistribution) -> str:
    words = [choice for choice in distribution.choices if isinstance(choice, str)]
    if isinstance(value, str) and len(words) > 1:
        return f"{name}: unknown choice {value!r}; {nearest(value, words)}"
    return f"{name}: got {value!r}; expected {'one of ' if len(distribution.choices) > 1 else ''}{_listed(distribution.choices)}"


def _listed(words: Iterable[object]) -> str:
    return ", ".join(repr(word) for word in words)


def _refuse_unknown(name: str, raw: Mapping[str, object], known: Iterable[str]) -> None:
    for key in raw:
        if key not in known:
            raise SearchSpaceError(f"{name}.{key}: unknown key; {nearest(str(key), known)}")
