"""Files that bring a cluster up: a RayJob for Kubernetes, and the Dockerfile of what it runs; virtual_machines.py has those for `ray up`.

Owns what such files must hold to be safe: token authentication, bounded groups, probes, storage that outlives a cluster, and a command that may be run again.
Knows nothing of what runs: command, files and image are its caller's.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import ClusterError
from cluster.jobs import STOPPING
from cluster.resources import Resources

# In Ray's images.
RAY_USER, RAY_GROUP = 1000, 100
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_PLAIN = re.compile(r"[-.a-zA-Z0-9][-._a-zA-Z0-9]{0,251}")
MOUNTED = "/sweep/files"
SHARED = "/sweep/shared"
# A ConfigMap holds 1 MiB.
MOST_FILES_BYTES = 900_000


@dataclass(frozen=True)
class Group:
    """The machines that trials run on.

    Attributes:
        workers: how many there are at first.
        max_workers: how many the autoscaler may bring.
        cpus, gpus: of each.
        memory_gib: of each.

    Raises:
        ClusterError: fewer than one machine, more at first than at most, or a machine without CPUs or memory.
    """

    workers: int = 1
    max_workers: int = 1
    cpus: int = 4
    gpus: int = 0
    memory_gib: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= self.max_workers:
            raise ClusterError(f"--workers: got {self.workers}; expected from 1 to --max-workers ({self.max_workers})")
        if self.cpus < 1 or self.gpus < 0 or self.memory_gib < 1:
            raise ClusterError(f"worker: got {self.cpus} CPUs, {self.gpus} GPUs, {self.memory_gib} GiB; expected at least 1, 0 and 1")

    def check(self, resources: Resources) -> None:
        """Refuse a group on whose machines not one trial fits.

        Raises:
            ClusterError: not one trial fits.
        """
        if resources.cpus > self.cpus or resources.gpus > self.gpus or (resources.memory_bytes or 0) > self.memory_gib * 2**30:
            has = f"{self.cpus} CPU, {self.gpus} GPU, {self.memory_gib} GiB"
            raise ClusterError(f"worker: one trial asks for {resources}, and a worker has {has}; make it larger")


@dataclass(frozen=True)
class Launch:
    """What is to run, and where.

    Attributes:
        name: of the job or cluster: lower-case letters, digits and '-'.
        image: the container image.
        ray: its version of Ray.
        group: the workers.
        labels: of the workers, for trials that ask for them.
        files: path below `MOUNTED` -> text.
        command: run on the head; run again after a failure.
        claim: the PersistentVolumeClaim (ReadWriteMany) that is mounted at `SHARED` everywhere; None: nothing is.
        secret: the Secret whose entries all containers have in their environment, such as a bucket's credentials; None: none.
        retries: how often a job that failed is run again, each time on a new cluster.
        head_cpus, head_memory_gib: of the head, which runs no trials.
        mounts: PersistentVolumeClaim -> where it is mounted, for reading only: data.
        selector: labels of Kubernetes' nodes that workers run on.
        tolerated: taints of nodes that workers put up with, as `key` or `key=value`.
        pull_secrets: Secrets that the image is fetched with.
        max_hours: after which all of it is ended; None: never.
        spot: the workers' machines may be taken away at any time, the head's never.

    Raises:
        ClusterError: a mount is none.
    """

    name: str
    image: str
    ray: str
    group: Group
    labels: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    claim: str | None = "sweeps"
    secret: str | None = None
    retries: int = 2
    head_cpus: int = 2
    head_memory_gib: int = 8
    mounts: Mapping[str, str] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerated: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    max_hours: float | None = None
    spot: bool = False

    def __post_init__(self) -> None:
        for claim, path in self.mounts.items():
            if not _LABEL.fullmatch(claim) or not path.startswith("/") or path.startswith(("/sweep/", "/dev/")) or ":" in path:
                raise ClusterError(f"--mount: got {claim}:{path}; expected CLAIM:/PATH, a claim's name and an absolute path outside of /sweep and /dev")


def rayjob(launch: Launch) -> list[dict[str, Any]]:
    """Return a ConfigMap with the files and a RayJob (KubeRay 1.5.1 or newer) as the objects of one manifest.

    Raises:
        ClusterError: the files are too large for a ConfigMap.
    """
    size = sum(len(text.encode()) for text in launch.files.values())
    if size > MOST_FILES_BYTES:
        raise ClusterError(f"the spec and the builder's modules have {size} bytes; a ConfigMap takes {MOST_FILES_BYTES}: build them into the image instead")
    name = f"{launch.name}-files"
    group = launch.group
    worker: dict[str, Any] = {
        "groupName": "gpu" if group.gpus else "cpu",
        "replicas": group.workers,
        "minReplicas": group.workers,
        "maxReplicas": group.max_workers,
        "rayStartParams": {},
        "template": {"spec": _pod(launch, "ray-worker", cpus=group.cpus, gpus=group.gpus, memory_gib=group.memory_gib)},
    }
    if launch.labels:
        worker["labels"] = dict(launch.labels)
    scales = group.max_workers > group.workers
    head = _pod(launch, "ray-head", cpus=launch.head_cpus, gpus=0, memory_gib=launch.head_memory_gib, talks=scales)
    head["containers"][0]["ports"] = [{"containerPort": port, "name": word} for port, word in ((6379, "gcs-server"), (8265, "dashboard"))]
    spec = {
        "entrypoint": launch.command,
        "runtimeEnvYAML": "env_vars:\n" + "".join(f'  {word}: "{value}"\n' for word, value in STOPPING.items()),
        "submissionMode": "K8sJobMode",
        "backoffLimit": launch.retries,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "rayClusterSpec": {
            "rayVersion": launch.ray,
            "authOptions": {"mode": "token"},
            "enableInTreeAutoscaling": scales,
            "autoscalerOptions": {"upscalingMode": "Default", "idleTimeoutSeconds": 120},
            # Trials stay off the head: what it runs has to outlive them.
            "headGroupSpec": {"serviceType": "ClusterIP", "rayStartParams": {"num-cpus": "0"}, "template": {"spec": head}},
            "workerGroupSpecs": [worker],
        },
    }
    if launch.max_hours is not None:
        spec["activeDeadlineSeconds"] = round(launch.max_hours * 3600)
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {_key(path): text for path, text in launch.files.items()}},
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": launch.name}, "spec": spec},
    ]


def _pod(launch: Launch, name: str, *, cpus: int, gpus: int, memory_gib: int, talks: bool = False) -> dict[str, Any]:
    """Return a pod.

    Args:
        launch: what runs.
        name: of its container.
        cpus, gpus, memory_gib: of it.
        talks: it asks Kubernetes for more pods, and needs the account's token for that; the others get none.
    """
    limits = {"cpu": str(cpus), "memory": f"{memory_gib}Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    healthy = {"httpGet": {"path": "/api/local_raylet_healthz", "port": 52365}, "timeoutSeconds": 5}
    claims = ([("shared", launch.claim, SHARED, False)] if launch.claim else []) + [
        (f"data-{number}", claim, path, True) for number, (claim, path) in enumerate(launch.mounts.items())
    ]
    container = {
        "name": name,
        "image": launch.image,
        "resources": {"limits": limits, "requests": dict(limits)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            # One by one: a ConfigMap that is mounted as a whole is links into a folder that has another name on every node.
            *({"name": "files", "mountPath": f"{MOUNTED}/{path}", "subPath": _key(path), "readOnly": True} for path in launch.files),
            *({"name": volume, "mountPath": path} | ({"readOnly": True} if reads else {}) for volume, _, path, reads in claims),
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
        "readinessProbe": {**healthy, "initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 12},
        "livenessProbe": {**healthy, "initialDelaySeconds": 60, "periodSeconds": 10, "failureThreshold": 12},
    }
    if launch.secret:
        container["envFrom"] = [{"secretRef": {"name": launch.secret}}]
    pod: dict[str, Any] = {
        "containers": [container],
        "volumes": [
            {"name": "files", "configMap": {"name": f"{launch.name}-files"}},
            *(
                {"name": volume, "persistentVolumeClaim": {"claimName": claim} | ({"readOnly": True} if reads else {})} for volume, claim, _, reads in claims
            ),
            # Counts against the container's memory: without a limit it could take all of it.
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{max(1, memory_gib // 2)}Gi"}},
        ],
        # The user of Ray's images; what lies on a claim is of its group.
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": RAY_USER,
            "runAsGroup": RAY_GROUP,
            "fsGroup": RAY_GROUP,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": talks,
        # So long trials may take to save themselves where a node is announced to go.
        "terminationGracePeriodSeconds": int(STOPPING["RAY_JOB_STOP_WAIT_TIME_S"]),
    }
    if launch.pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in launch.pull_secrets]
    if name != "ray-head":
        tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}] if gpus else []
        for taint in launch.tolerated:
            key, equals, value = taint.partition("=")
            tolerations.append({"key": key, "operator": "Equal", "value": value} if equals else {"key": key, "operator": "Exists"})
        pod |= {"tolerations": tolerations} if tolerations else {}
        pod |= {"nodeSelector": dict(launch.selector)} if launch.selector else {}
    return pod


def _key(path: str) -> str:
    """Return a file's key in the ConfigMap, where keys are of letters, digits and `-._`; no two files have one."""
    if _PLAIN.fullmatch(path):
        return path
    readable = re.sub(r"[^-._a-zA-Z0-9]", "_", path)
    return f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{readable}"[:253]


def dockerfile(*, python: str, ray: str, gpu: bool) -> str:
    """Return the Dockerfile of the image, built in the folder of this project.

    Args:
        python: version, such as 3.11.
        ray: version.
        gpu: with the CUDA libraries that the packages bring along; the machine brings only its driver.
    """
    return f"""# Built in the folder of this project: docker build -t REGISTRY/tuner . && docker push REGISTRY/tuner
FROM rayproject/ray:{ray}-py{python.replace(".", "")}
WORKDIR /home/ray/tuner
COPY --chown=ray:users . .
RUN pip install --no-cache-dir "{".[gpu]" if gpu else "."}" && tuner --version
ENV RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 TF_CPP_MIN_LOG_LEVEL=3
WORKDIR /home/ray
"""
