"""The places that a sweep can run in: one row of TARGETS each, from a name in the spec to a connected cluster.

Owns starting and ending a Ray of our own, connecting to one that runs, and keeping Ray quiet. Knows nothing of what will run there.
"""

import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster import quota, tokens, watch
from cluster import ray_patches as beginning
from cluster import stale_sessions as leftovers
from cluster.errors import ClusterError, one_line
from cluster.resources import Capacity, Node

# Set before Ray is started. Each line silences or disarms something that users of a sweep should never meet.
ENVIRONMENT = {
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # do not blank CUDA_VISIBLE_DEVICES for the driver
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # Tune's own CSV, JSON and TensorBoard files per trial
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
# Ray's memory monitor kills a worker when the machine runs full, and Ray Tune 2.60 then ends the whole sweep with it
# (ray/air/execution/_internal/actor_manager.py raises on OutOfMemoryError). In a Ray of our own the limits of the trials' processes bite instead.
OWN_RAY = {"RAY_memory_monitor_refresh_ms": "0"}
OWN_CONFIG = {
    # A Ray of our own that has died does not come back: 20 s of waiting for it (by default 60) are for a machine that is very busy.
    "gcs_rpc_server_reconnect_timeout_s": 20,
    # Workers load it while they wait for work: most of the second that the first ones would take to begin.
    "preload_python_modules": ["ray.tune"],
}


class ClusterSection(BaseModel):
    """`[cluster]`: where the sweep runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    target: Literal["local", "address", "in-process"] = Field(
        "local",
        description="local: all CPUs and GPUs of this machine, in a Ray of its own. address: a Ray cluster that runs. in-process: no Ray and no processes, one "
        "trial after another in the one that you started: breakpoint() works in a builder, and nothing is bounded.",
    )
    address: str | None = Field(None, description='For target = "address": the cluster\'s address, such as "10.0.0.1:6379", or "auto" on one of its nodes.')
    cpus: int | None = Field(None, ge=1, description='For target = "local": how many CPUs of this machine to use; none: all.')
    gpus: int | None = Field(None, ge=0, description='For target = "local": how many GPUs of this machine to use; none: all.')
    wait_s: float | None = Field(
        None,
        ge=0,
        description='For target = "address": how many seconds to wait for nodes on which a trial fits, where there is none; none: 600 where the cluster '
        "has an autoscaler, else 0.",
    )

    @property
    def patience_s(self) -> float | None:
        """How long to wait for nodes: `wait_s`, and 0 in a Ray of our own, which nobody adds nodes to."""
        return self.wait_s if self.target == "address" else 0.0


@dataclass(frozen=True)
class Cluster:
    """A connected cluster.

    Attributes:
        capacity: what it offers, node by node.
        description: one line for people.
        scratch: a folder that may be made on each node for what the sweep needs while it runs; gone when the connection ends.
        warnings: what its operator should know, one line each.
    """

    capacity: Capacity
    description: str
    scratch: str
    warnings: tuple[str, ...] = ()


def _say(text: str) -> None:
    """Tell people what nobody else tells them."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def connect(section: ClusterSection, meanwhile: Callable[[], object] = lambda: None, lost: Callable[[str], object] = _say) -> Iterator[Cluster]:
    """Connect to the place that the section names, and leave it as it was found: a Ray of our own ends, another one is only left.

    This process too is left as it was found: its environment and its handlers of signals.

    Args:
        section: checked.
        meanwhile: called once, while there is nothing to do but wait for a Ray of our own, else before; what it raises ends the attempt.
        lost: told in a line, from another thread, that the cluster has gone; this process then ends with exit code 4 (watch.py).

    Raises:
        ClusterError: the cluster cannot be reached or started.
    """
    try:
        with _environment_restored(), _target(section, meanwhile, lost) as cluster:
            yield cluster
    finally:
        beginning.hear_again()  # Ray 2.60 leaves SIGTERM without any handler


def _target(section: ClusterSection, meanwhile: Callable[[], object], lost: Callable[[str], object]) -> AbstractContextManager[Cluster]:
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    return TARGETS[section.target](section, meanwhile, lost)


@contextmanager
def _local(section: ClusterSection, meanwhile: Callable[[], object], lost: Callable[[str], object]) -> Iterator[Cluster]:
    """A Ray of our own on this machine. Its folder is made here, so that nothing of it stays behind."""
    import ray

    if section.address is not None:
        raise ClusterError(f"cluster.address: got {section.address!r} with target 'local'; say target = \"address\", or leave the address out")
    with leftovers.folder() as folder, tokens.own(folder):
        os.environ.update(OWN_RAY)
        # Ray 2.60 opens its folder to every user of the machine. The one around it stays this user's alone.
        inner = f"{folder}/{leftovers.RAY}"
        with beginning.meanwhile(meanwhile):
            try:
                with beginning.signals_kept(), beginning.few_processes(), beginning.on_loopback(), beginning.without_working_folder():
                    ray.init(
                        address="local",
                        num_cpus=section.cpus or quota.cpus(),
                        num_gpus=section.gpus,
                        include_dashboard=False,
                        log_to_driver=False,
                        configure_logging=True,
                        logging_level=logging.ERROR,
                        _temp_dir=inner,
                        _system_config=OWN_CONFIG,
                    )
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise ClusterError(f"cluster.target: Ray does not start on this machine ({one_line(error)})") from error

        def gone(text: str) -> None:
            lost(text)
            leftovers.end()

        try:
            with watch.watched(ray.get_runtime_context().gcs_address, gone, own=True):
                yield Cluster(capacity_now(), "this machine", f"{folder}/sweep", _crowded(section))
        finally:
            ray.shutdown()


def _crowded(section: ClusterSection) -> tuple[str, ...]:
    """Return what there is to say of others that compute on this machine, and of more CPUs than this process may use."""
    lines, usable = [], quota.cpus()
    if section.cpus is None and (others := leftovers.others()):
        who = f"process{'es' * (len(others) > 1)} {', '.join(map(str, others))}"
        lines.append(f"another sweep runs on this machine ({who}), and both use all of its CPUs; `cpus` in [cluster] gives each its share")
    if section.cpus is not None and section.cpus > usable:
        lines.append(f"cluster.cpus: got {section.cpus}, and this process may use {usable}: trials will be slower than they could be")
    return tuple(lines)


@contextmanager
def _address(section: ClusterSection, meanwhile: Callable[[], object], lost: Callable[[str], object]) -> Iterator[Cluster]:
    """A cluster that somebody else started, and will end."""
    import ray

    if section.address is None:
        raise ClusterError('cluster.address: missing with target \'address\'; expected the cluster\'s address, such as "10.0.0.1:6379" or "auto"')
    if section.cpus is not None or section.gpus is not None:
        raise ClusterError("cluster.cpus and cluster.gpus: only for target 'local'; a cluster that runs brings its own")
    address = resolve(section.address)
    meanwhile()
    guarded = tokens.check(address)
    with tokens.known(guarded):
        try:
            with beginning.signals_kept(), beginning.without_working_folder():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ClusterError(f"cluster.address: {address!r} cannot be joined ({one_line(error)})") from error
        scratch = f"{tempfile.gettempdir()}/tuner-{secrets.token_hex(8)}"
        os.mkdir(scratch, 0o700)  # before Ray Tune makes it, for all to see

        def gone(text: str) -> None:
            lost(text)
            shutil.rmtree(scratch, ignore_errors=True)  # of this machine; the next run clears the others

        try:
            with watch.watched(address, gone):
                yield Cluster(capacity_now(), address, scratch, () if guarded else (tokens.UNGUARDED.format(address=address),))
        finally:
            # A cluster that has gone away needs no cleaning, and must not hide why the sweep ends.
            with suppress(ray.exceptions.RayError, RuntimeError, ConnectionError):
                on_every_node(shutil.rmtree, scratch, True)
            ray.shutdown()


@contextmanager
def _in_process(section: ClusterSection, meanwhile: Callable[[], object], lost: Callable[[str], object]) -> Iterator[Cluster]:
    """This very process, without Ray."""
    for name, value in (("address", section.address), ("cpus", section.cpus), ("gpus", section.gpus)):
        if value is not None:
            mend = "leave it out, or say --set 'cluster={target=\"in-process\"}'"
            raise ClusterError(f"cluster.{name}: got {value!r} with target 'in-process', which takes what there is; {mend}")
    meanwhile()
    with leftovers.folder() as folder:
        yield Cluster(Capacity((Node("this process", cpus=quota.cpus(), gpus=0.0),)), "this process", f"{folder}/sweep")


# The section, what to call once while there is nothing to do but wait, and whom to tell that the cluster has gone.
Target = Callable[[ClusterSection, Callable[[], object], Callable[[str], object]], AbstractContextManager[Cluster]]
TARGETS: dict[str, Target] = {"local": _local, "address": _address, "in-process": _in_process}


def resolve(address: str) -> str:
    """Return the address as `host:port`; `auto` is the cluster that this machine is a node of.

    Raises:
        ClusterError: it is no address, or no cluster runs here.
    """
    if address == "auto":
        from ray._common.utils import get_ray_address_file

        file = Path(get_ray_address_file(None))
        address = os.environ.get("RAY_ADDRESS", "") or (file.read_text(encoding="utf-8").strip() if file.exists() else "")
        if address in ("", "auto", "local"):
            raise ClusterError('cluster.address: got "auto", but no Ray cluster runs on this machine; expected its address, such as "10.0.0.1:6379"')
    host, separator, port = address.rpartition(":")
    if not separator or not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClusterError(f'cluster.address: got {address!r}; expected host:port of the head, such as "10.0.0.1:6379"; http:// is for `tuner submit`')
    return address


def clear(scratch: str | None) -> None:
    """Remove the scratch folder of a run that was killed, on every node of the connected cluster."""
    if scratch is not None and re.fullmatch(r"tuner-[0-9a-f]{16}", Path(scratch).name):
        on_every_node(shutil.rmtree, scratch, True)


def on_every_node(function: Callable, *arguments: Any, timeout_s: float = 30.0) -> dict[str, Any]:
    """Call a function once on each node that is alive.

    Args:
        function: takes the arguments; needs no CPU of its own.
        timeout_s: how long to wait for all of them.

    Returns:
        What it returned by node id; an exception in its place where it raised one, or where no answer came in time.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    calls = {node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*arguments) for node in nodes}
    done, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout_s) if calls else ([], [])
    answers: dict[str, Any] = {}
    for node, call in calls.items():
        try:
            answers[node] = ray.get(call) if call in done else TimeoutError(f"no answer within {timeout_s:g} s")
        except ray.exceptions.RayError as error:
            answers[node] = error
    return answers


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Put the environment back as it was: Ray and Tune leave variables of their own in it."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def capacity_now() -> Capacity:
    """Return what the connected cluster offers at this moment: nodes come and go."""
    import ray

    nodes = []
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        has = dict(node["Resources"])
        known = ("CPU", "GPU", "memory", "object_store_memory")
        custom = {name: amount for name, amount in has.items() if name not in known and not name.startswith(("node:", "accelerator_type:"))}
        nodes.append(
            Node(
                node["NodeManagerHostname"],
                cpus=has.get("CPU", 0.0),
                gpus=has.get("GPU", 0.0),
                memory_bytes=has.get("memory", 0.0),
                custom=tuple(sorted(custom.items())),
                labels=tuple(sorted((node.get("Labels") or {}).items())),
            ),
        )
    return Capacity(tuple(nodes))
