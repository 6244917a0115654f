"""Builders that ask for their hyperparameters while they run: what is told apart, what is found, and what a trial hands out."""

import ast
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.define_by_run.asked import Run
from search_spaces.define_by_run.building import asker, call, difference_of, own_fit_of
from search_spaces.define_by_run.discovery import Found, discover
from search_spaces.define_by_run.optuna_asks import AskedTrial
from search_spaces.define_by_run.styles import style_in, style_of
from search_spaces.errors import SearchSpaceError
from search_spaces.parameter import is_active
from search_spaces.space import described_space

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def found_by(builder: Callable[[Any], Any], **limits: Any) -> Found:
    """Find the space of a builder that makes no model: nothing of Keras is needed for that."""

    def ask(values: Any) -> Run:
        trial = AskedTrial(values)
        failed = ""
        try:
            builder(trial)
        except ZeroDivisionError as error:
            failed = str(error)
        return Run(tuple(trial.asked.values()), (), dict(trial.given), failed)

    return discover(ask, "mine:build", **limits)


def conditions(found: Found) -> dict[str, list[str]]:
    return {name: [str(condition) for condition in parameter.when] for name, parameter in found.space.parameters.items()}


# ---- told apart


@pytest.mark.parametrize(
    ("source", "style"),
    [
        ("def build(configuration, problem): ...", "configuration"),
        ("def build(hp, problem): ...", "configuration"),
        ("def build(hp): ...", "hp"),
        ("def build(hp, width=3): ...", "hp"),
        ("def build(config, problem=None): ...", "configuration"),
        ("def build(*both): ...", "configuration"),
        ("def build(search: 'kt.HyperParameters'): ...", "hp"),
        ("def build(trial): ...", "trial"),
        ("def build(t: optuna.Trial): ...", "trial"),
        ("class build(kt.HyperModel): ...", "hp"),
        ("from elsewhere import build", None),
        ("build = made(3)", None),
        ("@cached\ndef build(hp): ...", None),
    ],
)
def test_a_builders_parameters_say_how_it_is_called(source: str, style: str | None) -> None:
    assert style_in(ast.parse(source), "build") == style
    if style is not None and "class" not in source and ":" not in source.partition(")")[0]:
        scope: dict[str, Any] = {}
        exec(source, scope)
        assert style_of(scope["build"]) == style


def test_a_builder_with_other_parameters_is_refused_in_one_line() -> None:
    with pytest.raises(SearchSpaceError, match=r"mine:build: got a builder \(x\); expected \(configuration, problem\), \(hp\) for KerasTuner's or \(trial\)"):
        style_of(lambda x: x, "mine:build")
    with pytest.raises(SearchSpaceError, match=r"got a builder \(\); expected"):
        style_in(ast.parse("def build(): ..."), "build")


# ---- what is found


def test_names_behind_ifs_and_loops_are_active_exactly_when_the_builder_asks_for_them() -> None:
    def build(trial: Any) -> None:
        kind = trial.suggest_categorical("kind", ["mlp", "cnn", "rnn"])
        layers = trial.suggest_int("layers", 1, 5)
        for number in range(layers):
            trial.suggest_int(f"units_{number}", 32, 128, step=32)
            if trial.suggest_categorical(f"drop_{number}", [True, False]):
                trial.suggest_float(f"rate_{number}", 0.1, 0.5)
        if kind != "mlp":
            trial.suggest_categorical("kernel", [3, 5])
        if layers < 3:
            trial.suggest_int("shallow", 0, 1)
        if trial.suggest_float("noise", 0.0, 1.0) > 0.3:
            trial.suggest_int("above", 0, 1)
        if kind == "rnn" and trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "adam":
            trial.suggest_int("deep", 1, 3)

    found = found_by(build)
    assert (found.complete, found.failed, found.notes) == (True, (0, ""), ())
    told = conditions(found)
    assert [told[f"units_{number}"] for number in range(5)] == [[], *([f"layers >= {number + 1}"] for number in range(1, 5))]
    assert told["kernel"] == ["kind = 'cnn' or 'rnn'"]
    assert told["shallow"] == ["layers = 1 or 2"]
    assert found.space.parameters["above"].when[0].at_least == pytest.approx(0.3, abs=1e-5)
    assert not any(parameter.optional for parameter in found.space.parameters.values())
    for seed in range(60):
        configuration = found.space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask())
        trial = AskedTrial(configuration)
        build(trial)
        assert set(trial.asked) == set(configuration), "as many as the builder asks for, no more and no less"


