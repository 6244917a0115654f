"""The cluster goes away under a driver."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster import tokens, watch
from tests.heads import head

DRIVER = """
import sys, time
from cluster import watch
from cluster.targets import ClusterSection, connect
watch.LOOK_EVERY_S, watch.SILENT_S, watch.OWN_SILENT_S = 0.1, 1.0, 1.0
section = ClusterSection() if sys.argv[1] == "local" else ClusterSection(target="address", address=sys.argv[1])
if sys.argv[1] == "local":
    section = ClusterSection(cpus=1)
with connect(section) as cluster:
    import ray
    from ray._private import worker
    import os
    node = worker._global_node
    pid = 0 if sys.argv[1] != "local" else node.all_processes["gcs_server"][0].process.pid
    os.makedirs(cluster.scratch, exist_ok=True)
    print(pid, cluster.scratch, flush=True)
    time.sleep(120)
"""


def group_of(address: str) -> int:
    """Return the process group of the head at an address, which tests/heads.py has started."""
    port = f"--port={address.rpartition(':')[2]}"
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        words = file.read_bytes().decode(errors="replace").split("\0") if file.exists() else []
        if port in words and "start" in words:
            return os.getpgid(int(file.parent.name))
    raise LookupError(f"no head with {port}")


def test_driver_of_a_cluster_that_is_gone_says_so_in_one_line_and_ends_with_its_own_code() -> None:
    with head("--num-cpus=1") as (address, _), started(address) as driver:
        _, scratch = driver.stdout.readline().split()
        os.killpg(group_of(address), signal.SIGKILL)
        _, said = driver.communicate(timeout=60)
    assert driver.returncode == watch.GONE == 4
    assert said.startswith(f"the cluster at {address} is gone: no answer for") and said.endswith("once it is back, and it goes on\n")
    assert said.count("\n") == 1
    assert not Path(scratch).exists()


def test_driver_whose_own_ray_is_gone_ends_likewise_and_leaves_nothing() -> None:
    # A short name: Unix sockets lie below.
    with tempfile.TemporaryDirectory(prefix="own-") as folder, started("local", TMPDIR=folder) as driver:
        pid, scratch = driver.stdout.readline().split()
        os.kill(int(pid), signal.SIGKILL)
        _, said = driver.communicate(timeout=60)
        assert driver.returncode == watch.GONE, said
        assert "Tuner's own Ray on this machine is gone: no answer for" in said
        assert not Path(scratch).parent.exists()


def started(target: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, target], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def test_head_that_is_silent_for_a_moment_only_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["UNAVAILABLE", "UNAVAILABLE", *["OK"] * 1000])
    asked: list[str] = []
    monkeypatch.setattr(tokens, "asked", lambda address: asked.append(address) or next(answers, "OK"))
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.01)
    lost: list[str] = []
    with watch.watched("h:1", lost.append):
        while len(asked) < 5:
            pass
    assert lost == []
