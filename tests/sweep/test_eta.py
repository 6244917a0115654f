"""What a running sweep says that it will still take."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tuner.report.schema import FACTS
from tuner.search.accounts import Accounts, Budget
from tuner.spec import sweep_spec as specs
from tuner.study.backends import open_study
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.sweep.eta import EARLIEST_S, MEASURED, Eta, measure


class Told:
    """A view that keeps the forecasts."""

    def __init__(self) -> None:
        self.forecasts: list[dict[str, Any]] = []

    def forecast(self, expected: Mapping[str, Any]) -> None:
        self.forecasts.append(dict(expected))


def begun(folder: Path, trials: int, first: Mapping[str, Any] | None = None) -> Study:
    """Trials of three epochs, 2 s each (the first one 5 s) and 1 s to start, one after another on two workers that began after 9 s.

    `first` are facts of trial 0.
    """
    study = open_study(folder, "s", Objective("val_accuracy", "max"))
    for number in range(trials):
        study.ask()
        for name, value in (first or {}).items() if number == 0 else ():
            study.set_trial_fact(number, name, value)
        study.set_trial_fact(number, "worker", f"host/{number % 2}")
        study.set_trial_fact(number, "started_at", 9.0 + (number // 2) * 10.0)
        for epoch, seconds in ((1, 5.0), (2, 2.0), (3, 2.0)):
            study.report(number, epoch, {"val_accuracy": 0.5, "seconds": seconds})
        study.finish(number, "complete")
    study.set_fact("search_seconds", 31.0)
    return study


def outlook(study: Study, view: Told) -> Eta:
    spec = specs.check({"name": "s", "search": {"sampler": "random", "trials": 12}, "scheduler": {"name": "fifo"}, "training": {"max_epochs": 3}})
    accounts = Accounts(study, max_epochs=3, budget=Budget(trials=12))
    return Eta(spec, accounts, slots=2, pool_share=1.25, networks=1, view=view)  # type: ignore[arg-type]


def test_what_is_no_epoch_is_start_or_waiting(tmp_path: Path) -> None:
    measured, waited_s = measure(begun(tmp_path, 4).trials(), 29.0)
    assert [each.seconds for each in measured] == [2.0] * 4
    # A second to start, and three more than usual for the first epoch, which compiles.
    assert [each.start_s for each in measured] == [pytest.approx(4.0)] * 4
    assert waited_s == pytest.approx(9.0)


def test_configuration_that_nobody_drew_tells_nothing_of_the_others(tmp_path: Path) -> None:
    measured, waited_s = measure(begun(tmp_path, 5, first={"source": "default"}).trials(), 29.0)
    assert len(measured) == 4
    assert waited_s == 0.0  # the first trial counts here: three of 10 s on one worker, in 29 s


def test_forecast_is_made_once_from_the_first_trials_and_kept(tmp_path: Path) -> None:
    study, view = begun(tmp_path, MEASURED), Told()
    looking = outlook(study, view)
    until = time.monotonic() + 60
    while not view.forecasts and time.monotonic() < until:
        looking.look()
        time.sleep(0.05)
    looking.close()
    (found,) = view.forecasts
    assert found == study.facts["forecast"]
    jsonschema.Draft202012Validator(FACTS["properties"]["forecast"]).validate(found)
    assert [stage["name"] for stage in found["stages"]] == ["search", "confirm", "retrain"]
    assert found["stages"][0]["epochs"] == {"low": 36.0, "middle": 36.0, "high": 36.0}
    # Nine seconds of waiting, then six trials of 10 s on each worker, give or take.
    assert found["stages"][0]["seconds"]["low"] < 69 < found["stages"][0]["seconds"]["high"]
    again = Told()
    outlook(study, again).close()
    assert again.forecasts == [found]


def test_search_that_has_just_begun_is_not_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, begun_with = begun(tmp_path, MEASURED), []
    monkeypatch.setattr(Eta, "_begin", lambda self, trials: begun_with.append(len(trials)))
    study.set_fact("search_seconds", EARLIEST_S - 20)
    outlook(study, Told()).look()
    assert begun_with == []
    study.set_fact("search_seconds", EARLIEST_S)
    outlook(study, Told()).look()
    assert begun_with == [MEASURED]


def test_too_few_trials_make_no_forecast(tmp_path: Path) -> None:
    study, view = begun(tmp_path, MEASURED - 1), Told()
    looking = outlook(study, view)
    looking.look()
    assert looking._process is None
    looking.close()
    assert "forecast" not in study.facts and not view.forecasts


def test_forecast_that_is_not_ready_when_the_search_ends_is_given_up(tmp_path: Path) -> None:
    study, view = begun(tmp_path, MEASURED), Told()
    looking = outlook(study, view)
    looking.look()
    assert looking._process is not None
    looking.close()
    assert looking._process is None and "forecast" not in study.facts
