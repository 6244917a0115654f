"""A trial from its first epoch to its last, through whatever comes between."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stand_in import StandIn
from tuner.data.pool import Pool
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.training import trial
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied

CONFIG = TrainingConfig(builder="b:b", configuration={}, task="classification", outputs=2, epochs=9, seed=0)


def stepped(one: trial.Trial) -> EpochReport:
    return EpochReport.from_json(one.step())


@dataclass
class Process(StandIn):
    """Stands for a TrainingProcess: counts epochs, and keeps its checkpoint in a file."""

    fate: dict[str, Any]
    epoch: int = 0
    parameters: int = 7
    path: str = "compiled epoch"
    warnings: list[str] = field(default_factory=list)

    def run_epoch(self, timeout_s: float | None) -> dict[str, float]:
        self.fate.setdefault("timeouts", []).append(timeout_s)
        if self.epoch + 1 == self.fate.get("refused at"):
            del self.fate["refused at"]
            raise OSError(28, "No space left on device", "/data/rows")
        if self.epoch + 1 == self.fate.get("dies at"):
            del self.fate["dies at"]
            raise ProcessDied("crash", "the process was killed by SIGKILL")
        self.epoch += 1
        if self.epoch == self.fate.get("stops at"):
            self.stopped = Cause("itself", "its fit returned")
        return {"val_accuracy": self.epoch / 10, "seconds": self.fate.get("seconds", 9.0)}

    def save(self, folder: Path) -> None:
        self.fate["saves"] = self.fate.get("saves", 0) + 1
        if self.fate.get("refusals", 0):
            self.fate["refusals"] -= 1
            raise OSError(28, "No space left on device")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state").write_text(str(self.epoch))

    def restore(self, folder: Path) -> None:
        text = (folder / "state").read_text()
        if not text.isdigit():
            raise ValueError(f"{folder}: is damaged")
        self.epoch = int(text)
        if self.epoch == self.fate.get("stops at"):
            self.stopped = Cause("itself", "its fit returned")

    def close(self) -> None:
        self.fate["closed"] = True


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a trial on a process with a fate of its own, without Ray and without time passing."""
    pauses: list[float] = []
    monkeypatch.setattr(trial, "worker_name", lambda: "here")
    monkeypatch.setattr(trial, "own_limits", Limits)
    monkeypatch.setattr(trial.time, "sleep", pauses.append)
    context = trial.TrialContext(Pool(np.zeros((2, 1)), np.zeros(2)), (), CONFIG, str(tmp_path / "scratch"), str(tmp_path / "checkpoints"))

    def made(fate: dict[str, Any], *, shared: dict[str, Any] | None = None, **assigned: Any) -> trial.Trial:
        class Here(trial.Trial):
            def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]
                super().setup(config, context=replace(context, **(shared or {})))

        monkeypatch.setattr(trial, "TrainingProcess", lambda *_, **__: Process(fate))
        fate["pauses"] = pauses
        return Here(config=Assignment(**{"number": 3, "configuration": {}, "seed": 1, **assigned}).to_json())

    return made


def test_trial_whose_process_is_killed_goes_on_from_its_last_epoch(make, tmp_path: Path) -> None:
    fate: dict[str, Any] = {"dies at": 4}
    one = make(fate)
    reports = [stepped(one) for _ in range(4)]
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].ended is not None and reports[-1].ended.kind == "crash"
    one.cleanup()
    again = make(fate, epoch=3, pause_s=1.0)
    assert stepped(again).epoch == 4
    assert fate["pauses"] == [1.0]
    for _ in range(5):
        report = stepped(again)
    assert report.last
    again.cleanup()
    # Nobody may have heard the last report, or nobody what follows from it: it is made again, and nothing is trained.
    for recorded in (8, 9):
        heard = make(fate, epoch=recorded)
        report = stepped(heard)
        assert (report.epoch, report.last, report.metrics["val_accuracy"]) == (9, True, 0.9)
    assert fate["saves"] == 9
    heard.reset_config(Assignment(4, {}, 1).to_json())
    assert (tmp_path / "checkpoints/3/state").read_text() == "9"  # the sweep keeps the best


