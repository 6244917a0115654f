"""What the test split says of the retrained networks: metrics over the seeds, and of the saved one every class, mistake and residual.

Owns what is put together from predictions on the test rows; `figures.py` computes it, kind by kind of targets. Must not train, open or choose anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuner.data.arrays.structure import leaves, paths
from tuner.data.dataset import Dataset
from tuner.data.targets import baseline
from tuner.results import figures, heads, intervals
from tuner.results.evaluate import Retrained, Score
from tuner.results.heads import Head

MISTAKES_SHOWN = 24


def held_out_metrics(dataset: Dataset, x: np.ndarray, y: np.ndarray, runs: Sequence[Retrained], results: Sequence[Score]) -> dict[str, Any]:
    """Return what the test split says of the retrained networks, as JSON: the `final` fact without what the search knows of it.

    The mean and spread (sample standard deviation) are over all runs; everything about single rows is of the saved model, the first run.

    Args:
        dataset: the search pool, which the networks were trained on.
        x: the inputs of the test rows, (n, *shape) uint8 or float32, or a structure of arrays, as the pool holds them.
        y: (n,) int32 classes or (n, k) float32 one-hot ones, (n, k) int32 labels, or float32 targets (n,) or (n, k).
        runs: the networks, the saved one first.
        results: what each of them did on the test rows, in the same order.
    """
    names = list(results[0].metrics)
    values = {name: [result.metrics[name] for result in results] for name in names}
    final: dict[str, Any] = {
        "parameters": runs[0].parameters,
        "layers": [dict(layer) for layer in runs[0].layers],
        "runs": [{"seed": run.job.config.seed, "metrics": dict(result.metrics), "seconds": run.seconds} for run, result in zip(runs, results, strict=True)],
        "mean": {name: float(np.mean(values[name])) for name in names},
        "spread": {name: float(np.std(values[name], ddof=1)) if len(results) > 1 else None for name in names},
        "saved_seed": runs[0].job.config.seed,
        "saved": dict(results[0].metrics),
        "model": runs[0].model_name,
    }
    predictions = results[0].predictions
    if dataset.task == "classification" and y.ndim == 2:  # one-hot, or smoothed
        y = y.argmax(axis=1)
    final["test"] = described(dataset.task, y, predictions, dataset.classes)
    if dataset.task == "classification" and "no_probabilities" not in final["test"]:
        final["test"]["mistakes"] = _mistakes(dataset, x, y, columns(predictions))
    if dataset.task == "custom":
        final["test"] |= _heads(dataset, y, predictions)
    measured = _errors(dataset, y, predictions, results[0].metrics)
    final["test"]["intervals"] = {name: interval for name, each in measured.items() if (interval := intervals.of_mean(each)) is not None}
    if (nothing := _doing_nothing(dataset, y, measured, final["test"].get("errors") or {})) is not None:
        final["test"]["baseline"] = nothing
    return final


def described(task: str, y: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return what can be said of predictions for one kind of targets; nothing where the builder alone knows what they are (`custom`).

    Args:
        task: `classification`, `multilabel`, `regression` or `custom`.
        y: (n,) int32 classes, (n, k) int32 0 or 1, or (n,) or (n, k) float32 targets.
        predictions: (n, k) float32 probabilities, for two classes also (n,) or (n, 1); or values, as y.
        names: of the classes, labels or targets.
    """
    if task == "classification" and not figures.are_probabilities(predictions):
        return {**figures.confused(y, classes_of(predictions), names), "no_probabilities": True}
    if task == "classification":
        p = columns(predictions)
        curves = {"two_class": figures.two_class(y, p[:, 1], positive=names[1])} if p.shape[1] == 2 else {}
        return {**figures.multi_class(y, p, names), **curves}
    if task == "multilabel" and not figures.are_probabilities(predictions.reshape(-1)):
        return {"rows": len(y), "no_probabilities": True}
    if task == "multilabel":
        return {"multi_label": figures.multi_label(y, predictions, names)}
    return figures.regression(y, predictions, names=names) if task == "regression" else {}


def _heads(dataset: Dataset, y: Any, predictions: Any) -> dict[str, Any]:
    """Return what can be said of each of several targets, and what one answer for all rows scores there; nothing where there is one, or none."""
    trained = dict(zip(paths(dataset.y), leaves(dataset.y), strict=True))
    said = {}
    for path, head in heads.heads_of(y, predictions, dataset.heads).items():
        said[path] = described(head.task, head.y, head.predictions, head.names)
        if dataset.pipeline is None:
            said[path]["baseline"] = _answering_alike(head, trained[path])
    return {"heads": said} if said else {}


def _answering_alike(head: Head, trained: np.ndarray) -> dict[str, Any]:
    """Return the baseline of a head, learned from all rows that the networks were trained on; its loss is the builder's own business."""
    if head.task == "classification":
        labels = trained.argmax(axis=1) if trained.ndim == 2 and trained.shape[1] > 1 else trained.reshape(-1)
        nothing = baseline.of_classes(np.bincount(labels.astype(np.int64), minlength=len(head.names)), head.y, head.names)
    elif head.task == "multilabel":
        nothing = baseline.of_labels(trained.mean(axis=0, dtype=np.float64), head.y)
    else:
        nothing = baseline.of_targets(trained.reshape(len(trained), -1).mean(axis=0, dtype=np.float64), head.y, ())
    return {**nothing, "scores": {name: value for name, value in nothing["scores"].items() if name != "loss"}}


