"""When a hyperparameter is active: conditions inferred from runs in which a builder asked for it and runs in which it did not.

Nothing is guessed from coincidence. A condition on another hyperparameter is made only where two runs that differ in that one value alone show that it
decides: such a pair is sought by walking from a run of one kind to a run of the other, value by value. Must not know how runs come about, nor how
coverage is planned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search_spaces import ranges
from search_spaces.define_by_run.asked import Asked, Run
from search_spaces.parameter import Condition
from search_spaces.ranges import Value

# A whole range of at most so many values is walked value by value, and listed where only its lower part counts.
LISTED = 64
# A threshold on a float is found to this share of its range.
FINENESS = 2**-20
# So many other hyperparameters can decide about one; a builder that is less plain than that decides for itself.
MOST_CAUSES = 6

# One kind of a hyperparameter: its name, its range and what the builder stated; the same name may have several under different conditions.
Kind = tuple[str, BaseDistribution, tuple[Condition, ...]]


def kind_of(asked: Asked) -> Kind:
    """Return what tells a hyperparameter apart from others of its name."""
    return (asked.name, asked.distribution, asked.when)


@dataclass
class Causes:
    """What is known of when one hyperparameter is active.

    Attributes:
        kind: which one.
        shown: other hyperparameters that decide, each with a pair of values that shows it: (value with it, value without it).
        settled: False where these cannot tell all runs apart: the builder decides in a way that no condition describes.
    """

    kind: Kind
    shown: dict[str, list[tuple[Value, Value]]] = field(default_factory=dict)
    settled: bool = True

    def conditions(self, observed: "Observed") -> tuple[Condition, ...]:
        """Return conditions that every run with it fulfils; where `settled`, no run without it fulfils all of them.

        Args:
            observed: the runs.
        """
        stated = {condition.parameter for condition in self.kind[2]}
        found = [*self.kind[2]]
        for name in sorted(self.shown, key=observed.position):
            condition = None if name in stated else self._condition(name, observed)
            if condition is not None:
                found.append(condition)
        return tuple(found)

    def _condition(self, name: str, observed: "Observed") -> Condition | None:
        having = observed.having(self.kind)
        if not all(name in run.values for run in having):
            return None  # it is active without it, too
        values = {run.values[name] for run in having}
        distribution = observed.distribution(name)
        if isinstance(distribution, CategoricalDistribution):
            held = tuple(choice for choice in distribution.choices if any(ranges.is_same(choice, value) for value in values))
            return Condition(name, held) if len(held) < len(distribution.choices) else None  # type: ignore[arg-type]
        least, most = min(values), max(values)  # type: ignore[type-var]
        below = any(without < with_it for with_it, without in self.shown[name])  # type: ignore[operator]
        above = any(without > with_it for with_it, without in self.shown[name])  # type: ignore[operator]
        if above:
            if (isinstance(distribution, FloatDistribution) and distribution.step is None) or (ranges.num_values(distribution) or LISTED + 1) > LISTED:
                return None
            listed = [value for value in ranges.values(name, distribution) if (not below or value >= least) and value <= most]  # type: ignore[operator]
            return Condition(name, tuple(listed))
        return Condition(name, at_least=least)  # type: ignore[arg-type]


class Observed:
    """The runs so far, and what they say of each hyperparameter."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._kinds: dict[Kind, Asked] = {}
        self._order: list[str] = []
        self._held: dict[Kind, list[int]] = {}

    def add(self, run: Run) -> list[Asked]:
        """Take a run, and return what it shows for the first time."""
        number = len(self.runs)
        self.runs.append(run)
        new = []
        # A new name stands right before the next one of the run that is known.
        place = len(self._order)
        named = dict.fromkeys(asked.name for asked in sorted((*run.asked, *run.dormant), key=lambda asked: asked.position))
        for name in reversed(named):
            if name in self._order:
                place = self._order.index(name)
            else:
                self._order.insert(place, name)
        for asked in (*run.asked, *run.dormant):
            if kind_of(asked) not in self._kinds:
                self._kinds[kind_of(asked)] = asked
                self._held[kind_of(asked)] = []
                new.append(asked)
        for asked in run.asked:
            self._held[kind_of(asked)].append(number)
        return new

    @property
    def kinds(self) -> dict[Kind, Asked]:
        """All that was named, in the order in which builders ask."""
        return dict(sorted(self._kinds.items(), key=lambda pair: self.position(pair[0][0])))

    def position(self, name: str) -> int:
        """Return where in the order a name stands."""
        return self._order.index(name)

    def distribution(self, name: str) -> BaseDistribution:
        """Return the range of a name; of several, the first."""
        return next(kind[1] for kind in self._kinds if kind[0] == name)

    def is_plain(self, name: str) -> bool:
        """Say whether a name has one range throughout."""
        return sum(kind[0] == name for kind in self._kinds) == 1

    def having(self, kind: Kind) -> list[Run]:
        """Return the runs in which it was active."""
        return [self.runs[number] for number in self._held[kind]]

    def lacking(self, kind: Kind) -> list[Run]:
        """Return the runs that came to their end without it."""
        held = set(self._held[kind])
        return [run for number, run in enumerate(self.runs) if number not in held and not run.failed]

    def alike(self, values: Mapping[str, Value]) -> Run | None:
        """Return a run that these values would repeat."""
        for run in self.runs:
            if all(ranges.is_same(values.get(asked.name, asked.default), run.values[asked.name]) for asked in run.asked):
                return run
        return None


