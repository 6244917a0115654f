"""Spaces, ranges, conditions and configurations; no Keras."""

import json
import pickle
from collections import Counter
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.errors import SearchSpaceError
from search_spaces.parameter import real
from search_spaces.space import Condition, Parameter, SearchSpace, key, space_of
from search_spaces.spaces import SPACES

optuna.logging.set_verbosity(optuna.logging.WARNING)
MLP = SPACES["mlp"]
SMALL = space_of(
    "mine:build",
    {
        "depth": {"low": 1, "high": 3},
        "second": {"choices": ["a", "b"], "when": {"depth": {"at_least": 2}}},
        "third": {"low": 0.0, "high": 0.5, "step": 0.25, "when": {"depth": 3, "second": ["b"]}},
        "flag": [True, False],
        "constant": 7,
    },
)


def drawn(space: SearchSpace, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a random configuration and what Optuna was asked for."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    return space.suggest(trial), dict(trial.params)


# ---- suggesting


@pytest.mark.parametrize("space", [MLP, SPACES["cnn"], MLP.widest(), SPACES["cnn"].widest(), SMALL], ids=lambda space: f"{space.name}-{len(space.searched())}")
def test_every_suggestion_is_a_configuration_of_its_space_and_optuna_is_asked_for_exactly_the_open_part(space: SearchSpace) -> None:
    for seed in range(40):
        configuration, asked = drawn(space, seed)
        assert space.check(configuration) == configuration
        assert list(space.check(configuration)) == list(configuration)
        assert space.parameters_of(configuration) == asked
        assert space.suggest(optuna.trial.FixedTrial(asked)) == configuration
        assert set(asked) <= set(space.searched())


def test_only_active_parameters_are_suggested() -> None:
    for seed in range(60):
        configuration, _ = drawn(MLP, seed)
        assert ("momentum" in configuration) == (configuration["optimizer"] == "sgd")
        assert ("decay" in configuration) == (configuration["schedule"] == "inverse_time_decay")
        assert not any(name.startswith("width_") for name in configuration)
        assert "learning_rate" in configuration


def test_learning_rate_keeps_one_name_and_has_a_range_for_each_family_of_optimizers() -> None:
    rates: dict[str, list[float]] = {}
    for seed in range(100):
        configuration, asked = drawn(MLP, seed)
        rates.setdefault(configuration["optimizer"], []).append(configuration["learning_rate"])
        family = "sgd" if configuration["optimizer"] == "sgd" else "adam"
        assert [name for name in asked if name.startswith("learning_rate")] == [f"learning_rate_{family}"]
    assert max(rates["adam"]) <= 1e-2 < max(rates["sgd"])
    assert min(rates["sgd"]) >= 5e-3 > min(rates["adam"])


def test_layers_of_their_own_exist_down_to_the_depth_and_no_further() -> None:
    each = MLP.narrow({"layers": "each", "depth": {"high": 10}})
    for seed in range(20):
        configuration, _ = drawn(each, seed)
        widths = [name for name in configuration if name.startswith("width_")]
        assert widths == [f"width_{number}" for number in range(1, configuration["depth"] + 1)]
        assert "width" not in configuration


# ---- narrowing


def test_a_table_is_a_range_a_list_a_choice_and_a_bare_value_fixed() -> None:
    space = MLP.narrow({"depth": {"low": 1, "high": 3}, "optimizer": ["adam", "sgd"], "batch_size": 128, "width": {"low": 32, "high": 64, "step": 16}})
    assert space.parameters["depth"].distribution == IntDistribution(1, 3)
    assert space.parameters["optimizer"].distribution == CategoricalDistribution(("adam", "sgd"))
    assert space.parameters["batch_size"].distribution == CategoricalDistribution((128,))
    assert space.parameters["width"].distribution == IntDistribution(32, 64, step=16)
    assert "batch_size" not in space.searched()
    assert MLP.parameters["depth"].distribution == IntDistribution(1, 4)


def test_a_range_keeps_what_a_table_leaves_out() -> None:
    assert MLP.narrow({"width": {"high": 2048}}).parameters["width"].distribution == IntDistribution(64, 2048, log=True)
    assert MLP.narrow({"l2": {"low": 0, "high": 1, "log": False}}).parameters["l2"].distribution == FloatDistribution(0.0, 1.0)
    assert MLP.narrow({"beta_1": {"low": 0.8, "high": 0.95}}).parameters["beta_1"].distribution == FloatDistribution(0.8, 0.95)


def test_an_integer_is_accepted_for_a_float_and_becomes_one() -> None:
    space = MLP.narrow({"dropout": [0, 0.5], "dropout_input": 0})
    choices = space.parameters["dropout"].distribution.choices  # type: ignore[attr-defined]
    assert choices == (0.0, 0.5) and all(type(choice) is float for choice in choices)
    assert type(drawn(space, 0)[0]["dropout_input"]) is float


def test_a_shared_name_narrows_all_that_share_it_and_an_own_name_only_one_wherever_it_is_written() -> None:
    both = MLP.narrow({"learning_rate": {"low": 0.001, "high": 0.01}})
    assert both.parameters["learning_rate_sgd"].distribution == both.parameters["learning_rate_adam"].distribution == FloatDistribution(0.001, 0.01, log=True)
    for choices in ({"learning_rate_sgd": 0.5, "learning_rate": 0.01}, {"learning_rate": 0.01, "learning_rate_sgd": 0.5}):
        space = MLP.narrow(choices)
        assert space.parameters["learning_rate_sgd"].distribution == CategoricalDistribution((0.5,))
        assert space.parameters["learning_rate_adam"].distribution == CategoricalDistribution((0.01,))


def test_a_narrowed_space_can_be_moved_again_within_the_limits() -> None:
    assert SMALL.narrow({"second": "a"}).narrow({"second": "b"}).parameters["second"].distribution == CategoricalDistribution(("b",))
    assert MLP.narrow({"depth": 1}).narrow({"depth": {"low": 5, "high": 6}}).parameters["depth"].distribution == IntDistribution(5, 6)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"depht": 1}, "depht: unknown hyperparameter; did you mean 'depth'?"),
        ({"learning_rat": 1}, "learning_rat: unknown hyperparameter; did you mean 'learning_rate'?"),
        ({"width": {"high": 2_000_000}}, "width.high: got 2000000; expected at most 65536"),
        ({"width": {"low": 0}}, "width.low: got 0; expected above 0 on a log scale (log = false allows it)"),
        ({"width": {"low": 0, "log": False}}, "width.low: got 0; expected at least 1"),
        ({"width": 0}, "width: got 0; expected an integer from 1 to 65536"),
        ({"width": 1.0}, "width: got 1.0; expected an integer"),
        ({"width": "12"}, "width: got '12'; expected an integer"),
        ({"depth": True}, "depth: got True; expected an integer"),
        ({"dropout": False}, "dropout: got False; expected a number"),
        ({"dropout": float("nan")}, "dropout: got nan; expected a number"),
        ({"learning_rate": {"low": 1e-4, "high": float("inf")}}, "learning_rate.high: got inf; expected a number"),
        ({"batch_normalization": 1}, "batch_normalization: got 1; expected one of True, False"),
        ({"width": {"hihg": 3}}, "width.hihg: unknown key; did you mean 'high'?"),
        ({"width": {"low": 300, "high": 100}}, "width: low 300 is above high 100; expected low <= high"),
        ({"width": {"low": 1, "high": 10, "step": 4}}, "width.high: got 10; expected low 1 plus a whole number of steps of 4"),
        ({"width": {"low": 1, "high": 9, "step": 0}}, "width.step: got 0; expected above 0"),
        ({"width": {"low": 1, "high": 9, "step": 2, "log": True}}, "width: got both a step and log = true; expected one of them"),
        ({"width": {"log": 1}}, "width.log: got 1; expected true or false"),
        ({"beta_1": {"high": 0.95}}, "beta_1: low is missing; expected {low = ..., high = ...}"),
        ({"activation": "rellu"}, "activation: unknown choice 'rellu'; did you mean 'relu'?"),
        ({"optimizer": ["adam", "sdg"]}, "optimizer[1]: unknown choice 'sdg'; did you mean 'sgd'?"),
        ({"optimizer": []}, "optimizer: got an empty list; expected at least one choice"),
        ({"optimizer": ["adam", "adam"]}, "optimizer: 'adam' equals an earlier choice; expected each choice once"),
        ({"layers": {"low": 1, "high": 2}}, "layers: got a table; expected one or a list of 'same', 'each'"),
        ({"width": None}, "width: got None; expected an integer"),
        (
            {"optimizer": "adam", "momentum": 0.9},
            "momentum: never active; it needs optimizer = 'sgd', and optimizer is 'adam'; change that or remove momentum",
        ),
        ({"width_1": 64}, "width_1: never active; it needs layers = 'each', and layers is 'same'; change that or remove width_1"),
        (
            {"layers": "each", "depth": {"high": 2}, "width_3": 64},
            "width_3: never active; it needs depth >= 3, and depth is from 1 to 2; change that or remove width_3",
        ),
        (
            {"schedule": "constant", "decay": {"low": 1e-5, "high": 1e-3}},
            "decay: never active; it needs schedule = 'inverse_time_decay', and schedule is 'constant'; change that or remove decay",
        ),
    ],
)
def test_what_cannot_be_narrowed_says_so_in_one_line(choices: dict[str, object], message: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        MLP.narrow(choices)
    assert str(caught.value) == message


def test_an_unknown_name_with_no_neighbour_lists_what_can_be_active() -> None:
    with pytest.raises(SearchSpaceError, match="expected one of: activation, batch_normalization, batch_size") as caught:
        MLP.narrow({"zzz": 1})
    assert "width_1" not in str(caught.value) and "learning_rate_adam" not in str(caught.value)


# ---- checking


def test_check_is_exact_about_names_types_and_activity() -> None:
    configuration = MLP.complete(drawn(MLP.narrow({"optimizer": "sgd", "schedule": "constant"}), 1)[0])
    assert MLP.contains(configuration)
    for change, message in [
        ({"depht": 1}, "depht: unknown hyperparameter; did you mean 'depth'"),
        ({"learning_rate_sgd": 0.1}, "learning_rate_sgd: unknown hyperparameter; did you mean 'learning_rate'"),
        ({"decay": 0.1}, "decay: not active in this configuration; it needs schedule = 'inverse_time_decay'; remove it"),
        ({"width_2": 64}, "width_2: not active in this configuration; it needs layers = 'each' and depth >= 2; remove it"),
        ({"rho": 0.9}, "rho: not active in this configuration; it needs optimizer = 'rmsprop' or optimizer = 'adadelta'; remove it"),
        ({"depth": 9}, "depth: got 9; expected an integer from 1 to 4"),
        ({"depth": 2.0}, "depth: got 2.0; expected an integer"),
        ({"optimizer": "lion"}, "optimizer: unknown choice 'lion'"),
    ]:
        with pytest.raises(SearchSpaceError, match=message.replace("[", r"\[")):
            MLP.check({**configuration, **change})
        assert not MLP.contains({**configuration, **change})
    del configuration["momentum"]
    with pytest.raises(SearchSpaceError, match=r"momentum: missing; expected from 0\.5 to 0\.98"):
        MLP.check(configuration)


def test_complete_adds_the_fixed_values_that_a_hand_written_configuration_leaves_out() -> None:
    written = {"depth": 2, "width": 256, "activation": "relu", "dropout": 0.4, "dropout_input": 0, "batch_normalization": False, "regularizer": "none"}
    written |= {"batch_size": 128, "optimizer": "adam", "learning_rate": 0.001, "schedule": "constant"}
    with pytest.raises(SearchSpaceError, match="layers: missing"):
        MLP.check(written)
    checked = MLP.check(MLP.complete(written))
    assert (checked["layers"], checked["beta_1"], checked["beta_2"], checked["warmup"]) == ("same", 0.9, 0.999, 0.0)
    assert "rho" not in checked


def test_equal_configurations_have_one_key_whatever_their_order() -> None:
    configuration, _ = drawn(MLP, 3)
    assert key(configuration) == key(dict(reversed(configuration.items())))
    assert key(configuration) == key(json.loads(json.dumps(configuration)))
    assert key(configuration) != key({**configuration, "depth": configuration["depth"] + 1})


def test_a_space_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(MLP)) == MLP  # noqa: S301


