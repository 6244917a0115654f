"""A sweep by one line: the spec that it means is written and run."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from tuner.cli.quick import spec_of
from tuner.errors import DatasetError, SpecError
from tuner.results.leaderboard import Leaderboard

ROOT = Path(__file__).parents[2]
SOURCE = """
import numpy as np

def build_model(hp):
    import keras
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 4, 8)), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def load():
    y = np.arange(240) % 3
    return (np.random.default_rng(0).normal(size=(240, 4)) + 4 * np.eye(3, 4)[y]).astype("float32"), y
"""


def given(**options: Any) -> dict[str, Any]:
    return {"builder": None, "data": None, "target": None, "trials": None, "max_epochs": None, "name": None, **options}


def test_the_spec_that_a_line_means_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "houses.csv").write_text("price,rooms\n1,2\n", encoding="utf-8")
    path = spec_of(None, given(builder="mine:build_model", data="mine:load", trials=7, max_epochs=3))
    assert tomllib.loads(path.read_text()) == {
        "name": "build_model",
        "dataset": {"source": "mine:load"},
        "space": {"builder": "mine:build_model"},
        "search": {"trials": 7},
        "training": {"max_epochs": 3},
    }
    assert "build_model.toml: written" in capsys.readouterr().err
    assert spec_of(None, given(builder="mine:build_model", data="mine:load", trials=7, max_epochs=3)) == path
    with pytest.raises(SpecError, match=r"build_model\.toml: is there already, and says otherwise \(search\.trials: 7 -> 8\); run it as it is by"):
        spec_of(None, given(builder="mine:build_model", data="mine:load", trials=8, max_epochs=3))
    (tmp_path / "sweeps" / "build_model").mkdir(parents=True)
    with pytest.raises(SpecError, match=r"give its sweep more to spend by `tuner extend sweeps/build_model --trials N`"):
        spec_of(None, given(builder="mine:build_model", data="mine:load", trials=8, max_epochs=3))
    table = spec_of(None, given(builder="mine:build_model", data="houses.csv", target="price", name="houses"))
    assert tomllib.loads(table.read_text())["dataset"] == {"source": "table", "path": "houses.csv", "target": "price"}


def test_a_module_may_be_named_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "build.py").write_text(SOURCE, encoding="utf-8")
    path = spec_of(None, given(builder="code/build.py:build_model", data="code/build.py:load"))
    assert path == Path("code/build_model.toml")
    assert tomllib.loads(path.read_text())["space"] == {"builder": "build:build_model"}
    assert tomllib.loads(path.read_text())["dataset"] == {"source": "build:load"}
    (tmp_path / "elsewhere.py").write_text(SOURCE, encoding="utf-8")
    with pytest.raises(SpecError, match=r"--data: got a file in .*; expected it beside the builder's, in .*code"):
        spec_of(None, given(builder="code/build.py:build_model", data="elsewhere.py:load", name="other"))


@pytest.mark.parametrize(
    ("spec", "options", "error", "message"),
    [
        (Path("a.toml"), {"trials": 3}, SpecError, r"--trials: got it beside a\.toml; expected a spec, or --builder"),
        (None, {"builder": "mine", "data": "mnist"}, SpecError, "--builder: got 'mine'; expected MODULE:NAME"),
        (None, {"builder": "no.py:build", "data": "mnist"}, SpecError, r"--builder: there is no file no\.py"),
        (None, {"builder": "mine:build_model", "data": "minst"}, DatasetError, "data: got 'minst'; expected arrays"),
        (None, {"builder": "mine:build_model"}, click.UsageError, "--data is missing; expected it beside --builder"),
        (None, {"builder": "mine:build_model", "data": "rows.npz"}, SpecError, r"--data: there is no file rows\.npz; expected one below"),
        (None, {"builder": "mine:build_model", "data": "no.py:load"}, SpecError, r"--data: there is no file no\.py; expected MODULE:NAME"),
        (None, {"builder": "mine:bild_model", "data": "mine:load"}, SpecError, "space.builder: mine:bild_model: .* did you mean 'build_model'"),
        (None, {"builder": "mine:build_model", "data": "mine:laod"}, SpecError, "mine:laod: .* did you mean 'load'"),
        (None, {"builder": "mine:build_model", "data": "mine:load", "name": "a/b"}, SpecError, 'name: got "a/b"; expected'),
    ],
)
def test_a_line_that_means_no_spec_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: Path | None, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    with pytest.raises(error, match=message):
        spec_of(spec, given(**options))
    assert not list(tmp_path.glob("*.toml"))


def test_a_project_of_kerastuner_is_searched_by_one_line(tmp_path: Path, ray_address: str) -> None:
    pytest.importorskip("keras_tuner")
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    place = ["--set", f'cluster={{target="address", address="{ray_address}"}}', "--set", "evaluation.seeds=1", "--set", "evaluation.confirm=0"]
    command = [sys.executable, "-m", "tuner", "run", "--builder", "mine:build_model", "--data", "mine:load", "--trials", "2", "--max-epochs", "2", *place, "-q"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    board = Leaderboard.read(tmp_path / "sweeps" / "build_model")
    assert len(board.ranked) == 2
    assert all(4 <= record.configuration["units"] <= 8 for record in board.ranked)
