"""Metrics and losses by name, and what Keras's own say of two classes, against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

from search_spaces.answers import Meaning
from search_spaces.errors import SearchSpaceError
from search_spaces.metrics import LOSSES, METRICS, loss_key, metric_key, metric_of, suit
from search_spaces.problem import ArraySpec, Problem

TWO = Problem("classification", (3,), 2, steps_per_epoch=1, epochs=1)
THREE = Problem("classification", (3,), 3, steps_per_epoch=1, epochs=1)
ROWS = 300


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def results(metrics: list[Any], y: np.ndarray, outputs: np.ndarray) -> list[float]:
    """Return what metrics say over two batches."""
    for metric in metrics:
        for part in (slice(0, 120), slice(120, None)):
            metric.update_state(y[part], outputs[part].astype("float32"))
    return [float(np.squeeze(metric.result())) for metric in metrics]


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    """Return class numbers, and logits of the second class that go with them."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, ROWS).astype(np.int32)
    return y, draw.normal(size=ROWS) + 1.5 * y - 0.4


def truths(y: np.ndarray, p: np.ndarray) -> list[float]:
    said = p > 0.5
    return [sklearn.roc_auc_score(y, p), sklearn.precision_score(y, said), sklearn.recall_score(y, said), sklearn.f1_score(y, said), np.mean(said == y)]


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize(("columns", "logits"), [(2, False), (2, True), (1, False), (1, True)])
def test_metrics_of_two_classes_are_of_the_second_whatever_the_network_ends_in(keras: Any, columns: int, logits: bool, by_name: bool) -> None:
    y, logit = two_classes()
    p = 1 / (1 + np.exp(-logit))
    outputs = logit if logits else p
    if columns == 2:
        outputs = np.stack([np.zeros(ROWS), logit], axis=1) if logits else np.stack([1 - p, p], axis=1)
    outputs = outputs.reshape(ROWS, columns)
    meaning = Meaning("probabilities", ("softmax" if columns == 2 else "sigmoid") if logits else "")
    kinds = keras.metrics
    made = [kinds.AUC(), kinds.Precision(), kinds.Recall(), kinds.F1Score()]
    if by_name:
        made = [metric_of(name, TWO) for name in ("auc", "precision", "recall", "f1_score")]
        assert [metric.name for metric in made] == ["auc", "precision", "recall", "f1_score"]
    accuracy = kinds.BinaryAccuracy() if columns == 1 else kinds.SparseCategoricalAccuracy()
    said = suit([*made, accuracy], TWO, meaning)
    assert results([*made, accuracy], y, outputs) == pytest.approx(truths(y, p), abs=2e-3)
    assert said == (["binary_accuracy is of probabilities, made of the network's logits"] if columns == 1 and logits else [])


def test_one_hot_targets_of_two_classes_mean_the_same(keras: Any) -> None:
    y, logit = two_classes()
    p = 1 / (1 + np.exp(-logit))
    problem = Problem("classification", (3,), 2, steps_per_epoch=1, epochs=1, targets=ArraySpec((2,), "float32"))
    made = [keras.metrics.AUC(), keras.metrics.Recall(), keras.metrics.F1Score()]
    suit(made, problem, Meaning("probabilities"))
    found = results(made, np.eye(2, dtype="float32")[y], np.stack([1 - p, p], axis=1))
    assert found == pytest.approx([truths(y, p)[0], truths(y, p)[2], truths(y, p)[3]], abs=2e-3)


def test_metrics_of_more_classes_are_keras_own_of_one_hot_targets(keras: Any) -> None:
    draw = np.random.default_rng(1)
    y = draw.integers(0, 3, ROWS).astype(np.int32)
    outputs = draw.normal(size=(ROWS, 3)) + 1.2 * np.eye(3)[y]
    p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    made = [metric_of("auc", THREE), metric_of("f1_score", THREE), metric_of("top_k_categorical_accuracy", THREE)]
    suit(made, THREE, Meaning("probabilities", "softmax"))
    auc, f1, top = results(made, y, outputs)
    assert auc == pytest.approx(sklearn.roc_auc_score(np.eye(3)[y].ravel(), p.ravel()), abs=2e-3)
    assert f1 == pytest.approx(sklearn.f1_score(y, p.argmax(axis=1), average="macro"), abs=1e-5)
    assert top == 1.0


def test_metrics_of_labels_count_every_label(keras: Any) -> None:
    draw = np.random.default_rng(2)
    y = draw.integers(0, 2, (ROWS, 3)).astype(np.float32)
    p = np.clip(0.5 * y + draw.random((ROWS, 3)) * 0.6, 0, 1)
    problem = Problem("multilabel", (3,), 3, steps_per_epoch=1, epochs=1)
    made = [metric_of(name, problem) for name in ("auc", "f1_score", "binary_accuracy")]
    suit(made, problem, Meaning("independent"))
    truth = [sklearn.roc_auc_score(y, p, average="macro"), sklearn.f1_score(y, p > 0.5, average="macro"), np.mean((p > 0.5) == y)]
    assert results(made, y, p) == pytest.approx(truth, abs=3e-3)


def test_r2_of_one_target_needs_no_axis_of_its_own(keras: Any) -> None:
    y = np.random.default_rng(3).normal(size=ROWS).astype("float32")
    problem = Problem("regression", (3,), 1, steps_per_epoch=1, epochs=1)
    made = [metric_of("r2_score", problem)]
    suit(made, problem, Meaning("values"))
    assert results(made, y, (0.8 * y + 0.1)[:, None]) == pytest.approx([sklearn.r2_score(y, 0.8 * y + 0.1)], abs=1e-5)


def test_a_metric_of_the_users_own_is_left_alone(keras: Any) -> None:
    class Own(keras.metrics.AUC):
        pass

    metric = Own()
    assert suit([metric], TWO, Meaning("probabilities")) == []
    assert "update_state" not in vars(metric)


def test_the_tables_name_what_keras_has(keras: Any) -> None:
    for key, row in METRICS.items():
        assert isinstance(getattr(keras.metrics, row.keras_class), type), key
    for name in LOSSES:
        assert name == "crossentropy" or callable(getattr(keras.losses, name))


@pytest.mark.parametrize(
    ("name", "key"), [("AUC", "auc"), ("F1Score", "f1_score"), ("acc", "accuracy"), ("mse", "mean_squared_error"), ("CosineSimilarity", "cosine_similarity")]
)
def test_names_are_keras_own_however_they_are_written(name: str, key: str) -> None:
    assert metric_key(name) == key


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metric_key("prescision"), "unknown metric 'prescision'; did you mean 'precision'?"),
        (lambda: metric_key("auc", "regression"), "metric 'auc' is none of the task regression; expected one of mean_absolute_error, "),
        (lambda: loss_key("huberr"), "unknown loss 'huberr'; did you mean 'huber'?"),
        (lambda: loss_key("huber", "classification"), "loss 'huber' is none of the task classification; expected one of crossentropy, "),
    ],
)
def test_unknown_and_unfitting_names_are_refused(call: Any, message: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        call()
    assert message in str(caught.value)