# ---- counting


def test_size_and_grid_agree_and_every_configuration_is_distinct() -> None:
    configurations = list(SMALL.grid())
    # depth 1: 2 flags; depth 2: 2 x 2; depth 3: second a 2, second b 3 x 2.
    assert len(configurations) == SMALL.size() == 2 + 4 + 2 + 6
    assert max(Counter(map(key, configurations)).values()) == 1
    assert all(SMALL.check(configuration) == configuration for configuration in configurations)
    assert [c["third"] for c in configurations if "third" in c] == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5]


def test_a_float_range_makes_a_space_endless_and_a_grid_impossible() -> None:
    assert MLP.size() is None
    with pytest.raises(SearchSpaceError, match="dropout: a range of floats without a step has endless values"):
        MLP.grid()


def test_an_unreachable_range_does_not_make_a_space_endless() -> None:
    fixed = {"width": [64, 128], "activation": "relu", "dropout": 0.0, "dropout_input": 0.0, "batch_normalization": False, "regularizer": "none"}
    space = MLP.narrow({**fixed, "depth": {"high": 2}, "batch_size": 128, "optimizer": ["adam", "rmsprop"], "learning_rate": 0.001, "schedule": "constant"})
    assert space.size() == 8
    assert len(list(space.grid())) == 8


