"""What several test files share: one Ray head for all sweeps of a test run, and small data."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start what runs in the background like this, and what the tests start would inherit it: Ctrl-C would not be heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Before Ray is imported anywhere: it reads the mode once.
os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)})


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """The address of a Ray head for all tests, ended with the test run."""
    with ray_head() as address:
        yield address


@contextmanager
def ray_head() -> Iterator[str]:
    """Start a Ray head on loopback with two CPUs and token authentication, and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray = Path(sys.executable).with_name("ray")
        command = [ray, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", f"--temp-dir={folder}"]
        head = subprocess.Popen(
            [*map(str, command), "--include-dashboard=false", "--disable-usage-stats"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "RAY_memory_monitor_refresh_ms": "0"},
        )
        try:
            _wait_until_open(port)
            yield f"127.0.0.1:{port}"
        finally:
            # All of its processes are in the group of the first: nothing of it is worth an orderly end.
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()


def _wait_until_open(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no Ray head on port {port} after 30 s")


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """An npz of three well-separated classes of four numbers each: 240 rows."""
    draw = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 80)
    x = draw.normal(size=(240, 4)) + 4 * np.eye(3, 4)[y]
    path = tmp_path / "blobs.npz"
    np.savez(path, x=x.astype(np.float32), y=y)
    return path
