"""The trainable: which process a trial gets."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.stand_in import StandIn
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied
from tuner.training.trial import TRIALS_PER_PROCESS, Trial

RECIPE = TrainingConfig("tests.builders:network", {}, "classification", 3, 3, 1)


class Process(StandIn):
    """Stands for a training's process."""

    def __init__(self, *, limits: Limits | None = None, trainings: int = 1, dies: bool = False) -> None:
        self.limits, self.trainings, self.closed, self._dies = limits or Limits(), trainings, False, dies

    def run_epoch(self, timeout_s: float | None) -> dict[str, float]:
        raise ProcessDied("memory", "the process ran out of memory")

    def begin(self, config: TrainingConfig) -> None:
        if self._dies:
            raise ProcessDied("crash", "it was killed meanwhile")

    def close(self) -> None:
        self.closed = True


def ended(process: Any, *, failed: bool = False) -> Trial:
    """Return a trainable whose trial has ended."""
    trial = Trial.__new__(Trial)
    trial._process, trial._spare, trial._failed = process, None, failed
    trial._end()
    return trial


@pytest.mark.parametrize("limits", [Limits(), Limits(gpus=("0",), gpu_memory_bytes=2**30)], ids=["processor", "GPU"])
def test_the_next_trial_gets_the_process_of_the_one_before(limits: Limits) -> None:
    process = Process(limits=limits)
    trial = ended(process)
    assert trial._reused(RECIPE, limits) is process and not process.closed


@pytest.mark.parametrize(
    ("process", "failed"),
    [(Process(), True), (Process(trainings=TRIALS_PER_PROCESS), False)],
    ids=["failed", "served enough"],
)
def test_a_process_ends_with_a_trial_that_failed_or_that_was_its_last(process: Process, failed: bool) -> None:
    trial = ended(process, failed=failed)
    assert process.closed and trial._reused(RECIPE, Limits()) is None


@pytest.mark.parametrize("process", [Process(dies=True), Process(limits=Limits(threads=2))], ids=["died", "other limits"])
def test_a_process_that_cannot_take_the_next_trial_is_replaced(process: Process) -> None:
    trial = ended(process)
    assert trial._reused(RECIPE, Limits()) is None and process.closed


def test_a_process_stays_for_the_next_trial_where_one_ends_before_it_began() -> None:
    process = Process()
    trial = ended(process)
    trial._end()
    assert trial._reused(RECIPE, Limits()) is process


@pytest.mark.parametrize("before", [1, 3], ids=["a fresh process", "a process that trained others"])
def test_memory_that_others_may_have_left_short_is_looked_for_in_a_fresh_process(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial.__new__(Trial)
    trial._context = SimpleNamespace(epoch_timeout_s=None, began=0.0, checkpoints="/nowhere", config=RECIPE)  # type: ignore[assignment]
    monkeypatch.setattr("tuner.training.trial.worker_name", lambda: "here")
    config = {"number": 4, "configuration": {}, "seed": 1, "pause_s": 0.0, "deadline_s": None, "larger_share": False, "epoch": 0}
    trial._begin(config)
    trial._process, trial._epoch = Process(trainings=before), 2  # type: ignore[assignment]
    begun: list[int] = []

    def start() -> Any:
        begun.append(trial._recorded)
        trial._process = Process()  # type: ignore[assignment]
        return trial._process

    monkeypatch.setattr(trial, "_start", start)
    ended = trial.step()["ended"]
    assert ended["kind"] == "memory"
    assert begun == ([] if before == 1 else [2])
