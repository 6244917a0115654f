"""A sweep in one process, for debugging: the same record, without Ray."""

import bdb
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.sweep.test_journey import Told, sweep
from tuner.errors import ClusterError, SpecError, SweepError
from tuner.results.leaderboard import Leaderboard
from tuner.spec import sweep_spec as specs
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep
from tuner.sweep.plan import make_plan

BUILDER = '''
import os
from pathlib import Path

import keras


def build(configuration, problem):
    with Path(__file__).with_name("pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    breakpoint()
    if configuration["units"] == 13:
        raise LookupError("no such thing")
    inputs = keras.Input(problem.input_shape)
    x = keras.layers.Dense(configuration["units"], activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(problem.outputs, activation="softmax")(x))
'''


@pytest.fixture
def stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A folder with the builder, and where `breakpoint()` has stopped so far: the functions around it."""
    (tmp_path / "mine.py").write_text(BUILDER)
    reached: list[str] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: reached.append(sys._getframe(1).f_code.co_name))
    return reached


def here(place: Path, blobs: Path, *, interrupted: threading.Event | None = None, view: Told | None = None, **sections: Any) -> Leaderboard:
    values = {
        "name": "s",
        "folder": str(place / "sweep"),
        "dataset": {"source": "npz", "path": str(blobs)},
        "space": {"builder": "mine:build", "units": {"low": 2, "high": 9}},
        "search": {"sampler": "random", "trials": 2},
        "scheduler": {"name": "fifo"},
        "training": {"max_epochs": 2},
        "evaluation": {"seeds": 1, "confirm": 2, "confirm_budget": 2.0},
        "cluster": {"target": "in-process"},
    }
    return run_sweep(specs.check({**values, **sections}), view=view or Told(), interrupted=interrupted or threading.Event(), given=Given((str(place),)))


def test_builder_is_called_in_this_process_and_a_breakpoint_stops_in_it(tmp_path: Path, blobs: Path, stops: list[str]) -> None:
    view = Told()
    board = here(tmp_path, blobs, view=view)
    assert view.stages == ["data", "cluster", "search", "confirm", "retrain", "test", "report"]
    assert set((tmp_path / "pids").read_text().split()) == {str(os.getpid())}
    assert len(stops) > 4 and set(stops) == {"build"}
    assert not ray.is_initialized()
    assert [(record.state, record.epochs, record.worker) for record in board.records] == [("complete", 2, "this process")] * 2
    assert len(board.facts["test_openings"]) == 1 and board.facts["final"]["mean"]["test_accuracy"] > 0
    assert (tmp_path / "sweep" / "report.html").exists()
    assert (tmp_path / "sweep" / "model.keras").exists()


def test_trial_trains_as_it_does_in_a_process_of_its_own(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    once: dict[str, Any] = {"search": {"sampler": "random", "trials": 1}, "evaluation": {"enabled": False}}
    data = {"source": "npz", "path": str(blobs)}
    (elsewhere,) = sweep(tmp_path / "elsewhere", ray_address, dataset=data, scheduler={"name": "fifo"}, training={"max_epochs": 2}, **once).records
    (record,) = here(tmp_path, blobs, space={"name": "mlp", **elsewhere.configuration}, **once).records
    assert (record.configuration, record.seed, record.parameters) == (elsewhere.configuration, elsewhere.seed, elsewhere.parameters)
    for metric in ("loss", "val_loss"):
        assert record.curves[metric] == pytest.approx(elsewhere.curves[metric], rel=1e-3)


def test_interrupted_trial_goes_on_where_it_was(tmp_path: Path, blobs: Path, stops: list[str]) -> None:
    interrupted = threading.Event()

    class Impatient(Told):
        def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
            interrupted.set()

    sections: dict[str, Any] = {"training": {"max_epochs": 6}, "search": {"sampler": "random", "trials": 1}, "evaluation": {"enabled": False}}
    (before,) = here(tmp_path, blobs, interrupted=interrupted, view=Impatient(), **sections).records
    assert (before.state, before.epochs) == ("waiting", 1)
    assert json.loads((tmp_path / "sweep" / "checkpoints" / "0" / "state.json").read_text())["epoch"] == 1
    (after,) = here(tmp_path, blobs, **sections).records
    assert (after.state, after.epochs) == ("complete", 6)
    assert list(after.curves["loss"])[:1] == list(before.curves["loss"])


def test_exception_in_a_builder_is_told_with_its_line(tmp_path: Path, blobs: Path, stops: list[str]) -> None:
    board = here(tmp_path, blobs, space={"builder": "mine:build", "units": [5, 13]}, search={"sampler": "grid", "trials": 2}, evaluation={"enabled": False})
    failed = next(record for record in board.records if record.state == "failed")
    assert failed.configuration["units"] == 13
    assert failed.cause is not None and failed.cause["message"] == "LookupError: no such thing"
    assert 'mine.py", line' in failed.cause["details"] and "trial.py" not in failed.cause["details"]
    with pytest.raises(SweepError, match="all trials so far failed alike: LookupError: no such thing"):
        here(
            tmp_path, blobs, folder=str(tmp_path / "other"), space={"builder": "mine:build", "units": 13, "rate": {"low": 0.0, "high": 1.0}},
            search={"sampler": "random", "trials": 9},
        )  # fmt: skip


def test_leaving_the_debugger_leaves_the_sweep(tmp_path: Path, blobs: Path, stops: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def leave() -> None:
        raise bdb.BdbQuit

    monkeypatch.setattr(sys, "breakpointhook", leave)
    with pytest.raises(bdb.BdbQuit):
        here(tmp_path, blobs, evaluation={"enabled": False})
    monkeypatch.setattr(sys, "breakpointhook", lambda: None)
    # The trial that was left waits, and is none that failed.
    assert {(record.state, record.epochs) for record in here(tmp_path, blobs, evaluation={"enabled": False}).records} == {("complete", 2)}


def test_what_a_process_alone_cannot_be_asked_for_is_refused(tmp_path: Path, blobs: Path) -> None:
    with pytest.raises(ClusterError, match=r"cluster\.address: got '10\.0\.0\.1:6379' with target 'in-process', which takes what there is; leave it out"):
        here(tmp_path, blobs, space={"name": "mlp"}, cluster={"target": "in-process", "address": "10.0.0.1:6379"})
    spec = specs.check({"name": "s", "cluster": {"target": "in-process"}})
    with pytest.raises(SpecError, match=r"cluster\.target: got \"in-process\", which is for debugging and has no plan"):
        make_plan(spec, view=Told(), interrupted=threading.Event())
