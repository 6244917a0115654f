"""What a sweep will take, from what a few networks took."""

from dataclasses import replace

import pytest

from search_spaces.space import space_of
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers.named import SearchSection
from tuner.study.objective import Objective
from tuner.sweep import costs
from tuner.sweep.costs import CostInputs, Measured, Span, expect

SPACE = space_of("net:build", {"rate": {"low": 0.001, "high": 1.0}})
PLAIN = CostInputs(
    SPACE,
    Objective("val_accuracy", "max"),
    SearchSection(sampler="random", trials=12),
    SchedulerSection(name="fifo", grace_period=1, audit=0.0),
    max_epochs=10,
    slots=2,
)
ONE = [Measured(seconds=2.0, start_s=1.0)]


def test_search_that_stops_nothing_takes_what_its_trials_take() -> None:
    stages, total = expect(PLAIN, ONE, seed=0)
    assert [stage.name for stage in stages] == ["search"]
    assert stages[0].epochs == Span(120, 120, 120)
    # Six trials one after another on each of two workers, give or take how fast the machine is.
    assert stages[0].seconds.low < 6 * 21 < stages[0].seconds.high
    assert total.seconds == stages[0].seconds


def test_long_search_is_told_from_its_beginning() -> None:
    trials = 5 * costs.MOST_SIMULATED
    (stage,), _ = expect(replace(PLAIN, search=SearchSection(sampler="random", trials=trials)), ONE, seed=0)
    assert stage.epochs == Span(10 * trials, 10 * trials, 10 * trials)
    assert stage.seconds.low < trials / 2 * 21 < stage.seconds.high
    epochs = 7 * costs.MOST_SIMULATED * 10
    (stage,), _ = expect(replace(PLAIN, search=SearchSection(sampler="random", epochs=epochs)), ONE, seed=0)
    assert stage.epochs == Span(epochs, epochs, epochs)


def test_long_search_on_many_workers_is_told_from_two_trials_of_each() -> None:
    wide = replace(PLAIN, search=SearchSection(sampler="random", trials=600), slots=60)
    (stage,), _ = expect(wide, ONE, seed=0)
    assert stage.epochs.middle == 6000
    assert stage.seconds.low < 10 * 21 < stage.seconds.high


def test_early_stopping_saves_epochs_but_never_the_grace_period() -> None:
    stopping = replace(PLAIN, scheduler=SchedulerSection(name="asha", grace_period=2, audit=0.0), search=SearchSection(trials=40))
    (stage,), _ = expect(stopping, ONE, seed=0)
    assert 80 <= stage.epochs.low <= stage.epochs.high < 300
    assert all(count == int(count) for count in (stage.epochs.low, stage.epochs.middle, stage.epochs.high))


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_budgets_bound_the_forecast(metric: str) -> None:
    plan = replace(PLAIN, objective=Objective.of(metric))
    (epochs,), _ = expect(replace(plan, search=SearchSection(epochs=50)), ONE, seed=0)
    assert epochs.epochs == Span(50, 50, 50)
    (seconds,), _ = expect(replace(plan, search=SearchSection(seconds=60)), ONE, seed=0)
    # An epoch of two seconds, give or take, is under way, and the end takes a moment.
    assert 60 <= seconds.seconds.low <= seconds.seconds.high < 70


def test_confirming_stays_within_its_budget_and_retraining_takes_all_rows() -> None:
    whole = replace(PLAIN, confirm=3, confirm_budget=0.5, seeds=3, pool_share=1.5)
    stages, total = expect(whole, ONE, seed=0)
    confirm, retrain = stages[1:]
    assert (confirm.name, retrain.name) == ("confirm", "retrain")
    assert 0 < confirm.epochs.high <= 60
    assert retrain.epochs.high <= 30
    fewer, _ = expect(replace(whole, pool_share=1.0), ONE, seed=0)
    assert fewer[2].seconds.middle < retrain.seconds.middle
    assert total.epochs.low > 120
    assert expect(whole, ONE, seed=0) == (stages, total)


@pytest.mark.parametrize(("confirmed", "first"), [(3, "confirm"), (1, "retrain")])
def test_first_stage_after_the_search_waits_for_new_workers_and_no_other_does(confirmed: int, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(PLAIN, confirm=confirmed, confirm_budget=0.5, seeds=3)
    monkeypatch.setattr(costs, "WORKERS_S", (0.0, 0.0))
    at_once, _ = expect(plan, ONE, seed=0)
    monkeypatch.setattr(costs, "WORKERS_S", (200.0, 1000.0))
    waiting, _ = expect(plan, ONE, seed=0)
    waited = {now.name: then.seconds.low - now.seconds.low for now, then in zip(at_once, waiting, strict=True)}
    assert 200.0 < waited[first] < 1000.0
    assert all(seconds == pytest.approx(0.0) for name, seconds in waited.items() if name != first)


def test_networks_that_differ_widen_the_range() -> None:
    mixed = [Measured(0.5, 0.0), Measured(4.0, 0.0), Measured(1.0, 0.0)]
    (narrow,), _ = expect(PLAIN, [Measured(2.0, 0.0)], seed=0)
    (wide,), _ = expect(PLAIN, mixed, seed=0)
    assert wide.seconds.high / wide.seconds.low > narrow.seconds.high / narrow.seconds.low


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="got no measured network"):
        expect(PLAIN, [], seed=0)
