"""What this process may use of its machine: CPUs and memory, as affinity and a container's quota (control groups, v1 and v2) have it.

Needs nothing but Python, and runs on nodes as well. Must not import any of our rooms.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")
# A limit beyond this is how v1 says that there is none.
NO_LIMIT_BYTES = 1 << 60


def cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may use: the smaller of its affinity and its quota, a whole number from 1 on.

    Args:
        root: where `proc` and `sys` are.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [quota for group, version in _groups("cpu", root) if (quota := _cpu_quota(group, version)) is not None]
    return max(1, math.floor(min([float(affinity), *limits]) + 1e-9))


def memory_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory this process and its neighbours in the container may use, bytes: the smaller of what the machine has and the quota; None: unknown.

    Args:
        root: where `proc` and `sys` are.
    """
    limits = [limit for group, version in _groups("memory", root) if (limit := _memory_limit(group, version)) is not None]
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        limits.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")))
    return min(limits, default=None)


def free_bytes(root: Path = ROOT) -> int | None:
    """Return how much memory is left, bytes: the smallest of what the machine has and what each quota leaves; None: unknown.

    Args:
        root: where `proc` and `sys` are.
    """
    left = []
    for group, version in _groups("memory", root):
        limit, used = _memory_limit(group, version), _number(group / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
        if limit is not None and used is not None:
            # Cached files are given back when they are asked for.
            left.append(max(0, limit - used + _inactive(group, version)))
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        left.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    return min(left, default=None)


def _groups(controller: str, root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the control groups that this process is in, the innermost first, and the version of each: every one of them may set a limit."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" and not controllers:
                tops, version = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"], 2
            elif controller in controllers.split(","):
                tops, version = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup" / controller], 1
            else:
                continue
            for top in tops:
                # In a container the path may be the host's, of which nothing is seen here but the group itself, at the top.
                parts = [part for part in path.split("/") if part not in ("", "..")]
                for length in range(len(parts), -1, -1):
                    group = top.joinpath(*parts[:length])
                    if group.is_dir():
                        yield group, version


def _cpu_quota(group: Path, version: int) -> float | None:
    if version == 2:
        words = _words(group / "cpu.max")
        return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]) else None
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota is not None and period else None


def _memory_limit(group: Path, version: int) -> int | None:
    limit = _number(group / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
    return limit if limit is not None and limit < NO_LIMIT_BYTES else None


def _inactive(group: Path, version: int) -> int:
    name = "inactive_file" if version == 2 else "total_inactive_file"
    with suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is none, or it says `max` or -1."""
    words = _words(path)
    return int(words[0]) if words and words[0].isdecimal() else None


def _words(path: Path) -> list[str]:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").split()
    return []
