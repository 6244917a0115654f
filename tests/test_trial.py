"""The trainable: which process a trial gets."""

from typing import Any

import pytest

from tuner.process import Limits, ProcessDied
from tuner.training import Recipe
from tuner.trial import TRIALS_PER_PROCESS, Trial

RECIPE = Recipe("tests.builders:network", {}, "classification", 3, 3, 1)


class Process:
    """Stands for a training's process."""

    def __init__(self, *, limits: Limits | None = None, trainings: int = 1, dies: bool = False) -> None:
        self.limits, self.trainings, self.closed, self._dies = limits or Limits(), trainings, False, dies

    def begin(self, recipe: Recipe) -> None:
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


def test_the_next_trial_gets_the_process_of_the_one_before() -> None:
    process = Process()
    trial = ended(process)
    assert trial._reused(RECIPE, Limits()) is process and not process.closed


@pytest.mark.parametrize(
    ("process", "failed"),
    [(Process(), True), (Process(trainings=TRIALS_PER_PROCESS), False), (Process(limits=Limits(gpus=("0",))), False)],
    ids=["failed", "served enough", "holds a GPU"],
)
def test_a_process_ends_with_a_trial_that_failed_that_was_its_last_or_that_holds_a_gpu(process: Process, failed: bool) -> None:
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
