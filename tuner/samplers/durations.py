"""What earlier trials tell about a configuration besides its quality: how long an epoch of it takes.

Owns the estimate: a quadratic ridge regression of the logarithm over points of the unit cube. Must not know what is optimised.
"""

import math

import numpy as np
import optuna

from tuner.samplers.encoding import Encoding

LEAST_TIMED = 8
MOST_TIMED = 1000


class Durations:
    """Estimates from the trials of a study.

    Args:
        encoding: of the space.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._timed: dict[int, tuple[np.ndarray, float]] = {}

    def estimate(self, study: optuna.Study, points: np.ndarray) -> np.ndarray:
        """Return how long an epoch takes at points, relative to the (geometric) mean, float64 of shape (n,)."""
        for trial in study._storage.get_all_trials(study._study_id, deepcopy=False):
            if trial.number not in self._timed and trial.intermediate_values and trial.params:
                seconds = trial.user_attrs.get(f"epoch_{min(trial.intermediate_values)}", {}).get("seconds")
                if seconds:
                    self._timed[trial.number] = self._encoding.encode(trial.params), math.log(max(seconds, 1e-6))
        if len(self._timed) < LEAST_TIMED:
            return np.ones(len(points))
        recent = list(self._timed.values())[-MOST_TIMED:]
        known, logs = np.array([point for point, _ in recent]), np.array([log for _, log in recent])
        design = _squares(known)
        weights = np.linalg.solve(design.T @ design + 0.1 * np.eye(design.shape[1]), design.T @ (logs - logs.mean()))
        return np.exp(np.clip(_squares(points) @ weights, logs.min() - logs.mean(), logs.max() - logs.mean()))


def _squares(points: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(points)), points, points * points])
