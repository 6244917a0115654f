"""A container's quota, read from files as kernels write them; the expected numbers are worked out by hand."""

import os
from pathlib import Path

import pytest

from cluster import quota

MANY = 64
MACHINE_KB = 64 * 1024 * 1024


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(MANY)), raising=False)


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Write what a process sees of its control groups."""
    files = {"proc/self/cgroup": groups, "proc/meminfo": f"MemTotal: {MACHINE_KB} kB\nMemFree: 5 kB\nMemAvailable: {MACHINE_KB // 2} kB\n", **files}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1, id="v2: one CPU of 64"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2, id="v2: two and a half"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1, id="v2: half a CPU is one"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, MANY, id="v2: no quota"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "9900000 100000\n"}, MANY, id="v2: affinity is the smaller one"),
        pytest.param("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "300000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 3, id="v2: an outer group's"),
        pytest.param(
            "0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "300000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n"}, 2, id="v2: the tighter of two"
        ),
        pytest.param("0::/../../on/the/host\n", {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4, id="v2: a path outside of the container"),
        pytest.param(
            "4:cpu,cpuacct:/docker/1f\n",
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000"},
            3,
            id="v1",
        ),
        pytest.param("4:cpu:/\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, MANY, id="v1: no quota"),
        pytest.param("", {}, MANY, id="no control groups"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "nonsense\n"}, MANY, id="a file that says nothing"),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 0\n"}, MANY, id="a period of nothing"),
    ],
)
def test_cpus_are_the_smaller_of_affinity_and_quota(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    assert quota.cpus(machine(tmp_path, groups, files)) == expected


def test_a_quota_is_no_more_than_affinity_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert quota.cpus(machine(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "400000 100000\n"})) == 1


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"sys/fs/cgroup/memory.max": "4294967296\n"}, 4 * 2**30, id="v2"),
        pytest.param("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, MACHINE_KB * 1024, id="v2: no quota"),
        pytest.param("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": "1073741824\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 2**30, id="v2: an outer group's"),
        pytest.param("7:memory:/x\n", {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "2147483648\n"}, 2 * 2**30, id="v1"),
        pytest.param("7:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE_KB * 1024, id="v1: no quota"),
    ],
)
def test_memory_is_the_smaller_of_the_machines_and_the_quota(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    assert quota.memory_bytes(machine(tmp_path, groups, files)) == expected


def test_free_memory_is_what_the_quota_leaves_with_cached_files_given_back(tmp_path: Path) -> None:
    files = {"memory.max": "1000000000", "memory.current": "700000000", "memory.stat": "anon 1\ninactive_file 200000000\n"}
    assert quota.free_bytes(machine(tmp_path, "0::/\n", {f"sys/fs/cgroup/{name}": text for name, text in files.items()})) == 500_000_000


def test_free_memory_without_a_quota_is_the_machines(tmp_path: Path) -> None:
    assert quota.free_bytes(machine(tmp_path, "", {})) == MACHINE_KB // 2 * 1024
