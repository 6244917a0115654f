"""Whole sweeps through a real Ray, on tiny networks and data."""

import json
import threading
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuner.errors import NothingToRank, SpecError
from tuner.report.formats import render
from tuner.report.schema import SCHEMA
from tuner.results.leaderboard import Leaderboard
from tuner.spec import sweep_spec as specs
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep

TINY = {"depth": 1, "width": [4, 8], "activation": ["relu", "tanh"], "batch_size": 32, "optimizer": "adam", "learning_rate": 0.03}


class Told:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.states: list[tuple[int, str]] = []
        self.facts: dict[str, Any] = {}

    def stage(self, name: str, **facts: Any) -> None:
        self.stages.append(name)

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        self.states.append((number, state))

    def forecast(self, expected: Any) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def result(self, text: str, facts: Any) -> None:
        self.facts = dict(facts)
        json.dumps(self.facts)

    def close(self) -> None:
        pass


def sweep(folder: Path, address: str, *, view: Told | None = None, search_path: tuple[str, ...] = (), **sections: Any) -> Leaderboard:
    values: dict[str, Any] = {
        "name": "s",
        "folder": str(folder),
        "space": {"name": "mlp", **TINY},
        "search": {"sampler": "random", "trials": 3},
        "scheduler": {"name": "asha", "grace_period": 1},
        "training": {"max_epochs": 3},
        "evaluation": {"seeds": 2, "confirm": 0},
        "cluster": {"target": "address", "address": address},
    }
    spec = specs.check({**values, **sections})
    return run_sweep(spec, view=view or Told(), interrupted=threading.Event(), given=Given(search_path))


