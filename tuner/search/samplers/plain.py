"""Samplers without a model: an even design, and every configuration of a finite space in turn."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from search_spaces.space import SearchSpace
from tuner.errors import SpecError
from tuner.search.configurations import key_of
from tuner.search.samplers.encoding import Encoding

# What a sampler notes of a new trial among Optuna's system attributes: where its configuration comes from.
SOURCE = "source"


class SpaceSampler(BaseSampler):
    """A sampler that chooses whole configurations of a given space, so that conditions hold by construction.

    Args:
        space: what is searched.
        seed: of every draw; the draws of a trial depend on it and on the study, not on what this process drew before.
    """

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        self.encoding = Encoding(space)
        self._seed = seed
        self._attempts: dict[int, int] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all parameters that have more than one value."""
        return dict(self.encoding.distributions)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return the parameters of the next configuration, inactive ones included."""
        attempt = self._attempts.get(trial.number, 0)
        self._attempts = {trial.number: attempt + 1}
        return self.encoding.decode(self.choose(study, trial, attempt))

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Return a random value, for a parameter that is not of the space."""
        return optuna.samplers.RandomSampler(seed=self._seed + trial.number).sample_independent(study, trial, param_name, param_distribution)

    def generator(self, trial: FrozenTrial, attempt: int) -> np.random.Generator:
        """Return the random generator of a trial.

        Args:
            trial: the next trial.
            attempt: how often it was asked for before.
        """
        return np.random.default_rng([self._seed, trial.number, attempt])

    def choose(self, study: optuna.Study, trial: FrozenTrial, attempt: int) -> np.ndarray:
        """Return the point of the next configuration.

        Args:
            study: what has been tried.
            trial: the next trial.
            attempt: how often the trial was asked for before, each time in vain: the configuration had been run.

        Returns:
            float64 of shape (dimensions,).

        Raises:
            NotImplementedError: a sampler that draws point by point has this method of its own.
        """
        raise NotImplementedError


class EvenSampler(SpaceSampler):
    """Covers the space evenly with a scrambled Sobol sequence; a trial's number is its place in the sequence."""

    def choose(self, study: optuna.Study, trial: FrozenTrial, attempt: int) -> np.ndarray:
        """Return the point at the trial's place in the sequence, float64 of shape (dimensions,); asked again for the same trial, a random one."""
        if attempt:
            return self.generator(trial, attempt).random(self.encoding.dimensions)
        return even_points(self.encoding.dimensions, trial.number + 1, seed=self._seed)[-1]


class GridSampler(SpaceSampler):
    """Runs every configuration of a finite space once, in the order of the space.

    Args:
        space: what is searched.
        seed: not used, for nothing is drawn.

    Raises:
        SpecError: the space is infinite.
    """

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        super().__init__(space, seed=seed)
        if space.size() is None:
            endless = [name for name, parameter in space.searched().items() if getattr(parameter.distribution, "step", 1) is None]
            raise SpecError(
                f"search.sampler: 'grid' needs a finite space, but {', '.join(endless)} has no step; give it a step or a list of values, or use sampler = 'qmc'"
            )

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return the first configuration that no trial of the study has; the last one where all have run."""
        run = {key_of(earlier.user_attrs.get("configuration", {})) for earlier in study.get_trials(deepcopy=False)}
        configuration: dict[str, Any] = {}
        for configuration in self.encoding.space.grid():
            if key_of(configuration) not in run:
                break
        return self.encoding.space.parameters_of(configuration)


def even_points(dimensions: int, count: int, *, seed: int) -> np.ndarray:
    """Return the first points of a scrambled Sobol sequence, float64 of shape (count, dimensions).

    Args:
        dimensions: number of coordinates.
        count: number of points.
        seed: of the scrambling.
    """
    from scipy.stats import qmc  # takes a third of a second, which a spec that is only read does not have to wait for

    power = max(0, (count - 1).bit_length())
    return qmc.Sobol(d=max(1, dimensions), scramble=True, rng=seed).random_base2(power)[:count, :dimensions]
