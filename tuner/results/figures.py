"""What predictions on rows with known targets say, as JSON for the record: one function for each kind of targets.

Owns what is computed from true values and probabilities or values. Logits are refused: whoever calls makes probabilities of them first. Must not know
networks, data sets or which rows these are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.results import intervals

CALIBRATION_BINS = 10
# float16 sums of a thousand classes are off by so much.
SUM_TOLERANCE = 0.02
MOST_POINTS = 200
MOST_SCATTERED = 500
# Beyond these, the areas of single classes and a bootstrap over the confusion would take longer than they are worth.
MOST_CLASSES = 100
# Curves of more labels than these cannot be told apart.
MOST_CURVES = 8
# Targets with at most so many different values are groups, and no scatter.
MOST_GROUPS = 10
_DIGITS = 5


def confused(y: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return confusion and figures per class: what can be said where only the predicted classes are known.

    Args:
        y: (n,) int64: the true classes.
        predicted: (n,) int64: the predicted ones.
        classes: their names.
    """
    size = len(classes)
    confusion = np.bincount(y * size + predicted, minlength=size * size).reshape(size, size)
    right, true, taken = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    per_class = [
        {
            "class": name,
            "precision": _ratio(right[index], taken[index]),
            "recall": _ratio(right[index], true[index]),
            "f1": _ratio(2 * right[index], taken[index] + true[index]),
            "support": int(true[index]),
        }
        for index, name in enumerate(classes)
    ]
    macro = {"macro_f1": intervals.of_macro_f1(confusion)} if len(y) > 0 and size <= MOST_CLASSES else {}
    return {"rows": len(y), "classes": list(classes), "confusion": confusion.tolist(), "per_class": per_class, **macro}


def are_probabilities(p: np.ndarray) -> bool:
    """Say whether outputs can be probabilities of classes: between 0 and 1, and of several columns, 1 together in every row.

    Args:
        p: (n,) or (n, k) float32 or float64.
    """
    within = bool(np.isfinite(p).all() and p.min(initial=0) >= -1e-6 and p.max(initial=0) <= 1 + 1e-3)
    return within and (p.ndim == 1 or p.shape[1] == 1 or float(np.abs(p.sum(axis=1, dtype=np.float64) - 1).max(initial=0)) <= SUM_TOLERANCE)


