"""Ray heads and nodes for tests: on loopback, on free ports, with token authentication, ended by process group."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RAY = str(Path(sys.executable).with_name("ray"))
# Workers of a test's Ray import the trials that the test has written.
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])}
FOLDERS: dict[str, Path] = {}  # a head's address -> where it keeps its logs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(*options: str, environment: dict[str, str] | None = None, log: Path | None = None) -> Iterator[subprocess.Popen]:
    """Run `ray start --block` with these options; all of its processes are in the group of the first, and end with it."""
    # Jobs run the `python` of the path: the one that runs Ray, as in an activated environment.
    path = f"{Path(RAY).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, **IMPORTABLE, "PATH": path, "RAY_memory_monitor_refresh_ms": "0", **(environment or {})}
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("w")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            [RAY, "start", "--block", "--disable-usage-stats", *options], stdout=output, stderr=output, start_new_session=True, env=variables
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def head(*options: str, environment: dict[str, str] | None = None, job_server: bool = False) -> Iterator[tuple[str, str]]:
    """Run a head and give its address, and its job server's (empty without one)."""
    port, server = free_port(), free_port()
    agent = f"--dashboard-agent-listen-port={free_port()}"  # its usual port may be another head's, and without its agent a head takes no jobs
    dashboard = [f"--dashboard-port={server}", "--dashboard-host=127.0.0.1", agent] if job_server else ["--include-dashboard=false"]
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        fixed = ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}"]
        with running(*fixed, *dashboard, *options, environment=environment) as process:
            wait_until(lambda: _listens(port), process)
            FOLDERS[f"127.0.0.1:{port}"] = Path(folder)
            url = f"http://127.0.0.1:{server}" if job_server else ""
            if url:
                wait_until(lambda: _serves(url), process)
            yield f"127.0.0.1:{port}", url


def wait_until(true, process: subprocess.Popen | None = None, timeout_s: float = 240.0) -> None:
    """Ask ten times a second until the answer is yes."""
    for _ in range(int(timeout_s * 10)):
        if true():
            return
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"ray start ended with {process.returncode}")
        time.sleep(0.1)
    raise TimeoutError(f"still not true after {timeout_s:g} s")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serves(url: str) -> bool:
    return isinstance(_asked(f"{url}/api/jobs/"), list)


def nodes_of(url: str) -> int:
    """Return how many nodes a job server knows to be alive."""
    told = _asked(f"{url}/nodes?view=summary") or {"data": {"summary": []}}
    return sum(node["raylet"].get("state") == "ALIVE" for node in told["data"]["summary"])


def _asked(url: str) -> Any:
    """Return the JSON that a job server answers; None while it does not."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}"})
    with contextlib.suppress(OSError):
        return json.load(urllib.request.urlopen(request, timeout=5))
    return None
