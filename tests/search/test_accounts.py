"""The accounts between Ray and the study: budgets, states, causes, and that they are true whatever happens in whatever order."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rig import EPOCHS, RayTrial, Rig
from tuner.search.accounts import Budget
from tuner.search.samplers.named import SearchSection
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.record import STATES, history_of

# ---- budgets


def test_trials_beyond_the_budget_are_not_begun_but_lost_ones_are_waited_for() -> None:
    rig = Rig(trials=2)
    first, _ = rig.suggest()
    second, _ = rig.suggest()
    assert rig.suggest() is None
    rig.run(first)
    rig.searcher.on_trial_complete(second, error=True)
    third, resumed = rig.suggest()
    assert resumed["number"] == 1
    rig.run(third)
    assert rig.suggest() == "FINISHED"


def test_epochs_and_seconds_end_the_search_and_what_runs_is_pruned_by_budget() -> None:
    rig = Rig(epochs=5)
    first, _ = rig.suggest()
    assert [rig.report(first, epoch, 0.4) for epoch in range(1, 6)] == ["CONTINUE"] * 4 + ["STOP"]
    assert rig.suggest() == "FINISHED"
    assert rig.study.trials()[0].user_attrs["cause"] == {"kind": "budget", "message": "the budget of 5 epochs is spent", "details": ""}
    now = [100.0]
    rig = Rig(seconds=10.0, clock=lambda: now[0])
    first, _ = rig.suggest()
    assert rig.report(first, 1, 0.4) == "CONTINUE"
    now[0] = 110.0
    assert rig.report(first, 2, 0.4) == "STOP"
    assert rig.suggest() == "FINISHED"
    later = Rig(rig.study, seconds=12.0, clock=lambda: now[0])  # two seconds more than were spent
    assert isinstance(later.suggest(), tuple)
    now[0] = 112.0
    assert later.suggest() == "FINISHED"


def test_what_waits_when_a_budget_is_spent_ends_with_it_and_what_had_not_begun_stays_in_the_queue() -> None:
    rig = Rig(epochs=3)
    first, _ = rig.suggest()
    second, _ = rig.suggest()
    rig.suggest()
    rig.study.enqueue({}, {"configuration": {"x": 0.5}})
    rig.report(second, 1, 0.3)
    rig.report(first, 1, 0.4), rig.report(first, 2, 0.5)
    assert rig.suggest() == "FINISHED"
    assert "search_ended" not in rig.study.facts  # a driver that is killed now leaves trials that a later one must see to
    rig.accounts.settle()
    assert "search_ended" not in rig.study.facts
    rig.searcher.on_trial_complete(second, error=True)
    rig.accounts.release_all()
    rig.accounts.settle()
    assert rig.states() == ["pruned", "pruned", "failed", "waiting"]
    assert {trial.user_attrs["cause"]["kind"] for trial in rig.study.trials("pruned", "failed")} == {"budget"}
    assert rig.study.facts["search_ended"] == "the budget of 3 epochs is spent"


# ---- accounts


def test_states_and_causes_are_told_as_they_are() -> None:
    rig = Rig()
    ids = [rig.suggest()[0] for _ in range(5)]
    rig.run(ids[0], 0.9)
    assert rig.report(ids[1], 1, 0.1) == "CONTINUE"
    assert rig.report(ids[1], 2, 0.1) == "STOP"
    rig.done(ids[2], 1, 0.2, ended=Cause("error", "signal 11", "..."))
    rig.end(ids[3], rig.told(ids[3], ended=Cause("diverged", "loss is nan in epoch 1")))
    rig.done(ids[4], ended=Cause("memory", "too large"))
    assert rig.states() == ["complete", "pruned", "failed", "failed", "failed"]
    assert [trial.user_attrs.get("cause", {}).get("kind") for trial in rig.study.trials()] == [None, "scheduler", "error", "diverged", "memory"]
    assert rig.study.trials()[2].intermediate_values == {1: 0.2}


def test_a_lost_worker_is_forgiven_twice() -> None:
    rig = Rig(trials=1)
    for _ in range(3):
        ray_id, suggestion = rig.suggest()
        assert suggestion["number"] == 0
        rig.scheduler.on_trial_error(None, RayTrial(ray_id))
        rig.searcher.on_trial_complete(ray_id, error=True)
    assert rig.states() == ["failed"]
    assert rig.study.trials()[0].user_attrs["cause"]["kind"] == "lost"


def test_a_machine_that_is_taken_away_again_and_again_costs_no_trial_that_gets_on_in_between() -> None:
    rig = Rig(trials=1)
    for epoch in range(1, 7):
        ray_id, suggestion = rig.suggest()
        assert suggestion["epoch"] == epoch - 1 and suggestion["pause_s"] == (0.0 if epoch == 1 else 1.0)
        rig.report(ray_id, epoch, 0.4)
        rig.searcher.on_trial_complete(ray_id, error=True)
    assert rig.states() == ["waiting"]
    assert [entry["epoch"] for entry in rig.study.trials()[0].user_attrs["retried"]] == [1, 2, 3, 4, 5, 6]


def test_facts_in_a_result_become_facts_of_the_trial() -> None:
    rig = Rig()
    ray_id, _ = rig.suggest()
    rig.report(ray_id, 1, 0.5, facts={"parameters": 1234})
    trial = rig.study.trials()[0]
    assert trial.user_attrs["parameters"] == 1234
    assert trial.user_attrs["epoch_1"] == {"val_accuracy": 0.5}


def test_an_interrupt_leaves_nothing_running() -> None:
    rig = Rig()
    rig.suggest(), rig.suggest()
    rig.accounts.release_all()
    assert rig.states() == ["waiting", "waiting"]


KINDS = ["suggest", "report", "nan", "crash", "lose", "remove", "twice", "interrupt", "kill", "done"]
EVENTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.floats(0, 1)), max_size=60)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(events=EVENTS, trials=st.integers(1, 12))
def test_accounts_are_true_whatever_the_order_of_events(events: list[tuple[str, int, float]], trials: int) -> None:
    rig = Rig(trials=trials)
    live: dict[str, int] = {}  # Ray's id -> last epoch
    told: dict[tuple[int, int], float] = {}  # first value told of each epoch of each trial
    finished: dict[int, str] = {}
    for kind, pick, value in events:
        if kind == "suggest":
            suggested = rig.suggest()
            if isinstance(suggested, tuple):
                live[suggested[0]] = suggested[1]["epoch"]
        elif kind in ("interrupt", "kill"):
            if kind == "interrupt":
                rig.accounts.release_all()
            else:
                for trial in rig.study.trials("running"):
                    rig.study.release(trial.number)
            rig, live = Rig(rig.study, trials=trials), {}
        elif live:
            ray_id = sorted(live)[pick % len(live)]
            number = rig.accounts.number_of(ray_id)
            assert number is not None
            epoch = live[ray_id] + 1
            if kind in ("report", "twice", "nan", "done"):
                value = math.nan if kind == "nan" else value
                told.setdefault((number, epoch), value)
                if kind == "done" or epoch == EPOCHS:
                    rig.done(ray_id, epoch, value, last=True)
                    del live[ray_id]
                else:
                    decision = rig.report(ray_id, epoch, value)
                    if kind == "twice":
                        rig.accounts.report(EpochReport(number, epoch, {"val_accuracy": 1.0 - value}))
                    live[ray_id] = epoch
                    if decision == "STOP":
                        del live[ray_id]
            else:
                if kind == "crash":
                    rig.done(ray_id, ended=Cause("crash", "gone"))
                elif kind == "lose":
                    rig.searcher.on_trial_complete(ray_id, error=True)
                else:
                    rig.scheduler.on_trial_remove(None, RayTrial(ray_id))
                    rig.searcher.on_trial_complete(ray_id)
                del live[ray_id]
        for trial in rig.study.trials():
            state = STATES[trial.state]
            assert finished.setdefault(trial.number, state) == state if trial.state.is_finished() else trial.number not in finished
    rig.accounts.release_all()
    assert "running" not in rig.states()
    assert len(rig.states()) <= trials
    for trial in rig.study.trials():
        values = {epoch: value for (number, epoch), value in told.items() if number == trial.number}
        assert list(history_of(trial)) == sorted(values)
        assert trial.intermediate_values == {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        cause = trial.user_attrs.get("cause", {}).get("kind")
        expected = {"complete": (None,), "waiting": (None,), "pruned": ("scheduler", "budget"), "failed": ("crash", "undefined", "scheduler", "lost", "error")}
        assert cause in expected[STATES[trial.state]]


def test_budget_is_a_plain_value() -> None:
    assert SearchSection(trials=3, seconds=2.0).budget == Budget(trials=3, epochs=None, seconds=2.0)
