"""What one trial asks for, perhaps by its values, what a cluster offers, and how many trials fit.

Plain arithmetic on numbers of CPUs, GPUs and bytes; knows nothing of what runs in them, and does not talk to Ray (targets.py does).
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.errors import ClusterError


class AtLeast(BaseModel):
    """`{at_least = number}`: a value that is no smaller."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    at_least: float = Field(description="The least value that is meant.")


class Larger(BaseModel):
    """`[[resources.larger]]`: what trials with certain values are given instead."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    when: dict[str, bool | int | float | str | list[bool | int | float | str] | AtLeast] = Field(
        min_length=1, description="Which trials: for each of these hyperparameters a value, a list of values, or {at_least = number}. All of them must hold."
    )
    cpus: float | None = Field(None, description="CPUs per trial; none: as all others.")
    gpus: float | None = Field(None, description="GPUs per trial, or a fraction of one; none: as all others.")
    memory_gb: float | None = Field(None, gt=0, description="Memory (GiB) per trial; none: as all others.")

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Say whether a trial with these values is meant; a value that it does not have is none of the wanted ones."""
        return all(name in values and _is_meant(values[name], wanted) for name, wanted in self.when.items())


class ResourcesSection(BaseModel):
    """`[resources]`: what one trial is given."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpus: float | Literal["auto"] = Field(
        "auto", description="CPUs per trial: its threads. auto: 1, or an equal share of the CPUs per GPU where trials have GPUs."
    )
    gpus: float | Literal["auto"] = Field("auto", description="GPUs per trial, or a fraction of one. auto: 1 where the cluster has any, else 0.")
    memory_gb: float | None = Field(None, gt=0, description="Memory (GiB) that a trial may use before it is ended as failed; none: no limit.")
    custom: dict[str, float] = Field(default_factory=dict, description="Ray's custom resources per trial, such as {fast_disk = 1}.")
    labels: dict[str, str] = Field(
        default_factory=dict,
        description='Labels of the nodes that trials run on, such as {"ray.io/accelerator-type" = "H100"}; "!T4" is any other, "in(A100,H100)" any of them.',
    )

    larger: list[Larger] = Field(
        default_factory=list,
        description="Tables [[resources.larger]]: what trials with certain values are given instead; of several that apply, the last counts.",
    )

    def check(self, names: Collection[str]) -> None:
        """Refuse a rule over what trials do not have.

        Args:
            names: of the values that a trial can have.

        Raises:
            ClusterError: a rule names another one.
        """
        for name in (name for rule in self.larger for name in rule.when if name not in names):
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(list(names)[:8])}{', ...' if len(names) > 8 else ''}"
            raise ClusterError(f"resources.larger.when: {name}: unknown; {hint}")

    def allot(self, capacity: "Capacity") -> "Allotment":
        """Return what each trial is given on this cluster, by its values.

        Raises:
            ClusterError: a number is not possible.
        """
        usual, rules = self.resolve(capacity), []
        for rule in self.larger:
            given = {name: value for name in ("cpus", "gpus") if (value := getattr(rule, name)) is not None}
            given |= {} if rule.memory_gb is None else {"memory_bytes": int(rule.memory_gb * 2**30)}
            rules.append((rule, replace(usual, **given)))
        return Allotment(usual, tuple(rules))

    def resolve(self, capacity: "Capacity") -> "Resources":
        """Return what a trial is usually given on this cluster, with `auto` replaced by numbers.

        Raises:
            ClusterError: a number is not possible.
        """
        capacity = capacity.labelled(tuple(self.labels.items()))
        gpus = (1.0 if capacity.gpus >= 1 else 0.0) if self.gpus == "auto" else float(self.gpus)
        if self.cpus != "auto":
            cpus = float(self.cpus)
        elif gpus > 0:
            share = min((node.cpus / node.gpus for node in capacity.nodes if node.gpus), default=1.0)
            cpus = max(1.0, float(math.floor(share * gpus)))
        else:
            cpus = 1.0
        memory = None if self.memory_gb is None else int(self.memory_gb * 2**30)
        return Resources(cpus=cpus, gpus=gpus, memory_bytes=memory, custom=tuple(sorted(self.custom.items())), labels=tuple(sorted(self.labels.items())))


@dataclass(frozen=True)
class Resources:
    """What one trial holds while it runs.

    Attributes:
        cpus: CPUs, a whole number from 1 on: a trial uses as many threads.
        gpus: GPUs: a whole number, or a fraction of one card.
        memory_bytes: the most it may use, or None.
        custom: Ray's custom resources as (name, amount).
        labels: what the labels of its node must be, as (name, value); `!value`, `in(a,b)` and `!in(a,b)` as in Ray.

    Raises:
        ClusterError: CPUs that are no whole number from 1 on, GPUs beyond one that are none, an amount of nothing, or a label in no known form.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int | None = None
    custom: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.cpus != int(self.cpus):
            raise ClusterError(f"resources.cpus: got {self.cpus:g}; expected a whole number from 1 on, the threads of one trial")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ClusterError(f"resources.gpus: got {self.gpus:g}; expected a whole number, or a fraction between 0 and 1")
        for name, amount in self.custom:
            if amount <= 0:
                raise ClusterError(f"resources.custom.{name}: got {amount:g}; expected more than 0")
        for name, wanted in self.labels:
            if not _WANTED.fullmatch(wanted):
                raise ClusterError(f"resources.labels.{name}: got {wanted!r}; expected a value, '!value', 'in(a,b)' or '!in(a,b)'")

    @property
    def is_share(self) -> bool:
        """Whether it is a part of a GPU."""
        return 0 < self.gpus < 1

    def bundle(self) -> dict[str, float]:
        """Return the request in Ray's words."""
        bundle = {"CPU": self.cpus, **dict(self.custom)}
        if self.gpus:
            bundle["GPU"] = self.gpus
        if self.memory_bytes:
            bundle["memory"] = float(self.memory_bytes)
        return bundle

    def __str__(self) -> str:
        words = [f"{self.cpus:g} CPU"] + ([f"{self.gpus:g} GPU"] if self.gpus else [])
        words += [f"{self.memory_bytes / 2**30:.3g} GiB"] if self.memory_bytes else []
        words += [f"{amount:g} {name}" for name, amount in self.custom]
        return ", ".join(words + [f"{name} {wanted}" for name, wanted in self.labels])


