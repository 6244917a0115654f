"""Sweeps under fire, in short: `python -m tests.benchmarks.chaos` is the long form, with many more ways to be hit."""

import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.air.execution._internal.actor_manager import RayActorManager

from tests.benchmarks.chaos.checks import check
from tests.benchmarks.chaos.events import EVENTS, kill_worker
from tests.benchmarks.chaos.play import until_done
from tests.benchmarks.chaos.round import ROOT, RUN_LIMIT_S, Round, write_sweep
from tests.sweep.test_journey import Told, sweep
from tuner.errors import SweepError
from tuner.results.leaderboard import Leaderboard
from tuner.search import dispatch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes to kill in /proc")


def test_sweep_whose_driver_is_killed_and_whose_journal_is_torn_ends_as_if_they_had_not_been(tmp_path: Path, ray_address: str) -> None:
    found = Round(tmp_path, tmp_path, ray_address, random.Random(3))
    command = [sys.executable, "-m", "tuner", "run", str(write_sweep(found, 3, bad=False)), "--json"]
    assert until_done(found, command, EVENTS, ["journal's tail torn"], RUN_LIMIT_S), found
    check(found)
    assert not found.violations, (found.events, found.other[-10:])
    assert found.events and found.runs == 2


class Killing(Told):
    """A view that kills the worker of a trial when it hears of the first epoch."""

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__()
        self.round = Round(folder, folder, address, random.Random(0))

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        super().epoch(number, epoch, value, state, cause)
        if state == "running" and not self.round.excused:
            kill_worker(self.round)


def searched(tmp_path: Path, blobs: Path, ray_address: str) -> tuple[Leaderboard, Killing]:
    view = Killing(ray_address, tmp_path)
    board = sweep(
        tmp_path / "sweep",
        ray_address,
        view=view,
        dataset={"source": "npz", "path": str(blobs)},
        scheduler={"name": "fifo"},
        training={"max_epochs": 6},
        evaluation={"enabled": False},
    )
    assert view.round.excused == 1
    return board, view


def test_trial_whose_ray_worker_is_killed_goes_on(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    board, view = searched(tmp_path, blobs, ray_address)
    assert [record.state for record in board.records] == ["complete"] * 3
    assert all(record.epochs == 6 for record in board.records)
    assert any("its worker was lost; it is tried again" in note for note in view.notes)


def test_search_goes_on_where_rays_memory_monitor_breaks_ray_tune(tmp_path: Path, blobs: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RayActorManager._actor_task_failed

    def as_the_monitor_does(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        died = isinstance(exception, ray.exceptions.RayActorError)
        real(self, tracked_actor_task, ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory.") if died else exception)

    monkeypatch.setattr(RayActorManager, "_actor_task_failed", as_the_monitor_does)
    board, view = searched(tmp_path, blobs, ray_address)
    assert any("the search goes on" in note for note in view.notes)
    failed = [record for record in board.records if record.state == "failed"]
    assert [record.cause["kind"] for record in failed] == ["memory"]
    assert [record.state for record in board.ranked] == ["complete"] * 2


def test_disk_that_refuses_rays_own_files_is_asked_again_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts, view, pauses = SimpleNamespace(broken=None, release_all=lambda: None), Told(), []
    interrupted = SimpleNamespace(wait=lambda seconds: pauses.append(seconds), is_set=lambda: False)
    left = [2]

    def refuse(*arguments: Any, **options: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")

    def run() -> None:
        dispatch.dispatch(Any, SimpleNamespace(accounts=accounts), Any, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatch, "_fit", refuse)
    monkeypatch.setattr(dispatch._Limit, "around", lambda self, searcher: searcher)
    options: dict[str, Any] = {"slots": dispatch.Slots(None, 1), "scratch": "/scratch", "audience": dispatch.Audience(view, interrupted)}  # type: ignore[arg-type]
    run()
    assert view.notes == ["Ray Tune cannot write to /scratch (No space left on device); the search goes on"] * 2 and pauses == [0.5, 1.0]
    left[0] = 99
    with pytest.raises(SweepError, match=r"/scratch: cannot be written \(No space left on device\); make room"):
        run()


def test_second_driver_ends_at_once_with_exit_code_2(tmp_path: Path) -> None:
    from tuner.study.lock import exclusive_driver

    (tmp_path / "s.toml").write_text(f'name = "s"\nfolder = "{tmp_path}/sweep"\n')
    with exclusive_driver(tmp_path / "sweep"):
        second = subprocess.run([sys.executable, "-m", "tuner", "run", str(tmp_path / "s.toml")], capture_output=True, text=True, cwd=ROOT)
    assert second.returncode == 2
    assert second.stderr.startswith(f"tuner: {tmp_path}/sweep: process {os.getpid()} on {os.uname().nodename} is running this sweep")
    assert len(second.stderr.splitlines()) == 1