def classes_of(outputs: np.ndarray) -> np.ndarray:
    """Return the predicted classes; of one column of logits, the second class is predicted above 0.

    Args:
        outputs: (n, k) float32 probabilities or logits; (n,) or (n, 1) of two classes.

    Returns:
        (n,) int64.
    """
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] > 1:
        return flat.argmax(axis=1)
    return (flat[:, 0] > (0.5 if figures.are_probabilities(flat) else 0.0)).astype(np.int64)


def columns(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities with one column per class: of one column, the probability of the second class, the other is made.

    Args:
        probabilities: (n, k) float32; (n,) or (n, 1) of two classes.

    Returns:
        (n, k) float32, k at least 2.
    """
    flat = probabilities.reshape(len(probabilities), -1)
    return flat if flat.shape[1] > 1 else np.concatenate([1 - flat, flat], axis=1)


def _errors(dataset: Dataset, y: np.ndarray, predictions: np.ndarray, metrics: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return the errors of single rows behind those metrics that are means of them: metric -> (n,) float64.

    A metric that is not what its name says here, such as a loss with penalties in it, is left out.
    """
    errors: dict[str, list[np.ndarray]] = {}
    if dataset.task == "classification":
        if not figures.are_probabilities(predictions):
            return {}
        taken = columns(predictions)[np.arange(len(y)), y]
        errors = {"test_loss": [_surprise(taken)]}
    elif dataset.task == "multilabel" and figures.are_probabilities(predictions.reshape(-1)):
        errors = {"test_loss": [_surprise(np.where(y > 0.5, predictions, 1 - predictions)).mean(axis=1)]}
    elif dataset.task == "regression":
        residuals = predictions.astype(np.float64).reshape(len(y), -1) - y.astype(np.float64).reshape(len(y), -1)
        # Built-in networks measure their loss in units of the targets' spread, a builder's own may not.
        losses = [((residuals / unit) ** 2).mean(axis=1) for unit in (np.array(dataset.units[1]), 1.0)]
        errors = {"test_loss": losses, "test_mae": [np.abs(residuals).mean(axis=1)]}
    agreeing = {name: [each for each in ways if name in metrics and _is_mean(each, metrics[name])] for name, ways in errors.items()}
    return {name: ways[0] for name, ways in agreeing.items() if ways}


def _is_mean(errors: np.ndarray, metric: float) -> bool:
    return bool(np.isclose(errors.mean(), metric, rtol=1e-3))


def _surprise(p: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(p.astype(np.float64), 1e-7, 1.0))


def _doing_nothing(dataset: Dataset, y: np.ndarray, measured: Mapping[str, np.ndarray], errors: Mapping[str, float]) -> dict[str, Any] | None:
    """Return what one answer for all test rows scores, learned from all rows that the networks were trained on.

    A loss stands among its scores only where that of the network is known to be what its name says, and in the same units.
    """
    if dataset.pipeline is not None:  # nobody has counted its rows
        return None
    if dataset.task == "classification":
        counted = dataset.facts.get("classes")  # of a stream, dataset.y holds a part of the rows
        labels = dataset.y.argmax(axis=1) if dataset.y.ndim == 2 else dataset.y
        counts = np.array([counted[name] for name in dataset.classes]) if counted else np.bincount(labels, minlength=dataset.outputs)
        nothing = baseline.of_classes(counts, y, dataset.classes)
    elif dataset.task == "multilabel":
        nothing = baseline.of_labels(dataset.y.mean(axis=0, dtype=np.float64), y)
    elif dataset.task == "regression":
        means = dataset.y.reshape(len(dataset.y), -1).mean(axis=0, dtype=np.float64)
        nothing = baseline.of_targets(means, y, dataset.units[1])
        if "root mean square" in errors and "test_loss" in measured and _is_mean(measured["test_loss"], errors["root mean square"] ** 2):
            nothing["scores"]["loss"] = nothing["scores"]["mse"]
    else:
        return None
    if "test_loss" not in measured:
        nothing["scores"].pop("loss")
    return nothing


def _mistakes(dataset: Dataset, x: np.ndarray, y: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != y)
    return [
        {
            "row": int(row),
            "truth": dataset.classes[y[row]],
            "predicted": dataset.classes[predicted[row]],
            "confidence": float(confidence[row]),
            "image": _picture(x[row], dataset.largest) if isinstance(x, np.ndarray) else None,
        }
        for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES_SHOWN]
    ]


def _picture(x: np.ndarray, largest: float) -> list | None:
    """Return an image as rows of brightness 0..255 (the mean over colours), or None where the data are no images."""
    if x.ndim not in (2, 3) or x.dtype != np.uint8 or x.shape[0] > 64:
        return None
    grey = x if x.ndim == 2 else x.mean(axis=2)
    return np.rint(grey * (255 / largest)).astype(int).tolist()
