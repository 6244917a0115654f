"""Patience: a training that has not got better for so many epochs is over, and its best epoch's weights are what is left of it.

As Keras's EarlyStopping(restore_best_weights=True): better is strictly better, and the best weights come back whenever a training ends. What has been waited
for is part of the checkpoint. Must not know what a network is: a variable is anything with `path`, `shape`, `dtype`, `numpy()` and `assign()`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.study.objective import Objective

# As `study.failures` has it.
KIND = "patience"


@dataclass(frozen=True)
class Patience:
    """How long a training may go on without getting better.

    Attributes:
        epochs: so many, at least 1.
        metric: of the epoch reports, by which it is judged.
        mode: `max` or `min`.
    """

    epochs: int
    metric: str
    mode: str


class Waiting:
    """How long one training has waited, and the weights of its best epoch.

    Attributes:
        variables: what a checkpoint holds of it: the best weights of each network, then the epochs waited, the best value and its epoch.
    """

    def __init__(self, patience: Patience, networks: Sequence[Sequence[Any]]) -> None:
        """Begin to wait.

        Args:
            patience: how long.
            networks: the variables of each network that are brought back.
        """
        self._patience = patience
        self._objective = Objective(patience.metric, patience.mode)
        self._networks = networks
        self._best = [[_Kept(variable.path, variable.dtype, np.array(variable.numpy())) for variable in network] for network in networks]
        self._state = _Kept(KIND, "float64", np.array([0.0, math.nan, 0.0]))
        self.variables: list[list[Any]] = [*self._best, [self._state]]

    def note(self, epoch: int, report: Mapping[str, float]) -> None:
        """Take note of an epoch that is done.

        Args:
            epoch: its number, from 1.
            report: of it; without the metric, or where that is NaN, it is no better.
        """
        waited, best, at = self._state.numpy()
        value = report.get(self._patience.metric, math.nan)
        if not self._objective.better(value, best):
            self._state.assign(np.array([waited + 1, best, at]))
            return
        self._state.assign(np.array([0.0, value, epoch]))
        for kept, network in zip(self._best, self._networks, strict=True):
            for one, variable in zip(kept, network, strict=True):
                one.assign(np.array(variable.numpy()))

    @property
    def why(self) -> tuple[str, str] | None:
        """Why the training is over, as `Training.stopped` has it; None while it goes on."""
        waited, best, at = self._state.numpy()
        if waited < self._patience.epochs:
            return None
        epochs = f"{self._patience.epochs} epoch{'s' * (self._patience.epochs != 1)}"
        return KIND, f"no better {self._patience.metric} in {epochs} than {best:.6g} at epoch {int(at)}" if at else f"no {self._patience.metric} in {epochs}"

    def bring_back(self) -> None:
        """Give every network its weights of the best epoch, where there was one."""
        if self._state.numpy()[2]:
            for kept, network in zip(self._best, self._networks, strict=True):
                for one, variable in zip(kept, network, strict=True):
                    variable.assign(one.numpy())


class _Kept:
    """An array with the face of a variable."""

    def __init__(self, path: str, dtype: Any, array: np.ndarray) -> None:
        self.path, self.dtype = path, dtype
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    def numpy(self) -> np.ndarray:
        return self._array

    def assign(self, array: np.ndarray) -> None:
        self._array = array
