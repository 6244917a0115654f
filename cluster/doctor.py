"""Looks at every node of a cluster before anything runs there, and says what would go wrong.

Owns what is asked of the nodes (probe.py answers) and what is a problem. Knows nothing of what will run: the packages that must be alike, and the code that
counts the GPUs to compute on, are its caller's.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import probe, quota
from cluster.errors import one_line
from cluster.targets import on_every_node

GIB = 2**30
LEAST_MEMORY_BYTES = 1 * GIB
LEAST_DISK_BYTES = 2 * GIB
MOST_SKEW_S = 2.0
ANSWER_S = 180.0


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        node: which node.
        text: what, and what to do.
        fatal: a sweep would fail.
    """

    node: str
    text: str
    fatal: bool


@dataclass(frozen=True)
class Examination:
    """What the nodes said, and what is wrong.

    Attributes:
        nodes: one mapping each: what `probe.examine` returns, with `node`, `ray_cpus`, `ray_gpus` and `skew_s`.
        findings: in the order of the nodes.
    """

    nodes: tuple[Mapping[str, Any], ...]
    findings: tuple[Finding, ...]

    @property
    def is_fatal(self) -> bool:
        return any(finding.fatal for finding in self.findings)


def examine(expected: Mapping[str, str], *, exact: Sequence[str] = (), folder: Path | None = None, counting: str | None = None) -> Examination:
    """Ask every node of the cluster that is connected.

    Args:
        expected: package -> version that a node must have; `python` is Python itself. 1.2.3 and 1.2.4 are taken for alike.
        exact: those of them that must be the very same.
        folder: where results are written: every node must be able to.
        counting: code that prints how many GPUs can be computed on; run on nodes where Ray counts some.

    Returns:
        What was found. A node that does not answer is a finding.
    """
    import ray
    import ray.cloudpickle

    sign = None if folder is None else f".tuner-{secrets.token_hex(8)}"
    made = folder is not None and not folder.exists()
    # By value: the node may not have our packages, which is then what it says.
    for module in (probe, quota):
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        if folder is not None and sign is not None:
            with suppress(OSError):  # the driver's own node then says why
                folder.mkdir(parents=True, exist_ok=True)
                (folder / sign).touch()
        packages = tuple(name for name in expected if name != "python")
        with_gpus = any(node["Resources"].get("GPU") for node in ray.nodes() if node["Alive"])
        answers = on_every_node(probe.examine, packages, None if folder is None else str(folder), sign, counting if with_gpus else None, timeout_s=ANSWER_S)
        skews = _skews()
    finally:
        for module in (probe, quota):
            ray.cloudpickle.unregister_pickle_by_value(module)
        if folder is not None and sign is not None:
            with suppress(OSError):
                (folder / sign).unlink()
                if made:
                    folder.rmdir()
    nodes: list[Mapping[str, Any]] = []
    findings: list[Finding] = []
    for node in ray.nodes():
        if node["NodeID"] not in answers:
            continue
        name = f"{node['NodeManagerHostname']}/{node['NodeID'][:6]}"
        answer = answers[node["NodeID"]]
        if isinstance(answer, Exception):
            findings.append(Finding(name, f"does not answer ({one_line(answer, 120)})", True))
            continue
        has = node["Resources"]
        facts = {"node": name, "ray_cpus": has.get("CPU", 0.0), "ray_gpus": has.get("GPU", 0.0), "skew_s": skews.get(node["NodeID"]), **answer}
        nodes.append(facts)
        findings += judge(facts, expected, exact=exact)
    return Examination(tuple(nodes), tuple(findings))


def judge(facts: Mapping[str, Any], expected: Mapping[str, str], *, exact: Sequence[str] = ()) -> list[Finding]:
    """Return what is wrong with a node that said these facts; see `examine`.

    Args:
        facts: what the node said of itself.
        expected: package -> version of the driver's.
        exact: packages whose version must be the driver's own; of others, 1.2.3 and 1.2.4 are alike.
    """
    found: list[tuple[str, bool]] = []
    for name, wanted in expected.items():
        version = facts["versions"].get(name)
        parts = None if name in exact else 2
        if version is None:
            found.append((f"{name} is not installed; expected {wanted} in {facts['executable']}", True))
        elif version.split(".")[:parts] != wanted.split(".")[:parts]:
            found.append((f"{name} is {version}; expected {wanted}", True))
    if facts["gpus"] is not None and facts["ray_gpus"] and facts["gpus"] != facts["ray_gpus"]:
        found.append((f"Ray counts {facts['ray_gpus']:g} GPUs, and {facts['gpus']} can be computed on; look at its drivers and CUDA packages", True))
    folder = facts["folder"]
    if folder is not None and not folder["writable"]:
        found.append((f"the sweep's folder cannot be written to ({folder['why']})", True))
    elif folder is not None and not folder["shared"]:
        found.append(("the sweep's folder is not the driver's: a trial that is interrupted starts anew elsewhere; use a folder that all nodes share", False))
    if facts["memory_bytes"] is not None and facts["memory_bytes"] < LEAST_MEMORY_BYTES:
        found.append((f"{facts['memory_bytes'] / GIB:.1f} GiB of memory are free; expected {LEAST_MEMORY_BYTES / GIB:g} or more", False))
    if facts["disk_bytes"] < LEAST_DISK_BYTES:
        found.append((f"{facts['disk_bytes'] / GIB:.1f} GiB are free for temporary files; expected {LEAST_DISK_BYTES / GIB:g} or more", False))
    if facts["cpus"] and facts["ray_cpus"] > facts["cpus"]:
        found.append((f"Ray counts {facts['ray_cpus']:g} CPUs, and its processes may use {facts['cpus']}: trials will be slower than they could be", False))
    if facts["skew_s"] is not None and facts["skew_s"] > MOST_SKEW_S:
        found.append((f"its clock is {facts['skew_s']:.1f} s off the driver's", False))
    return [Finding(facts["node"], text, fatal) for text, fatal in found]


def _skews() -> dict[str, float]:
    """Return how far each node's clock is from the driver's at least, in seconds. Workers that already run answer within milliseconds."""
    before = time.time()
    answers = on_every_node(probe.clock)
    after = time.time()
    return {node: max(0.0, before - moment, moment - after) for node, moment in answers.items() if isinstance(moment, float)}