def test_what_hangs_on_two_values_at_once_is_found_without_trying_all_combinations() -> None:
    def build(trial: Any) -> None:
        chosen = [trial.suggest_categorical(f"choice_{number}", list("abcd")) for number in range(6)]
        if chosen[1] == "d" and chosen[4] == "c":
            trial.suggest_float("hidden", 0.0, 1.0)

    found = found_by(build)
    assert conditions(found)["hidden"] == ["choice_1 = 'd'", "choice_4 = 'c'"]
    assert found.runs < 4**6 / 20


def test_a_name_that_no_condition_describes_is_told_and_left_to_the_builder() -> None:
    def build(trial: Any) -> None:
        one, other = (trial.suggest_categorical(name, ["yes", "no"]) for name in ("one", "other"))
        if "yes" in (one, other):
            trial.suggest_int("either", 1, 9)

    found = found_by(build)
    assert found.space.parameters["either"].optional
    assert found.space.parameters["either"].when == ()
    assert found.notes == ("either: the builder decides when it is used, in a way that no condition describes; it is drawn for every trial that may use it",)


def test_a_range_that_moves_with_another_value_is_searched_as_it_is() -> None:
    def build(trial: Any) -> None:
        most = trial.suggest_categorical("most", [8, 64])
        trial.suggest_int("units", 1, most)

    space = found_by(build).space
    assert {configuration["most"]: configuration["units"] for configuration in space.grid()} == {8: 8, 64: 64}
    assert {(p.key, p.distribution, str(p.when[0])) for name, p in space.parameters.items() if name != "most"} == {
        ("units", IntDistribution(1, 8), "most = 8"),
        ("units", IntDistribution(1, 64), "most = 64"),
    }


def test_one_that_moves_without_end_is_searched_as_a_whole_and_told() -> None:
    def build(trial: Any) -> None:
        most = trial.suggest_int("most", 10, 1000)
        trial.suggest_int("units", 1, most)

    found = found_by(build, max_runs=60)
    assert found.space.parameters["units"].distribution == IntDistribution(1, 1000)
    assert any(note.startswith("units: asked for with ") for note in found.notes)


def test_the_search_for_a_space_ends_with_its_budget_and_says_so() -> None:
    def build(trial: Any) -> None:
        for number in range(30):
            trial.suggest_categorical(f"choice_{number}", list("abcdefgh"))

    found = found_by(build, max_runs=5)
    assert (found.runs, found.complete) == (5, False)
    assert len(found.space.parameters) == 30
    assert "was run 5 times, and not every pair of its choices was tried" in found.notes[0]


def test_a_builder_may_fail_on_some_values_but_not_on_all() -> None:
    def sometimes(trial: Any) -> None:
        1 / (trial.suggest_int("kernel", 1, 9) - 9)

    found = found_by(sometimes)
    assert found.failed == (1, "division by zero")
    assert "failed in 1 of" in found.notes[0]

    def always(trial: Any) -> None:
        trial.suggest_int("kernel", 1, 90)
        trial.suggest_int("width", 1, 90)
        raise ZeroDivisionError("never built")

    with pytest.raises(SearchSpaceError, match=r"mine:build: fails on all of \d+ configurations \(never built\)"):
        found_by(always)
    with pytest.raises(SearchSpaceError, match="asks for no hyperparameter"):
        found_by(lambda trial: None)


def test_a_found_space_is_read_back_from_its_record_as_it_was() -> None:
    def build(trial: Any) -> None:
        for number in range(trial.suggest_int("blocks/count", 1, 3)):
            trial.suggest_float(f"blocks/{number} rate", 1e-4, 1.0, log=True)
        if "a" in (trial.suggest_categorical("x", ["a", "b"]), trial.suggest_categorical("y", ["a", "b"])):
            trial.suggest_float("z", 0.0, 1.0, step=0.25)
        trial.suggest_int("w", 1, {"a": 2, "b": 4}[trial.params["x"]])

    found = found_by(build)
    assert described_space(json.loads(json.dumps(found.to_json()))) == found.space


