"""What follows from failures: the rules, and a trial under them."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from tuner.data.pool import Pool
from tuner.results import evaluate
from tuner.search.accounts import Accounts, Budget
from tuner.study import failures
from tuner.study.backends import open_study
from tuner.study.objective import Objective
from tuner.study.record import Cause, Study
from tuner.training import trial
from tuner.training.process import Limits, ProcessDied
from tuner.training.trainer import TrainingConfig


def test_infrastructure_is_tried_again_a_few_times_and_configurations_are_not() -> None:
    assert [failures.is_retried(kind, []) for kind in ("crash", "deadline", "storage", "lost")] == [True] * 4
    assert [failures.is_retried(kind, []) for kind in ("diverged", "error", "memory", "scheduler", "budget", "unknown")] == [False] * 6
    assert failures.is_retried("lost", ["lost", "crash"]) and not failures.is_retried("lost", ["lost", "lost"])
    assert [failures.pause_s(retries) for retries in (0, 1, 2, 3, 99)] == [0.0, 1.0, 2.0, 4.0, 30.0]


def test_deadline_follows_the_epochs_of_the_sweep_and_is_never_short() -> None:
    assert failures.deadline_s([1.0] * 4) is None
    assert failures.deadline_s([0.1] * 5) == 60.0
    assert failures.deadline_s([10.0] * 5) == 200.0
    assert failures.deadline_s([1.0] * 50 + [100.0]) == 500.0  # one large network among small ones


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return open_study(tmp_path, "s", Objective("val_accuracy", "max"), optuna.samplers.RandomSampler(seed=0))


def begun(study: Study, budget: Budget | None = None) -> tuple[Accounts, int]:
    accounts = Accounts(study, max_epochs=9, budget=budget or Budget(trials=9))
    number = study.ask().number
    accounts.begin(f"ray-{number}", number)
    return accounts, number


def test_lost_worker_lets_the_trial_wait_twice_and_then_fails_it(study: Study) -> None:
    for _ in range(2):
        accounts, number = begun(study)
        accounts.lose(number)
        assert [waiting.number for waiting in study.trials("waiting")] == [0]
    accounts, number = begun(study)
    accounts.lose(number)
    assert study.trial(0).state.name == "FAIL"
    assert study.trial(0).user_attrs["cause"]["kind"] == "lost"
    assert [entry["kind"] for entry in study.trial(0).user_attrs["retried"]] == ["lost", "lost"]


def test_broken_builder_is_told_with_its_traceback_and_one_epoch_shows_that_it_is_not(study: Study) -> None:
    for attempt in range(failures.ALIKE):
        accounts, number = begun(study)
        assert accounts.broken is None
        accounts.end(number, "failed", Cause("error", f"KeyError: {attempt}", "Traceback of line 7"))
    assert accounts.broken == "all trials so far failed alike: KeyError: 0; expected a builder that works\nTraceback of line 7"
    accounts, number = begun(study)
    accounts.report(number, {"epoch": 1, "val_accuracy": 0.5})
    accounts.end(number, "failed", Cause("error", "KeyError: x"))
    assert accounts.broken is None


def test_failures_that_differ_do_not_make_the_builder_broken(study: Study) -> None:
    for message in ("KeyError: 0", "KeyError: 1", "ValueError: 2", "KeyError: 3", "KeyError: 4"):
        accounts, number = begun(study)
        accounts.end(number, "failed", Cause("error", message))
    assert accounts.broken is None


def test_epoch_under_way_when_the_budget_was_spent_is_not_counted(study: Study) -> None:
    accounts, first = begun(study, Budget(epochs=2))
    second = study.ask().number
    accounts.begin("ray-second", second)
    accounts.report(first, {"epoch": 1, "val_accuracy": 0.5})
    accounts.report(second, {"epoch": 1, "val_accuracy": 0.5})
    assert accounts.exceeds(first, {"epoch": 2, "val_accuracy": 0.6})
    assert not accounts.exceeds(first, {"epoch": 1, "val_accuracy": 0.5})  # trained again after an interruption: it was counted
    accounts.conclude(first, {"epoch": 2, "val_accuracy": 0.6})
    assert study.trial(first).intermediate_values == {1: 0.5}
    assert study.trial(first).user_attrs["cause"]["kind"] == "budget"


@dataclass
class Process:
    """Stands for a TrainingProcess: counts epochs, and keeps its checkpoint in a file."""

    fate: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    parameters: int = 7
    path: str = "compiled epoch"
    reason: str = ""
    warnings: list[str] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    trainings: int = trial.TRIALS_PER_PROCESS  # no other trial gets it

    def run_epoch(self, timeout_s: float | None) -> dict[str, float]:
        self.timeouts.append(timeout_s)
        if self.epoch + 1 == self.fate.get("refused at"):
            del self.fate["refused at"]
            raise OSError(28, "No space left on device", "/data/rows")
        if self.epoch + 1 == self.fate.get("dies at"):
            del self.fate["dies at"]
            raise ProcessDied("crash", "the process was killed by SIGKILL")
        self.epoch += 1
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

    def close(self) -> None:
        self.fate["closed"] = True


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a trial on a process with a fate of its own, without Ray and without time passing."""
    pauses: list[float] = []
    monkeypatch.setattr(trial, "worker_name", lambda: "here")
    monkeypatch.setattr(trial, "own_limits", Limits)
    monkeypatch.setattr(trial.time, "sleep", pauses.append)
    config = TrainingConfig(builder="b:b", configuration={}, task="classification", outputs=2, epochs=9, seed=0)
    context = trial.TrialContext(Pool(np.zeros((2, 1)), np.zeros(2)), (), config, str(tmp_path / "scratch"), str(tmp_path / "checkpoints"))

    def made(fate: dict[str, Any], **config: Any) -> trial.Trial:
        monkeypatch.setattr(trial, "TrainingProcess", lambda *_, **__: Process(fate))
        one = trial.Trial.__new__(trial.Trial)
        told = {"number": 3, "configuration": {}, "seed": 1, "epoch": 0, "pause_s": 0.0, "deadline_s": None, "larger_share": False, **config}
        one.setup(told, context=context)
        fate["pauses"] = pauses
        return one

    return made


