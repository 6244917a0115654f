"""The machines of a cluster in words, for a sweep's record: processors, cores, memory and GPUs, and no names of hosts or users."""

import os
import platform
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster import quota
from cluster.targets import on_every_node

ANSWER_S = 20.0
GIB = 2**30


def hardware() -> str:
    """Return what the connected cluster consists of, in one line, such as `2 × (EPYC 7B12, 16 cores, 62 GiB memory, 1 × NVIDIA H200)`.

    A node that does not answer is counted as unknown.
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    if len(alive) == 1 and alive[0]["NodeManagerAddress"] == ray.util.get_node_ip_address():
        found = [words(machine())]
    else:
        answers = on_every_node(machine, timeout_s=ANSWER_S)
        found = [words(answer) if isinstance(answer, dict) else "unknown" for answer in answers.values()]
    counted = Counter(found)
    return "; ".join(text if number == 1 else f"{number} × ({text})" for text, number in counted.most_common())


def machine() -> dict[str, Any]:
    """Return what this machine has; runs on a node, and needs nothing but Python there."""
    processor, memory, gpus = platform.machine(), None, []
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name")) or processor
    with suppress(OSError, ValueError, AttributeError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = quota.memory_bytes()
    memory = allowed if memory is None else min(memory, allowed or memory)
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=10, check=True)
        gpus = [line.strip() for line in listed.stdout.splitlines() if line.strip()]
    return {"processor": processor, "cores": quota.cpus(), "memory_bytes": memory, "gpus": gpus}


def words(machine: dict[str, Any]) -> str:
    """Return a machine in words."""
    parts = [" ".join(machine["processor"].split()), f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"]
    parts += [f"{machine['memory_bytes'] / GIB:.0f} GiB memory"] if machine["memory_bytes"] else []
    parts += [f"{number} × {name}" for name, number in Counter(machine["gpus"]).items()] or ["no GPU"]
    return ", ".join(parts)
