"""How trials are chosen: the table of samplers, the encoding, the queue, and no duplicates."""

import importlib.util
import json
import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from search_spaces.space import Condition, Parameter, SearchSpace, space_of
from tests.rig import ACCURACY, EPOCHS, SMALL, SPACE, Rig, value_of
from tuner.errors import SpecError
from tuner.search.accounts import Accounts
from tuner.search.configurations import key_of
from tuner.search.first_trials import enqueue_first, points_of
from tuner.search.rules.named import SchedulerSection, build_rule
from tuner.search.samplers.encoding import INACTIVE, Encoding
from tuner.search.samplers.named import SAMPLERS, SearchSection, build_sampler
from tuner.search.searcher import StudySearcher
from tuner.study.backends import open_study
from tuner.study.failures import Cause
from tuner.study.seeds import seed_of

# ---- the table of samplers


# `grid` needs a finite space.
FINITE = SearchSpace(
    "finite",
    {
        "kind": Parameter(CategoricalDistribution(["plain", "curved"])),
        "bend": Parameter(IntDistribution(1, 5), (Condition("kind", ("curved",)),)),
        "rate": Parameter(CategoricalDistribution([0.001, 0.01, 0.1, 1.0])),
        "size": Parameter(IntDistribution(1, 2)),
        "fixed": Parameter(CategoricalDistribution([5])),
    },
    "nowhere:build",
)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_stays_in_the_space_and_leaves_inactive_parameters_out(name: str) -> None:
    if name == "gp" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: Optuna's Gaussian process is not run")
    space = FINITE if name == "grid" else SPACE
    rig = Rig(sampler=name, space=space, trials=25)
    seen = set()
    while isinstance(suggested := rig.suggest(), tuple):
        ray_id, suggestion = suggested
        assert space.check(suggestion["configuration"]) == suggestion["configuration"]
        assert ("bend" in suggestion["configuration"]) == (suggestion["configuration"]["kind"] == "curved")
        trial = rig.study.trials()[suggestion["number"]]
        assert trial.params == space.parameters_of(suggestion["configuration"])
        seen.add(key_of(suggestion["configuration"]))
        rig.run(ray_id, value_of(suggestion["configuration"]))
    assert suggested == "FINISHED"
    assert len(seen) == 25
    assert rig.study.facts["search_ended"] == "the budget of 25 trials is spent"
    assert len(SAMPLERS[name].help) > 10


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
    if importlib.util.find_spec("torch") is not None:
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
    bad = 0
    for seed in range(4):
        rig = Rig(sampler="forecast", trials=60, seed=seed)
        while isinstance(suggested := rig.suggest(), tuple):
            ray_id, suggestion = suggested
            if suggestion["configuration"]["rate"] > 0.1:
                bad += suggestion["number"] >= 20
                rig.done(ray_id, ended=Cause("memory", "too large"))
            else:
                rig.run(ray_id, value_of(suggestion["configuration"]))
    assert bad <= 24  # a quarter of the space fails: forty of the last 160 trials if nothing is learned


def test_a_second_objective_draws_trials_to_where_it_is_small_without_giving_up_the_first() -> None:
    sizes: dict[str | None, float] = {}
    for also in (None, "cost"):
        rig = Rig(sampler="forecast", trials=40)
        section = SearchSection(sampler="forecast", trials=40, also_minimize=also)
        rig.study.optuna.sampler = build_sampler(section, SPACE, study=rig.study, max_epochs=EPOCHS, seed=0)
        while isinstance(suggested := rig.suggest(), tuple):
            ray_id, suggestion = suggested
            size = suggestion["configuration"]["size"]
            rig.report(ray_id, 1, 0.5 * value_of(suggestion["configuration"]) + 0.01 * math.log2(size), facts={"cost": size})
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


@pytest.mark.parametrize("sampler", ["forecast", "tpe"])
def test_sampler_that_learns_begins_with_the_default_configuration_of_the_space(sampler: str) -> None:
    space = space_of("mine:build", {"rate": {"low": 1e-4, "high": 1.0, "log": True, "default": 0.02}, "kind": {"choices": ["a", "b"], "default": "b"}})
    section, study = SearchSection(sampler=sampler, trials=3), Rig().study
    enqueue_first(study, space, section)
    study.optuna.sampler = build_sampler(section, space, study=study, max_epochs=9, seed=0)
    rule = build_rule(SchedulerSection(), study, space, max_epochs=9, seed=0)
    searcher = StudySearcher(Accounts(study, max_epochs=9, budget=section.budget), space, section=section, rule=rule, seed=0)
    assert searcher.suggest("a")["configuration"] == {"rate": 0.02, "kind": "b"}
    (first,) = study.trials()
    assert (first.params, first.user_attrs["source"]) == ({"rate": 0.02, "kind": "b"}, "default")
    assert searcher.suggest("b")["configuration"] != {"rate": 0.02, "kind": "b"}


