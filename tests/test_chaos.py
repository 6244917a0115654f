"""Sweeps under fire, in short: `python -m tests.benchmarks.chaos` is the long form."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.air.execution._internal.actor_manager import RayActorManager

from tests.benchmarks import chaos
from tests.test_sweep import Told, sweep
from tuner.leaderboard import Leaderboard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes to kill in /proc")


@pytest.mark.parametrize("seed", [4, 11])
def test_sweep_that_is_hit_at_random_moments_ends_as_if_it_had_not_been(tmp_path: Path, ray_address: str, seed: int) -> None:
    found = chaos.play(tmp_path, ray_address, seed, hits=1)
    assert not found.violations, (found.events, found.other[-10:])


class Killing(Told):
    """A view that kills the worker of a trial when it hears of the first epoch."""

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__()
        self.round = chaos.Round(folder, address, random.Random(0))

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        super().epoch(number, epoch, value, state, cause)
        if state == "running" and not self.round.deaths:
            chaos.kill_worker(self.round)


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
    assert view.round.deaths == 1
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


def test_second_driver_ends_at_once_with_exit_code_2(tmp_path: Path) -> None:
    from tuner.lock import alone

    (tmp_path / "s.toml").write_text(f'name = "s"\nfolder = "{tmp_path}/sweep"\n')
    with alone(tmp_path / "sweep"):
        second = subprocess.run([sys.executable, "-m", "tuner", "run", str(tmp_path / "s.toml")], capture_output=True, text=True, cwd=chaos.ROOT)
    assert second.returncode == 2
    assert second.stderr.startswith(f"tuner: {tmp_path}/sweep: process {os.getpid()} on {os.uname().nodename} is running this sweep")
    assert len(second.stderr.splitlines()) == 1
