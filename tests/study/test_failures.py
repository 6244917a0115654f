"""What follows from failures: one row of CAUSES per kind, and what is made of many that are alike."""

from pathlib import Path

import optuna
import pytest

from tuner.search.accounts import Accounts, Budget
from tuner.study import failures
from tuner.study.backends import open_study
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study


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
    accounts.report(EpochReport(number, 1, {"val_accuracy": 0.5}))
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
    accounts.report(EpochReport(first, 1, {"val_accuracy": 0.5}))
    accounts.report(EpochReport(second, 1, {"val_accuracy": 0.5}))
    assert accounts.exceeds(EpochReport(first, 2, {"val_accuracy": 0.6}))
    assert not accounts.exceeds(EpochReport(first, 1, {"val_accuracy": 0.5}))  # trained again after an interruption: it was counted
    accounts.conclude(EpochReport(first, 2, {"val_accuracy": 0.6}))
    assert study.trial(first).intermediate_values == {1: 0.5}
    assert study.trial(first).user_attrs["cause"]["kind"] == "budget"


def test_training_has_the_deadline_of_others_until_its_own_epochs_tell_and_the_stated_one_always() -> None:
    for stated_s, others_s, timeouts in ((None, 100.0, [100.0] * 5 + [800.0]), (None, None, [None] * 5 + [800.0]), (7.0, 100.0, [7.0] * 6)):
        watch, asked = failures.Watch(stated_s, others_s), []
        for _ in range(6):
            asked.append(watch.timeout_s)
            watch.note(40.0)
        assert asked == timeouts


@pytest.mark.parametrize("kind", failures.CAUSES)
def test_every_cause_is_tried_again_as_often_as_its_row_says_and_then_ends_the_trial(study: Study, kind: str) -> None:
    retries = failures.CAUSES[kind].retries
    for attempt in range(retries + 1):
        accounts, number = begun(study)
        assert number == 0
        accounts.end(number, "failed", Cause(kind, f"attempt {attempt}"))
        assert study.trial(0).state.name == ("FAIL" if attempt == retries else "WAITING")
    assert study.trial(0).user_attrs["cause"] == {"kind": kind, "message": f"attempt {retries}", "details": ""}
    assert [entry["kind"] for entry in study.trial(0).user_attrs.get("retried", [])] == [kind] * retries
    assert len(failures.CAUSES[kind].help) > 10


@pytest.mark.parametrize("kind", [kind for kind, row in failures.CAUSES.items() if row.retries])
def test_a_failure_that_is_forgiven_counts_no_more_once_the_trial_got_on(study: Study, kind: str) -> None:
    row = failures.CAUSES[kind]
    for epoch in range(1, row.retries + 2):
        accounts, number = begun(study)
        accounts.report(EpochReport(number, epoch, {"val_accuracy": 0.5}))
        accounts.end(number, "failed", Cause(kind, "again"))
    assert study.trial(0).state.name == ("WAITING" if row.forgiven else "FAIL")


def test_processes_that_cannot_start_are_told_as_soon_as_four_trials_died_of_it(study: Study) -> None:
    for attempt in range(failures.ALIKE):
        for _ in range(failures.CAUSES["crash"].retries + 1):
            accounts, number = begun(study)
            assert accounts.broken is None and number == attempt
            accounts.end(number, "failed", Cause("crash", "the process was killed by SIGILL", "its last words"))
    assert accounts.broken == "all trials so far failed alike: the process was killed by SIGILL; expected a process that starts\nits last words"
