"""Sweeps as jobs of a real cluster: a head with job server and token authentication on loopback."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from cluster import jobs, tokens
from cluster.errors import ClusterError
from tests.cli.test_main import run
from tests.heads import free_port, head, nodes_of, running, wait_until
from tuner.cli import jobs as commands
from tuner.cli import shipping
from tuner.results.leaderboard import Leaderboard

# From the third network on it waits for a file, so that a test has the time for what it does while the sweep runs.
BUILDER = """
import time
from pathlib import Path

import keras

from parts import tail

FOLDER = Path({folder!r})


def build_model(configuration, problem):
    (FOLDER / str(time.monotonic_ns())).touch()
    for _ in range(300):
        if len(list(FOLDER.iterdir())) <= 2 or (FOLDER / "go").exists():
            break
        time.sleep(0.2)
    time.sleep(1)
    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(configuration["units"]), tail.last(problem.outputs)])
"""
TAIL = """
import keras


def last(outputs):
    return keras.layers.Dense(outputs, activation="softmax")
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a job server with token authentication, over a head and a node on which alone trials of the spec below fit."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, head("--num-cpus=2", job_server=True) as (address, url):
        # Were their folders one, as they are not on two machines, each node would remove what jobs have sent to the other.
        own = [f"--temp-dir={folder}", "--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}"]
        with running(f"--address={address}", *own, "--num-cpus=2", '--resources={"trials": 2}'):
            wait_until(lambda: nodes_of(url) == 2)
            yield url


@pytest.fixture
def tuner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    return lambda *arguments: run(*map(str, arguments), capsys=capsys, monkeypatch=monkeypatch)


