"""Files that bring a cluster up: a RayJob for Kubernetes, a cluster file for `ray up`, and the Dockerfile of what both run.

Owns what such files must hold to be safe: token authentication, bounded groups, probes, storage that outlives a cluster, and a command that may be run again.
Knows nothing of what runs: command, files and image are its caller's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.errors import ClusterError
from cluster.jobs import STOPPING
from cluster.resources import Resources

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


def rayjob(launch: Launch) -> list[dict[str, Any]]:
    """Return a ConfigMap with the files and a RayJob (KubeRay 1.5.1 or newer) as the objects of one manifest.

    Raises:
        ClusterError: the files are too large for a ConfigMap.
    """
    size = sum(len(text.encode()) for text in launch.files.values())
    if size > MOST_FILES_BYTES:
        raise ClusterError(f"the spec and the builder's modules have {size} bytes; a ConfigMap takes {MOST_FILES_BYTES}: build them into the image instead")
    name = f"{launch.name}-files"
    volumes = [
        {"name": "files", "configMap": {"name": name}},
        *([{"name": "shared", "persistentVolumeClaim": {"claimName": launch.claim}}] if launch.claim else []),
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
    ]
    group = launch.group
    worker: dict[str, Any] = {
        "groupName": "gpu" if group.gpus else "cpu",
        "replicas": group.workers,
        "minReplicas": group.workers,
        "maxReplicas": group.max_workers,
        "rayStartParams": {},
        "template": {"spec": _pod(launch, "ray-worker", cpus=group.cpus, gpus=group.gpus, memory_gib=group.memory_gib, volumes=volumes)},
    }
    if launch.labels:
        worker["labels"] = dict(launch.labels)
    head = _pod(launch, "ray-head", cpus=2, gpus=0, memory_gib=8, volumes=volumes)
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
            "enableInTreeAutoscaling": group.max_workers > group.workers,
            "autoscalerOptions": {"upscalingMode": "Default", "idleTimeoutSeconds": 120},
            # Trials stay off the head: what it runs has to outlive them.
            "headGroupSpec": {"serviceType": "ClusterIP", "rayStartParams": {"num-cpus": "0"}, "template": {"spec": head}},
            "workerGroupSpecs": [worker],
        },
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {_key(path): text for path, text in launch.files.items()}},
        {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": launch.name}, "spec": spec},
    ]


def _pod(launch: Launch, name: str, *, cpus: int, gpus: int, memory_gib: int, volumes: list[dict[str, Any]]) -> dict[str, Any]:
    limits = {"cpu": str(cpus), "memory": f"{memory_gib}Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    healthy = {"httpGet": {"path": "/api/local_raylet_healthz", "port": 52365}, "timeoutSeconds": 5}
    container = {
        "name": name,
        "image": launch.image,
        "resources": {"limits": limits, "requests": dict(limits)},
        "volumeMounts": [
            # One by one: a ConfigMap that is mounted as a whole is links into a folder that has another name on every node.
            *({"name": "files", "mountPath": f"{MOUNTED}/{path}", "subPath": _key(path), "readOnly": True} for path in launch.files),
            *([{"name": "shared", "mountPath": SHARED}] if launch.claim else []),
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
        "readinessProbe": {**healthy, "initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 12},
        "livenessProbe": {**healthy, "initialDelaySeconds": 60, "periodSeconds": 10, "failureThreshold": 12},
    }
    if launch.secret:
        container["envFrom"] = [{"secretRef": {"name": launch.secret}}]
    pod: dict[str, Any] = {"containers": [container], "volumes": volumes}
    if gpus:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return pod


def _key(path: str) -> str:
    """Return a file's key in the ConfigMap, where keys have no slashes."""
    return path.replace("/", "__")


# Machine types that come nearest to what a worker is to have; they are the first thing to look at in the file.
MACHINES = {
    "aws": {"head": "m6i.large", "cpu": "m6i.xlarge", "gpu": "g5.xlarge"},
    "gcp": {"head": "n2-standard-2", "cpu": "n2-standard-4", "gpu": "g2-standard-4"},
}


def ray_up(launch: Launch, provider: Literal["aws", "gcp"], *, region: str, project: str | None = None) -> dict[str, Any]:
    """Return a cluster file for `ray up`.

    The token travels as a file, from and to ~/.ray/auth_token; it is not in the file that this returns. The dashboard stays on the head's loopback:
    `ray dashboard FILE` brings it here.

    Args:
        launch: its files, command and claim are not used: a job is submitted once the cluster is up.
        provider: `aws` or `gcp`.
        region: of the provider; for gcp a zone, such as us-central1-a.
        project: of gcp.

    Raises:
        ClusterError: gcp without a project.
    """
    group, machines = launch.group, MACHINES[provider]
    kind = "gpu" if group.gpus else "cpu"
    place: dict[str, Any]
    if provider == "aws":
        place = {"type": "aws", "region": region}
        configs = {role: {"InstanceType": machines[role]} for role in ("head", kind)}
        user = "ubuntu"
    else:
        if project is None:
            raise ClusterError("--project: missing; expected the id of a Google Cloud project")
        place = {"type": "gcp", "region": region.rpartition("-")[0], "availability_zone": region, "project_id": project}
        configs = {role: _google(machines[role], gpus=group.gpus if role == "gpu" else 0) for role in ("head", kind)}
        user = "ubuntu"
    return {
        "cluster_name": launch.name,
        "max_workers": group.max_workers,
        "idle_timeout_minutes": 5,
        "provider": place,
        "auth": {"ssh_user": user},
        "docker": {
            "image": launch.image,
            "container_name": "tuner",
            "run_options": ["--ulimit nofile=65536:65536", "--shm-size=8g", "--env RAY_AUTH_MODE=token"],
        },
        "file_mounts": {"/home/ray/.ray/auth_token": "~/.ray/auth_token"},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": configs["head"], "resources": {"CPU": 0}, "min_workers": 0, "max_workers": 0},
            kind: {
                "node_config": configs[kind],
                "resources": {"CPU": group.cpus} | ({"GPU": group.gpus} if group.gpus else {}),
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
    }


def _google(machine: str, *, gpus: int) -> dict[str, Any]:
    # Machines of the g2 family bring their GPUs along; such machines cannot be moved while they run.
    with_drivers = "projects/deeplearning-platform-release/global/images/family/common-cu124-ubuntu-2204"
    image = with_drivers if gpus else "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"
    disk = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": {"diskSizeGb": 100, "sourceImage": image}}
    return {"machineType": machine, "disks": [disk]} | ({"scheduling": [{"onHostMaintenance": "TERMINATE"}]} if gpus else {})


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
