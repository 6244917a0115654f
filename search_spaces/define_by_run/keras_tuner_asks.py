"""KerasTuner's dialect: its own `HyperParameters`, given only values, and what it says afterwards that was asked for.

The real class, not a copy: whatever a `build(hp)` may do with it, it may do here. KerasTuner loads TensorFlow, so this runs in a trial's process.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import ranges
from search_spaces.define_by_run.asked import Asked, choices, plain
from search_spaces.errors import SearchSpaceError
from search_spaces.parameter import Condition
from search_spaces.ranges import Value


def hyperparameters(values: Mapping[str, Value]) -> Any:
    """Return a fresh `keras_tuner.HyperParameters` that holds these values and nothing else.

    Never one that has been traced: what is registered in it would be taken for active.

    Raises:
        SearchSpaceError: keras-tuner is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of its own old habits when it is imported
            import keras_tuner
    except ModuleNotFoundError as error:
        raise SearchSpaceError(f"build(hp): {error.name} is not installed; expected `pip install 'keras-sweep-tuner[keras-tuner]'`") from error
    found = keras_tuner.HyperParameters()
    found.values = dict(values)
    return found


def asked_of(hp: Any) -> tuple[list[Asked], list[Asked]]:
    """Return what was asked of a `HyperParameters`: what is active and what lies in scopes that do not hold, each in the order of registration.

    Args:
        hp: one that `hyperparameters` made, after a builder has used it.

    Raises:
        SearchSpaceError: two active registrations share one name and differ; KerasTuner would ignore the second in silence.
    """
    active: dict[str, Asked] = {}
    dormant: list[Asked] = []
    ranges_so_far: dict[str, BaseDistribution] = {}
    for position, registered in enumerate(hp.space):
        asked = _asked(registered, ranges_so_far, position)
        if asked is None:
            continue
        ranges_so_far.setdefault(asked.name, asked.distribution)
        if not hp.is_active(registered):
            dormant.append(asked)
        elif asked.name not in active:
            active[asked.name] = asked
        elif active[asked.name].distribution != asked.distribution:
            raise SearchSpaceError(f"{asked.name}: asked for twice in one run, with different ranges; expected a name for each")
    return list(active.values()), dormant


def _asked(registered: Any, earlier: Mapping[str, BaseDistribution], position: int) -> Asked | None:
    """Return a registration; None where no value of its parents makes it active."""
    name = registered.name
    distribution, note = _distribution(registered)
    conditions = []
    for stated in registered.conditions:
        values = _possible(stated.values, earlier[stated.name]) if stated.name in earlier else ()
        if not values:
            return None
        conditions.append(Condition(stated.name, values))
    default = plain(name, registered.default)
    return Asked(name, distribution, ranges.closest(default, distribution), tuple(conditions), note, position)


def _distribution(registered: Any) -> tuple[BaseDistribution, str]:
    kind, name = type(registered).__name__, registered.name
    if kind == "Fixed":
        return ranges.fixed(plain(name, registered.value)), ""
    if kind == "Boolean":
        return CategoricalDistribution((False, True)), ""
    if kind == "Choice":
        return choices(name, registered.values), ""
    if kind not in ("Int", "Float"):
        raise SearchSpaceError(f"{name}: unknown kind {kind}; expected Int, Float, Choice, Boolean or Fixed")
    low, high, step, whole = registered.min_value, registered.max_value, registered.step, kind == "Int"
    if low == high:
        return ranges.fixed(low), ""
    if registered.sampling != "linear" and step is not None:
        # It multiplies: no range of Optuna's has such a step.
        values = [int(value) if whole else float(value) for value in registered.values]
        return choices(name, sorted(dict.fromkeys(values))), ""
    note = ""
    if registered.sampling == "reverse_log":
        note = f"{name}: sampled evenly, where KerasTuner would sample its reverse_log more densely near {high}"
    log = registered.sampling == "log"
    if whole:
        last = low + (high - low) // step * step if step else high
        return (ranges.fixed(low) if last == low else IntDistribution(low, last, log=log, step=step or 1)), note
    if step is None:
        return FloatDistribution(low, high, log=log), note
    # As many as KerasTuner counts: with floats, the last step may be lost to rounding.
    number = int((high - low) // step)
    last = round(low + number * step, 12)
    if abs(low + (number + 1) * step - high) < 1e-9 * max(1.0, abs(high)):
        note = f"{name}: ends at {last:g} in steps of {step:g}, as in KerasTuner, which loses {high:g} to rounding"
    return (ranges.fixed(low) if number == 0 else FloatDistribution(low, last, step=step)), note


def _possible(stated: Sequence[Any], distribution: BaseDistribution) -> tuple[Value, ...]:
    """Return those values of a parent that a condition allows, as the parent itself has them: KerasTuner takes True for 1."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(choice for choice in distribution.choices if choice in stated)  # type: ignore[misc]
    return tuple(value for value in stated if ranges.is_within(ranges.fixed(value), distribution))
