"""How trials are chosen: the table of samplers, the accounts between Ray and the study, the queue, the budgets, and no duplicates."""

import json
import math
import time
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.space import Condition, Parameter, SearchSpace
from tuner.accounts import Accounts, Budget, seed_of
from tuner.errors import SpecError
from tuner.objective import Objective
from tuner.rules import SchedulerSection
from tuner.samplers.encoding import INACTIVE, Encoding
from tuner.scheduler import StudyScheduler
from tuner.searcher import SAMPLERS, SearchSection, StudySearcher, build_sampler, key_of
from tuner.study import STATES, Study, open_study

SPACE = SearchSpace(
    "made up",
    {
        "kind": Parameter(CategoricalDistribution(["plain", "curved"])),
        "bend": Parameter(FloatDistribution(0.0, 1.0), (Condition("kind", ("curved",)),)),
        "rate": Parameter(FloatDistribution(1e-4, 1.0, log=True)),
        "size": Parameter(IntDistribution(1, 64, log=True)),
        "second": Parameter(IntDistribution(2, 10, step=4), (Condition("size", at_least=8),)),
        "fixed": Parameter(CategoricalDistribution([5])),
    },
    "nowhere:build",
)
SMALL = SearchSpace("small", {"a": Parameter(IntDistribution(1, 3)), "b": Parameter(CategoricalDistribution(["left", "right"]))}, "nowhere:build")
ACCURACY = Objective.of("val_accuracy")
EPOCHS = 9


class RayTrial:
    """What a scheduler sees of Ray's trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


class Rig:
    """Searcher and scheduler over one study, driven by hand as Ray's controller does it."""

    def __init__(
        self, study: Study | None = None, *, space: SearchSpace = SPACE, sampler: str = "random", seed: int = 0, clock: Any = time.monotonic, **budget: Any
    ) -> None:
        self.section = SearchSection(sampler=sampler, **(budget or {"trials": 1000}))
        self.study = study or Study(optuna.create_study(direction="maximize"), ACCURACY)
        self.study.optuna.sampler = build_sampler(
            self.section, space, objective=ACCURACY, max_epochs=EPOCHS, seed=seed, trials=len(self.study.trials())
        )
        self.accounts = Accounts(self.study, max_epochs=EPOCHS, budget=self.section.budget, clock=clock)
        self.searcher = StudySearcher(self.accounts, space, section=self.section, seed=seed)
        self.scheduler = StudyScheduler(self.accounts, space, section=SchedulerSection(name="asha", audit=0.0), seed=seed)
        self._count = 0

    def suggest(self) -> Any:
        self._count += 1
        suggestion = self.searcher.suggest(f"ray-{self._count}")
        return (f"ray-{self._count}", suggestion) if isinstance(suggestion, dict) else suggestion

    def report(self, ray_id: str, epoch: int, value: float, **more: Any) -> str:
        """Deliver a result that is not done, and the completion where the scheduler stops the trial."""
        result = {"number": self.accounts.number_of(ray_id), "epoch": epoch, "val_accuracy": value, "training_iteration": 1, **more}
        decision = self.scheduler.on_trial_result(None, RayTrial(ray_id), result)
        if decision == "STOP":
            self.done(ray_id, result)
        else:
            self.searcher.on_trial_result(ray_id, result)
        return decision

    def done(self, ray_id: str, result: dict[str, Any]) -> None:
        self.scheduler.on_trial_complete(None, RayTrial(ray_id), result)
        self.searcher.on_trial_complete(ray_id, result)

    def run(self, ray_id: str, value: float = 0.5, first: int = 1) -> None:
        for epoch in range(first, EPOCHS):
            if self.report(ray_id, epoch, value) == "STOP":
                return
        self.done(ray_id, {"epoch": EPOCHS, "val_accuracy": value, "done": True})

    def states(self) -> list[str]:
        return [STATES[trial.state] for trial in self.study.trials()]


