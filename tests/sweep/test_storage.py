"""A sweep that is kept in a bucket: a real S3 server and a real Ray head on loopback. Its driver's machine is lost, and another one goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from tests.cli.test_main import run
from tests.heads import FOLDERS, free_port, head, running, wait_until
from tests.study.test_storage import SECRET, bucket
from tests.sweep.test_journey import TINY, Told
from tests.sweep.test_nodes import SleepingTrial
from tuner.spec import sweep_spec as specs
from tuner.study.backends import open_study
from tuner.study.storage import Storage, check_nodes
from tuner.sweep.journey import run_sweep


class Interrupting(Told):
    """Asks the sweep to stop as soon as a trial has gone on for so many epochs after another has ended."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        super().epoch(number, epoch, value, state, cause)
        if number > 0 and epoch >= 3:
            self._event.set()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, bucket(patch) as place:
        yield place


@pytest.fixture(scope="module")
def address(s3: str) -> Iterator[str]:
    """A head whose environment has the bucket's credentials."""
    with head("--num-cpus=1") as (address, _):
        yield address


def spec_of(folder: Path, address: str, blobs: Path, place: str, **more: Any) -> specs.SweepSpec:
    values: dict[str, Any] = {
        "name": "kept",
        "folder": str(folder),
        "storage": place,
        "dataset": {"source": "npz", "path": str(blobs), "test": 0.2},
        "space": {"name": "mlp", **TINY},
        "search": {"sampler": "random", "trials": 3},
        "scheduler": {"name": "fifo"},
        "training": {"max_epochs": 8},
        "evaluation": {"seeds": 1, "confirm": 0},
        "cluster": {"target": "address", "address": address},
    }
    return specs.check({**values, **more})


def test_lost_machine_costs_nothing_that_the_bucket_has(
    s3: str, address: str, tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, interrupted = tmp_path / "first", threading.Event()
    board = run_sweep(spec_of(folder, address, blobs, s3), view=Interrupting(interrupted), interrupted=interrupted)
    before = {record.number: (record.epochs, record.seed, record.configuration) for record in board.records}
    kept = Storage(f"{s3}/kept").sizes()
    assert before[0][0] == 8 and 3 <= before[1][0] < 8
    assert {"journal.log", "leaderboard.parquet", "split.npz", "checkpoints/1/state.json", "checkpoints/1/reports.json"} <= set(kept)
    assert "driver.json" not in kept
    assert not (folder / "checkpoints").exists()
    shutil.rmtree(folder)

    monkeypatch.chdir(tmp_path)  # another machine: nothing of the sweep is here
    code, out, err = run("resume", f"{s3}/kept", capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0, err
    from tuner.results.leaderboard import Leaderboard

    board = Leaderboard.read(tmp_path / "sweeps" / "kept")
    assert sorted(record.number for record in board.records) == [0, 1, 2]
    for record in board.records:
        assert record.epochs == 8
        if record.number in before:
            assert (record.seed, record.configuration) == before[record.number][1:]
    kept = Storage(f"{s3}/kept").sizes()
    assert {"model.keras", "model.json", "report.html"} <= set(kept)
    assert Storage(f"{s3}/kept").get("leaderboard.parquet") == (tmp_path / "sweeps" / "kept" / "leaderboard.parquet").read_bytes()
    told = out + err + "".join(path.read_bytes().decode(errors="replace") for path in (tmp_path / "sweeps").rglob("*") if path.is_file())
    assert SECRET not in told + "".join((Storage(f"{s3}/kept").get(name) or b"").decode(errors="replace") for name in kept)
    logs = [path.read_text(errors="replace") for path in FOLDERS[address].glob("session_*/logs/*") if path.is_file()]
    assert any("runtime_env" in log for log in logs) and not any(SECRET in log for log in logs)


DRIVER = """
import json, sys, threading
from tests.sweep.test_nodes import SleepingTrial
from tests.sweep.test_journey import Told
from tuner.spec import sweep_spec as spec
from tuner.sweep import journey as sweep

sweep.Trial = SleepingTrial
sweep.run_sweep(spec.check(json.loads(sys.argv[1])), view=Told(), interrupted=threading.Event())
"""


def test_killed_driver_whose_disk_is_gone_loses_only_what_was_not_mirrored_yet(
    s3: str, address: str, tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path / "first", address, blobs, f"{s3}/killed", evaluation={"enabled": False})
    kept = Storage(f"{s3}/killed/kept")
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(specs.to_json(spec))], cwd=root, start_new_session=True) as driver:
        # The second trial has come some way, and the storage knows it.
        wait_until(lambda: (kept.get("journal.log") or b"").count(b'"epoch_2"') >= 2, driver)
        os.killpg(driver.pid, signal.SIGKILL)
    mirrored = kept.get("journal.log") or b""
    assert (tmp_path / "first" / "journal.log").read_bytes().startswith(mirrored)
    shutil.rmtree(tmp_path / "first")

    monkeypatch.setattr("tuner.sweep.journey.Trial", SleepingTrial)
    view = Told()
    board = run_sweep(spec, view=view, interrupted=threading.Event())
    assert f"the sweep goes on from {s3}/killed/kept, which knows it" in view.notes
    assert [(record.state, record.epochs) for record in board.records] == [("complete", 8)] * 3
    journal = (tmp_path / "first" / "journal.log").read_bytes()
    assert journal.startswith(mirrored)
    assert kept.get("journal.log") == journal
    assert not any(each.user_attrs.get("restarted") for each in open_study(tmp_path / "first", "kept", board.objective).trials())


def test_finished_sweep_that_lost_its_folder_is_not_run_again(s3: str, address: str, tmp_path: Path, blobs: Path) -> None:
    spec = spec_of(tmp_path / "a", address, blobs, f"{s3}/twice", training={"max_epochs": 2}, evaluation={"enabled": False})
    first = run_sweep(spec, view=Told(), interrupted=threading.Event())
    shutil.rmtree(tmp_path / "a")
    view = Told()
    again = run_sweep(spec.model_copy(update={"folder": str(tmp_path / "b")}), view=view, interrupted=threading.Event())
    assert view.notes[0] == f"the sweep goes on from {s3}/twice/kept, which knows it"
    assert not view.states
    assert [(record.number, record.seed, record.score) for record in again.records] == [(record.number, record.seed, record.score) for record in first.records]


@pytest.fixture
def two_nodes(address: str) -> Iterator[Callable[[], int]]:
    """The head and a second node that knows no credentials."""
    import ray

    from cluster.targets import ClusterSection, connect

    blind = {"AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    ports = f"--dashboard-agent-listen-port={free_port()}"
    with (
        running(f"--address={address}", "--node-ip-address=127.0.0.1", "--num-cpus=1", ports, environment=blind) as node,
        connect(ClusterSection(target="address", address=address)),
    ):
        wait_until(lambda: sum(each["Alive"] for each in ray.nodes()) == 2, node)
        yield lambda: len(ray.nodes())


def test_node_that_cannot_reach_the_storage_is_told_before_the_sweep(s3: str, two_nodes: Callable[[], int], tmp_path: Path) -> None:
    assert check_nodes(str(tmp_path), required=True) == []
    with pytest.raises(ClusterError, match=r"storage: s3://bucket/.*: node .* cannot write there \(.*\); expected a bucket or a folder that every node"):
        check_nodes(s3, required=True)
    with pytest.raises(ClusterError, match="cannot be written to by the driver"):
        check_nodes("/proc/nowhere", required=True)
