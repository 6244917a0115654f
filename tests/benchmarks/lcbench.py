"""LCBench by way of its surrogate: the learning curves of a multilayer perceptron on the development tasks, for benchmarks only.

The files are not part of the project; their folder is an argument. Source: YAHPO Gym's `lcbench` scenario (Pfisterer et al., AutoML 2022).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces.space import Parameter, SearchSpace
from tuner.search.simulate import Curve

EPOCHS = 52
DEVELOPMENT_TASKS = "3945 34539 126026 146212 167149 167161 167181 167185 167200 168329 168331 168868 168910 189862 189866 189905 189908".split()  # noqa: SIM905
SPACE = SearchSpace(
    "lcbench",
    {
        "batch_size": Parameter(IntDistribution(16, 512, log=True)),
        "learning_rate": Parameter(FloatDistribution(1e-4, 1e-1, log=True)),
        "momentum": Parameter(FloatDistribution(0.1, 0.99)),
        "weight_decay": Parameter(FloatDistribution(1e-5, 1e-1)),
        "num_layers": Parameter(IntDistribution(1, 5)),
        "max_units": Parameter(IntDistribution(64, 1024, log=True)),
        "max_dropout": Parameter(FloatDistribution(0.0, 1.0)),
    },
    "lcbench:none",
)
OUTPUTS = ("time", "val_accuracy", "val_cross_entropy")


class Surrogate:
    """The surrogate's predictions.

    Args:
        folder: holds `model.onnx` and `task_encoding.json`.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self._tasks = {str(task): int(code) for task, code in json.loads((folder / "task_encoding.json").read_text())["OpenML_task_id"].items()}

    def predict(self, task: str, epochs: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return time, accuracy in [0, 1] and cross-entropy, float64 of shape (n, 3).

        Args:
            task: OpenML's number of the task.
            epochs: float of shape (n,).
            points: float of shape (n, 7), in the order of `SPACE`.
        """
        outputs = []
        for first in range(0, len(points), 20000):
            part = slice(first, first + 20000)
            continuous = np.column_stack([epochs[part], points[part]]).astype(np.float32)
            categorical = np.full((len(continuous), 1), self._tasks[task], dtype=np.int32)
            outputs.append(self._session.run(None, {"x_cat": categorical, "x_cont": continuous})[0][:, :3])
        found = np.concatenate(outputs).astype(np.float64)
        found[:, 1] /= 100.0
        return found

    def curve(self, task: str, configuration: Mapping[str, Any], metric: str) -> Curve:
        """Return the whole curve of a configuration; its seconds are the surrogate's, made monotone."""
        point = np.array([[float(configuration[name]) for name in SPACE.parameters]])
        found = self.predict(task, np.arange(1, EPOCHS + 1), np.repeat(point, EPOCHS, axis=0))
        seconds = np.diff(np.maximum.accumulate(np.maximum(found[:, 0], 1e-3)), prepend=0.0)
        return Curve(found[:, OUTPUTS.index(metric)].tolist(), seconds.tolist())

    def sample(self, task: str, metric: str, *, count: int, seed: int) -> tuple[np.ndarray, float]:
        """Return the final values of random configurations, shape (count,), and the mean seconds of their full trainings."""
        random = np.random.default_rng(seed)
        unit = random.random((count, len(SPACE.parameters)))
        points = np.empty_like(unit)
        for index, parameter in enumerate(SPACE.parameters.values()):
            distribution = parameter.distribution
            margin = 0.0 if isinstance(distribution, FloatDistribution) else 0.5
            low, high = distribution.low - margin, distribution.high + margin
            value = np.exp(np.log(low) + unit[:, index] * np.log(high / low)) if distribution.log else low + unit[:, index] * (high - low)
            points[:, index] = value if isinstance(distribution, FloatDistribution) else np.clip(np.round(value), distribution.low, distribution.high)
        found = self.predict(task, np.full(count, EPOCHS), points)
        return found[:, OUTPUTS.index(metric)], float(np.mean(np.maximum(found[:, 0], 1e-3)))
