"""What a model's own `train_step` or `test_step` tells of a batch, made into figures of an epoch.

Keras reports the last batch's value of what it does not know as a metric, and 0 where a step returns `loss` without updating the loss's metric (Keras 3.15).
Here a key that shows a metric's own result is that metric's over the epoch, and any other the mean over the batches, weighted by their rows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Whoever overrides one of these decides what an epoch's figures are.
STEPS = ("train_step", "test_step", "compute_metrics", "reset_metrics", "get_metrics_result")
LOOPS = ("fit", "evaluate")


def own(model: Any, names: Sequence[str]) -> str:
    """Return the first of these methods that the model's class has for itself; empty where it has none.

    Args:
        model: a Keras model.
        names: of methods of `keras.Model`.
    """
    import keras

    for name in names:
        if getattr(type(model), name) not in (getattr(keras.Model, name), getattr(keras.Sequential, name)):
            return name
    return ""


class Logs:
    """The logs of an epoch's batches, added up."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def note(self, logs: Mapping[str, Any], rows: float = 1.0) -> None:
        """Take note of what a step says of a batch.

        Args:
            logs: key -> a number.
            rows: of the batch, or what it counts.
        """
        for name, value in logs.items():
            self._last[name] = float(value)
            self._sums[name] = self._sums.get(name, 0.0) + float(value) * rows
            self._weights[name] = self._weights.get(name, 0.0) + rows

    def callback(self) -> Any:
        """Return the Keras callback that takes note of every batch."""
        import keras

        note = self.note

        class Listening(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                note(logs or {})

            def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
                note(logs or {})

        return Listening()

    def report(self, results: Sequence[float]) -> dict[str, float]:
        """Return the figures of the epoch.

        Args:
            results: of the model's metrics, each over the whole epoch.
        """
        return resolved(self._last, {name: self._sums[name] / self._weights[name] for name in self._sums}, results)


def resolved(last: Mapping[str, float], means: Mapping[str, float], results: Sequence[float]) -> dict[str, float]:
    """Return the figures of an epoch; see `Logs`.

    Args:
        last: key -> what the last step says.
        means: key -> the mean over the batches.
        results: of the model's metrics.
    """
    return {name: value if any(_same(value, result) for result in results) else means[name] for name, value in last.items()}


def results_of(model: Any) -> list[float]:
    """Return the results of a model's metrics that are numbers, each over the epoch so far."""
    results = []
    for metric in model.metrics:
        parts = metric.metrics if hasattr(metric, "metrics") else [metric]  # what `compile` was given stands together
        for result in (part.result() for part in parts):
            if not isinstance(result, dict) and not result.shape:
                results.append(float(result))
    return results


def optimizers_of(model: Any) -> list[Any]:
    """Return a model's optimizer, and those that its class keeps beside it, as adversarial networks do."""
    import keras

    optimizers = [model.optimizer] if model.optimizer is not None else []
    for value in vars(model).values():
        if isinstance(value, keras.optimizers.Optimizer) and all(value is not other for other in optimizers):
            optimizers.append(value)
    return optimizers


def flat(report: Mapping[str, Any]) -> dict[str, float]:
    """Return a report with a number under each name: a metric that has one for each class becomes `name_0`, `name_1`, ..."""
    numbered: dict[str, float] = {}
    for name, value in report.items():
        numbers = np.asarray(value, np.float64).reshape(-1)
        numbered |= {name: float(numbers[0])} if len(numbers) == 1 else {f"{name}_{index}": float(number) for index, number in enumerate(numbers)}
    return numbered


def _same(value: float, result: float) -> bool:
    return value == result or math.isclose(value, result, rel_tol=1e-6)


def losses_in(logs: Mapping[str, Any]) -> list[str]:
    """Return the keys of what must be finite: `loss`, or whatever is called one."""
    return ["loss"] if "loss" in logs else [name for name in logs if name.endswith("loss")]


def naming_anew() -> None:
    """Let Keras number what is made from now on from the beginning: a metric without a name is `auc` in every network, not `auc_1` in the second."""
    from keras.src.utils.naming import reset_uids

    reset_uids()
