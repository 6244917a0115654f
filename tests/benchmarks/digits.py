"""Curves of our own: every network of a small finite space, trained to the end on scikit-learn's digits, for benchmarks only.

Each curve is a real training (numpy, stochastic gradient descent with momentum), noise and divergence included; recording them all takes about two
minutes, once. They share nothing with LCBench: another data set, another space, other code.
"""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.space import Parameter, SearchSpace
from tuner.search.simulate import Curve

EPOCHS = 30
SPACE = SearchSpace(
    "digits",
    {
        "rate": Parameter(FloatDistribution(-3.5, 0.0, step=0.25)),  # the exponent of the learning rate
        "momentum": Parameter(CategoricalDistribution([0.0, 0.5, 0.9, 0.97])),
        "width": Parameter(CategoricalDistribution([4, 8, 16, 32, 64])),
        "depth": Parameter(IntDistribution(1, 3)),
    },
    "digits:none",
)


class Digits:
    """Recorded curves of validation accuracy.

    Args:
        path: a file of records; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_text(json.dumps([[configuration, train(configuration)] for configuration in SPACE.grid()]), encoding="utf-8")
        self._known = {_key(configuration): values for configuration, values in json.loads(path.read_text(encoding="utf-8"))}
        self.finals = np.array([values[-1] for values in self._known.values()])
        self.full_s = float(np.mean([EPOCHS * seconds(configuration) for configuration in SPACE.grid()]))

    def curve(self, configuration: Mapping[str, Any]) -> Curve:
        """Return a configuration's curve; its seconds grow with the number of weights."""
        return Curve(self._known[_key(configuration)], [seconds(configuration)] * EPOCHS)


def seconds(configuration: Mapping[str, Any]) -> float:
    """Return what an epoch is taken to cost: a part that all networks share, and one in proportion to their weights."""
    width = configuration["width"]
    return 1.0 + (64 * width + (configuration["depth"] - 1) * width**2 + 10 * width) / 4000


def train(configuration: Mapping[str, Any]) -> list[float]:
    """Return the validation accuracy after each epoch of training a network of rectified layers."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16.0).astype(np.float32), y[order]
    random = np.random.default_rng(1)
    sizes = [64, *[configuration["width"]] * configuration["depth"], 10]
    weights = [random.normal(0, np.sqrt(2 / rows), (rows, columns)).astype(np.float32) for rows, columns in itertools.pairwise(sizes)]
    weights += [np.zeros(columns, np.float32) for columns in sizes[1:]]
    speeds, layers = [np.zeros_like(weight) for weight in weights], len(sizes) - 1
    rate, momentum = np.float32(10 ** configuration["rate"]), np.float32(configuration["momentum"])
    values = []
    for _ in range(EPOCHS):
        shuffled = random.permutation(1000)
        for first in range(0, 1000, 32):
            rows = shuffled[first : first + 32]
            outputs = _forward(x[rows], weights, layers)
            back = outputs[-1].copy()
            back[np.arange(len(rows)), y[rows]] -= 1
            back /= len(rows)
            for layer in reversed(range(layers)):
                slopes = outputs[layer].T @ back, back.sum(axis=0)
                back = (back @ weights[layer].T) * (outputs[layer] > 0)
                for index, slope in zip((layer, layers + layer), slopes, strict=True):
                    speeds[index] = momentum * speeds[index] - rate * slope
                    weights[index] += speeds[index]
        values.append(float((_forward(x[1000:], weights, layers)[-1].argmax(axis=1) == y[1000:]).mean()))
    return values


def _forward(x: np.ndarray, weights: list[np.ndarray], layers: int) -> list[np.ndarray]:
    outputs = [x]
    for layer in range(layers):
        found = np.clip(outputs[-1] @ weights[layer] + weights[layers + layer], -1e4, 1e4)
        outputs.append(np.maximum(found, 0) if layer < layers - 1 else found)
    scores = np.exp(outputs[-1] - outputs[-1].max(axis=1, keepdims=True))
    outputs[-1] = scores / scores.sum(axis=1, keepdims=True)
    return outputs


def _key(configuration: Mapping[str, Any]) -> str:
    return repr([float(configuration[name]) for name in SPACE.parameters])
