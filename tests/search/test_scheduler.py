"""Which trials are stopped early: the rules, what survives a restart, baselines, and the audit."""

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from search_spaces.space import Parameter, SearchSpace
from tuner.search.accounts import Accounts, Budget
from tuner.search.audit import audit_of
from tuner.search.rules.asha import Asha
from tuner.search.rules.named import SCHEDULERS, SchedulerSection, build_rule
from tuner.search.samplers.named import SearchSection
from tuner.search.scheduler import StudyScheduler
from tuner.search.simulate import Curve, Problem, search
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study, history_of

SPACE = SearchSpace("line", {"x": Parameter(FloatDistribution(0.0, 1.0)), "y": Parameter(FloatDistribution(0.0, 1.0))}, "nowhere:build")
ACCURACY = Objective.of("val_accuracy")
LOSS = Objective.of("val_loss")
EPOCHS = 27


class RayTrial:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def study_of(objective: Objective = ACCURACY) -> Study:
    return Study(optuna.create_study(direction=objective.direction), objective)


def add(study: Study, values: dict[int, float], state: str = "", **facts: Any) -> int:
    """Add a trial with these values; it runs unless a state is given."""
    trial = study.optuna.ask()
    trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
    for name, value in facts.items():
        study.set_trial_fact(trial.number, name, value)
    for epoch, value in values.items():
        study.report(trial.number, epoch, {study.objective.metric: value})
    if state:
        study.finish(trial.number, state, Cause("scheduler", "made up") if state == "pruned" else None)
    return trial.number


def scheduler_of(study: Study, name: str = "asha", audit: float = 0.0, seed: int = 0) -> tuple[StudyScheduler, Accounts]:
    accounts = Accounts(study, max_epochs=EPOCHS, budget=Budget(trials=1000))
    section = SchedulerSection(name=name, audit=audit)
    return StudyScheduler(accounts, build_rule(section, study, SPACE, max_epochs=EPOCHS, seed=seed), section=section, seed=seed), accounts


def told(number: int, epoch: int, value: float) -> dict[str, Any]:
    return EpochReport(number, epoch, {"val_accuracy": value}).to_json()


def learning(configuration: Any, seed: int) -> Curve:
    """A curve that ends at 1 - |x - 0.7| - 0.1 y and comes near it soon."""
    end = 1.0 - abs(configuration["x"] - 0.7) - 0.1 * configuration["y"]
    return Curve([end * (1 - math.exp(-epoch / 4)) for epoch in range(1, EPOCHS + 1)], [1.0] * EPOCHS)


def crossing(configuration: Any, seed: int) -> Curve:
    """What learns fast ends low: the slope falls as the end rises, and no early value tells the end but by its place in the space."""
    x = configuration["x"]
    pace = 1.0 + 11.0 * x
    return Curve([(0.5 + 0.5 * x) * (1 - math.exp(-epoch / pace)) - 0.05 * abs(configuration["y"] - 0.5) for epoch in range(1, EPOCHS + 1)], [1.0] * EPOCHS)


# ---- restarts


def test_rungs_are_rebuilt_from_the_study_each_value_at_its_own_epoch() -> None:
    study = study_of()
    add(study, {1: 0.1, 2: 0.2, 3: 0.3}, "pruned")
    add(study, {epoch: 0.01 * epoch for epoch in range(1, EPOCHS + 1)}, "complete")
    add(study, {20: 0.9})  # went on at epoch 20 after a restart by another program: no rung is its own
    add(study, {epoch: 0.5 for epoch in range(1, 10)}, "complete", audit={"epoch": 2, "reason": "made up"})
    rule = scheduler_of(study)[0].rule
    assert isinstance(rule, Asha)
    assert rule.rungs == {2: {0: 0.0 - 0.2, 1: -0.02, 3: -0.5}, 6: {1: -0.06}, 18: {1: -0.18}}


def test_restarted_scheduler_decides_as_the_first_would_have() -> None:
    study = study_of()
    for value in (0.1, 0.5, 0.3, 0.9):
        add(study, {1: value, 2: value})
    first = scheduler_of(study)[0].rule
    again = scheduler_of(study)[0].rule
    for value in (0.2, 0.95, 0.5):
        assert first.decide(99, 2, {2: value}) == again.decide(99, 2, {2: value})