def value_of(configuration: dict[str, Any]) -> float:
    return 1.0 - abs(math.log10(configuration["rate"]) + 2.0) / 4.0


# ---- the table of samplers


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("grid", "gp")])
def test_every_sampler_stays_in_the_space_and_leaves_inactive_parameters_out(name: str) -> None:
    rig = Rig(sampler=name, trials=25)
    while isinstance(suggested := rig.suggest(), tuple):
        ray_id, suggestion = suggested
        assert SPACE.check(suggestion["configuration"]) == suggestion["configuration"]
        trial = rig.study.trials()[suggestion["number"]]
        assert trial.params == SPACE.parameters_of(suggestion["configuration"])
        rig.run(ray_id, value_of(suggestion["configuration"]))
    assert suggested == "FINISHED"
    assert rig.study.facts["search_ended"] == "the budget of 25 trials is spent"


def test_grid_runs_every_configuration_once_and_says_that_the_space_is_exhausted() -> None:
    rig = Rig(sampler="grid", space=SMALL, epochs=10_000)
    seen = []
    while isinstance(suggested := rig.suggest(), tuple):
        seen.append(suggested[1]["configuration"])
        rig.run(suggested[0])
    assert seen == list(SMALL.grid())
    assert rig.study.facts["search_ended"] == "all 6 configurations of the space have been run"


def test_grid_refuses_an_endless_space_by_the_name_of_what_is_endless() -> None:
    with pytest.raises(SpecError, match=r"'grid' needs a finite space, but bend, rate has no step"):
        Rig(sampler="grid", trials=3)