def multi_class(y: np.ndarray, p: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return confusion, figures per class and calibration.

    Args:
        y: (n,) int64: the true classes.
        p: (n, k) float32 or float64: probabilities, one column per class; each row sums to 1.
        classes: k names.

    Raises:
        ValueError: these are no probabilities.
    """
    p = _probabilities(p)
    if not are_probabilities(p):
        raise ValueError("multi_class: the rows do not sum to 1; expected probabilities, not logits")
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    figures = confused(y, predicted, classes)
    if len(classes) <= MOST_CLASSES:
        for index, entry in enumerate(figures["per_class"]):
            area = intervals.of_area((y == index).astype(int), p[:, index])
            entry["auc"] = area["value"] if area else None
    hit = predicted == y
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    calibration = [
        {"confidence": float(confidence[bins == b].mean()), "accuracy": float(hit[bins == b].mean()), "count": int((bins == b).sum())}
        for b in range(CALIBRATION_BINS)
        if (bins == b).any()
    ]
    return {**figures, "calibration": calibration}


def two_class(y: np.ndarray, p: np.ndarray, *, positive: str = "1") -> dict[str, Any]:
    """Return the curves of two classes: receiver operating characteristic, precision and recall, and both with F1 against the threshold.

    Args:
        y: (n,) int64: 0 or 1.
        p: (n,) float64: the probability of 1.
        positive: what 1 is called.

    Returns:
        `positive`, `share` (of 1 among the rows), `roc` and `precision_recall` (each with its `area` and `points`; None where a class is missing), `thresholds`
        (what is called 1 from each threshold on), `best_threshold` (the one with the best F1 on these very rows).

    Raises:
        ValueError: these are no probabilities.
    """
    p = _probabilities(p)
    ones = int((y == 1).sum())
    order = np.argsort(-p, kind="stable")
    sorted_p, hits = p[order], np.cumsum(y[order] == 1)
    # One point per distinct probability: rows that are equally likely are called 1 together.
    last = np.flatnonzero(np.append(np.diff(sorted_p) != 0, True)) if len(p) else np.zeros(0, int)
    true_positive, called = hits[last], last + 1
    entries, best = _thresholds(sorted_p, hits, ones), None
    if ones:
        scores = 2 * true_positive / (called + ones)
        best = {"threshold": float(sorted_p[last[scores.argmax()]]), "f1": float(scores.max())}
    return {
        "positive": positive,
        "share": _ratio(ones, len(y)),
        "roc": _roc(y, p, true_positive, called),
        "precision_recall": _precision_recall(true_positive, called, ones),
        "thresholds": entries,
        "best_threshold": best,
    }


def multi_label(y: np.ndarray, p: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return figures per label, each called from probability 0.5 on, and over all of them.

    Args:
        y: (n, k) int64: 0 or 1.
        p: (n, k) float64: the probability of each label.
        names: k names.

    Raises:
        ValueError: these are no probabilities.
    """
    p, y = _probabilities(p), (y > 0.5).astype(int)
    called = p >= 0.5
    right, said, true = (called & (y == 1)).sum(axis=0), called.sum(axis=0), y.sum(axis=0)
    drawn = set(np.argsort(-true, kind="stable")[:MOST_CURVES].tolist())
    labels = []
    for index, name in enumerate(names):
        curves = two_class(y[:, index], p[:, index], positive=name)
        area = (curves["roc"] or {}).get("area")
        labels.append(
            {
                "label": name,
                "support": int(true[index]),
                "share": _ratio(true[index], len(y)),
                "auc": area,
                "average_precision": (curves["precision_recall"] or {}).get("area"),
                "precision": _ratio(right[index], said[index]),
                "recall": _ratio(right[index], true[index]),
                "f1": _ratio(2 * right[index], said[index] + true[index]),
                **({name: curves[name] for name in ("roc", "precision_recall")} if index in drawn else {}),
            }
        )
    scores = [entry["f1"] for entry in labels if entry["f1"] is not None]
    return {
        "rows": len(y),
        "labels": labels,
        "exact": _ratio((called == y).all(axis=1).sum(), len(y)),
        "micro_f1": _ratio(2 * right.sum(), said.sum() + true.sum()),
        "macro_f1": float(np.mean(scores)) if scores else None,
    }


def regression(y: np.ndarray, predicted: np.ndarray, *, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return the residuals in numbers, and predictions to draw.

    Args:
        y: (n,) or (n, k) float32 or float64: true values.
        predicted: (n,) or (n, k) float32 or float64, as y.
        names: of the k targets; missing ones are counted.
    """
    truth, guess = (values.reshape(len(y), -1).astype(np.float64) for values in (y, predicted))
    residuals = guess - truth
    errors = {
        "mean": residuals.mean(),
        "standard deviation": residuals.std(ddof=1) if residuals.size > 1 else 0.0,
        "worst": np.abs(residuals).max(),
        "root mean square": np.sqrt((residuals**2).mean()),
    }
    total = ((truth - truth.mean(axis=0)) ** 2).sum()
    if total > 0:
        errors["R2"] = 1 - (residuals**2).sum() / total
    shown = np.linspace(0, len(y) - 1, min(len(y), MOST_SCATTERED)).astype(int)
    values = np.unique(truth[:, 0])
    figures: dict[str, Any] = {"rows": len(y), "errors": {name: float(value) for name, value in errors.items()}}
    if 1 < len(values) <= MOST_GROUPS and len(y) > 3 * len(values):
        figures["groups"] = [_group(float(value), guess[truth[:, 0] == value, 0]) for value in values]
    figures["scatter"] = [[float(truth[row, 0]), float(guess[row, 0])] for row in shown]
    if truth.shape[1] > 1:
        named = [names[index] if index < len(names) else f"target {index + 1}" for index in range(truth.shape[1])]
        figures["targets"] = [_target(name, truth[:, index], residuals[:, index]) for index, name in enumerate(named)]
    return figures


def _group(value: float, guesses: np.ndarray) -> dict[str, Any]:
    low, quarter, middle, three, high = np.quantile(guesses, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {"value": value, "rows": len(guesses), "quantiles": [float(each) for each in (low, quarter, middle, three, high)]}


def _target(name: str, truth: np.ndarray, residuals: np.ndarray) -> dict[str, Any]:
    total = ((truth - truth.mean()) ** 2).sum()
    return {
        "target": name,
        "mae": float(np.abs(residuals).mean()),
        "rmse": float(np.sqrt((residuals**2).mean())),
        "r2": float(1 - (residuals**2).sum() / total) if total > 0 else None,
    }


def _probabilities(p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    if not np.isfinite(p).all() or p.min(initial=0) < -1e-6 or p.max(initial=0) > 1 + 1e-3:
        ends = f"{np.nanmin(p):.4g} to {np.nanmax(p):.4g}"
        raise ValueError(f"probabilities: got values from {ends}; expected 0 to 1: logits go through a softmax or a sigmoid first")
    return np.clip(p, 0.0, 1.0)


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _roc(y: np.ndarray, p: np.ndarray, true_positive: np.ndarray, called: np.ndarray) -> dict[str, Any] | None:
    area = intervals.of_area(y, p)
    if area is None:
        return None
    ones = int((y == 1).sum())
    points = np.column_stack([(called - true_positive) / (len(y) - ones), true_positive / ones])
    return {"area": area.pop("value"), "interval": area, "points": _thinned(np.vstack([[0.0, 0.0], points]))}


def _precision_recall(true_positive: np.ndarray, called: np.ndarray, ones: int) -> dict[str, Any] | None:
    """Return the curve with its area, the average precision: the mean precision over the ones, each at the threshold from which on it is found."""
    if not ones:
        return None
    precision, recall = true_positive / called, true_positive / ones
    area = float((np.diff(np.append(0.0, recall)) * precision).sum())
    return {"area": area, "points": _thinned(np.column_stack([recall, precision]))}


def _thresholds(sorted_p: np.ndarray, hits: np.ndarray, ones: int) -> list[dict[str, Any]]:
    """Return precision, recall and F1 at thresholds from 0 to 1, and at those where many rows lie, as with rare classes."""
    if not len(sorted_p):
        return []
    at = np.unique(np.round(np.concatenate([np.linspace(0, 1, 51), np.quantile(sorted_p, np.linspace(0, 1, 50))]), 4))
    called = len(sorted_p) - np.searchsorted(sorted_p[::-1], at, side="left")
    true_positive = np.where(called > 0, hits[np.maximum(called, 1) - 1], 0)
    return [
        {"threshold": float(t), "precision": _rounded(_ratio(h, c)), "recall": _rounded(_ratio(h, ones)), "f1": _rounded(_ratio(2 * h, c + ones))}
        for t, h, c in zip(at, true_positive, called, strict=True)
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _thinned(points: np.ndarray) -> list[list[float]]:
    """Return at most `MOST_POINTS` of a curve's points, evenly along it, both ends among them."""
    steps = np.append(0.0, np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1)))
    if len(points) > MOST_POINTS and steps[-1] > 0:
        kept = np.unique(np.searchsorted(steps, np.linspace(0, steps[-1], MOST_POINTS)).clip(0, len(points) - 1))
        points = points[kept]
    return [[round(float(x), _DIGITS), round(float(y), _DIGITS)] for x, y in points]
