"""Cluster files for `ray up`: virtual machines of a cloud that are at least as large as was asked for.

Owns the tables of machine types, and what such a file must hold to be safe: a token that travels as a file, a dashboard on loopback, bounded groups.
Knows nothing of what runs there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cluster.errors import ClusterError
from cluster.manifests import Launch


@dataclass(frozen=True)
class Machine:
    """A type of virtual machine.

    Attributes:
        name: the cloud's.
        cpus, memory_gib, gpus: what it has.
    """

    name: str
    cpus: int
    memory_gib: int
    gpus: int = 0

    def __str__(self) -> str:
        return f"{self.name}: {self.cpus} CPUs, {self.memory_gib} GiB" + (f", {self.gpus} GPU{'s' * (self.gpus > 1)}" if self.gpus else "")


# Sizes as the providers list them for these families.
_AWS = {2: "large", 4: "xlarge", 8: "2xlarge", 16: "4xlarge", 32: "8xlarge", 48: "12xlarge", 64: "16xlarge", 96: "24xlarge", 128: "32xlarge"}
MACHINES: Mapping[str, tuple[Machine, ...]] = {
    "aws": (
        *(Machine(f"m6i.{size}", cpus, 4 * cpus) for cpus, size in _AWS.items()),
        *(Machine(f"r6i.{size}", cpus, 8 * cpus) for cpus, size in _AWS.items()),
        *(Machine(f"g5.{_AWS[cpus]}", cpus, 4 * cpus, 1) for cpus in (4, 8, 16, 32, 64)),
        *(Machine(f"g5.{_AWS[cpus]}", cpus, 4 * cpus, 4) for cpus in (48, 96)),
        Machine("g5.48xlarge", 192, 768, 8),
    ),
    "gcp": (
        *(Machine(f"n2-standard-{cpus}", cpus, 4 * cpus) for cpus in (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)),
        *(Machine(f"n2-highmem-{cpus}", cpus, 8 * cpus) for cpus in (2, 4, 8, 16, 32, 48, 64, 80, 96)),
        *(Machine(f"g2-standard-{cpus}", cpus, 4 * cpus, gpus) for cpus, gpus in ((4, 1), (8, 1), (12, 1), (16, 1), (24, 2), (32, 1), (48, 4), (96, 8))),
    ),
}
# A machine that only drives needs no drivers of GPUs; of images of its own a provider says what they hold.
_GOOGLE_GPU = "projects/deeplearning-platform-release/global/images/family/common-cu124-ubuntu-2204"
_GOOGLE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"
# Ubuntu's image has no Docker. A user is in the group `docker` from the next connection on; Ray 2.60 keeps one open for ten seconds.
_DOCKER = [
    "command -v docker >/dev/null || (sudo apt-get update -qq && sudo apt-get install -y -qq docker.io)",
    "sudo usermod -aG docker $USER",
    "sleep 12",
]


def smallest(provider: str, *, cpus: int, memory_gib: int, gpus: int = 0) -> Machine:
    """Return the smallest machine of a provider that has as much as was asked for: of GPUs first, then of CPUs, then of memory.

    Args:
        provider: a row of MACHINES.
        cpus, memory_gib, gpus: the least that it must have.

    Raises:
        ClusterError: no machine in the table is so large.
    """
    fitting = [each for each in MACHINES[provider] if each.cpus >= cpus and each.memory_gib >= memory_gib and each.gpus >= gpus and (gpus or not each.gpus)]
    if not fitting:
        largest = max((each for each in MACHINES[provider] if bool(each.gpus) == bool(gpus)), key=lambda each: (each.gpus, each.memory_gib, each.cpus))
        asked = f"{cpus} CPUs, {memory_gib} GiB" + (f", {gpus} GPUs" if gpus else "")
        raise ClusterError(f"{asked}: no machine type of {provider} that is known here has as much (the largest is {largest}); ask for less, or name one")
    return min(fitting, key=lambda each: (each.gpus, each.cpus, each.memory_gib))


def ray_up(
    launch: Launch, provider: Literal["aws", "gcp"], *, region: str, project: str | None = None, worker_type: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return a cluster file for `ray up`, and lines that say what is in it.

    The token travels as a file, from and to ~/.ray/auth_token; it is not in the file that this returns. The dashboard stays on the head's loopback:
    `ray dashboard FILE` brings it here.

    Args:
        launch: its files, command and claim are not used: a job is submitted once the cluster is up.
        provider: `aws` or `gcp`.
        region: of the provider; for gcp a zone, such as us-central1-a.
        project: of gcp.
        worker_type: the machine type of workers, which then has what `launch.group` says; None: the smallest that has as much.

    Raises:
        ClusterError: gcp without a project or with a region for a zone; no machine is so large.
    """
    group, kind = launch.group, "gpu" if launch.group.gpus else "cpu"
    if provider == "gcp" and project is None:
        raise ClusterError("--project: missing; expected the id of a Google Cloud project")
    if provider == "gcp" and not re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-z]", region):
        near = region if re.fullmatch(r"[a-z]+-[a-z]+\d+", region) else "us-central1"
        raise ClusterError(f"--region: got {region!r}; expected a zone for gcp, such as {near}-a")
    head = smallest(provider, cpus=launch.head_cpus, memory_gib=launch.head_memory_gib)
    if worker_type is None:
        worker = smallest(provider, cpus=group.cpus, memory_gib=group.memory_gib, gpus=group.gpus)
    else:
        worker = Machine(worker_type, group.cpus, group.memory_gib, group.gpus)
    lines = [f"head: {head}", f"workers: {worker}" + (" (as asked for: look it up)" if worker_type else "") + (", spot" if launch.spot else "")]
    if provider == "aws":
        place: dict[str, Any] = {"type": "aws", "region": region}
        configs: dict[str, dict[str, Any]] = {"head": {"InstanceType": head.name}, kind: {"InstanceType": worker.name}}
        if launch.spot:
            configs[kind]["InstanceMarketOptions"] = {"MarketType": "spot"}
    else:
        place = {"type": "gcp", "region": region.rpartition("-")[0], "availability_zone": region, "project_id": project}
        configs = {"head": _google(head), kind: _google(worker, spot=launch.spot)}
    return {
        "cluster_name": launch.name,
        "max_workers": group.max_workers,
        "idle_timeout_minutes": 5,
        "provider": place,
        "auth": {"ssh_user": "ubuntu"},
        "docker": {
            "image": launch.image,
            "container_name": "tuner",
            "run_options": ["--ulimit nofile=65536:65536", f"--shm-size={max(1, worker.memory_gib // 2)}g", "--env RAY_AUTH_MODE=token"],
        },
        "initialization_commands": _DOCKER if provider == "gcp" else [],
        "file_mounts": {"/home/ray/.ray/auth_token": "~/.ray/auth_token"},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": configs["head"], "resources": {"CPU": 0}, "min_workers": 0, "max_workers": 0},
            kind: {
                "node_config": configs[kind],
                # What the machine has: Ray believes it, and puts as many trials there.
                "resources": {"CPU": worker.cpus} | ({"GPU": worker.gpus} if worker.gpus else {}),
                "labels": dict(launch.labels),
                "min_workers": group.workers,
                "max_workers": group.max_workers,
            },
        },
        "head_start_ray_commands": [
            "ray stop",
            "RAY_AUTH_MODE=token ray start --head --port=6379 --dashboard-host=127.0.0.1 --disable-usage-stats "
            "--autoscaling-config=~/ray_bootstrap_config.yaml",
        ],
        "worker_start_ray_commands": ["ray stop", "RAY_AUTH_MODE=token ray start --address=$RAY_HEAD_IP:6379 --disable-usage-stats"],
    }, lines


def _google(machine: Machine, *, spot: bool = False) -> dict[str, Any]:
    # Machines of the g2 family bring their GPUs along; such machines cannot be moved while they run, and spot machines neither.
    image = _GOOGLE_GPU if machine.gpus else _GOOGLE
    disk = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": {"diskSizeGb": 100, "sourceImage": image}}
    scheduling = ([{"onHostMaintenance": "TERMINATE"}] if machine.gpus or spot else []) + ([{"preemptible": True}] if spot else [])
    return {"machineType": machine.name, "disks": [disk]} | ({"scheduling": scheduling} if scheduling else {})
