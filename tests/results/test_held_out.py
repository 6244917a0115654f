"""What the test split says of a network, and what doing nothing would have scored there."""

from dataclasses import replace

import numpy as np
import pytest

from tuner.data.dataset import Dataset, Features, Fold
from tuner.results.evaluate import Job, Retrained, Score
from tuner.results.held_out import described, held_out_metrics
from tuner.training.config import TrainingConfig


def pool(y: np.ndarray, classes: tuple[str, ...] = ()) -> Dataset:
    x = np.zeros((len(y), 2), np.float32)
    fold = Fold(np.arange(len(y) - 2), np.arange(len(y) - 2, len(y)))
    return Dataset("made up", "classification" if classes else "regression", x, y, (fold,), classes, Features(x.shape[1:], str(x.dtype)), {})


def told(dataset: Dataset, y: np.ndarray, predictions: np.ndarray, **metrics: float) -> dict:
    run = Retrained(Job(TrainingConfig("m:f", {}, task=dataset.task, outputs=1, epochs=1, seed=1), 1), 1.0, {}, b"", (), 3)
    return held_out_metrics(dataset, np.zeros((len(y), 2), np.float32), y, [run], [Score(metrics, predictions)])["test"]


def test_share_of_the_largest_class_stands_beside_an_accuracy_of_a_rare_one() -> None:
    y = np.array([0] * 97 + [1] * 3, np.int32)
    dataset = pool(np.array([0] * 9 + [1], np.int32), ("no", "yes"))
    p = np.column_stack([np.full(100, 0.8), np.full(100, 0.2)]).astype(np.float32)
    found = told(dataset, y, p, test_accuracy=0.97)
    assert found["baseline"] == {"name": "always no", "scores": {"accuracy": 0.97, "auc": 0.5}}
    assert found["two_class"]["positive"] == "yes" and found["two_class"]["roc"]["area"] == 0.5
    assert found["per_class"][1]["precision"] is None


def test_baseline_has_a_loss_only_where_the_networks_is_the_cross_entropy() -> None:
    dataset, y = pool(np.array([0, 1, 1, 0], np.int32), ("a", "b")), np.array([0, 1, 1], np.int32)
    p = np.array([[0.6, 0.4], [0.5, 0.5], [0.2, 0.8]], np.float32)
    entropy = float(-np.log(p[np.arange(3), y]).mean())
    assert told(dataset, y, p, test_loss=entropy)["baseline"]["scores"]["loss"] == pytest.approx(np.log(2))
    assert "loss" not in told(dataset, y, p, test_loss=entropy + 0.2)["baseline"]["scores"]


def test_mean_stands_beside_the_errors_of_a_regression_and_its_loss_is_measured_in_the_same_units() -> None:
    dataset, y = pool(np.array([1.0, 3.0, 1.0, 3.0], np.float32) * 100), np.array([300.0, 100.0, 200.0], np.float32)
    predictions = np.array([[290.0], [110.0], [230.0]], np.float32)
    found = told(dataset, y, predictions, test_loss=float((np.array([10, 10, 30]) ** 2).mean() / 100**2), test_mae=50 / 3)
    assert found["baseline"]["name"] == "always the mean"
    assert found["baseline"]["scores"]["loss"] == pytest.approx(2 / 3) and found["baseline"]["scores"]["mae"] == pytest.approx(200 / 3)
    assert set(found["intervals"]) == {"test_loss", "test_mae"}


def test_loss_of_a_builder_that_measures_in_the_targets_own_units_has_a_baseline_in_them() -> None:
    dataset, y = pool(np.array([1.0, 3.0, 1.0, 3.0], np.float32) * 100), np.array([300.0, 100.0, 200.0], np.float32)
    predictions = np.array([[290.0], [110.0], [230.0]], np.float32)
    scores = told(dataset, y, predictions, test_loss=float((np.array([10, 10, 30]) ** 2).mean()))["baseline"]["scores"]
    assert scores["loss"] == scores["mse"] == pytest.approx(20000 / 3)


@pytest.mark.parametrize(("logits", "confusion"), [([[3.0, -1.0], [0.2, 0.1], [-2.0, 4.0]], [[1, 0], [1, 1]]), ([[-1.0], [0.2], [4.0]], [[1, 0], [0, 2]])])
def test_logits_are_never_shown_as_probabilities(logits: list, confusion: list) -> None:
    dataset, y = pool(np.array([0, 1, 1, 0], np.int32), ("a", "b")), np.array([0, 1, 1], np.int32)
    found = told(dataset, y, np.array(logits, np.float32), test_loss=0.4)
    assert found["confusion"] == confusion and found["no_probabilities"]
    assert not {"calibration", "mistakes", "two_class"} & set(found) and found["intervals"] == {}


def test_one_hot_targets_are_the_classes_that_they_mean() -> None:
    dataset = replace(pool(np.array([0, 1, 1, 0], np.int32), ("a", "b")), y=np.eye(2, dtype=np.float32)[[0, 1, 1, 0]])
    p = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    found = told(dataset, np.eye(2, dtype=np.float32), p)
    assert found["confusion"] == [[1, 0], [0, 1]] and found["baseline"]["scores"]["accuracy"] == 0.5


def test_labels_have_a_baseline_of_their_own() -> None:
    y = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    given = pool(np.array([0, 1, 0, 1], np.int32), ("sky", "sea"))
    dataset = replace(given, task="multilabel", y=np.array([[1, 0], [1, 0], [1, 1], [1, 0]], np.float32))
    p = np.where(y > 0.5, 0.8, 0.3).astype(np.float32)
    entropy = float(-np.log(np.where(y > 0.5, p, 1 - p)).mean())
    found = told(dataset, y, p, test_loss=entropy, test_binary_accuracy=1.0)
    assert found["baseline"]["scores"]["accuracy"] == 0.75 and found["baseline"]["scores"]["loss"] > entropy
    assert [entry["label"] for entry in found["multi_label"]["labels"]] == ["sky", "sea"]
    assert set(found["intervals"]) == {"test_loss"}


def test_one_column_is_the_probability_of_the_second_class() -> None:
    y, p = np.array([0, 1, 1]), np.array([0.1, 0.9, 0.4])
    one, two = described("classification", y, p[:, None], ("a", "b")), described("classification", y, np.column_stack([1 - p, p]), ("a", "b"))
    assert one["confusion"] == two["confusion"] == [[1, 0], [1, 1]] and one["two_class"] == two["two_class"]


def test_nothing_is_said_of_targets_that_the_builder_alone_knows() -> None:
    assert described("custom", np.zeros((3, 8, 8)), np.zeros((3, 8, 8)), ()) == {}
    assert set(described("multilabel", np.eye(3), np.eye(3), "abc")) == {"multi_label"}
