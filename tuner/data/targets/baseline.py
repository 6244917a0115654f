"""What doing nothing would score: one answer for every row, learned from the training targets alone.

A score says little without it: 0.97 is nothing where 97 % of the rows are of one class. Owns the answers and what each of them scores.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def of_classes(counts: np.ndarray, y: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return what the largest class scores, and for the loss, the shares of the classes as probabilities.

    Args:
        counts: (k,) int64: training rows of each class.
        y: (n,) int: classes of the rows that are scored.
        classes: k names.

    Returns:
        `name`, what is answered in words, and `scores`: `accuracy`, `auc`, `loss` (cross-entropy) and what else measures it, by plain names.
    """
    shares = np.clip(counts / counts.sum(), 1e-7, 1.0)
    largest = int(np.argmax(counts))
    return {
        "name": f"always {classes[largest]}",
        "scores": {"accuracy": float((y == largest).mean()), "auc": 0.5, "loss": float(-np.log(shares[y]).mean())},
    }


def of_labels(shares: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return what saying of each label what most rows have scores, and for the loss, the shares of the labels as probabilities.

    Args:
        shares: (k,) float64: share of the training rows that have each label.
        y: (n, k) float32, 0 or 1: labels of the rows that are scored.
    """
    p = np.clip(shares, 1e-7, 1 - 1e-7)
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    return {
        "name": "of each label what most rows have",
        "scores": {"accuracy": float(((shares > 0.5) == (y > 0.5)).mean()), "auc": 0.5, "loss": float(loss)},
    }


def of_targets(means: np.ndarray, y: np.ndarray, spread: Sequence[float]) -> dict[str, Any]:
    """Return what the mean of each target scores.

    Args:
        means: (k,) float64: of the training rows.
        y: (n,) or (n, k) float: targets of the rows that are scored.
        spread: k standard deviations, which the loss is measured in; empty: 1.
    """
    residuals = y.reshape(len(y), -1).astype(np.float64) - means
    units = np.asarray(spread or (1.0,), dtype=np.float64)
    mse = float((residuals**2).mean())
    return {
        "name": "always the mean",
        "scores": {"loss": float(((residuals / units) ** 2).mean()), "mse": mse, "rmse": mse**0.5, "mae": float(np.abs(residuals).mean()), "r2": 0.0},
    }


def of_folds(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean over the folds' validation rows."""
    return {"name": folds[0]["name"], "scores": {name: float(np.mean([fold["scores"][name] for fold in folds])) for name in folds[0]["scores"]}}