# ---- Optuna's trial


def test_a_trial_hands_out_what_it_was_assigned_and_tells_what_was_new_and_what_was_not_asked_for() -> None:
    def build(trial: Any) -> Any:
        trial.set_user_attr("seen", True)
        return [
            trial.suggest_int("units", 1, 9),
            trial.suggest_float("rate", 1e-4, 1e-2, log=True),
            trial.suggest_categorical("drop", [None, 0.5]),
            trial.suggest_float("share", 0, 1),
            trial.params["units"],
            trial.should_prune(),
        ]

    class Made(list):  # type: ignore[type-arg]  # a list alone cannot be held weakly
        pass

    model = call(lambda trial: Made(build(trial)), {"units": 3, "drop": "none", "idle": 1}, "mine:build")
    assert model == [3, pytest.approx(1e-3), None, 0.5, 3, False]
    assert difference_of(model).to_json() == {
        "found": [
            {"name": "rate", "low": 1e-4, "high": 1e-2, "log": True, "default": pytest.approx(1e-3)},
            {"name": "share", "low": 0.0, "high": 1.0, "log": False, "default": 0.5},
        ],
        "unasked": ["idle"],
    }


@pytest.mark.parametrize(
    ("choices", "message"),
    [([0, False], "the choices 0 and False are equal"), ([None, "none"], "are equal in the record"), ([(1, 2)], r"got \(1, 2\); expected a number, a string")],
)
def test_choices_that_a_record_cannot_tell_apart_are_refused(choices: list[Any], message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        found_by(lambda trial: trial.suggest_categorical("kind", choices))


def test_equal_choices_of_one_type_are_one_and_numbers_of_numpy_are_numbers() -> None:
    space = found_by(lambda trial: trial.suggest_categorical("kind", [np.float64(0.5), 1.5, 1.5])).space
    assert space.parameters["kind"].distribution == CategoricalDistribution((0.5, 1.5))


def test_one_name_with_two_ranges_in_one_run_is_refused() -> None:
    with pytest.raises(SearchSpaceError, match="units: suggested twice in one run, with different ranges"):
        found_by(lambda trial: [trial.suggest_int("units", 1, 2), trial.suggest_int("units", 1, 3)])


# ---- KerasTuner's hyperparameters


def model_of(units: int = 2) -> Any:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def build_with_everything(hp: Any) -> Any:
    hp.Int("stepped", 32, 100, step=32)
    hp.Int("multiplied", 8, 800, step=10, sampling="log")
    hp.Int("logarithmic", 1, 100, sampling="log", default=10)
    hp.Int("reversed", 1, 100, sampling="reverse_log")
    hp.Float("tenths", 0, 1, step=0.1)
    hp.Float("powers", 0.001, 10, step=10, sampling="log")
    hp.Choice("kind", ["a", "b"], default="b")
    hp.Choice("flags", [True, False])
    hp.Boolean("normalised", default=True)
    hp.Fixed("constant", 7)
    with hp.name_scope("head"):
        hp.Choice("type", ["small", "large"])
        with hp.conditional_scope("type", ["large"]):
            hp.Int("units", 1, 9)
        hp.Int("units", 100, 200, parent_name="type", parent_values=["small"])
        assert hp.get("type") == hp["type"]
    hp.Int("child", 1, 5, parent_name="flags", parent_values=[True])
    if hp.get("kind") == "a":
        hp.Int("behind an if", 1, 2)
    return model_of()


def test_all_that_kerastuner_can_ask_for_is_found_with_the_values_that_kerastuner_has() -> None:
    pytest.importorskip("keras_tuner")
    found = discover(asker(build_with_everything, "mine:build"), "mine:build")
    space = found.space
    ranges = {name: parameter.distribution for name, parameter in space.parameters.items()}
    assert ranges["stepped"] == IntDistribution(32, 96, step=32)
    assert ranges["multiplied"] == CategoricalDistribution((8, 80, 800))
    assert ranges["logarithmic"] == IntDistribution(1, 100, log=True)
    assert ranges["reversed"] == IntDistribution(1, 100)
    assert ranges["tenths"] == FloatDistribution(0.0, 0.9, step=0.1)
    assert ranges["powers"].choices == pytest.approx((0.001, 0.01, 0.1, 1.0, 10.0))  # type: ignore[attr-defined]
    assert ranges["flags"] == CategoricalDistribution((1, 0))
    assert ranges["normalised"] == CategoricalDistribution((False, True))
    assert ranges["constant"] == CategoricalDistribution((7,))
    assert {space.key_of(name) for name in space.parameters} >= {"head/type", "head/units", "child", "behind an if"}
    default = space.default()
    assert default is not None
    assert (default["logarithmic"], default["kind"], default["normalised"], default["head/units"]) == (10, "b", True, 100)
    assert any("ends at 0.9 in steps of 0.1" in note for note in found.notes)
    assert any("reverse_log" in note for note in found.notes)
    told = conditions(found)
    assert told["behind an if"] == ["kind = 'a'"]
    assert told["child"] == ["flags = 1"]


def test_kerastuners_hyperparameters_hold_the_assigned_values_and_what_is_new_gets_its_default() -> None:
    pytest.importorskip("keras_tuner")
    seen = {}

    def build(hp: Any) -> Any:
        seen.update(units=hp.Int("units", 1, 9), rate=hp.Float("rate", 0.1, 0.9, default=0.3), contained="idle" in hp)
        with hp.conditional_scope("units", [1, 2]):
            seen["dead"] = hp.Int("dead", 1, 3)
        return model_of(seen["units"])

    model = call(build, {"units": 4, "idle": 2}, "mine:build")
    difference = difference_of(model)
    assert seen == {"units": 4, "rate": 0.3, "contained": True, "dead": None}
    assert model.layers[0].units == 4
    assert [asked.name for asked in difference.found] == ["rate"]
    assert difference.unasked == ("idle",)


def test_a_hypermodel_is_built_as_class_or_instance_and_what_its_fit_asks_for_is_found() -> None:
    kt = pytest.importorskip("keras_tuner")

    class Mine(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return model_of(hp.Int("units", 1, 4))

        def fit(self, hp: Any, model: Any, *arguments: Any, **named: Any) -> Any:
            shuffled = hp.Boolean("shuffled")
            return model.fit(*arguments, batch_size=hp.Choice("batch_size", [16, 32]), shuffle=shuffled, **named)

    for builder in (Mine, Mine()):
        assert style_of(builder) == "hp"
        assert list(discover(asker(builder, "mine:Mine"), "mine:Mine").space.parameters) == ["units", "shuffled", "batch_size"]
        model = call(builder, {"units": 3, "shuffled": True, "batch_size": 16}, "mine:Mine")
        assert model.layers[0].units == 3
        history = own_fit_of(model)(model, np.zeros((64, 3)), np.zeros(64), epochs=1, verbose=0)  # type: ignore[misc]
        assert history.params["steps"] == 4, "of 16 rows each"


def test_a_bug_in_a_builder_is_told_with_the_line_of_the_user() -> None:
    pytest.importorskip("keras_tuner")

    def build(hp: Any) -> Any:
        hp.Int("units", 1, 4)
        return {}["nothing"]

    with pytest.raises(SearchSpaceError) as caught:
        discover(asker(build, "mine:build"), "mine:build")
    assert "fails on all of" in str(caught.value)
    assert 'return {}["nothing"]' in str(caught.value)


def test_conditions_hold_for_what_a_random_configuration_builds() -> None:
    pytest.importorskip("keras_tuner")
    space = discover(asker(build_with_everything, "mine:build"), "mine:build").space
    for seed in range(10):
        configuration = space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask())
        assert difference_of(call(build_with_everything, configuration, "mine:build")).to_json() == {"found": [], "unasked": []}
        plain = {name: parameter for name, parameter in space.parameters.items() if not parameter.key}
        assert all(is_active(parameter, configuration) == (name in configuration) for name, parameter in plain.items())