def test_gaussian_process_of_optuna_says_which_package_it_needs() -> None:
    if __import__("importlib.util").util.find_spec("torch") is not None:
        pytest.skip("PyTorch is installed")
    with pytest.raises(SpecError, match=r"needs the package torch, which is not installed; pip install torch"):
        Rig(sampler="gp", trials=3)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"sampler": "tpee", "trials": 1}, "unknown sampler; did you mean 'tpe'?"),
        ({}, "no budget: give trials, epochs or seconds"),
        ({"trials": 0}, "greater than or equal to 1"),
    ],
)
def test_section_refuses_what_it_cannot_do(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        SearchSection(**given_)


@pytest.mark.parametrize("space", [SMALL, SearchSpace("one", {"a": Parameter(CategoricalDistribution([7]))}, "nowhere:build")])
@pytest.mark.parametrize("name", ["random", "tpe", "qmc", "forecast", "cmaes"])
def test_no_sampler_runs_a_configuration_of_a_finite_space_twice(name: str, space: SearchSpace) -> None:
    rig = Rig(sampler=name, space=space, epochs=10_000)
    keys = []
    while isinstance(suggested := rig.suggest(), tuple):
        keys.append(key_of(suggested[1]["configuration"]))
        rig.run(suggested[0], 0.1 * len(keys))
    assert suggested == "FINISHED"
    assert len(set(keys)) == len(keys) == space.size()


def test_a_region_that_keeps_failing_is_avoided() -> None:
    rig = Rig(sampler="forecast", trials=60)
    bad = 0
    while isinstance(suggested := rig.suggest(), tuple):
        ray_id, suggestion = suggested
        if suggestion["configuration"]["rate"] > 0.1:
            bad += suggestion["number"] >= 20
            rig.done(ray_id, {"number": suggestion["number"], "done": True, "ended": {"kind": "memory", "message": "too large", "details": ""}})
        else:
            rig.run(ray_id, value_of(suggestion["configuration"]))
    assert bad <= 6  # a quarter of the space fails: ten of the last forty if nothing is learned


def test_a_second_objective_draws_trials_to_where_it_is_small_without_giving_up_the_first() -> None:
    sizes: dict[str | None, float] = {}
    for also in (None, "cost"):
        rig = Rig(sampler="forecast", trials=40)
        section = SearchSection(sampler="forecast", trials=40, also_minimize=also)
        rig.study.optuna.sampler = build_sampler(section, SPACE, objective=ACCURACY, max_epochs=EPOCHS, seed=0)
        while isinstance(suggested := rig.suggest(), tuple):
            ray_id, suggestion = suggested
            size = suggestion["configuration"]["size"]
            rig.report(ray_id, 1, 0.5 * value_of(suggestion["configuration"]) + 0.01 * math.log2(size), **{"facts/cost": size})
            rig.run(ray_id, value_of(suggestion["configuration"]) + 0.01 * math.log2(size), first=2)
        late = rig.study.trials()[15:]
        sizes[also] = float(np.mean([math.log2(trial.params["size"]) for trial in late]))
        assert max(value_of(trial.user_attrs["configuration"]) for trial in late) > 0.9
    assert sizes["cost"] < sizes[None] - 0.5


def test_a_sampler_that_looks_at_one_objective_refuses_a_second() -> None:
    with pytest.raises(ValueError, match="sampler 'tpe' looks at one objective; use 'forecast'"):
        SearchSection(sampler="tpe", trials=3, also_minimize="parameters")


# ---- encoding


def test_equal_points_are_equal_configurations() -> None:
    encoding = Encoding(SPACE)
    points = encoding.settle(np.random.default_rng(0).random((300, encoding.dimensions)))
    for point in points:
        configuration = SPACE.suggest(optuna.trial.FixedTrial(encoding.decode(point)))
        assert np.allclose(encoding.encode(SPACE.parameters_of(configuration)), point)
        assert point[encoding.names.index("bend")] == INACTIVE or configuration["kind"] == "curved"


def test_what_is_no_value_of_a_parameter_lies_where_the_inactive_do_and_numbers_beyond_the_space_at_its_edge() -> None:
    encoding = Encoding(SPACE)
    odd, edge = encoding.encode_all([{"kind": ["plain"], "rate": "fast", "size": None}, {"kind": "round", "rate": 7.0, "size": 10**6}])
    assert (odd == INACTIVE).all()
    assert dict(zip(encoding.names, edge, strict=True)) == {
        "kind": INACTIVE, "bend": INACTIVE, "rate": 1.0, "size": pytest.approx(1.0, abs=0.01), "second": INACTIVE
    }  # fmt: skip
    mixed = Encoding(SearchSpace("mixed", {"a": Parameter(CategoricalDistribution([1, True, "x"]))}, "nowhere:build"))
    assert mixed.encode_all([{"a": True}, {"a": 1}, {"a": 1.0}]).ravel() == pytest.approx([1 / 2, 1 / 6, 1 / 6])


# ---- suggestions


@pytest.mark.parametrize(("sampler", "sources"), [("random", {"random"}), ("qmc", {"random"}), ("tpe", {"random", "model"}), ("forecast", {"random", "model"})])
def test_each_trial_says_where_its_configuration_comes_from(sampler: str, sources: set[str]) -> None:
    rig = Rig(sampler=sampler, trials=20)
    configuration = {"kind": "plain", "rate": 0.01, "size": 4, "fixed": 5}
    rig.study.enqueue(SPACE.parameters_of(configuration), {"configuration": configuration})
    while isinstance(suggested := rig.suggest(), tuple):
        rig.run(suggested[0], value_of(suggested[1]["configuration"]))
    first, *others = [trial.user_attrs["source"] for trial in rig.study.trials()]
    assert first == "enqueued"
    assert set(others) == sources
    assert others[0] == "random"
    assert ("model" not in sources) or others[-1] == "model"


def test_suggestion_carries_number_seed_and_configuration_and_the_study_has_them_first() -> None:
    rig = Rig(seed=7)
    _, suggestion = rig.suggest()
    facts = rig.study.trials()[0].user_attrs
    expected = {"number": 0, "configuration": facts["configuration"], "seed": seed_of(7, 0), "epoch": 0}
    assert {name: suggestion[name] for name in expected} == expected
    assert facts["seed"] == seed_of(7, 0)
    assert json.loads(json.dumps(suggestion)) == suggestion


def test_seeds_differ_from_trial_to_trial_and_from_sweep_to_sweep() -> None:
    assert len({seed_of(sweep, number) for sweep in range(20) for number in range(50)}) == 1000


def test_interrupted_trials_come_first_and_go_on_from_their_epoch(tmp_path: Any) -> None:
    rig = Rig(open_study(tmp_path, "s", ACCURACY))
    first, suggestion = rig.suggest()
    rig.suggest()
    for epoch in (1, 2, 3):
        rig.report(first, epoch, 0.3)
    again = Rig(open_study(tmp_path, "s", ACCURACY))  # the driver was killed
    _, resumed = again.suggest()
    assert resumed == {**suggestion, "epoch": 3}
    assert again.suggest()[1]["number"] == 1
    assert again.suggest()[1]["number"] == 2


def test_a_resumed_search_does_not_draw_the_same_again() -> None:
    rig = Rig()
    drawn = [rig.suggest()[1]["configuration"] for _ in range(3)]
    again = Rig(rig.study)
    assert again.suggest()[1]["configuration"] not in drawn


def test_a_queued_configuration_outside_the_space_is_trained_as_it_is() -> None:
    rig = Rig()
    rig.study.enqueue({}, {"configuration": {"shape": "odd"}, "baseline": "hand-made"})
    rig.study.enqueue({"kind": "plain", "rate": 0.5, "size": 3}, {"baseline": "inside"})
    assert rig.suggest()[1]["configuration"] == {"shape": "odd"}
    assert rig.suggest()[1]["configuration"] == {"kind": "plain", "rate": 0.5, "size": 3, "fixed": 5}
    assert rig.study.trials()[0].params == {}
    assert rig.study.trials()[1].params == {"kind": "plain", "rate": 0.5, "size": 3}


def test_a_journal_gets_one_entry_for_a_new_trial(tmp_path: Any) -> None:
    rig = Rig(open_study(tmp_path, "s", ACCURACY), sampler="tpe")
    before = len((tmp_path / "journal.log").read_text().splitlines())
    rig.suggest()
    assert len((tmp_path / "journal.log").read_text().splitlines()) == before + 1


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
    rig.done(ids[2], {"epoch": 1, "val_accuracy": 0.2, "done": True, "ended": {"kind": "error", "message": "signal 11", "details": "..."}})
    assert rig.report(ids[3], 1, math.nan) == "STOP"
    rig.done(ids[4], {"done": True, "ended/kind": "memory", "ended/message": "too large", "ended/details": None})
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
    rig.report(ray_id, 1, 0.5, **{"facts/parameters": 1234})
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
                    rig.done(ray_id, {"epoch": epoch, "val_accuracy": value, "done": True, "last": True})
                    del live[ray_id]
                else:
                    decision = rig.report(ray_id, epoch, value)
                    if kind == "twice":
                        rig.accounts.report(number, {"epoch": epoch, "val_accuracy": 1.0 - value})
                    live[ray_id] = epoch
                    if decision == "STOP":
                        del live[ray_id]
            else:
                if kind == "crash":
                    rig.done(ray_id, {"done": True, "ended": {"kind": "crash", "message": "gone"}})
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
        values = {epoch: value for (number, epoch), value in told.items() if number == trial.number and math.isfinite(value)}
        assert trial.intermediate_values == values
        cause = trial.user_attrs.get("cause", {}).get("kind")
        expected = {"complete": (None,), "waiting": (None,), "pruned": ("scheduler", "budget"), "failed": ("crash", "diverged", "lost", "error")}
        assert cause in expected[STATES[trial.state]]


def test_budget_is_a_plain_value() -> None:
    assert SearchSection(trials=3, seconds=2.0).budget == Budget(trials=3, epochs=None, seconds=2.0)
