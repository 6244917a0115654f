"""What one answer for all rows scores, held against scikit-learn's dummies."""

import numpy as np
import pytest
from sklearn import dummy, metrics

from tuner.data.targets import baseline


def test_largest_class_scores_its_share_and_the_shares_score_their_entropy() -> None:
    train, y = np.array([0, 1, 1, 1, 2]), np.array([1, 1, 0, 2])
    found = baseline.of_classes(np.bincount(train), y, ["a", "b", "c"])
    prior = dummy.DummyClassifier(strategy="prior").fit(np.zeros((5, 1)), train)
    assert found["name"] == "always b"
    assert found["scores"]["accuracy"] == prior.score(np.zeros((4, 1)), y) == 0.5
    assert found["scores"]["loss"] == pytest.approx(metrics.log_loss(y, prior.predict_proba(np.zeros((4, 1)))))


def test_mean_scores_in_the_units_of_the_loss_and_of_the_targets() -> None:
    train, y = np.array([1.0, 3.0]), np.array([2.0, 6.0])
    found = baseline.of_targets(np.array([train.mean()]), y, (2.0,))
    assert found["scores"] == {"loss": 2.0, "mse": 8.0, "rmse": pytest.approx(8**0.5), "mae": 2.0, "r2": 0.0}
    assert baseline.of_targets(np.array([2.0]), y, ())["scores"]["loss"] == 8.0


def test_labels_are_answered_one_by_one() -> None:
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    found = baseline.of_labels(np.array([0.75, 0.25]), y)
    assert found["scores"]["accuracy"] == 0.75
    assert found["scores"]["loss"] == pytest.approx(np.mean([metrics.log_loss(y[:, index], np.full(4, share)) for index, share in ((0, 0.75), (1, 0.25))]))


def test_folds_are_averaged() -> None:
    folds = [{"name": "always a", "scores": {"accuracy": share}} for share in (0.4, 0.6)]
    assert baseline.of_folds(folds) == {"name": "always a", "scores": {"accuracy": pytest.approx(0.5)}}