def test_default_configuration_is_not_run_where_nothing_is_learned_nor_again_nor_later() -> None:
    space = space_of("mine:build", {"units": {"low": 1, "high": 9, "default": 5}})
    for sampler in ("random", "qmc", "grid"):
        study = Rig().study
        enqueue_first(study, space, SearchSection(sampler=sampler, trials=3))
        assert study.count() == 0
    study = Rig().study
    enqueue_first(study, space, SearchSection(trials=3))
    assert study.count() == 1
    enqueue_first(study, space, SearchSection(trials=3))
    assert study.count() == 1
    fork = Rig().study
    fork.earlier = study.trials()
    enqueue_first(fork, space, SearchSection(trials=3))
    assert fork.count() == 0


def test_where_time_is_spent_a_slow_configuration_has_to_promise_more() -> None:
    """Half of the space takes ten times as long, and is not better."""
    space = space_of("mine:build", {"slow": {"low": 0.0, "high": 1.0}, "rate": {"low": 0.0, "high": 1.0}})
    slow = {}
    for budget in ({"seconds": 1e6}, {"trials": 60}):
        rig = Rig(sampler="forecast", space=space, **budget)
        for _ in range(40):
            ray_id, suggestion = rig.suggest()
            configuration = suggestion["configuration"]
            for epoch in range(1, EPOCHS):
                seconds = 10.0 if configuration["slow"] > 0.5 else 1.0
                if rig.report(ray_id, epoch, 0.9 - abs(configuration["rate"] - 0.3) * (1 - 0.5**epoch), seconds=seconds) == "STOP":
                    break
            else:
                rig.done(ray_id, EPOCHS, 0.5, seconds=seconds)
        chosen = [trial.params["slow"] for trial in rig.study.trials() if trial.user_attrs["source"] == "model"]
        slow[next(iter(budget))] = np.mean(np.array(chosen) > 0.5)
    assert slow["seconds"] < 0.25 < slow["trials"]


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


# ---- what comes first, and when it is enough

POINTS = [{"kind": "curved", "bend": 0.25}, {"rate": 0.5, "size": 32, "second": 6}, {"kind": "plain", "rate": 1, "size": 2}]


def test_points_of_the_user_are_the_first_trials_and_what_they_leave_out_is_drawn() -> None:
    rig = Rig(sampler="forecast", trials=5)
    enqueue_first(rig.study, SPACE, SearchSection(trials=5, enqueue=POINTS))
    configurations = [rig.suggest()[1]["configuration"] for _ in range(4)]
    for configuration, point in zip(configurations, POINTS, strict=False):
        assert SPACE.check(configuration) == configuration
        assert {name: configuration[name] for name in point} == point
    assert configurations[2] == {"kind": "plain", "rate": 1.0, "size": 2, "fixed": 5}
    assert [trial.user_attrs["source"] for trial in rig.study.trials()][:3] == ["enqueued"] * 3
    assert rig.study.trials()[3].user_attrs["source"] in ("random", "model")


def test_points_come_before_the_default_configuration() -> None:
    space = space_of("mine:build", {"rate": {"low": 1e-4, "high": 1.0, "log": True, "default": 0.02}, "kind": {"choices": ["a", "b"], "default": "b"}})
    study = Rig().study
    enqueue_first(study, space, SearchSection(trials=3, enqueue=[{"rate": 0.5}]))
    assert [trial.user_attrs["source"] for trial in study.trials("waiting")] == ["enqueued", "default"]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([{"ratte": 0.1}], r"search\.enqueue\[0\]\.ratte: unknown hyperparameter; did you mean 'rate'"),
        ([{"rate": 0.1}, {"rate": 7.0}], r"search\.enqueue\[1\]\.rate: got 7\.0; expected"),
        ([{"bend": 0.5}], r"search\.enqueue\[0\]\.bend: needs kind.*curved.*, which this point does not say; add that, or remove bend"),
        ([{"size": 4, "second": 6}], r"search\.enqueue\[0\]\.second: needs size.*8"),
        ([{"rate": 0.1}, {"rate": 0.1}], r"search\.enqueue\[1\]: the same as search\.enqueue\[0\]"),
    ],
)
def test_point_that_is_none_of_the_space_is_refused_with_its_key(points: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        points_of(SPACE, points)


def test_spec_is_refused_for_a_point_before_anything_starts() -> None:
    from tuner.spec.sweep_spec import check

    with pytest.raises(SpecError, match=r"^search\.enqueue\[0\]\.depht: unknown hyperparameter; did you mean 'depth'"):
        check({"name": "s", "search": {"trials": 3, "enqueue": [{"depht": 2}]}})
    assert check({"name": "s", "search": {"trials": 3, "enqueue": [{"depth": 2}]}}).search.enqueue == [{"depth": 2}]


def test_patience_ends_the_search_once_so_many_trials_after_the_best_have_ended() -> None:
    rig = Rig(trials=50)
    rig.section = SearchSection(sampler="random", trials=50, patience=4)
    rig.searcher = StudySearcher(rig.accounts, SPACE, section=rig.section, rule=rig.scheduler.rule, seed=0)
    values = [0.5, 0.3, 0.3, 0.9, 0.1, 0.2, 0.9, 0.3, 0.99]
    while isinstance(suggested := rig.suggest(), tuple):
        rig.run(suggested[0], values[suggested[1]["number"]])
    assert suggested == "FINISHED"
    assert rig.study.count() == 8  # a tie is not better
    assert rig.study.facts["search_ended"] == "none of the last 4 trials was better than the best before them"