def test_trial_whose_process_is_killed_goes_on_from_its_last_epoch(make, tmp_path: Path) -> None:
    fate: dict[str, Any] = {"dies at": 4}
    one = make(fate)
    reports = [one.step() for _ in range(4)]
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4]
    assert reports[-1]["ended"]["kind"] == "crash"
    one.cleanup()
    again = make(fate, epoch=3, pause_s=1.0)
    assert again.step()["epoch"] == 4
    assert fate["pauses"] == [1.0]
    for _ in range(5):
        report = again.step()
    assert report["last"]
    again.cleanup()
    # Nobody may have heard the last report, or nobody what follows from it: it is made again, and nothing is trained.
    for recorded in (8, 9):
        heard = make(fate, epoch=recorded)
        report = heard.step()
        assert (report["epoch"], report["last"], report["val_accuracy"]) == (9, True, 0.9)
    assert fate["saves"] == 9
    heard.reset_config({"number": 4, "configuration": {}, "seed": 1, "epoch": 0, "pause_s": 0.0, "deadline_s": None, "larger_share": False})
    assert (tmp_path / "checkpoints/3/state").read_text() == "9"  # the sweep keeps the best


def test_full_disk_under_a_trial_has_a_cause_of_its_own_and_is_tried_again(make, study: Study) -> None:
    fate: dict[str, Any] = {"refused at": 2}
    one = make(fate)
    one.step()
    ended = one.step()["ended"]
    assert ended == {"kind": "storage", "message": "/data/rows: No space left on device", "details": ""}
    accounts, number = begun(study)
    accounts.end(number, "failed", Cause(**ended))
    assert study.trial(number).state.name == "WAITING"
    for _ in range(failures.CAUSES["storage"].retries):
        accounts, number = begun(study)
        accounts.end(number, "failed", Cause(**ended))
    assert study.trial(number).user_attrs["cause"]["kind"] == "storage"


def test_epoch_that_was_saved_but_never_recorded_is_reported_by_the_next_run(make) -> None:
    fate: dict[str, Any] = {}
    one = make(fate)
    saved = [one.step() for _ in range(3)]
    one.cleanup()
    again = make(fate, epoch=1)  # the driver died when it had recorded the first epoch
    reports = [again.step() for _ in range(3)]
    assert [report["epoch"] for report in reports] == [2, 3, 4]
    assert [report["val_accuracy"] for report in reports[:2]] == [report["val_accuracy"] for report in saved[1:]]
    assert [report["last"] for report in reports] == [False] * 3


def test_storage_that_refuses_neither_ends_the_trial_nor_is_asked_after_every_epoch(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(trial.time, "monotonic", lambda: now[0])
    fate: dict[str, Any] = {"refusals": 3}
    one = make(fate)
    assert [one.step()["epoch"] for _ in range(4)] == [1, 2, 3, 4]
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
    one = make(fate)
    one._context = dataclasses.replace(one._context, milestones=(2, 6))
    saves = []
    for _ in range(9):
        one.step()
        saves.append(fate.get("saves", 0))
    assert saves == [0, 1, 1, 1, 1, 2, 2, 2, 3]
    assert (tmp_path / "checkpoints/3/state").read_text() == "9"


def test_trial_that_is_asked_to_stop_while_its_last_report_is_unheard_leaves_its_state(make, tmp_path: Path) -> None:
    fate: dict[str, Any] = {"refusals": 1}
    one = make(fate, epoch=0)
    one._context = dataclasses.replace(one._context, config=dataclasses.replace(one._context.config, epochs=1))
    assert one.step()["last"] and not (tmp_path / "checkpoints/3/state").exists()
    one.cleanup()
    assert (tmp_path / "checkpoints/3/state").read_text() == "1"


def test_damaged_checkpoint_starts_the_trial_again_and_says_so(make, tmp_path: Path) -> None:
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    (tmp_path / "checkpoints/3/state").write_text("torn")
    (tmp_path / "checkpoints/3/reports.json").write_text("{}")
    report = make({}).step()
    assert report["epoch"] == 1
    assert "its checkpoint is lost" in report["facts"]["restarted"] and "is damaged" in report["facts"]["restarted"]


def test_trainings_after_the_search_have_the_deadline_that_its_epochs_suggest(make) -> None:
    context = make({})._context
    process = Process({"seconds": 40.0})
    reports = evaluate._train(process, dataclasses.replace(context, deadline_s=100.0), 6)  # type: ignore[arg-type]
    assert len(reports) == 6 and process.timeouts == [100.0] * 5 + [800.0]
    process = Process()
    evaluate._train(process, dataclasses.replace(context, deadline_s=100.0, epoch_timeout_s=7.0), 2)  # type: ignore[arg-type]
    assert process.timeouts == [7.0] * 2


def test_epoch_has_the_deadline_of_the_sweep_or_of_the_trials_own_epochs(make) -> None:
    one = make({"seconds": 40.0}, deadline_s=100.0)
    for _ in range(6):
        one.step()
    assert one._process.timeouts == [100.0] * 5 + [800.0]
    other = make({"seconds": 1.0}, number=4)
    for _ in range(6):
        other.step()
    assert other._process.timeouts == [None] * 5 + [60.0]