# ---- the Ray scheduler


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_runs_a_search_and_tells_states_truly(name: str) -> None:
    section = SearchSection(sampler="random", trials=30)
    study, events = search(Problem(SPACE, ACCURACY, learning, EPOCHS), search=section, scheduler=SchedulerSection(name=name), workers=4, seed=1)
    trials = study.trials()
    assert len(trials) == 30
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    for trial in trials:
        assert sorted(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
        assert (trial.state.name == "COMPLETE") == (EPOCHS in trial.intermediate_values)
        assert (trial.user_attrs.get("cause", {}).get("kind") == "scheduler") == (trial.state.name == "PRUNED")
    assert len(events) == sum(len(trial.intermediate_values) for trial in trials)
    assert (len(events) == 30 * EPOCHS) == (name == "fifo")


def undefined_at_first(configuration: Any, seed: int) -> Curve:
    """Half of the space has no value before epoch 4, a corner never has one, and one epoch of the others is missing."""
    curve = learning(configuration, seed)
    missing = range(EPOCHS) if configuration["x"] > 0.9 else range(4) if configuration["x"] > 0.5 else (6,)
    return Curve([math.nan if epoch in missing else value for epoch, value in enumerate(curve.values)], curve.seconds)


@pytest.mark.parametrize("sampler", ["random", "forecast", "tpe"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_epochs_without_a_value_are_no_failures_and_a_trial_without_any_is_one(name: str, sampler: str) -> None:
    section = SearchSection(sampler=sampler, trials=40)
    problem = Problem(SPACE, ACCURACY, undefined_at_first, EPOCHS)
    study, events = search(problem, search=section, scheduler=SchedulerSection(name=name, audit=0.0), workers=4, seed=1)
    assert len(events) == sum(len(history_of(trial)) for trial in study.trials())
    for trial in study.trials():
        never = trial.params["x"] > 0.9
        assert (trial.state.name == "FAIL") == never
        assert trial.user_attrs.get("cause", {}).get("kind") == ("undefined" if never else "scheduler" if trial.state.name == "PRUNED" else None)
        if trial.state.name == "COMPLETE":
            assert len(history_of(trial)) == EPOCHS > len(trial.intermediate_values)


def test_loss_that_is_no_number_ends_a_trial_whatever_the_objective_is() -> None:
    study = study_of()
    scheduler, accounts = scheduler_of(study)
    number = add(study, {})
    accounts.begin("a", number)
    result = EpochReport(number, 1, {"val_accuracy": 0.5, "val_loss": math.nan}).to_json()
    assert scheduler.on_trial_result(None, RayTrial("a"), result) == "STOP"
    assert study.trial(number).user_attrs["cause"] == {"kind": "diverged", "message": "val_loss is nan at epoch 1", "details": ""}


def test_trial_that_stops_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, str]] = []
    finish = Study.finish

    def counted(self: Study, number: int, state: str, cause: Cause | None = None) -> None:
        ended.append((number, state))
        finish(self, number, state, cause)

    monkeypatch.setattr(Study, "finish", counted)
    section = SearchSection(sampler="random", trials=20)
    search(Problem(SPACE, ACCURACY, learning, EPOCHS), search=section, scheduler=SchedulerSection(name="asha"), workers=4, seed=1)
    assert sorted(number for number, _ in ended) == list(range(20))
    assert {state for _, state in ended} == {"complete", "pruned"}


def test_baselines_run_to_their_end() -> None:
    study = study_of()
    for _ in range(6):
        add(study, {1: 0.9, 2: 0.9}, "pruned")
    scheduler, accounts = scheduler_of(study)
    number = add(study, {}, baseline="by hand")
    accounts.begin("a", number)
    for epoch in range(1, EPOCHS):
        assert scheduler.on_trial_result(None, RayTrial("a"), told(number, epoch, 0.1)) == "CONTINUE"
    assert scheduler.on_trial_result(None, RayTrial("a"), told(number, EPOCHS, 0.1)) == "STOP"
    assert study.trials()[number].state.name == "COMPLETE"


def test_a_result_is_recorded_before_the_decision_is_returned_and_an_epoch_trained_again_is_not_decided_again() -> None:
    study = study_of()
    scheduler, accounts = scheduler_of(study)
    number = add(study, {1: 0.1, 2: 0.1, 3: 0.1})
    for _ in range(6):
        add(study, {1: 0.9, 2: 0.9}, "pruned")
    scheduler, accounts = scheduler_of(study)
    accounts.begin("a", number)
    assert [scheduler.on_trial_result(None, RayTrial("a"), told(number, epoch, 0.7)) for epoch in (2, 3, 4)] == ["CONTINUE"] * 3
    assert study.trials()[number].intermediate_values == {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.7}
    assert accounts.epochs == 4 + 12


def test_driver_that_died_between_the_record_and_the_decision_has_it_made_up_for() -> None:
    study = study_of()
    for _ in range(6):
        add(study, {1: 0.9, 2: 0.9}, "pruned")
    fallen, fine, whole = add(study, {1: 0.1, 2: 0.1}), add(study, {1: 0.95, 2: 0.95}), add(study, {EPOCHS: 0.95})
    between, by_hand = add(study, {1: 0.1}), add(study, {1: 0.1, 2: 0.1}, baseline="by hand")
    study.take_over()
    scheduler, _ = scheduler_of(study)
    assert [study.trial(number).state.name for number in (fallen, fine, whole, between, by_hand)] == ["PRUNED", "WAITING", "COMPLETE", "WAITING", "WAITING"]
    assert study.trial(fallen).user_attrs["cause"]["kind"] == "scheduler"
    assert {fallen, fine, by_hand} <= set(scheduler.rule.rungs[2])


# ---- the forecast


def regret(study: Study, curves: Any) -> float:
    """How far the end of the configuration with the best end falls behind the best there is."""
    best = max(curves({"x": x / 200, "y": y / 4}, 0).values[-1] for x in range(201) for y in range(5))
    ends = [curves(trial.user_attrs["configuration"], 0).values[-1] for trial in study.trials() if trial.state.name == "COMPLETE"]
    return best - max(ends, default=0.0)


@pytest.mark.parametrize("curves", [learning, crossing])
def test_forecasts_find_better_ends_than_random_search_with_asha_in_as_many_epochs(curves: Any) -> None:
    regrets: dict[str, float] = {}
    for sampler, scheduler in (("random", "asha"), ("forecast", "forecast")):
        regrets[sampler] = 0.0
        for seed in range(4):
            section = SearchSection(sampler=sampler, epochs=12 * EPOCHS)
            problem, rule = Problem(SPACE, ACCURACY, curves, EPOCHS), SchedulerSection(name=scheduler, audit=0.0)
            study, _ = search(problem, search=section, scheduler=rule, workers=4, seed=seed)
            regrets[sampler] += regret(study, curves) / 4
    assert regrets["forecast"] < 0.5 * regrets["random"]


@pytest.mark.parametrize("seed", range(3))
def test_forecast_keeps_one_of_the_best_to_its_end_where_early_values_mislead(seed: int) -> None:
    section, rule = SearchSection(sampler="random", trials=40), SchedulerSection(name="forecast", audit=0.0)
    study, _ = search(Problem(SPACE, ACCURACY, crossing, EPOCHS), search=section, scheduler=rule, workers=4, seed=seed)
    ends = {trial.number: crossing(trial.user_attrs["configuration"], 0).values[-1] for trial in study.trials()}
    complete = [ends[trial.number] for trial in study.trials() if trial.state.name == "COMPLETE"]
    assert max(complete) > max(ends.values()) - 0.03
    assert len(complete) < 10


# ---- the audit


def test_audit_lets_a_few_stopped_trials_run_on_within_its_share_and_says_so() -> None:
    section = SearchSection(sampler="random", trials=150)
    study, events = search(Problem(SPACE, ACCURACY, learning, EPOCHS), search=section, scheduler=SchedulerSection(name="asha", audit=0.1), workers=4, seed=0)
    audited = [trial for trial in study.trials() if "audit" in trial.user_attrs]
    beyond = sum(max(trial.intermediate_values) - trial.user_attrs["audit"]["epoch"] for trial in audited)
    assert len(audited) >= 2
    assert all(trial.state.name == "COMPLETE" for trial in audited)
    assert beyond <= 0.1 * len(events)
    facts = audit_of(study.trials(), ACCURACY, max_epochs=EPOCHS)
    stopped = [trial for trial in study.trials() if trial.state.name == "PRUNED"]
    assert facts == {
        "stopped": len(stopped),
        "audited": len(audited),
        "better": 0,
        "interval": facts["interval"],
        "epochs_saved": sum(EPOCHS - max(trial.intermediate_values) for trial in stopped),
        "epochs_audited": beyond,
    }
    assert facts["interval"][0] == 0.0
    assert 0.3 < facts["interval"][1] < 1.0


def test_audit_counts_a_stopped_trial_that_would_have_won() -> None:
    study = study_of()
    add(study, {epoch: 0.6 for epoch in range(1, EPOCHS + 1)}, "complete")
    add(study, {1: 0.1, 2: 0.1}, "pruned")
    add(study, {**{1: 0.1, 2: 0.1}, EPOCHS: 0.7}, "complete", audit={"epoch": 2, "reason": "made up"})
    facts = audit_of(study.trials(), ACCURACY, max_epochs=EPOCHS)
    assert (facts["audited"], facts["better"], facts["stopped"], facts["epochs_saved"]) == (1, 1, 1, EPOCHS - 2)
    assert facts["interval"][1] == 1.0


def test_audit_says_nothing_of_how_often_where_it_could_not_look() -> None:
    assert audit_of([], ACCURACY, max_epochs=EPOCHS)["interval"] == [0.0, 1.0]


def test_trial_whose_training_came_to_its_end_is_complete_and_says_why() -> None:
    study = study_of()
    scheduler, accounts = scheduler_of(study, "fifo")
    number = add(study, {})
    accounts.begin("ray", number)
    why = Cause("patience", "no better for 3 epochs")
    report = EpochReport(number, 4, {"val_accuracy": 0.5}, last=True, stopped=why)
    assert scheduler.on_trial_result(None, RayTrial("ray"), report.to_json()) == "STOP"
    trial = study.trial(number)
    assert trial.state.name == "COMPLETE" and trial.user_attrs["cause"] == {"kind": "patience", "message": "no better for 3 epochs", "details": ""}
    assert EpochReport.from_json(report.to_json()) == report
