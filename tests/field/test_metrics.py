"""Metrics as people bring them: without a name, with a long or an odd one, of two classes under softmax and sigmoid, over folds; against scikit-learn."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ray.tune.utils import flatten_dict
from sklearn import metrics as sklearn

from tests.sweep.test_journey import sweep
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.report.ending import ending
from tuner.report.formats import FORMATS, render
from tuner.study.epoch_report import EpochReport
from tuner.training.config import TrainingConfig
from tuner.training.trainer import Training

ROWS, BINNING = 800, 6e-3  # Keras's AUC adds up trapezia between 200 thresholds
UNNAMED = ("auc", "precision", "recall", "f1_score", "hits")
ODD = {"slash": "f1/macro", "markup": "top [/2]", "long": "bin_accuracy_of_all_the_labels"}
NET = f"""
import keras

def build(configuration, problem):
    model = keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(configuration["units"], "relu"), keras.layers.Dense(3, "softmax")])
    metrics = [keras.metrics.SparseTopKCategoricalAccuracy(2, name=name) for name in {list(ODD.values())}]
    model.compile("adam", "sparse_categorical_crossentropy", metrics=metrics)
    return model
"""


@keras.saving.register_keras_serializable("field")
class Hits(keras.metrics.Metric):
    """A metric of a user's own, which gives itself no name: the share of rows whose first answer is above a half."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.total, self.count = self.add_variable((), "zeros", name="total"), self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        first = keras.ops.reshape(y_pred, (-1, y_pred.shape[-1]))[:, -1]
        self.total.assign_add(keras.ops.sum(keras.ops.cast(first > 0.5, "float32")))
        self.count.assign_add(keras.ops.cast(keras.ops.size(first), "float32"))

    def result(self) -> Any:
        return self.total / self.count


def scored(configuration: dict[str, Any], problem: Any) -> Any:
    """A network with metrics that nobody has named."""
    columns, classes = configuration["columns"], problem.task == "classification"
    last = keras.layers.Dense(columns, activation="softmax" if classes and columns > 1 else "sigmoid")
    model = keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(8, activation="relu"), last])
    labels = {} if classes else {"multi_label": True, "num_labels": columns}
    metrics = [keras.metrics.AUC(**labels), keras.metrics.Precision(), keras.metrics.Recall(), keras.metrics.F1Score("macro"), Hits()]
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy" if classes and columns > 1 else "binary_crossentropy", metrics=metrics)
    return model


def rows() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(ROWS, 6)).astype(np.float32)
    return x, (x[:, :3] + x[:, 1:4] * x[:, 2:5] + 0.3 * draw.normal(size=(ROWS, 3)) > 0.8).astype(np.float32)


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize(("task", "columns"), [("classification", 1), ("classification", 2), ("multilabel", 3)])
def test_metrics_that_nobody_named_are_scikit_learns_in_every_fold(task: str, columns: int, folds: int) -> None:
    x, labels = rows()
    y = labels if task == "multilabel" else labels[:, 0].astype(np.int32)
    parts = np.array_split(np.random.default_rng(0).permutation(ROWS), 3)[:folds]
    divided = [Fold(np.setdiff1d(np.arange(ROWS), part), part, (None,)) for part in parts]
    recipe = TrainingConfig(f"{__name__}:scored", {"columns": columns, "batch_size": 64}, task, 3 if task == "multilabel" else 2, 2, 5)
    training = Training(recipe, Pool(x, y), divided)
    for _ in range(2):
        report = training.run_epoch()
    truths = []
    for runner, fold in zip(training._runners, divided, strict=True):
        chosen = np.asarray(fold.validation)
        answers, truth = runner.predict(training._pool.x, chosen), y[chosen]
        p = answers if task == "multilabel" else answers[:, -1]
        said, averages = p > 0.5, {"average": "micro"} if task == "multilabel" else {}
        f1 = sklearn.f1_score(truth, said, average="macro" if task == "multilabel" else "binary")
        rates = [sklearn.precision_score(truth, said, **averages), sklearn.recall_score(truth, said, **averages)]
        truths.append([sklearn.roc_auc_score(truth, p), *rates, f1, np.mean(answers[:, -1] > 0.5)])
    assert [report[f"val_{name}"] for name in UNNAMED] == pytest.approx(list(np.mean(truths, axis=0)), abs=BINNING)
    assert 0.6 < report["val_auc"] < 1
    if folds > 1:
        assert report["val_auc_spread"] == pytest.approx(np.std([truth[0] for truth in truths], ddof=1), abs=BINNING)


def test_a_metric_with_a_slash_comes_through_ray_which_flattens_what_trials_report_with_slashes() -> None:
    report = EpochReport(3, 2, {"val_f1/macro": 0.5, "val_loss": 0.25}, 1.5, facts={"worker": "a/b"})
    assert EpochReport.from_json(flatten_dict(report.to_json())) == EpochReport.from_json(report.to_json()) == report


def test_names_of_metrics_are_any_that_keras_takes(tmp_path: Path) -> None:
    x, labels = rows()
    data = tmp_path / "odd.npz"
    np.savez(data, x=x, y=labels.sum(axis=1).clip(max=2).astype(int))
    (tmp_path / "net.py").write_text(NET)
    board = sweep(
        tmp_path / "s",
        "",
        search_path=(str(tmp_path),),
        dataset={"source": "npz", "path": str(data), "task": "classification"},
        space={"builder": "net:build", "units": [4, 8]},
        search={"sampler": "random", "trials": 2},
        scheduler={"name": "fifo"},
        objective={"metric": f"val_{ODD['slash']}", "mode": "max"},
        training={"max_epochs": 2},
        evaluation={"seeds": 1, "confirm": 0},
        cluster={"target": "in-process"},
        trackers=["tensorboard"],
    )
    assert [record.state for record in board.ranked] == ["complete"] * 2
    scores = [record.score for record in board.ranked]
    assert scores == sorted((record.curves["val_f1/macro"][(record.best_epoch or 1) - 1] for record in board.ranked), reverse=True)
    assert all(record.curves["val_f1/macro"] == record.curves["val_top [/2]"] for record in board.ranked)
    assert board.facts["final"]["mean"]["test_f1/macro"] == board.facts["final"]["mean"]["test_top [/2]"]

    lines = ending(board, tmp_path / "s").splitlines()
    values = [line for line in lines if line.startswith("test_")]
    column = len("test_bin_accuracy_of_all_the_labels") + 2
    assert [line[:column].rstrip() for line in values] == ["test_loss", *(f"test_{name}" for name in ODD.values())]
    assert all(line[column - 1] == " " and line[column].isdigit() for line in values)

    for form in FORMATS:
        assert form == "csv" or any(written in render(board, form) for written in ("f1/macro", r"f1\_macro")), form
    assert json.loads(render(board, "json"))["summary"]["metric"] == "val_f1/macro"
