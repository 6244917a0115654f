"""Metrics and losses by name, and what lets Keras's metrics of two classes and of columns work on class numbers.

Keras's AUC, Precision, Recall, F1Score and their kin want columns of probabilities beside columns of zeros and ones: class numbers beside two softmax columns
are an error, logits are an error or a wrong number, F1Score of a single sigmoid unit is a meaningless one. Here they get what they mean: for two classes the
probability of the second, for more a column per class (as Keras has them for one-hot targets), made of logits where the network gives those.

The tables name Keras's own without importing it; a test holds them against the installed Keras.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.answers import Meaning
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.problem import Problem

_CLASSES, _LABELS, _NUMBERS = "classification", "multilabel", "regression"


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        keras_class: in `keras.metrics`.
        tasks: that it is a metric of.
        arguments: of the class.
    """

    keras_class: str
    tasks: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", (_CLASSES,)),  # which of Keras's accuracies it is follows from the targets
    "auc": Metric("AUC", (_CLASSES, _LABELS)),
    "auc_pr": Metric("AUC", (_CLASSES, _LABELS), {"curve": "PR"}),
    "precision": Metric("Precision", (_CLASSES, _LABELS)),
    "recall": Metric("Recall", (_CLASSES, _LABELS)),
    "f1_score": Metric("F1Score", (_CLASSES, _LABELS), {"average": "macro"}),
    "true_positives": Metric("TruePositives", (_CLASSES, _LABELS)),
    "true_negatives": Metric("TrueNegatives", (_CLASSES, _LABELS)),
    "false_positives": Metric("FalsePositives", (_CLASSES, _LABELS)),
    "false_negatives": Metric("FalseNegatives", (_CLASSES, _LABELS)),
    "binary_accuracy": Metric("BinaryAccuracy", (_LABELS,)),
    "top_k_categorical_accuracy": Metric("TopKCategoricalAccuracy", (_CLASSES,)),
    "mean_absolute_error": Metric("MeanAbsoluteError", (_NUMBERS,)),
    "mean_squared_error": Metric("MeanSquaredError", (_NUMBERS,)),
    "root_mean_squared_error": Metric("RootMeanSquaredError", (_NUMBERS,)),
    "mean_absolute_percentage_error": Metric("MeanAbsolutePercentageError", (_NUMBERS,)),
    "mean_squared_logarithmic_error": Metric("MeanSquaredLogarithmicError", (_NUMBERS,)),
    "log_cosh_error": Metric("LogCoshError", (_NUMBERS,)),
    "cosine_similarity": Metric("CosineSimilarity", (_NUMBERS,)),
    "r2_score": Metric("R2Score", (_NUMBERS,)),
    "pearson_correlation": Metric("PearsonCorrelation", (_NUMBERS,)),
    "concordance_correlation": Metric("ConcordanceCorrelation", (_NUMBERS,)),
}
_SHORT = {
    "acc": "accuracy",
    "f1": "f1_score",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
}
# What a network is judged by where nobody says.
_USUAL = {_CLASSES: ("accuracy",), _LABELS: ("binary_accuracy",), _NUMBERS: ("mae",)}
# What each loss is a loss of. Those of numbers that do not depend on the targets' unit alone are learnt in units of their spread, as the default is.
LOSSES: dict[str, tuple[str, ...]] = {
    "crossentropy": (_CLASSES, _LABELS),
    "categorical_crossentropy": (_CLASSES,),
    "sparse_categorical_crossentropy": (_CLASSES,),
    "categorical_focal_crossentropy": (_CLASSES,),
    "binary_crossentropy": (_CLASSES, _LABELS),
    "binary_focal_crossentropy": (_CLASSES, _LABELS),
    "mean_squared_error": (_NUMBERS,),
    "mean_absolute_error": (_NUMBERS,),
    "huber": (_NUMBERS,),
    "log_cosh": (_NUMBERS,),
    "mean_absolute_percentage_error": (_NUMBERS,),
    "mean_squared_logarithmic_error": (_NUMBERS,),
    "poisson": (_NUMBERS,),
}
RELATIVE_LOSSES = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")

# Keras's metrics of probabilities in columns; those of the second row count by a threshold that a single unit needs.
_AT_POINTS = ("PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity")
_OF_COLUMNS = ("AUC", "Precision", "Recall", *_AT_POINTS, "TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives")
_OF_THRESHOLDS = ("F1Score", "FBetaScore")
_OF_PROBABILITIES = ("BinaryAccuracy", "BinaryCrossentropy")
_OF_NUMBERS = ("R2Score", "PearsonCorrelation", "ConcordanceCorrelation")


def metric_key(name: str, task: str | None = None) -> str:
    """Return the key of a metric in `METRICS`, however it is written: `AUC`, `auc`, `mse`, `RootMeanSquaredError`.

    Args:
        name: as the user writes it, and as it stands in the reports.
        task: what it is to judge; None: any.

    Raises:
        SearchSpaceError: there is none of that name, or it is no metric of the task.
    """
    return _found(name, {key: metric.tasks for key, metric in METRICS.items()}, task, "metric")


def is_metric(name: str, task: str) -> bool:
    """Say whether there is a metric of this name, and the task can be judged by it.

    Args:
        name: see `metric_key`.
        task: what it is to judge.
    """
    try:
        metric_key(name, task)
    except SearchSpaceError:
        return False
    return True


