import json
import math
from pathlib import Path

import optuna
import pytest

from tuner.errors import SweepError
from tuner.study.backends import JOURNAL, open_study
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study, history_of, last_epoch

OBJECTIVE = Objective("val_accuracy", "max")


def opened(folder: Path) -> Study:
    return open_study(folder, "s", OBJECTIVE, optuna.samplers.RandomSampler(seed=0))


def test_trial_is_told_with_its_best_value_and_not_its_last(tmp_path: Path) -> None:
    study = opened(tmp_path)
    number = study.ask().number
    for epoch, value in enumerate([0.5, 0.9, 0.7], start=1):
        study.report(number, epoch, {"val_accuracy": value, "loss": 1.0})
    study.finish(number, "complete")
    assert study.trial(number).value == 0.9
    assert study.trial(number).user_attrs["epoch_3"] == {"val_accuracy": 0.7, "loss": 1.0}


def test_everything_is_there_again_after_the_driver_was_killed(tmp_path: Path) -> None:
    study = opened(tmp_path)
    trial = study.ask()
    drawn = trial.suggest_float("x", 0, 1)
    study.set_trial_fact(trial.number, "configuration", {"x": drawn})
    study.report(trial.number, 1, {"val_accuracy": 0.5})
    study.set_fact("spec", {"seed": 1})

    again = opened(tmp_path)  # as after kill -9: nothing was closed
    assert again.facts["spec"] == {"seed": 1}
    assert [t.number for t in again.trials("waiting")] == [0]
    resumed = again.ask()
    assert resumed.number == 0
    assert resumed.suggest_float("x", 0, 1) == drawn
    assert again.trial(0).intermediate_values == {1: 0.5}


def test_reporting_or_finishing_twice_changes_nothing(tmp_path: Path) -> None:
    study = opened(tmp_path)
    number = study.ask().number
    study.report(number, 1, {"val_accuracy": 0.5})
    study.report(number, 1, {"val_accuracy": 0.6})
    study.finish(number, "pruned", Cause("scheduler", "below the cutoff"))
    study.finish(number, "complete")
    assert study.trial(number).value == 0.5
    assert study.trial(number).state.name == "PRUNED"
    assert study.trial(number).user_attrs["cause"]["kind"] == "scheduler"


def test_epoch_without_a_value_is_recorded_once_and_never_told_to_optuna(tmp_path: Path) -> None:
    study = opened(tmp_path)
    number = study.ask().number
    for epoch, value in enumerate([math.nan, 0.4, math.inf], start=1):
        study.report(number, epoch, {"val_accuracy": value, "loss": 1.0}, seconds=2.0)
        study.report(number, epoch, {"val_accuracy": 0.9, "loss": 0.0})
    assert study.trial(number).intermediate_values == {2: 0.4}
    assert study.trial(number).user_attrs["epoch_1"] == {"val_accuracy": None, "loss": 1.0, "seconds": 2.0}
    history = history_of(study.trial(number))
    assert list(history) == [1, 2, 3] and history[2] == 0.4 and math.isnan(history[1]) and math.isnan(history[3])
    assert last_epoch(study.trial(number)) == 3
    assert study.objective.best_epoch(history) == 2
    study.finish(number, "complete")
    assert study.trial(number).state.name == "COMPLETE" and study.trial(number).value == 0.4


def test_trial_whose_metric_never_had_a_value_has_failed_and_says_why(tmp_path: Path) -> None:
    study = opened(tmp_path)
    number = study.ask().number
    study.finish(number, "complete")
    assert study.trial(number).user_attrs["cause"]["message"] == "ended without a single epoch"
    number = study.ask().number
    for epoch in (1, 2):
        study.report(number, epoch, {"val_accuracy": math.nan})
    study.finish(number, "complete")
    cause = {"kind": "undefined", "message": "val_accuracy was no number in any of its 2 epochs", "details": ""}
    assert study.trial(number).state.name == "FAIL" and study.trial(number).user_attrs["cause"] == cause


def test_enqueued_configuration_is_the_next_trial_with_its_facts(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.enqueue({"x": 0.25}, {"baseline": "small"})
    trial = study.ask()
    assert trial.suggest_float("x", 0, 1) == 0.25
    assert study.trial(trial.number).user_attrs["baseline"] == "small"


def test_torn_last_line_is_cut_before_anything_is_written_after_it(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.ask()
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":5,"worker_id":"half a li')
    again = opened(tmp_path)
    again.ask()
    again.ask()
    assert len(again.trials()) == 2  # the first was running, and waited to be continued
    for line in journal.read_text().splitlines():
        json.loads(line)


def test_other_direction_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(SweepError, match="is to be maximized"):
        open_study(tmp_path, "s", Objective("val_loss", "min"))


def test_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("this is no journal\n")
    with pytest.raises(SweepError, match=r"journal\.log: line 1 is damaged .*; restore it from a copy"):
        opened(tmp_path)


def test_password_of_a_database_is_not_shown() -> None:
    with pytest.raises(SweepError, match="nosuch://host/db") as caught:
        open_study("nosuch://user:secret@host/db", "s", OBJECTIVE)
    assert "secret" not in str(caught.value)
