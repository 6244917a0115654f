"""Sweeps over builders that ask for their hyperparameters themselves, through a real Ray."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.sweep.test_journey import Told
from tuner.errors import SpecError
from tuner.results.leaderboard import Leaderboard
from tuner.spec import sweep_spec as specs
from tuner.spec.builder_style import styled
from tuner.study.backends import read_study
from tuner.sweep import plan
from tuner.sweep.found_space import space_of_record
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep
from tuner.sweep.reopen import take_on_builder

KERAS_TUNER = """
import keras
import keras_tuner

def build_model(hp):
    model = keras.Sequential([keras.Input((4,))])
    for number in range(hp.Int("layers", 1, 2)):
        model.add(keras.layers.Dense(hp.Choice(f"units_{number}", [4, 8]), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(hp.Float("rate", 0.1, 0.3)))
    model.add(keras.layers.Dense(3, activation="softmax"))
    model.compile(keras.optimizers.Adam(hp.Float("rate/learning", 1e-3, 1e-1, sampling="log")), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
OPTUNA = """
import keras

def build_model(trial):
    units = trial.suggest_int("units", 4, 8)
    layers = [keras.Input((4,)), keras.layers.Dense(units, activation=trial.suggest_categorical("activation", [None, "relu"]))]
    if units == 7:
        layers.append(keras.layers.Dropout(trial.suggest_float("rate", 0.1, 0.3)))
    return keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
"""
# What this one asks for depends on what no configuration says: it cannot be found before trials run.
LATE = """
import os
import keras

def build_model(trial):
    model = [keras.Input((4,)), keras.layers.Dense(trial.suggest_int("units", 4, 64), activation="relu")]
    if os.path.exists(os.environ["LATE_NAME_FILE"]):
        model.append(keras.layers.Dropout(trial.suggest_float("late", 0.1, 0.3)))
    return keras.Sequential([*model, keras.layers.Dense(3, activation="softmax")])
"""


def spec_of(folder: Path, blobs: Path, address: str, source: str, **sections: Any) -> tuple[specs.SweepSpec, Given]:
    (folder / "mine.py").write_text(source, encoding="utf-8")
    values = {
        "name": "s",
        "folder": str(folder / "sweep"),
        "dataset": {"source": "npz", "path": str(blobs)},
        "space": {"builder": "mine:build_model"},
        "search": {"sampler": "random", "trials": 4},
        "training": {"max_epochs": 2},
        "scheduler": {"grace_period": 1},
        "evaluation": {"seeds": 1, "confirm": 0},
        "cluster": {"target": "address", "address": address},
    }
    search_path = (str(folder),)
    return specs.check(styled({**values, **sections}, search_path)), Given(search_path)


def run(spec: specs.SweepSpec, given: Given, view: Told | None = None) -> Leaderboard:
    return run_sweep(spec, view=view or Told(), interrupted=threading.Event(), given=given)


def test_a_kerastuner_builder_is_searched_and_its_inactive_hyperparameters_are_inactive(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    pytest.importorskip("keras_tuner")
    spec, given = spec_of(tmp_path, blobs, ray_address, KERAS_TUNER, search={"sampler": "random", "trials": 6})
    view = Told()
    board = run(spec, given, view)
    assert view.stages[:5] == ["data", "cluster", "space", "first batch", "search"]
    assert {record.state for record in board.records} <= {"complete", "pruned"}
    for record in board.records:
        configuration = record.configuration
        assert ("units_1" in configuration) == (configuration["layers"] == 2)
        assert ("rate" in configuration) == configuration["dropout"]
        assert 1e-3 <= configuration["rate/learning"] <= 1e-1
    assert board.facts["space"]["units_1"]["when"] == {"layers": {"at_least": 2}}
    assert board.facts["final"]["mean"]["test_accuracy"] > 0.3
    assert Leaderboard.read(tmp_path / "sweep") == board

    # Gone on with, the space is read from the record; a builder of another space is refused.
    again = Told()
    assert run(spec, given, again) == board
    assert "space" not in again.stages
    (tmp_path / "mine.py").write_text(KERAS_TUNER.replace("[4, 8]", "[4, 16]"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"the builder has changed since this sweep began"):
        run(spec, given)
    take_on_builder(tmp_path / "sweep", given)
    with pytest.raises(SpecError, match=r"another space than when this sweep began \(units_0.choices: \[4, 8\] -> \[4, 16\]"):
        run(spec, given)
    (tmp_path / "mine.py").write_text("# the same\n" + KERAS_TUNER, encoding="utf-8")
    take_on_builder(tmp_path / "sweep", given)
    assert run(spec, given).records == board.records


def test_an_optuna_builder_is_searched_by_a_sampler_that_learns_and_its_spec_narrows_it(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    narrowed = {"builder": "mine:build_model", "units": {"low": 6}}
    spec, given = spec_of(tmp_path, blobs, ray_address, OPTUNA, space=narrowed, search={"sampler": "forecast", "trials": 8})
    board = run(spec, given)
    assert {record.state for record in board.records} <= {"complete", "pruned"}
    assert {record.configuration["units"] for record in board.records} <= {6, 7, 8}
    assert all(("rate" in record.configuration) == (record.configuration["units"] == 7) for record in board.records)
    assert any(record.configuration["activation"] == "none" for record in board.records)


def test_a_name_that_is_found_while_trials_run_joins_the_search(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATE_NAME_FILE", str(tmp_path / "now"))
    spec, given = spec_of(tmp_path, blobs, "", LATE, cluster={"target": "local"}, search={"sampler": "random", "trials": 12, "max_concurrent": 1})

    class Later(Told):
        def stage(self, name: str, **facts: Any) -> None:
            super().stage(name, **facts)
            if name == "search":
                (tmp_path / "now").touch()

    view = Later()
    board = run(spec, given, view)
    assert all(0.1 <= record.configuration["late"] <= 0.3 for record in board.records)
    values = {record.configuration["late"] for record in board.records}
    assert len(values) > 2, "the first got the middle, later ones are drawn"
    assert any(note == "mine:build_model asked for more than was found before: late; searched from now on" for note in view.notes)
    study = read_study(tmp_path / "sweep")
    space = space_of_record(study)
    assert space is not None
    assert space.parameters["late"].optional
    assert study.facts["space"]["late"]["low"] == 0.1
    assert run(spec, given) == board


def test_a_plan_shows_the_space_that_was_found(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    spec, given = spec_of(tmp_path, blobs, ray_address, OPTUNA)
    found = plan.make_plan(spec, measure=2, view=Told(), interrupted=threading.Event(), given=given)
    json.dumps(found)
    assert found["space"]["rate"]["when"] == {"units": [7]}
    text = plan.text(found)
    assert "the space that the builder showed:\n  units       4 to 8\n  activation  'none' | 'relu'\n  rate        0.1 to 0.3, where units = 7\n" in text + "\n"


def test_a_builder_that_cannot_be_run_ends_the_sweep_with_its_own_line(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    spec, given = spec_of(tmp_path, blobs, ray_address, "def build_model(trial):\n    return {}[trial.suggest_int('units', 1, 3)]\n")
    with pytest.raises(ValueError, match=r"mine:build_model: fails on all of \d+ configurations \(KeyError: \d\)"):
        run(spec, given)