def loss_key(name: str, task: str | None = None) -> str:
    """Return the key of a loss in `LOSSES`.

    Args:
        name: as the user writes it.
        task: what is to be learnt; None: any.

    Raises:
        SearchSpaceError: there is none of that name, or it is no loss of the task.
    """
    return _found(name, LOSSES, task, "loss")


def usual(task: str) -> tuple[str, ...]:
    """Return the metrics of a network whose builder and spec name none.

    Args:
        task: one of `search_spaces.problem.TASKS`.
    """
    return _USUAL.get(task, ())


def metric_of(name: str, problem: Problem) -> Any:
    """Return the metric that a name stands for, as `compile` takes it; in the reports it stands under the name as written.

    Args:
        name: see `metric_key`.
        problem: what is judged.
    """
    import keras

    key = metric_key(name, problem.task)
    if key == "accuracy":
        return name if name in ("accuracy", "acc") else _accuracy(name, problem)
    row = METRICS[key]
    kind, arguments = row.keras_class, dict(row.arguments)
    if key == "top_k_categorical_accuracy" and not problem.one_hot:
        kind = "SparseTopKCategoricalAccuracy"
    if key in ("auc", "auc_pr") and problem.task == _LABELS:
        arguments |= {"multi_label": True, "num_labels": problem.outputs}
    return getattr(keras.metrics, kind)(name=name, **arguments)


def suit(metrics: Sequence[Any], problem: Problem, meaning: Meaning) -> list[str]:
    """Let Keras's own metrics be given what they mean; a metric of a user's own stays as it is.

    Args:
        metrics: of one output, built or not; changed.
        problem: what is judged.
        meaning: of the output.

    Returns:
        In one line each, what is computed otherwise than Keras alone would.
    """
    said = []
    for metric in metrics:
        kind = type(metric).__name__
        if not type(metric).__module__.startswith("keras.") or "update_state" in vars(metric):
            continue
        if problem.task in (_CLASSES, _LABELS) and (kind in _OF_COLUMNS or kind in _OF_THRESHOLDS):
            _give(metric, _columns(problem, meaning, thresholds=kind in _OF_THRESHOLDS))
            if kind in _OF_THRESHOLDS and metric.threshold is None and (problem.task == _LABELS or problem.outputs == 2):
                metric.threshold = 0.5
        elif kind in _OF_PROBABILITIES and meaning.by == "sigmoid":
            _give(metric, lambda y, p: (y, _probabilities(p, meaning)))
            said.append(f"{metric.name} is of probabilities, made of the network's logits")
        elif kind in _OF_NUMBERS and problem.task == _NUMBERS:
            _give(metric, lambda y, p: (_in_columns(y), p))
    return said


def _found(name: str, table: Any, task: str | None, what: str) -> str:
    by_key = {_key(key): key for key in table} | {_key(metric.keras_class): key for key, metric in METRICS.items() if what == "metric" and key != "auc_pr"}
    by_key |= {_key(short): key for short, key in _SHORT.items() if key in table}
    key = by_key.get(_key(name))
    if key is None:
        raise SearchSpaceError(f"unknown {what} {name!r}; {nearest(name, table)}")
    if task is not None and task in (_CLASSES, _LABELS, _NUMBERS) and task not in table[key]:
        fitting = ", ".join(other for other, tasks in table.items() if task in tasks)
        raise SearchSpaceError(f"{what} {name!r} is none of the task {task}; expected one of {fitting}")
    return key


def _key(name: str) -> str:
    return name.replace("_", "").lower()


def _accuracy(name: str, problem: Problem) -> Any:
    import keras

    kind = keras.metrics.CategoricalAccuracy if problem.one_hot else keras.metrics.SparseCategoricalAccuracy
    return kind(name=name)


def _give(metric: Any, make: Any) -> None:
    """Let a metric see what `make` makes of targets and outputs."""
    by_keras = metric.update_state

    def update_state(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return by_keras(*make(y_true, y_pred), sample_weight=sample_weight)

    # Not setattr: Keras would track the function as a part of the metric.
    object.__setattr__(metric, "update_state", update_state)


def _columns(problem: Problem, meaning: Meaning, *, thresholds: bool) -> Any:
    from keras import ops

    def make(y: Any, outputs: Any) -> tuple[Any, Any]:
        p = _probabilities(outputs, meaning)
        if problem.task == _LABELS:
            return y, p
        count = problem.outputs
        columns = problem.one_hot and len(y.shape) == len(p.shape) and y.shape[-1] == count
        if count == 2:
            second = ops.cast(y[..., 1] if columns else ops.reshape(y, (-1,)), p.dtype)
            p = ops.reshape(p[..., -1], (-1,))
            return (second[:, None], p[:, None]) if thresholds else (ops.reshape(second, (-1,)), p)
        return (y if columns else ops.one_hot(ops.cast(ops.reshape(y, p.shape[:-1] if None not in p.shape[:-1] else (-1,)), "int32"), count)), p

    return make


def _probabilities(outputs: Any, meaning: Meaning) -> Any:
    from keras import ops

    outputs = ops.cast(outputs, "float32")
    return ops.softmax(outputs) if meaning.by == "softmax" else ops.sigmoid(outputs) if meaning.by == "sigmoid" else outputs


def _in_columns(y: Any) -> Any:
    return y[:, None] if len(y.shape) == 1 else y
