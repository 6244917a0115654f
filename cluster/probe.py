"""What a node says of itself. Runs on the node and needs nothing but Python there: it is sent as code, for the node may have nothing of ours.

Must not import any of our rooms but quota.py, which is sent along.
"""

import contextlib
import importlib.metadata
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from cluster.quota import cpus, free_bytes

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def examine(packages: tuple[str, ...], folder: str | None, sign: str | None, counting: str | None) -> dict[str, Any]:
    """Return what this node is and has, as JSON.

    Args:
        packages: whose versions are wanted.
        folder: must be writable here; None: nothing has to be.
        sign: name of a file that the driver has put into the folder.
        counting: Python code that prints how many GPUs can be computed on, run in a process of its own; None: there are none.
    """
    return {
        "host": socket.gethostname(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "executable": sys.executable,
        "cpus": cpus(),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "memory_bytes": free_bytes(),
        "disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "gpus": None if counting is None else _count(counting),
        "folder": None if folder is None else _folder(folder, sign),
    }


def clock() -> float:
    """Return this node's time, in seconds since 1970."""
    return time.time()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _count(counting: str) -> int | str:
    """Return how many GPUs there are to compute on, or why that is not known."""
    try:
        run = subprocess.run([sys.executable, "-c", counting], capture_output=True, text=True, timeout=120)
        return int(run.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _folder(folder: str, sign: str | None) -> dict[str, Any]:
    """Say whether a folder can be written to, and whether it is the driver's own."""
    shared = sign is not None and os.path.exists(os.path.join(folder, sign))
    try:
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f".tuner-{secrets.token_hex(8)}")
        with open(path, "x", encoding="ascii") as file:
            file.write("x")
        os.remove(path)
    except OSError as error:
        return {"writable": False, "shared": shared, "why": error.strerror or str(error)}
    finally:
        if not shared:  # made for this question only; where anything is in it, it stays
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    return {"writable": True, "shared": shared, "why": ""}
