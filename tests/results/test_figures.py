"""Figures of predictions, held against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tuner.results import figures

DRAW = np.random.default_rng(4)


def scored(rows: int, share: float, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that know something of them; with ties, of few different values."""
    y = (DRAW.random(rows) < share).astype(int)
    p = 1 / (1 + np.exp(-(DRAW.normal(size=rows) + 1.5 * y - 1)))
    return y, np.round(p, 1) if ties else p


@pytest.mark.parametrize(("rows", "share", "ties"), [(400, 0.5, False), (400, 0.03, False), (300, 0.4, True), (8, 0.5, True)])
def test_areas_of_two_classes_are_scikit_learns(rows: int, share: float, ties: bool) -> None:
    y, p = scored(rows, share, ties=ties)
    found = figures.two_class(y, p)
    assert found["roc"]["area"] == pytest.approx(metrics.roc_auc_score(y, p))
    assert found["precision_recall"]["area"] == pytest.approx(metrics.average_precision_score(y, p))
    assert found["roc"]["interval"]["low"] <= found["roc"]["area"] <= found["roc"]["interval"]["high"]
    assert found["share"] == pytest.approx(y.mean())


def test_curve_of_two_classes_runs_from_corner_to_corner_through_scikit_learns_points() -> None:
    y, p = scored(120, 0.4, ties=True)
    false, true, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    points = figures.two_class(y, p)["roc"]["points"]
    assert np.allclose(points, np.column_stack([false, true]), atol=1e-5)
    assert points[0] == [0.0, 0.0] and points[-1] == [1.0, 1.0]


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    y, p = scored(5000, 0.5)
    points = figures.two_class(y, p)["roc"]["points"]
    assert len(points) <= figures.MOST_POINTS
    assert points[0] == [0.0, 0.0] and points[-1] == [1.0, 1.0]


def test_thresholds_tell_what_is_called_positive_from_there_on() -> None:
    y, p = scored(300, 0.3)
    found = figures.two_class(y, p)
    for entry in found["thresholds"]:
        called = p >= entry["threshold"]
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(y, called, average="binary", zero_division=np.nan)
        assert entry["recall"] == pytest.approx(recall, abs=1e-5) and entry["f1"] == pytest.approx(np.nan_to_num(f1), abs=1e-5)
        assert entry["precision"] == (pytest.approx(precision, abs=1e-5) if called.any() else None)
    assert found["best_threshold"]["f1"] == pytest.approx(max(metrics.f1_score(y, p >= t) for t in p))


def test_where_a_class_is_missing_there_is_no_curve_and_no_number() -> None:
    found = figures.two_class(np.zeros(5, int), np.full(5, 0.2))
    assert found["roc"] is None and found["precision_recall"] is None and found["best_threshold"] is None
    assert figures.two_class(np.zeros(0, int), np.zeros(0))["thresholds"] == []


@pytest.mark.parametrize("p", [np.array([0.2, 1.7]), np.array([-3.0, 0.5]), np.array([0.5, np.nan])])
def test_logits_are_refused(p: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1: logits go through a softmax or a sigmoid first"):
        figures.two_class(np.array([0, 1]), p)


def test_outputs_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="do not sum to 1"):
        figures.multi_class(np.array([0, 1]), np.array([[0.9, 0.9], [0.2, 0.1]]), ["a", "b"])


def test_figures_per_class_are_scikit_learns() -> None:
    y = DRAW.integers(0, 4, 200)
    p = DRAW.dirichlet(np.ones(4), 200) + np.eye(4)[y] * 0.7
    p /= p.sum(axis=1, keepdims=True)
    found = figures.multi_class(y, p, list("abcd"))
    predicted = p.argmax(axis=1)
    assert found["confusion"] == metrics.confusion_matrix(y, predicted).tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, predicted)
    for index, entry in enumerate(found["per_class"]):
        assert (entry["precision"], entry["recall"], entry["f1"]) == pytest.approx((precision[index], recall[index], f1[index]))
        assert entry["support"] == support[index] and entry["auc"] == pytest.approx(metrics.roc_auc_score(y == index, p[:, index]))
    assert found["macro_f1"]["value"] == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    assert found["macro_f1"]["low"] < found["macro_f1"]["value"] < found["macro_f1"]["high"]


def test_class_that_is_never_predicted_has_no_precision() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    rare = figures.multi_class(np.array([0, 0, 1]), p, ["no", "yes"])["per_class"][1]
    assert (rare["precision"], rare["recall"], rare["f1"]) == (None, 0.0, 0.0)


def test_figures_per_label_are_scikit_learns() -> None:
    y = (DRAW.random((150, 10)) < np.linspace(0.05, 0.6, 10)).astype(int)
    y[:, 9] = 0
    p = np.clip(0.35 * y + 0.65 * DRAW.random((150, 10)), 0, 1)
    found = figures.multi_label(y, p, [f"label {index}" for index in range(10)])
    called = p >= 0.5
    for index, entry in enumerate(found["labels"][:9]):
        assert entry["auc"] == pytest.approx(metrics.roc_auc_score(y[:, index], p[:, index]))
        assert entry["average_precision"] == pytest.approx(metrics.average_precision_score(y[:, index], p[:, index]))
        assert entry["f1"] == pytest.approx(metrics.f1_score(y[:, index], called[:, index]))
    assert found["labels"][9]["auc"] is None
    assert found["exact"] == pytest.approx(metrics.accuracy_score(y, called))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(y, called, average="micro"))
    assert sum("roc" in entry for entry in found["labels"]) == figures.MOST_CURVES


def test_residuals_are_scikit_learns_and_several_targets_have_a_row_each() -> None:
    y = DRAW.normal(size=(80, 2)) * [1.0, 50.0]
    guess = y + DRAW.normal(size=(80, 2))
    found = figures.regression(y, guess, names=["small"])
    assert [entry["target"] for entry in found["targets"]] == ["small", "target 2"]
    for index, entry in enumerate(found["targets"]):
        assert entry["mae"] == pytest.approx(metrics.mean_absolute_error(y[:, index], guess[:, index]))
        assert entry["r2"] == pytest.approx(metrics.r2_score(y[:, index], guess[:, index]))
    assert found["errors"]["root mean square"] == pytest.approx(metrics.mean_squared_error(y, guess) ** 0.5)
    assert "targets" not in figures.regression(y[:, 0], guess[:, 0])


def test_targets_of_few_values_are_told_in_groups() -> None:
    y = np.tile([0.0, 1.0], 40)
    found = figures.regression(y, y * 0.6 + 0.1)
    assert [(group["value"], group["rows"]) for group in found["groups"]] == [(0.0, 40), (1.0, 40)]
    assert found["groups"][1]["quantiles"] == pytest.approx([0.7] * 5)
    assert "groups" not in figures.regression(DRAW.normal(size=80), np.zeros(80))
    assert len(figures.regression(DRAW.normal(size=2000), np.zeros(2000))["scatter"]) == figures.MOST_SCATTERED


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=30))
def test_curves_never_leave_the_unit_square(rows: list[tuple[int, float]]) -> None:
    y, p = np.array([label for label, _ in rows]), np.array([each for _, each in rows])
    found = figures.two_class(y, p)
    for curve in (found["roc"], found["precision_recall"]):
        if curve:
            assert all(0 <= value <= 1 for point in curve["points"] for value in point)
            assert 0 <= curve["area"] <= 1