def test_a_large_finite_space_is_counted_without_listing_it() -> None:
    space = space_of("mine:build", {f"p{number}": {"low": 1, "high": 1_000_000} for number in range(20)})
    assert space.size() == 10**120


_scalars = st.one_of(st.integers(-5, 5), st.sampled_from(["a", "b", "c"]), st.booleans())


@st.composite
def finite_spaces(draw: st.DrawFn) -> SearchSpace:
    """Small spaces with conditions on earlier parameters."""
    parameters: dict[str, object] = {}
    values: dict[str, list[Any]] = {}
    for number in range(draw(st.integers(1, 5))):
        name = f"p{number}"
        if draw(st.booleans()):
            low, step = draw(st.integers(-3, 3)), draw(st.integers(1, 2))
            table: dict[str, object] = {"low": low, "high": low + step * draw(st.integers(0, 3)), "step": step}
            values[name] = list(range(low, table["high"] + 1, step))  # type: ignore[operator]
        else:
            values[name] = draw(st.lists(_scalars, min_size=1, max_size=3, unique=True))
            table = {"choices": values[name]}
        if number and draw(st.booleans()):
            other = f"p{draw(st.integers(0, number - 1))}"
            table["when"] = {other: draw(st.lists(st.sampled_from(values[other]), min_size=1, max_size=2, unique=True))}
        parameters[name] = table
    return space_of("mine:build", parameters)