def test_journey_ends_in_a_ranked_board_a_model_and_one_opening_of_the_test_split(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    view = Told()
    folder = tmp_path / "sweep"
    data = {"source": "npz", "path": str(blobs), "test": 0.2, "validation": 0.2}
    board = sweep(folder, ray_address, view=view, dataset=data, trackers=["tensorboard"])

    assert [record.number for record in sorted(board.records, key=lambda record: record.number)] == [0, 1, 2]
    assert {record.state for record in board.records} <= {"complete", "pruned"}
    assert len({record.seed for record in board.records}) == 3
    assert all(record.parameters and record.seconds and record.worker for record in board.records)
    assert board.facts["dataset"]["content_hash"]
    final = board.facts["final"]
    assert len(final["runs"]) == 2
    assert len({run["seed"] for run in final["runs"]}) == 2
    assert final["mean"]["test_accuracy"] > 0.5
    assert sum(map(sum, final["test"]["confusion"])) == 48
    assert [opening["reason"] for opening in board.facts["test_openings"]] == [f"final evaluation of trial {board.best.number}"]
    assert view.stages == ["data", "cluster", "search", "retrain", "test", "report"]
    assert board.facts["ways"] == {"compiled epoch": 3}
    assert [(stage["name"], stage["epochs"]) for stage in board.facts["stages"]] == [
        ("search", sum(record.epochs for record in board.records)),
        ("retrain", 2 * final["epochs"]),
    ]
    assert Leaderboard.read(folder) == board
    card = json.loads((folder / "model.json").read_text())
    assert card["metrics"] == final["saved"]
    assert {int(place.name) for place in folder.glob("checkpoints/*")} <= {record.number for record in board.ranked[:3]}
    shown = {file.parent.name for file in folder.glob("tensorboard/**/events.*")}
    assert shown == {"tensorboard", "trial-0000", "trial-0001", "trial-0002", f"final-trial-{board.best.number:04d}-{final['epochs']}-epochs"}

    # Run again, the finished sweep only shows what it found: no Ray is needed, nothing is trained, and the test split stays closed.
    again = Told()
    assert sweep(folder, ray_address, view=again, dataset=data) == board
    assert again.stages == ["data", "report"]
    with pytest.raises(SpecError, match=r"another spec \(seed: 0 -> 9\)"):
        sweep(folder, ray_address, dataset=data, seed=9)


def test_saved_model_predicts_what_it_was_tested_with(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    from tuner.results.prediction import predict

    folder = tmp_path / "sweep"
    board = sweep(folder, ray_address, dataset={"source": "npz", "path": str(blobs)}, search={"sampler": "random", "trials": 1})
    table = predict(folder, blobs, tmp_path / "predictions.parquet")
    data = np.load(blobs)
    test = np.load(folder / "split.npz")["test"]
    right = np.array([int(name) for name in table["predicted"].to_pylist()])[test] == data["y"][test]
    assert right.mean() == pytest.approx(board.facts["final"]["saved"]["test_accuracy"])
    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == 240


def test_finite_space_is_tried_once_and_the_front_of_both_objectives_is_marked(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    view = Told()
    board = sweep(
        tmp_path / "sweep",
        ray_address,
        view=view,
        search_path=(str(Path(__file__).parents[2]),),
        dataset={"source": "npz", "path": str(blobs)},
        space={"builder": "tests.builders:network", "normalized": [True, False], "optimizer": ["Adam", "SGD"]},
        search={"sampler": "forecast", "trials": 50, "also_minimize": "parameters"},
        training={"max_epochs": 2},
        evaluation={"enabled": False},
    )
    tried = [tuple(sorted(record.configuration.items())) for record in board.records]
    assert len(tried) == len(set(tried)) == 4
    assert board.facts["search_ended"] == "all 4 configurations of the space have been run"
    assert any("all 4 configurations of the space have been run" in note for note in view.notes)
    beaten = {
        record.number
        for record in board.ranked
        for other in board.ranked
        if (other.score, -other.parameters) != (record.score, -record.parameters) and other.score >= record.score and other.parameters <= record.parameters
    }
    assert {record.number for record in board.front}.isdisjoint(beaten) and board.front
    assert {(record.score, record.parameters) for record in board.front} == {
        (record.score, record.parameters) for record in board.ranked if record.number not in beaten
    }
    assert board.best in board.front or board.best.score == board.front[0].score
    assert pq.read_table(tmp_path / "sweep" / "leaderboard.parquet")["pareto"].to_pylist() == [record.pareto for record in board.records]


def test_winner_is_chosen_on_fresh_seeds_within_the_budget_and_on_validation_rows_only(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    view = Told()
    folder = tmp_path / "sweep"
    sections: dict[str, Any] = {
        "dataset": {"source": "npz", "path": str(blobs)},
        "search": {"sampler": "random", "trials": 4},
        "scheduler": {"name": "fifo", "grace_period": 1},
        "training": {"max_epochs": 2},
        "evaluation": {"seeds": 1, "confirm": 2, "confirm_budget": 1.1},
    }
    board = sweep(folder, ray_address, view=view, **sections)
    assert view.stages == ["data", "cluster", "search", "confirm", "retrain", "test", "report"]
    confirmed = board.facts["confirmed"]
    assert {entry["trial"] for entry in confirmed} == {record.number for record in board.ranked[:2]}
    assert all(len(entry["runs"]) >= 2 and entry["low"] <= entry["mean"] <= entry["high"] for entry in confirmed)
    assert {entry["trial"]: entry["epochs"] for entry in confirmed} == {record.number: record.best_epoch for record in board.ranked[:2]}
    stage = next(stage for stage in board.facts["stages"] if stage["name"] == "confirm")
    assert stage["epochs"] == sum(entry["epochs"] * len(entry["runs"]) for entry in confirmed) <= int(1.1 * 8)
    assert board.facts["final"]["trial"] == board.winner.number == next(entry["trial"] for entry in confirmed if entry["chosen"])
    assert view.facts["winner"]["trial"] == board.winner.number
    assert board.facts["test_openings"][0]["reason"] == f"final evaluation of trial {board.winner.number}"
    assert "Confirmed" in (folder / "report.html").read_text()
    jsonschema.validate(json.loads(render(board, "json")), SCHEMA)

    again = Told()
    assert sweep(folder, ray_address, view=again, **sections) == board
    assert again.stages == ["data", "report"]


def test_too_small_a_budget_for_confirming_is_said_and_the_best_of_the_search_wins(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    view = Told()
    evaluation = {"seeds": 1, "confirm": 5, "confirm_budget": 0.01}
    data = {"source": "npz", "path": str(blobs)}
    board = sweep(tmp_path / "sweep", ray_address, view=view, dataset=data, search={"sampler": "random", "trials": 2}, evaluation=evaluation)
    assert any("nothing is confirmed on fresh seeds: evaluation.confirm_budget allows 0 epochs" in note for note in view.notes)
    assert board.facts["final"]["trial"] == board.best.number
    assert "confirm" not in view.stages


def test_grid_over_folds_runs_every_configuration_once_and_records_the_spread(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    board = sweep(
        tmp_path / "sweep",
        ray_address,
        dataset={"source": "npz", "path": str(blobs), "folds": 3},
        space={"name": "mlp", **TINY, **{"dropout": 0.0, "dropout_input": 0.0, "regularizer": "none", "schedule": "constant", "batch_normalization": False}},
        search={"sampler": "grid", "trials": 50},
        scheduler={"name": "fifo", "grace_period": 1},
        training={"max_epochs": 1},
        evaluation={"enabled": False},
    )
    assert len({json.dumps(record.configuration, sort_keys=True) for record in board.records}) == len(board.records) == 4
    assert all(record.at_best("val_accuracy_spread") is not None for record in board.ranked)
    assert "final" not in board.facts
    assert board.facts["test_openings"] == []


def test_table_with_words_and_holes_is_searched_for_regression(tmp_path: Path, ray_address: str) -> None:
    draw = np.random.default_rng(0)
    size, colour = draw.normal(size=120), draw.choice(["red", "green"], size=120)
    price = 3 * size + (colour == "red") + draw.normal(scale=0.1, size=120)
    holes = [None if index % 10 == 0 else float(value) for index, value in enumerate(size)]
    pq.write_table(pa.table({"size": holes, "colour": colour, "price": price}), tmp_path / "houses.parquet")
    board = sweep(
        tmp_path / "sweep",
        ray_address,
        dataset={"source": "table", "path": str(tmp_path / "houses.parquet"), "target": "price", "missing": "mean"},
        search={"sampler": "random", "trials": 2},
    )
    assert board.objective.metric == "val_loss"
    assert board.objective.mode == "min"
    assert board.facts["final"]["test"]["errors"]["root mean square"] > 0


BUILDERS = """
import keras

def build_model(configuration, problem):
    if configuration["kind"] == "raises":
        raise RuntimeError("this builder is wrong")
    model = keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(problem.outputs, activation="softmax")])
    rate = float("nan") if configuration["kind"] == "diverges" else 0.1
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def test_failures_are_rows_of_the_board_and_do_not_end_the_sweep(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    (tmp_path / "my_networks.py").write_text(BUILDERS)
    board = sweep(
        tmp_path / "sweep",
        ray_address,
        dataset={"source": "npz", "path": str(blobs)},
        space={"builder": "my_networks:build_model", "kind": ["raises", "diverges", "learns"]},
        search={"sampler": "grid", "trials": 3},
        evaluation={"seeds": 1, "confirm": 0},
        search_path=(str(tmp_path),),
    )
    kinds = {record.configuration["kind"]: record for record in board.records}
    assert kinds["raises"].state == kinds["diverges"].state == "failed"
    assert kinds["raises"].cause["kind"] == "error"
    assert "this builder is wrong" in kinds["raises"].cause["message"]
    assert kinds["diverges"].cause["kind"] == "diverged"
    assert board.best.configuration == {"kind": "learns"}
    assert "running" not in {record.state for record in board.records}


def test_sweep_without_any_score_says_so(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    (tmp_path / "my_networks.py").write_text(BUILDERS)
    with pytest.raises(NothingToRank, match=r"nothing to rank: none of 1 trials has a score \(their causes: diverged\)"):
        sweep(
            tmp_path / "sweep",
            ray_address,
            dataset={"source": "npz", "path": str(blobs)},
            space={"builder": "my_networks:build_model", "kind": "diverges"},
            search={"sampler": "random", "trials": 1},
            search_path=(str(tmp_path),),
        )


def test_baselines_run_first_whatever_the_space_and_every_row_shows_its_gain(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    board = sweep(
        tmp_path / "sweep",
        ray_address,
        dataset={"source": "npz", "path": str(blobs)},
        search={"sampler": "random", "trials": 3, "baselines": ["small-tanh"]},
        evaluation={"enabled": False},
    )
    first = board.find(0)
    assert first.baseline == "small-tanh"
    assert first.configuration["width"] == 100
    assert first.epochs == 3  # never stopped early
    assert first.gain == 0
    assert all(record.gain == pytest.approx(record.score - first.score) for record in board.ranked)
