"""Records of older sweeps open: what commit 00f4756 wrote (tests/golden) is read, reported, predicted from, resumed and extended by the code of today."""

import csv
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.sweep.test_journey import Told
from tuner.data import dataset as data
from tuner.data.splits.drawing import Fold
from tuner.report.formats import FORMATS, render
from tuner.report.schema import SCHEMA
from tuner.results.card import read_card
from tuner.results.leaderboard import Leaderboard
from tuner.results.prediction import predict
from tuner.spec import sweep_spec as specs
from tuner.study.backends import read_study
from tuner.study.record import STATES
from tuner.sweep import reopen
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep

GOLDEN = Path(__file__).with_name("golden")
SWEEPS = ("finished", "table", "interrupted", "folds")
ENDED = ("finished", "table", "folds")


@pytest.fixture
def copy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A copy of the golden sweep that the parameter names, as the working folder, and what the code that wrote it said of it."""
    shutil.copytree(GOLDEN / request.param, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy", json.loads((tmp_path / "copy" / "expected.json").read_text())


def go_on(spec: specs.SweepSpec, address: str | None) -> tuple[Leaderboard, Told]:
    """Run the sweep that is in the working folder, on the Ray of the tests; without an address, where nothing is left to do."""
    view = Told()
    if address is not None:
        spec = specs.check({**specs.to_json(spec), "cluster": {"target": "address", "address": address}})
    return run_sweep(spec, view=view, interrupted=threading.Event(), given=Given((str(Path.cwd()),))), view


def holds(found: Any, expected: Any) -> bool:
    """Say whether everything in the expected JSON is in the other one, which may have keys that Tuner has learnt since."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(name in found and holds(found[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(holds, found, expected))
    return found == expected