@pytest.fixture
def spec(tmp_path: Path, blobs: Path) -> Path:
    """A folder with a sweep over a user's own networks, beside what must never be sent along."""
    folder, gate = tmp_path / "mine", tmp_path / "gate"
    gate.mkdir()
    for name, text in {
        "my_networks.py": BUILDER.format(folder=str(gate)),
        "parts/__init__.py": "",
        "parts/tail.py": TAIL,
        "parts/unused.py": "",
        ".env": "PASSWORD=secret",
        ".git/config": "",
        "notes.txt": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    path = folder / "my_sweep.toml"
    path.write_text(f"""
name = "s"
dataset = {{source = "npz", path = {json.dumps(str(blobs))}}}
space = {{builder = "my_networks:build_model", units = {{low = 2, high = 40}}}}
search = {{sampler = "random", trials = 5}}
scheduler = {{name = "fifo"}}
training = {{max_epochs = 2}}
evaluation = {{seeds = 1}}
resources = {{custom = {{trials = 1}}}}
""")
    return path


def test_sweep_is_submitted_followed_stopped_continued_and_fetched(server: str, spec: Path, tmp_path: Path, tuner: Callable) -> None:
    there = tmp_path / "there"
    command = [sys.executable, "-m", "tuner", "submit", str(spec), "--folder", str(there), "--address", server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        # Ctrl-C once the first trial has been told of: only the following ends.
        assert following.stdout is not None and following.stderr is not None
        seen = next(line for line in following.stdout if line.startswith("trial "))
        following.send_signal(signal.SIGINT)
        _, told = following.communicate(timeout=60)
    assert seen
    assert following.returncode == 130
    job = told.split()[1]
    assert f"submitted {job} (entry.py, job.json, my_networks.py, parts/__init__.py, parts/tail.py, sweep.toml); its folder is {there}" in told
    assert f"{job} goes on; `tuner logs --follow {job}` follows it again" in told

    code, out, _ = tuner("status", job, "--address", server, "--json")
    assert (code, json.loads(out)["status"]) == (0, "RUNNING")
    assert not processes_that_show(os.environ["RAY_AUTH_TOKEN"])
    code, _, err = tuner("submit", spec, "--folder", there, "--address", server)
    assert (code, err) == (2, f"tuner: {there}: job {job} runs this sweep already; `tuner logs --follow {job}` follows it\n")

    (tmp_path / "gate" / "go").touch()
    code, _, err = tuner("stop", job, "--address", server)
    assert (code, err) == (0, f"{job}: stopped\n")
    assert json.loads(tuner("status", job, "--address", server, "--json")[1])["status"] == "STOPPED"
    assert "stopping after the epochs that are being trained" in tuner("logs", job, "--address", server)[1]

    code, out, err = tuner("submit", spec, "--folder", there, "--address", server)
    assert code == 0, out + err
    again = err.split()[1]
    assert err.endswith(f"{again}: succeeded\n")
    assert "test_accuracy" in out
    code, out, _ = tuner("list", "--address", server)
    assert [line.split()[:2] for line in out.splitlines()] == [[again, "SUCCEEDED"], [job, "STOPPED"]]

    code, out, err = tuner("fetch", again, tmp_path / "here", "--address", server)
    assert code == 0, err
    assert {Path(line).name for line in out.splitlines()} == set(shipping_results(there))
    board = Leaderboard.read(tmp_path / "here")
    assert len(board.records) == 5
    first = json.loads(tuner("status", again, "--address", server, "--json")[1])["began"]
    assert datetime.fromisoformat(board.facts["started_at"]) < datetime.fromisoformat(first)  # the sweep that the first job began
    assert (tmp_path / "here" / "model.keras").read_bytes() == (there / "model.keras").read_bytes()
    assert tuner("list", "--address", server)[1].count("\n") == 2  # the courier has left no job behind
    written = b"".join(file.read_bytes() for folder in (there, tmp_path / "here") for file in folder.rglob("*") if file.is_file())
    said = "".join(tuner("logs", each, "--address", server)[1] for each in (job, again))
    assert os.environ["RAY_AUTH_TOKEN"] not in said
    assert os.environ["RAY_AUTH_TOKEN"].encode() not in written


def processes_that_show(secret: str) -> list[str]:
    """Return the command lines on this machine, as `ps` shows them, that hold a secret."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    assert any("raylet" in line for line in lines)
    return [line for line in lines if secret in line]


def shipping_results(folder: Path) -> list[str]:
    from tuner.cli.jobs import RESULTS

    return [name for name in RESULTS if (folder / name).exists()]


def test_cluster_with_other_versions_is_told_in_one_line(server: str, spec: Path, tmp_path: Path, tuner: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "versions", lambda: {"python": "2.7.18", "ray": "1.13.0", "keras": "2.0.0", "no-such-package": "1.0"})
    code, out, err = tuner("submit", spec, "--folder", tmp_path / "there", "--address", server)
    assert code == 1
    assert "differs from the submitter's: python: has 3." in out
    assert "expected 1.13.0; keras: has 3." in out
    assert "no-such-package: missing, expected 1.0" in out
    job = err.split()[1]
    assert tuner("status", job, "--address", server)[0] == 1
    code, _, err = tuner("fetch", job, tmp_path / "here", "--address", server)
    assert code == 2
    assert "holds none of leaderboard.parquet" in err
    assert not (tmp_path / "here").exists()


def test_unknown_job_is_told_with_the_nearest(server: str, tuner: Callable) -> None:
    code, _, err = tuner("logs", "nothing", "--address", server)
    assert (code, err.count("\n")) == (2, 1)
    assert f"tuner: job nothing: unknown at {server}" in err


def test_missing_and_wrong_tokens_are_one_line(server: str, tuner: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    assert tuner("list", "--address", server) == (2, "", f"tuner: {server} does not accept the token that is here; {tokens.HOW}\n")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tuner("list", "--address", server) == (2, "", f"tuner: {server} asks for a token, and there is none here; {tokens.HOW}\n")


@pytest.mark.parametrize(("address", "message"), [("http://127.0.0.1:1", "cannot be reached"), ("10.0.0.1:8265", "expected the job server's URL")])
def test_server_that_is_not_there_is_one_line(address: str, message: str, tuner: Callable) -> None:
    code, _, err = tuner("list", "--address", address)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_job_server_that_asks_for_no_token_is_used_with_a_warning(tuner: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    class Open:
        def __init__(self, url: str) -> None:
            self.warnings = (tokens.UNGUARDED.format(address=url),)

        def jobs(self) -> list:
            return []

    monkeypatch.setattr(jobs, "JobServer", Open)
    code, _, err = tuner("list", "--address", "http://h:1")
    assert (code, err) == (0, f"tuner: {tokens.UNGUARDED.format(address='http://h:1')}\n")


def courier_log(*lines: str) -> str:
    return "\n".join(["Runtime env is setting up.", *lines])


def test_files_that_are_not_whole_or_not_asked_for_are_refused() -> None:
    whole = 'tuner-file: {"name": "a", "lines": 1, "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}'
    assert jobs._unpack(courier_log(whole, "Zm9v"), {"a"}) == {"a": b"foo"}
    with pytest.raises(ClusterError, match="a: did not arrive whole"):
        jobs._unpack(courier_log(whole), {"a"})
    with pytest.raises(ClusterError, match="sent 'a', which was not asked for"):
        jobs._unpack(courier_log(whole, "Zm9v"), {"b"})


def test_what_others_call_their_jobs_forges_no_row() -> None:
    job = jobs.Job("theirs", "FAILED", "Traceback:\n  File \x1b[2J", None, None, {"sweep": "s", "folder": "/x\nsweep-of-mine   SUCCEEDED\x1b[31m"})
    row = commands._row(job)
    assert "\n" not in row and "\x1b" not in row and r"/x\nsweep-of-mine   SUCCEEDED\x1b[31m" in row
