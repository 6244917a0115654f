"""Whole sweeps whose trials end by patience, with class weights and metrics by name."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sweep.test_journey import Told
from tuner.errors import SpecError
from tuner.report.formats import render
from tuner.results.leaderboard import Leaderboard
from tuner.spec import sweep_spec as specs
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep

RARE = {"class_weight": "balanced", "metrics": ["auc", "recall", "accuracy"]}


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one of them rare."""
    draw = np.random.default_rng(4)
    x = draw.normal(size=(400, 5)).astype(np.float32)
    path = tmp_path_factory.mktemp("rare") / "rare.npz"
    np.savez(path, x=x, y=np.where(x[:, 0] + 0.5 * draw.normal(size=400) > 1.3, "ill", "well"))
    return path


def ran(place: Path, data: Path, training: dict[str, Any], *, interrupted: threading.Event | None = None, **sections: Any) -> Leaderboard:
    values = {
        "name": "s",
        "folder": str(place / "sweep"),
        "dataset": {"source": "npz", "path": str(data)},
        "space": {"name": "mlp", "depth": 1, "width": 8, "optimizer": "sgd", "learning_rate": [0.3, 1.0], "schedule": "constant", "batch_size": 32},
        "search": {"sampler": "random", "trials": 2, "enqueue": []},
        "objective": {"metric": "val_auc"},
        "scheduler": {"name": "fifo"},
        "training": {"max_epochs": 30, **RARE, **training},
        "evaluation": {"seeds": 1, "confirm": 2, "confirm_budget": 1.3},
        "cluster": {"target": "in-process"},
    }
    return run_sweep(specs.check({**values, **sections}), view=Told(), interrupted=interrupted or threading.Event(), given=Given())


def test_trials_end_by_patience_and_what_follows_takes_as_many_epochs_as_their_best(tmp_path: Path, rare: Path) -> None:
    board = ran(tmp_path, rare, {"patience": 2})
    for record in board.records:
        assert (record.state, record.cause and record.cause["kind"]) == ("complete", "patience")
        assert record.best_epoch is not None and record.epochs == record.best_epoch + 2 < 30
        assert record.score == max(value for value in record.curves["val_auc"] if value is not None)
    assert board.ranked[0].score == max(record.score for record in board.records if record.score is not None)
    assert len(board.facts["confirmed"]) == 2
    assert board.facts["final"]["epochs"] == board.winner.best_epoch
    assert {"test_auc", "test_recall", "test_accuracy", "test_loss"} <= board.facts["final"]["mean"].keys()
    assert json.loads((tmp_path / "sweep/model.json").read_text())["recipe"]["class_weight"] == "balanced"
    assert "2 complete, 2 of them by patience" in render(board, "md")
    assert "2 complete, 2 of them by patience" in render(board, "html")


def test_class_that_the_data_do_not_have_is_refused_before_anything_is_trained(tmp_path: Path, rare: Path) -> None:
    with pytest.raises(SpecError, match=r"^training\.class_weight: no row has the class 'sick'; expected one of: ill, well$"):
        ran(tmp_path, rare, {"class_weight": {"sick": 5.0}})
    assert not (tmp_path / "sweep/leaderboard.parquet").exists()