@pytest.mark.parametrize("copy", SWEEPS, indirect=True)
def test_leaderboard_says_what_it_said(copy: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = copy
    board = Leaderboard.read(folder / "sweep")
    shown = json.loads(render(board, "json"))
    jsonschema.validate(shown, SCHEMA)
    assert pq.read_schema(folder / "sweep" / "leaderboard.parquet").names == expected["columns"]
    for trial in expected["leaderboard"]:
        # A trial without a cause, a seed, ... has no such key.
        trial_shown = next(each for each in shown["trials"] if each["number"] == trial["number"])
        assert holds(trial_shown, {name: value for name, value in trial.items() if value is not None})
        assert all(trial_shown.get(name) is None for name, value in trial.items() if value is None)
    assert [trial["number"] for trial in shown["trials"]] == [trial["number"] for trial in expected["leaderboard"]]
    for name in ("summary", "objective", "dataset", "versions"):
        assert holds(shown["summary"] if name == "summary" else shown["facts"][name], expected[name]), name
    assert len(shown["facts"]["test_openings"]) == expected["test_openings"]
    assert holds(shown["facts"].get("confirmed"), expected["confirmed"])
    assert board.facts["begun_in"] == expected["begun_in"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("copy", SWEEPS, indirect=True)
def test_every_report_can_be_made_of_it(copy: tuple[Path, dict[str, Any]], form: str) -> None:
    folder, expected = copy
    text = render(Leaderboard.read(folder / "sweep"), form)
    name = expected["summary"]["name"]
    for words in {"csv": ["rank,number"], "latex": ["tabular"]}.get(form, [name, f"{expected['summary']['best']['score']:.4f}"[:5]]):
        assert words in text


@pytest.mark.parametrize("copy", SWEEPS, indirect=True)
def test_journal_holds_every_epoch_that_it_held(copy: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = copy
    assert len((folder / "sweep" / "journal.log").read_bytes().splitlines()) == expected["journal_lines"]
    study = read_study(folder / "sweep")
    metric = expected["objective"]["metric"]
    assert (study.objective.metric, study.objective.mode) == (metric, expected["objective"]["mode"])
    recorded = {trial.number: trial for trial in study.trials()}
    assert recorded.keys() == {trial["number"] for trial in expected["leaderboard"]}
    for trial in expected["leaderboard"]:
        record = recorded[trial["number"]]
        assert STATES[record.state] == trial["state"]
        assert list(record.intermediate_values.values()) == trial["curves"][metric]
        assert record.user_attrs["configuration"] == trial["configuration"]
        assert record.user_attrs["seed"] == trial["seed"]
    # The board that is made of the record is the board that was written.
    assert Leaderboard.of(study.trials(), study.objective, study.facts).records == Leaderboard.read(folder / "sweep").records


@pytest.mark.parametrize("copy", ENDED, indirect=True)
def test_model_card_and_model_predict_what_they_predicted(copy: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = copy
    card = read_card(folder / "sweep")
    assert card["sweep"]["trial"] == expected["model"]["trial"]
    assert holds(card, {name: value for name, value in expected["model"].items() if name not in ("trial", "builder")})
    source = expected["predictions"]["of"]
    predict(folder / "sweep", folder / source, folder / "again.csv", search_path=(str(folder),))
    with (folder / "again.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected["predictions"]["rows"])
    for row, before in zip(rows, expected["predictions"]["rows"], strict=True):
        assert row.keys() == before.keys()
        for name, value in before.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("copy", ["finished", "table"], indirect=True)
def test_checkpoints_hold_the_networks_that_were_recorded(copy: tuple[Path, dict[str, Any]]) -> None:
    from tuner.training.process import Limits, TrainingProcess
    from tuner.training.shared_data import store

    folder, expected = copy
    spec = specs.load(folder / "spec.toml")
    dataset, _ = data.load(spec.dataset, spec.seed)
    fold = dataset.folds[0]
    base = spec.training_config(dataset, ())
    number, epoch = next(iter(expected["checkpoints"].items()))
    trial = next(each for each in expected["leaderboard"] if each["number"] == int(number))
    arrays = store(folder / "arrays", dataset.pool)
    folds = (Fold(None, fold.validation, dataset.scalings(fold.train)),)
    with TrainingProcess(base.of(trial["configuration"], trial["seed"]), arrays, folds=folds, limits=Limits()) as process:
        process.restore(folder / "sweep" / "checkpoints" / number)
        assert process.epoch == epoch
        metrics, outputs = process.evaluate()
    assert len(outputs) == len(fold.validation)
    recorded = {name: trial["curves"][f"val_{name}"][epoch - 1] for name in metrics}
    # That commit still counted penalties on weights in val_loss. Without them it is what the answers say.
    loss, before = metrics.pop("loss"), recorded.pop("loss")
    assert loss == pytest.approx(loss_of(outputs, dataset.pool.y, fold.validation), rel=1e-4)
    assert loss < before < 1.05 * loss
    assert metrics == pytest.approx(recorded, rel=1e-4)


def loss_of(outputs: np.ndarray, y: np.ndarray, rows: np.ndarray) -> float:
    """Return the crossentropy of probabilities, or the squared error of numbers in units of the targets' variance.

    Args:
        outputs: probabilities (rows, classes), or answers (rows, 1), in the targets' units.
        y: of all rows but the test's: class numbers, or float (all rows,) or (all rows, 1).
        rows: those that outputs are of.
    """
    if len(outputs[0]) > 1:
        return float(-np.log(outputs[np.arange(len(rows)), y[rows]]).mean())
    return float(np.square(outputs.ravel() - y[rows].ravel()).mean() / np.var(y, dtype=np.float64))


@pytest.mark.parametrize("copy", ENDED, indirect=True)
def test_finished_sweep_is_still_the_sweep_of_its_spec_and_has_nothing_left_to_do(copy: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = copy
    board, view = go_on(specs.load(folder / "spec.toml"), None)
    assert view.stages == ["data", "report"]  # no Ray, no training, no opening of the test split
    assert len(board.facts["test_openings"]) == expected["test_openings"]
    assert board.winner.number == expected["model"]["trial"]


@pytest.mark.parametrize("copy", ["interrupted"], indirect=True)
def test_interrupted_sweep_goes_on_to_its_end(copy: tuple[Path, dict[str, Any]], ray_address: str) -> None:
    folder, expected = copy
    states = {number: (folder / "sweep" / "checkpoints" / number / "state.json").exists() for number in expected["waiting"]}
    assert all(states.values())
    board, view = go_on(reopen.recorded(Path("sweep")).spec, ray_address)
    metric, records = expected["objective"]["metric"], {record.number: record for record in board.records}
    assert len(records) == len(expected["leaderboard"]) + expected["left"]["trials"]
    assert {record.state for record in board.records} <= {"complete", "pruned"}
    for trial in expected["leaderboard"]:
        curves = records[trial["number"]].curves
        for name, curve in trial["curves"].items():  # what was recorded stays, to the last digit; what waited has gone on
            assert list(curves[name][: len(curve)]) == curve
        if str(trial["number"]) in expected["waiting"]:
            saved = json.loads((GOLDEN / "interrupted" / "sweep" / "checkpoints" / str(trial["number"]) / "reports.json").read_text())
            told = [saved[str(epoch)][metric] for epoch in range(1, 1 + max(map(int, saved)))]
            assert list(curves[metric][: len(told)]) == told  # the epoch that its state was ahead of the record
            assert len(curves[metric]) >= len(told)
    assert [opening["reason"] for opening in board.facts["test_openings"]] == [f"final evaluation of trial {board.winner.number}"]
    assert not any("checkpoint is lost" in note for note in view.notes)
    assert (folder / "sweep" / "model.keras").exists()


@pytest.mark.parametrize("copy", ["finished"], indirect=True)
def test_finished_sweep_can_be_extended(copy: tuple[Path, dict[str, Any]], ray_address: str) -> None:
    folder, expected = copy
    before = Leaderboard.read(folder / "sweep")
    assert reopen.extend(Path("sweep"), trials="+1", epochs=None, seconds=None) == ["search.trials: 6 -> 7"]
    board, _ = go_on(reopen.recorded(Path("sweep")).spec, ray_address)
    assert len(board.records) == 7
    assert {record.number: record.curves for record in before.records}.items() <= {record.number: record.curves for record in board.records}.items()
    assert len(board.facts["test_openings"]) in (expected["test_openings"], expected["test_openings"] + 1)
    assert np.isfinite(board.facts["final"]["saved"]["test_accuracy"])