@settings(max_examples=60, deadline=None)
@given(finite_spaces(), st.integers(0, 1000))
def test_in_any_finite_space_size_grid_suggest_and_describe_agree(space: SearchSpace, seed: int) -> None:
    configurations = list(space.grid())
    assert space.size() == len(configurations) == len(set(map(key, configurations)))
    configuration, asked = drawn(space, seed)
    assert configuration in configurations
    assert space.parameters_of(configuration) == asked
    reached = {name for each in configurations for name in each}
    assert reached == {name for name in space.parameters if space.is_reachable(name)}
    described = json.loads(json.dumps(space.describe()))["parameters"]
    assert sorted(map(key, space_of("mine:build", described).grid())) == sorted(map(key, configurations))


# ---- a user's own space


def test_a_users_space_reads_tables_lists_and_bare_values() -> None:
    units = {"low": 8, "high": 64, "log": True, "help": "units"}
    space = space_of("mine:build", {"units": units, "rate": {"low": 0, "high": 0.5}, "kind": ["a", 1], "seed": 3})
    assert space.parameters["units"].distribution == IntDistribution(8, 64, log=True)
    assert space.parameters["units"].help == "units"
    assert space.parameters["rate"].distribution == FloatDistribution(0.0, 0.5)
    assert space.parameters["kind"].distribution == CategoricalDistribution(("a", 1))
    assert list(space.searched()) == ["units", "rate", "kind"]
    assert space.builder == "mine:build"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": {"low": 1}}, "a: high is missing; expected {low = ..., high = ...}"),
        ({"a": {"low": 1, "high": "x"}}, "a.high: got 'x'; expected an integer"),
        ({"a": {"lo": 1, "high": 2}}, "a.lo: unknown key; did you mean 'low'?"),
        ({"a": {"low": 3, "high": 2}}, "a: low 3 is above high 2; expected low <= high"),
        ({"a": {"low": 0.0, "high": 1.0, "log": True}}, "a.low: got 0.0; expected above 0 on a log scale (log = false allows it)"),
        ({"a": []}, "a: got an empty list; expected at least one choice"),
        ({"a": [1, [2]]}, "a[1]: got [2]; expected a number, a string, true or false"),
        ({"a": [1, True]}, "a: True equals an earlier choice; expected each choice once"),
        ({"a": None}, "a: got None; expected a number, a string, true or false"),
        ({"a": {"choices": 3}}, "a.choices: got 3; expected a list"),
        ({"a": {"value": [3]}}, "a.value: got [3]; expected a bare value"),
        ({"a": {"value": 3, "low": 1}}, "a: got value beside 'low'; expected either a range, choices or a value"),
        ({"a b": 1}, "a b: not a name; expected letters, digits and _, beginning with a letter"),
        ({"a": [1, 2], "b": {"value": 1, "when": {"c": 1}}}, "b.when.c: unknown hyperparameter, or one that comes later; expected one of: a"),
        ({"b": {"value": 1, "when": {"a": 1}}, "a": 1}, "b.when.a: unknown hyperparameter, or one that comes later; expected one of: "),
        ({"a": ["x", "y"], "b": {"value": 1, "when": {"a": "z"}}}, "b.when.a: unknown choice 'z'; expected one of: x, y"),
        ({"a": {"low": 1, "high": 3}, "b": {"value": 1, "when": {"a": {"at_least": 4}}}}, "b.when.a: got at_least 4; expected what a can reach"),
        (
            {"a": [1, 2], "b": {"value": 1, "when": {"a": {"atleast": 1}}}},
            "b.when.a: got {'atleast': 1}; expected a value, a list of values or {at_least = number}",
        ),
        ({"a": [1, 2], "b": {"value": 1, "when": 1}}, "b.when: got 1; expected a table {other = value}"),
        ({"a": {"value": 1, "help": 1}}, "a.help: got 1; expected a string"),
    ],
)
def test_a_wrong_declaration_says_so_in_one_line(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        space_of("mine:build", parameters)
    assert str(caught.value) == message


# ---- values that cannot be wrong


def test_parameters_that_share_a_key_must_exclude_each_other() -> None:
    switch = Parameter(CategoricalDistribution(("a", "b", "c")))
    first, second = Condition("switch", ("a", "b")), Condition("switch", ("c",))
    rate = CategoricalDistribution((0.1, 0.2))
    SearchSpace("own", {"switch": switch, "x": Parameter(rate, (first,), key="rate"), "y": Parameter(rate, (second,), key="rate")}, "mine:build")
    with pytest.raises(SearchSpaceError, match="rate: x and y can be active together"):
        SearchSpace("own", {"switch": switch, "x": Parameter(rate, (first,), key="rate"), "y": Parameter(rate, key="rate")}, "mine:build")


def test_a_default_range_beyond_its_limits_is_refused() -> None:
    with pytest.raises(SearchSpaceError, match="reaches beyond its limits"):
        real(0.0, 2.0, limits=(0.0, 1.0), help="a share")


def test_every_default_range_of_the_built_in_spaces_has_a_help_and_can_be_described() -> None:
    for space in SPACES.values():
        described = json.loads(json.dumps(space.describe()))
        assert described["name"] == space.name
        assert all(table["help"] for table in described["parameters"].values())
        assert "width_1" not in described["parameters"]