def test_training_that_ends_by_itself_makes_its_report_the_last(make) -> None:
    one = make({"stops at": 2})
    reports = [stepped(one) for _ in range(2)]
    assert [(report.epoch, report.last, report.stopped) for report in reports] == [(1, False, None), (2, True, Cause("itself", "its fit returned"))]
    one.reset_config(Assignment(4, {}, 1).to_json())
    assert [stepped(one).last for _ in range(2)] == [False, True]  # the next one's own, on a process of its own


def test_training_that_had_ended_by_itself_says_so_again_where_nobody_may_have_heard_it(make) -> None:
    fate: dict[str, Any] = {"stops at": 3}
    one = make(fate)
    for _ in range(3):
        one.step()
    for recorded in (2, 3):
        again = make(fate, epoch=recorded)
        report = stepped(again)
        assert (report.epoch, report.last, report.stopped) == (3, True, Cause("itself", "its fit returned"))
    assert len(fate["timeouts"]) == 3  # nothing more is trained


def test_full_disk_under_a_trial_has_a_cause_of_its_own(make) -> None:
    one = make({"refused at": 2})
    one.step()
    assert stepped(one).ended == Cause("storage", "/data/rows: No space left on device")


def test_epoch_that_was_saved_but_never_recorded_is_reported_by_the_next_run(make) -> None:
    fate: dict[str, Any] = {}
    one = make(fate)
    saved = [stepped(one) for _ in range(3)]
    one.cleanup()
    again = make(fate, epoch=1)  # the driver died when it had recorded the first epoch
    reports = [stepped(again) for _ in range(3)]
    assert [report.epoch for report in reports] == [2, 3, 4]
    assert [report.metrics for report in reports[:2]] == [report.metrics for report in saved[1:]]
    assert [report.last for report in reports] == [False] * 3


def test_storage_that_refuses_neither_ends_the_trial_nor_is_asked_after_every_epoch(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(trial.time, "monotonic", lambda: now[0])
    fate: dict[str, Any] = {"refusals": 3}
    one = make(fate)
    assert [stepped(one).epoch for _ in range(4)] == [1, 2, 3, 4]
    assert fate["saves"] == 1
    now[0] += 60
    one.step()
    assert fate["saves"] == 2
    one.cleanup()  # asked to stop: it is tried until the storage takes it
    assert fate["saves"] == 4
    assert (tmp_path / "checkpoints/3/state").read_text() == "5"


def test_short_epochs_are_not_saved_one_by_one(make) -> None:
    fate: dict[str, Any] = {"seconds": 0.06}
    one = make(fate)
    for _ in range(3):
        one.step()
    assert "saves" not in fate
    one.step()
    assert fate["saves"] == 1


def test_rungs_and_the_last_epoch_are_saved_however_short_they_are(make, tmp_path: Path) -> None:
    fate: dict[str, Any] = {"seconds": 0.001}
    one = make(fate, shared={"milestones": (2, 6)})
    saves = []
    for _ in range(9):
        one.step()
        saves.append(fate.get("saves", 0))
    assert saves == [0, 1, 1, 1, 1, 2, 2, 2, 3]
    assert (tmp_path / "checkpoints/3/state").read_text() == "9"


def test_trial_that_is_asked_to_stop_while_its_last_report_is_unheard_leaves_its_state(make, tmp_path: Path) -> None:
    fate: dict[str, Any] = {"refusals": 1}
    one = make(fate, shared={"config": replace(CONFIG, epochs=1)})
    assert stepped(one).last and not (tmp_path / "checkpoints/3/state").exists()
    one.cleanup()
    assert (tmp_path / "checkpoints/3/state").read_text() == "1"


def test_damaged_checkpoint_starts_the_trial_again_and_says_so(make, tmp_path: Path) -> None:
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    (tmp_path / "checkpoints/3/state").write_text("torn")
    (tmp_path / "checkpoints/3/reports.json").write_text("{}")
    report = stepped(make({}))
    assert report.epoch == 1
    assert "its checkpoint is lost" in report.facts["restarted"] and "is damaged" in report.facts["restarted"]


def test_epoch_has_the_deadline_of_the_sweep_or_of_the_trials_own_epochs(make) -> None:
    for seconds, deadline_s, timeouts in ((40.0, 100.0, [100.0] * 5 + [800.0]), (1.0, None, [None] * 5 + [60.0])):
        fate: dict[str, Any] = {"seconds": seconds}
        one = make(fate, number=4 if deadline_s is None else 3, deadline_s=deadline_s)
        for _ in range(6):
            one.step()
        assert fate["timeouts"] == timeouts
