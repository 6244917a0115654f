"""What the test split says of the retrained networks: metrics over the seeds, and of the saved one every class, mistake and residual.

Owns what is computed from predictions on the test rows. Must not train, open or choose anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuner.data.dataset import Dataset
from tuner.results.evaluate import MODEL, Retrained, Score

MISTAKES_SHOWN = 24
CALIBRATION_BINS = 10


def held_out_metrics(dataset: Dataset, x: np.ndarray, y: np.ndarray, runs: Sequence[Retrained], results: Sequence[Score]) -> dict[str, Any]:
    """Return what the test split says of the retrained networks, as JSON: the `final` fact without what the search knows of it.

    The mean and spread (sample standard deviation) are over all runs; everything about single rows is of the saved model, the first run.
    """
    names = list(results[0].metrics)
    values = {name: [result.metrics[name] for result in results] for name in names}
    found: dict[str, Any] = {
        "parameters": runs[0].parameters,
        "layers": [dict(layer) for layer in runs[0].layers],
        "runs": [{"seed": run.job.config.seed, "metrics": dict(result.metrics), "seconds": run.seconds} for run, result in zip(runs, results, strict=True)],
        "mean": {name: float(np.mean(values[name])) for name in names},
        "spread": {name: float(np.std(values[name], ddof=1)) if len(results) > 1 else None for name in names},
        "saved_seed": runs[0].job.config.seed,
        "saved": dict(results[0].metrics),
        "model": MODEL,
    }
    predictions = results[0].predictions
    found["test"] = _classified(dataset, x, y, predictions) if dataset.task == "classification" else _regressed(y, predictions)
    found["test"]["intervals"] = _intervals(dataset.task, y, predictions, results[0].metrics)
    return found


def _intervals(task: str, y: np.ndarray, predictions: np.ndarray, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the 95 % intervals of the metrics that are means over rows; that of an accuracy follows from the confusion.

    On the scale of the logarithm, where the mean of positive, skewed errors is nearer to normal. A metric that is not what its name says here, such
    as a loss with penalties in it, has none.
    """
    from scipy import stats

    if task == "classification":
        taken = np.clip(predictions[np.arange(len(y)), y].astype(np.float64), 1e-7, 1.0)
        errors = {"test_loss": -np.log(taken)}
    else:
        residuals = predictions.astype(np.float64).reshape(len(y), -1) - y.astype(np.float64).reshape(len(y), -1)
        errors = {"test_loss": (residuals**2).mean(axis=1), "test_mae": np.abs(residuals).mean(axis=1)}
    found = {}
    for metric, each in errors.items():
        mean, rows = float(each.mean()), len(each)
        if rows < 2 or mean <= 0 or metric not in metrics or not np.isclose(mean, metrics[metric], rtol=1e-3):
            continue
        reach = float(stats.t.ppf(0.975, rows - 1) * each.std(ddof=1) / np.sqrt(rows) / mean)
        found[metric] = {"low": mean * np.exp(-reach), "high": mean * np.exp(reach), "level": 0.95, "method": f"log-normal, {rows:,} test rows"}
    return found


def _classified(dataset: Dataset, x: np.ndarray, y: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    labels = np.arange(dataset.outputs)
    precision, recall, f1, support = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0)
    right = predicted == y
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    wrong = np.flatnonzero(~right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES_SHOWN]
    return {
        "rows": len(y),
        "classes": list(dataset.classes),
        "confusion": confusion_matrix(y, predicted, labels=labels).tolist(),
        "per_class": [
            {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, p, r, f, s in zip(dataset.classes, precision, recall, f1, support, strict=True)
        ],
        "calibration": [
            {"confidence": float(confidence[bins == b].mean()), "accuracy": float(right[bins == b].mean()), "count": int((bins == b).sum())}
            for b in range(CALIBRATION_BINS)
            if (bins == b).any()
        ],
        "mistakes": [
            {
                "row": int(row),
                "truth": dataset.classes[y[row]],
                "predicted": dataset.classes[predicted[row]],
                "confidence": float(confidence[row]),
                "image": _picture(x[row], dataset.largest),
            }
            for row in worst
        ],
    }


def _regressed(y: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    truth, predicted = y.reshape(len(y), -1).astype(np.float64), predicted.reshape(len(y), -1).astype(np.float64)
    residuals = predicted - truth
    total = ((truth - truth.mean(axis=0)) ** 2).sum()
    errors = {
        "mean": residuals.mean(),
        "standard deviation": residuals.std(ddof=1) if residuals.size > 1 else 0.0,
        "worst": np.abs(residuals).max(),
        "root mean square": np.sqrt((residuals**2).mean()),
    }
    if total > 0:
        errors["R2"] = 1 - (residuals**2).sum() / total
    shown = np.linspace(0, len(y) - 1, min(len(y), 500)).astype(int)
    return {
        "rows": len(y),
        "errors": {name: float(value) for name, value in errors.items()},
        "scatter": [[float(truth[row, 0]), float(predicted[row, 0])] for row in shown],
    }


def _picture(x: np.ndarray, largest: float) -> list | None:
    """Return an image as rows of brightness 0..255 (the mean over colours), or None where the data are no images."""
    if x.ndim not in (2, 3) or x.dtype != np.uint8 or x.shape[0] > 64:
        return None
    grey = x if x.ndim == 2 else x.mean(axis=2)
    return np.rint(grey * (255 / largest)).astype(int).tolist()