def explain(causes: Causes, observed: Observed, attempt: Callable[[dict[str, Value]], Run | None], structural: Sequence[str]) -> None:
    """Find the hyperparameters that decide about one, by as few runs as it takes.

    Args:
        causes: of the hyperparameter; extended in place.
        observed: the runs; `attempt` adds to them.
        attempt: runs the builder on values, or returns the run that did; None where there is no budget for another.
        structural: names that are known to decide about others, tried first.
    """
    causes.settled = True
    while True:
        conditions = causes.conditions(observed)
        # The nearest: few values differ, and few runs tell which of them decides.
        lacking = [run for run in observed.lacking(causes.kind) if all(_holds(condition, run) for condition in conditions)]
        having = observed.having(causes.kind)
        if not lacking or not having:
            return
        with_it, without = min(((one, other) for one in having for other in lacking[:8]), key=lambda pair: len(_differing(pair[0], pair[1], observed)))
        pair = _flip(causes.kind, with_it, without, observed, attempt, structural)
        if pair is None:
            causes.settled = False
            return
        name, (held, gone) = pair[0], pair[1]
        before = dict.fromkeys(causes.shown.get(name, []))
        if (held, gone) in before or (name not in causes.shown and len(causes.shown) >= MOST_CAUSES) or not observed.is_plain(name):
            causes.settled = False
            return
        causes.shown.setdefault(name, []).append((held, gone))


def _holds(condition: Condition, run: Run) -> bool:
    return condition.parameter in run.values and condition.holds(run.values[condition.parameter])


def _differing(with_it: Run, without: Run, observed: Observed) -> list[str]:
    names = [name for name in without.values if name in with_it.values and not ranges.is_same(with_it.values[name], without.values[name])]
    return sorted(names, key=observed.position)


def _flip(
    kind: Kind,
    with_it: Run,
    without: Run,
    observed: Observed,
    attempt: Callable[[dict[str, Value]], Run | None],
    structural: Sequence[str],
) -> tuple[str, tuple[Value, Value]] | None:
    """Return one hyperparameter whose value alone decides between two runs, and the two values; None where the runs do not show one."""
    differing = _differing(with_it, without, observed)
    start = {**without.values, **with_it.values}

    def after(changed: Sequence[str]) -> bool | None:
        run = attempt({**start, **{name: without.values[name] for name in changed}})
        if run is None or run.failed:
            return None
        return any(kind_of(asked) == kind for asked in run.asked)

    for name in structural:
        if name in differing and after([name]) is False:
            return _edge(kind, {**start}, name, without.values[name], observed, attempt)
    low, high = 0, len(differing)  # after `low` changes it is there, after `high` it is not
    if not high:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        found = after(differing[:middle])
        if found is None:
            return None
        low, high = (middle, high) if found else (low, middle)
    name = differing[high - 1]
    base = {**start, **{changed: without.values[changed] for changed in differing[:low]}}
    return _edge(kind, base, name, without.values[name], observed, attempt)


def _edge(
    kind: Kind, base: dict[str, Value], name: str, gone: Value, observed: Observed, attempt: Callable[[dict[str, Value]], Run | None]
) -> tuple[str, tuple[Value, Value]] | None:
    """Move the two values of a decisive hyperparameter towards each other until they are neighbours; try every choice of a list."""
    distribution = observed.distribution(name)
    held: Any = base[name]

    def there(value: Value) -> bool | None:
        run = attempt({**base, name: value})
        return None if run is None or run.failed else any(kind_of(asked) == kind for asked in run.asked)

    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            there(choice)  # type: ignore[arg-type]
        return name, (held, gone)
    without: Any = gone
    least = (distribution.step or (distribution.high - distribution.low) * FINENESS) * 1.001  # type: ignore[attr-defined]
    while abs(held - without) > least:
        between = (held + without) / 2
        value = ranges.closest(between if isinstance(distribution, FloatDistribution) else round(between), distribution)
        if ranges.is_same(value, held) or ranges.is_same(value, without):
            break
        found = there(value)
        if found is None:
            return None
        held, without = (value, without) if found else (held, value)
    return name, (held, without)