@dataclass(frozen=True)
class Allotment:
    """What each trial is given, by its values.

    Attributes:
        usual: what all get that no rule is for.
        larger: rules, and what they give; of several that apply, the last counts.
    """

    usual: Resources
    larger: tuple[tuple[Larger, Resources], ...] = ()

    def of(self, values: Mapping[str, Any], *, larger_share: bool = False) -> Resources:
        """Return what a trial is given.

        Args:
            values: the trial's.
            larger_share: its share of a GPU was too small: it gets twice as much, at most a whole one.
        """
        given = next((resources for rule, resources in reversed(self.larger) if rule.applies(values)), self.usual)
        return replace(given, gpus=min(1.0, 2 * given.gpus)) if larger_share and given.is_share else given

    @property
    def every(self) -> tuple[Resources, ...]:
        """All that trials may be given."""
        return (self.usual, *(resources for _, resources in self.larger))

    def fits(self, capacity: "Capacity") -> int:
        """Return how many trials of the usual kind run at a time.

        Raises:
            ClusterError: not even one does, or not one of the larger ones.
        """
        slots = [capacity.fits(resources) for resources in self.every]
        return slots[0]

    def __str__(self) -> str:
        return " or ".join(dict.fromkeys(map(str, self.every)))


@dataclass(frozen=True)
class Node:
    """One machine: its name and what it has."""

    name: str
    cpus: float
    gpus: float
    memory_bytes: float = math.inf
    custom: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def is_labelled(self, labels: tuple[tuple[str, str], ...]) -> bool:
        """Say whether this node's labels are the wanted ones."""
        return all(_is_wanted(dict(self.labels).get(name), wanted) for name, wanted in labels)

    def fits(self, resources: Resources) -> int:
        """Return how many trials run here at a time. Fractions of a GPU do not cross cards."""
        if not self.is_labelled(resources.labels):
            return 0
        limits = [self.cpus / resources.cpus]
        if resources.gpus >= 1:
            limits.append(self.gpus / resources.gpus)
        elif resources.gpus > 0:
            limits.append(math.floor(self.gpus) * math.floor(1 / resources.gpus + 1e-9))
        if resources.memory_bytes:
            limits.append(self.memory_bytes / resources.memory_bytes)
        limits += [dict(self.custom).get(name, 0.0) / amount for name, amount in resources.custom]
        return math.floor(min(limits) + 1e-9)

    def __str__(self) -> str:
        words = [f"{self.cpus:g} CPU", f"{self.gpus:g} GPU"]
        words += [f"{self.memory_bytes / 2**30:.3g} GiB"] if math.isfinite(self.memory_bytes) else []
        # Ray gives each node an id as a label, which nobody asks for.
        words += [f"{name} {value}" for name, value in self.labels if name != "ray.io/node-id"]
        return f"{self.name}: {', '.join(words)}"


@dataclass(frozen=True)
class Capacity:
    """What a cluster offers, node by node."""

    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> float:
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        return sum(node.gpus for node in self.nodes)

    def labelled(self, labels: tuple[tuple[str, str], ...]) -> "Capacity":
        """Return the part of the cluster whose nodes have these labels."""
        return Capacity(tuple(node for node in self.nodes if node.is_labelled(labels)))

    def slots(self, resources: Resources) -> int:
        """Return how many trials run at a time; 0: not even one."""
        return sum(node.fits(resources) for node in self.nodes)

    def fits(self, resources: Resources) -> int:
        """Return how many trials run at a time.

        Raises:
            ClusterError: not even one does. Ray itself would wait for ever.
        """
        slots = self.slots(resources)
        if slots == 0:
            has = "; ".join(map(str, self.nodes)) or "no nodes"
            raise ClusterError(f"resources: one trial asks for {resources}, and no node has that much ({has}); ask for less in [resources]")
        return slots


# Ray's label selectors: a value, or some, each of letters, digits, '-', '_' and '.', perhaps negated.
_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_WANTED = re.compile(rf"!?(?:{_VALUE}|in\({_VALUE}(?:, ?{_VALUE})*\))")


def _is_meant(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, AtLeast):
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= wanted.at_least
    choices = wanted if isinstance(wanted, list) else [wanted]
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices)


def _is_wanted(value: str | None, wanted: str) -> bool:
    negated, wanted = wanted.startswith("!"), wanted.removeprefix("!")
    choices = re.split(", ?", wanted[3:-1]) if wanted.startswith("in(") else [wanted]
    return (value in choices) != negated
