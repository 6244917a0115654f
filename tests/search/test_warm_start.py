"""What earlier sweeps teach: which of their trials, and whom."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from search_spaces.space import Parameter, SearchSpace
from tuner.errors import SpecError
from tuner.search import warm_start
from tuner.search.accounts import Accounts, Budget
from tuner.search.rules.forecast import ForecastStopping
from tuner.search.rules.named import SchedulerSection, build_rule
from tuner.search.samplers import forecast
from tuner.search.samplers.forecast import ForecastSampler
from tuner.search.samplers.named import SearchSection, build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.study.assignment import Assignment
from tuner.study.backends import open_study
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study

SPACE = SearchSpace("line", {"x": Parameter(FloatDistribution(0.0, 1.0)), "y": Parameter(FloatDistribution(0.0, 1.0))}, "nowhere:build")
ACCURACY = Objective.of("val_accuracy")
EPOCHS = 9


def value(x: float, epoch: int) -> float:
    return (1.0 - abs(x - 0.7)) * (1 - 0.5**epoch)


def begun(folder: Path) -> Study:
    study = open_study(folder, folder.name, ACCURACY, optuna.samplers.RandomSampler(seed=0))
    study.set_fact("builder", "nowhere:build"), study.set_fact("dataset", {"content_hash": "same"})
    study.set_fact("objective", {"metric": "val_accuracy", "mode": "max"})
    return study


def earlier(folder: Path) -> Study:
    """A sweep of 14 trials: complete ones, stopped ones, and three that failed, of which one says nothing of its configuration."""
    study = begun(folder)
    for number in range(14):
        trial = study.ask()
        parameters = {"x": trial.suggest_float("x", 0.0, 1.0), "y": trial.suggest_float("y", 0.0, 1.0)}
        study.set_trial_fact(number, "configuration", parameters)
        kind = {11: "diverged", 12: "memory", 13: "lost"}.get(number)
        for epoch in range(1, 1 if kind else EPOCHS + 1 if number % 2 else 3):
            study.report(number, epoch, {"val_accuracy": value(parameters["x"], epoch)})
        study.finish(number, "failed" if kind else "complete" if number % 2 else "pruned", Cause(kind or "scheduler", "made up"))
    return study


def taught(folder: Path) -> Study:
    earlier(folder / "before")
    study = begun(folder / "now")
    lines = warm_start.learn(study, [str(folder / "before")], SPACE, max_epochs=EPOCHS, content_hash="same")
    assert lines == [f"{folder / 'before'}: 13 of 13 trials lie in this space, and teach the sampler"]
    study.earlier = warm_start.earlier_trials(study)
    return study


def test_trials_that_tell_something_teach_and_are_no_trials_of_the_sweep(tmp_path: Path) -> None:
    study = taught(tmp_path)
    assert [trial.number for trial in study.earlier] == list(range(-13, 0))
    assert [trial.state.name for trial in study.earlier] == ["PRUNED", "COMPLETE"] * 5 + ["PRUNED", "FAIL", "FAIL"]
    assert study.count() == 0 and not study.trials()
    again = begun(tmp_path / "now")  # the earlier sweep may be gone by now
    assert warm_start.learn(again, ["/nowhere"], SPACE, max_epochs=EPOCHS, content_hash="same") == []
    assert [trial.params for trial in warm_start.earlier_trials(again)] == [trial.params for trial in study.earlier]


@pytest.mark.parametrize(("space", "content_hash", "about"), [("other:build", "same", "network"), ("nowhere:build", "another", "data")])
def test_sweep_about_something_else_is_refused(space: str, content_hash: str, about: str, tmp_path: Path) -> None:
    earlier(tmp_path / "before")
    with pytest.raises(SpecError, match=f"is about another {about}"):
        other = SearchSpace("line", SPACE.parameters, space)
        warm_start.learn(begun(tmp_path / "now"), [str(tmp_path / "before")], other, max_epochs=EPOCHS, content_hash=content_hash)


def test_sampler_and_rule_fit_one_process_and_both_see_the_earlier_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, section, fitted = taught(tmp_path), SearchSection(trials=10), []
    real = forecast.CurveProcess

    def counted(x: Any, *arguments: Any) -> Any:
        fitted.append(len(x))
        return real(x, *arguments)

    monkeypatch.setattr(forecast, "CurveProcess", counted)
    study.optuna.sampler = build_sampler(section, SPACE, study=study, max_epochs=EPOCHS, seed=0)
    accounts = Accounts(study, max_epochs=EPOCHS, budget=Budget(trials=10))
    stopping = SchedulerSection(audit=0.0)
    rule = build_rule(stopping, study, SPACE, max_epochs=EPOCHS, seed=0)
    searcher = StudySearcher(accounts, SPACE, section=section, rule=rule, seed=0)
    scheduler = StudyScheduler(accounts, rule, section=stopping, seed=0)
    assert isinstance(scheduler.rule, ForecastStopping) and isinstance(study.optuna.sampler, ForecastSampler)
    assert scheduler.rule.forecast is study.optuna.sampler.forecast
    assert len(fitted) == 1 and fitted[0] >= 13  # while nothing new is reported, nothing is fitted again
    for number in range(4):
        suggestion = searcher.suggest(f"ray-{number}")
        assert isinstance(suggestion, dict)
        assert Assignment.from_json(suggestion).number == number
    assert len(fitted) == 1
    sources = [trial.user_attrs["source"] for trial in study.trials()]
    assert "model" in sources[:4]  # thirteen earlier trials are warm-up enough
    for number in range(4):
        for epoch in (1, 2):
            report = EpochReport(number, epoch, {"val_accuracy": value(study.trial(number).params["x"], epoch)})
            scheduler.on_trial_result(None, type("Trial", (), {"trial_id": f"ray-{number}"})(), report.to_json())
    # One for each decision at epoch 2 that comes with new values.
    assert len(fitted) == 5


def test_trial_is_not_measured_against_the_end_of_another_sweep(tmp_path: Path) -> None:
    study = taught(tmp_path)
    sampler = build_sampler(SearchSection(trials=10), SPACE, study=study, max_epochs=EPOCHS, seed=0)
    assert isinstance(sampler, ForecastSampler)
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
    study.report(0, 1, {"val_accuracy": 0.1})
    posterior = sampler.forecast.update(study.view().study)
    assert posterior is not None
    assert posterior.chance(0) is None  # it has no rival here
    assert len(posterior.rival_points()) == 6  # the five that were complete, and itself: what the sampler has to beat
