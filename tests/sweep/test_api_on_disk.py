"""`tuner.run` with code and data that a file names: what it writes is a sweep like any other, to the command line too."""

import doctest
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tuner
from tuner.cli.main import cli
from tuner.study.backends import read_study
from tuner.sweep import api

MODULE = """
import keras

def network(units):
    layers = [keras.layers.Dense(count, activation="relu") for count in units]
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3, activation="softmax")])

def build_model(configuration, problem):
    return network([configuration["units_0"]])

def build_itself(trial):
    return network([trial.suggest_int(f"units_{number}", 4, 8) for number in range(trial.suggest_int("layers", 1, 2))])
"""
SPEC = """
name = "by-file"
[dataset]
source = "npz"
path = "blobs.npz"
[space]
builder = "digits_of_mine:build_model"
units_0 = { low = 4, high = 8 }
[search]
sampler = "random"
trials = 9
[training]
max_epochs = 2
[scheduler]
name = "fifo"
[evaluation]
enabled = false
[cluster]
target = "in-process"
"""
ONCE: dict[str, Any] = {"max_epochs": 1, "scheduler": {"name": "fifo"}, "evaluation": {"enabled": False}, "cluster": {"target": "in-process"}, "quiet": True}


@pytest.fixture
def mine(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module and a spec, which is not the working folder."""
    place = tmp_path / "code"
    place.mkdir()
    (place / "digits_of_mine.py").write_text(MODULE, encoding="utf-8")
    (place / "sweep.toml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(blobs.rename(tmp_path / "elsewhere" / "blobs.npz").parent)
    monkeypatch.delitem(sys.modules, "digits_of_mine", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return place


def test_a_spec_file_is_run_with_what_the_call_says_besides_and_the_command_line_goes_on_with_it(mine: Path) -> None:
    result = tuner.run(spec=mine / "sweep.toml", trials=2, quiet=True)
    assert result.folder == Path("sweeps/by-file")
    assert [record.epochs for record in result.leaderboard.records] == [2, 2]
    assert all(record.configuration["units_0"] in range(4, 9) for record in result.leaderboard.records)
    # The folder alone is enough: it keeps what its trials were built by.
    (mine / "digits_of_mine.py").rename(mine / "gone.py")
    extended = CliRunner().invoke(cli, ["extend", "sweeps/by-file", "--trials", "+1", "-q"], catch_exceptions=False)
    assert extended.exit_code == 0
    assert len(tuner.load("sweeps/by-file").leaderboard) == 3


def test_a_function_of_a_module_goes_by_its_name_and_another_sweep_begins_with_what_this_one_has_tried(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(mine))
    from digits_of_mine import build_itself  # type: ignore[import-not-found]

    result = tuner.run(build_itself, data="blobs.npz", trials=2, sampler="random", name="named", **ONCE)
    assert (result.facts["builder"], result.facts["dataset"]["source"]) == ("digits_of_mine:build_itself", "npz")
    assert all(("units_1" in record.configuration) == (record.configuration["layers"] == 2) for record in result.leaderboard.records)
    spec = SPEC.replace("build_model", "build_itself").replace("units_0 = { low = 4, high = 8 }", "")
    (mine / "next.toml").write_text(spec, encoding="utf-8")
    forked = CliRunner().invoke(cli, ["fork", "sweeps/named", str(mine / "next.toml"), "--set", "search.trials=1", "-q"], catch_exceptions=False)
    assert forked.exit_code == 0
    assert read_study(Path("sweeps/by-file")).facts["warm_start"] == {"sweeps": ["named"], "trials": 2}


def test_a_changed_builder_is_gone_on_with_where_the_call_says_so(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(mine))
    asked: dict[str, Any] = {"spec": mine / "sweep.toml", "trials": 1, "quiet": True}
    tuner.run(**asked)
    (mine / "digits_of_mine.py").write_text(MODULE.replace('"relu"', '"tanh"'), encoding="utf-8")
    with pytest.raises(tuner.SpecError, match="the builder has changed since this sweep began"):
        tuner.run(**asked)
    assert len(tuner.run(**asked, changed_builder=True).leaderboard) == 1


def test_the_example_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = [each for each in doctest.DocTestFinder().find(api, "api", globs={}) if each.examples]
    assert example.name == "api.run"
    for line in example.examples:
        line.source = line.source.replace("quiet=True", 'quiet=True, cluster={"target": "in-process"}, evaluation={"enabled": False}')
    outcome = doctest.DocTestRunner(verbose=False).run(example)
    assert (outcome.failed, outcome.attempted) == (0, 5)
