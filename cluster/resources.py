"""What one trial asks for, what a cluster offers, and how many trials fit.

Plain arithmetic on numbers of CPUs, GPUs and bytes; knows nothing of what runs in them, and does not talk to Ray (targets.py does).
"""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.errors import ClusterError


class ResourcesSection(BaseModel):
    """`[resources]`: what one trial is given."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpus: float | Literal["auto"] = Field(
        "auto", description="CPUs per trial: its threads. auto: 1, or an equal share of the CPUs per GPU where trials have GPUs."
    )
    gpus: float | Literal["auto"] = Field("auto", description="GPUs per trial, or a fraction of one. auto: 1 where the cluster has any, else 0.")
    memory_gb: float | None = Field(None, gt=0, description="Memory (GiB) that a trial may use before it is ended as failed; none: no limit.")
    custom: dict[str, float] = Field(default_factory=dict, description="Ray's custom resources per trial, such as {fast_disk = 1}.")

    def resolve(self, capacity: "Capacity") -> "Resources":
        """Return what a trial is given on this cluster, with `auto` replaced by numbers.

        Raises:
            ClusterError: a number is not possible.
        """
        gpus = (1.0 if capacity.gpus >= 1 else 0.0) if self.gpus == "auto" else float(self.gpus)
        if self.cpus != "auto":
            cpus = float(self.cpus)
        elif gpus > 0:
            share = min((node.cpus / node.gpus for node in capacity.nodes if node.gpus), default=1.0)
            cpus = max(1.0, float(math.floor(share * gpus)))
        else:
            cpus = 1.0
        memory = None if self.memory_gb is None else int(self.memory_gb * 2**30)
        return Resources(cpus=cpus, gpus=gpus, memory_bytes=memory, custom=tuple(sorted(self.custom.items())))


@dataclass(frozen=True)
class Resources:
    """What one trial holds while it runs.

    Attributes:
        cpus: CPUs, a whole number from 1 on: a trial uses as many threads.
        gpus: GPUs: a whole number, or a fraction of one card.
        memory_bytes: the most it may use, or None.
        custom: Ray's custom resources as (name, amount).
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int | None = None
    custom: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.cpus != int(self.cpus):
            raise ClusterError(f"resources.cpus: got {self.cpus:g}; expected a whole number from 1 on, the threads of one trial")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ClusterError(f"resources.gpus: got {self.gpus:g}; expected a whole number, or a fraction between 0 and 1")
        for name, amount in self.custom:
            if amount <= 0:
                raise ClusterError(f"resources.custom.{name}: got {amount:g}; expected more than 0")

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
        return ", ".join(words + [f"{amount:g} {name}" for name, amount in self.custom])


@dataclass(frozen=True)
class Node:
    """One machine: its name and what it has."""

    name: str
    cpus: float
    gpus: float
    memory_bytes: float = math.inf
    custom: tuple[tuple[str, float], ...] = ()

    def fits(self, resources: Resources) -> int:
        """Return how many trials run here at a time. Fractions of a GPU do not cross cards."""
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
        return f"{self.name}: {self.cpus:g} CPU, {self.gpus:g} GPU" + (f", {self.memory_bytes / 2**30:.3g} GiB" if math.isfinite(self.memory_bytes) else "")


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

    def fits(self, resources: Resources) -> int:
        """Return how many trials run at a time.

        Raises:
            ClusterError: not even one does. Ray itself would wait for ever.
        """
        slots = sum(node.fits(resources) for node in self.nodes)
        if slots == 0:
            has = "; ".join(map(str, self.nodes)) or "no nodes"
            raise ClusterError(f"resources: one trial asks for {resources}, and no node has that much ({has}); ask for less in [resources]")
        return slots
