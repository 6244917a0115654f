"""A trial before it is recorded: how a sampler is asked without one in the storage."""

from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner.study.view import StudyView


class PendingTrial:
    """A trial that is not recorded yet: it asks the sampler as `optuna.Trial` does, and leaves no trace where it is thrown away.

    A configuration is written to the study in one piece, with its seed. No kill can leave half of it, and a duplicate never gets a number.

    Args:
        view: of the study, for this one draw.
        number: that the trial will have.
    """

    def __init__(self, view: StudyView, number: int) -> None:
        self.frozen = FrozenTrial(
            number=number, state=TrialState.RUNNING, value=None, datetime_start=datetime.now(), datetime_complete=None,
            params={}, distributions={}, user_attrs={}, system_attrs={}, intermediate_values={}, trial_id=-1,
        )  # fmt: skip
        view.draft = self.frozen
        self._study = view.study
        sampler = self._study.sampler
        sampler.before_trial(self._study, self.frozen)
        self._relative = sampler.sample_relative(self._study, self.frozen, sampler.infer_relative_search_space(self._study, self.frozen))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """Return a value as `optuna.Trial.suggest_float` does."""
        return self._suggest(name, optuna.distributions.FloatDistribution(low, high, log=log, step=step))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a value as `optuna.Trial.suggest_int` does."""
        return self._suggest(name, optuna.distributions.IntDistribution(low, high, log=log, step=step))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return a value as `optuna.Trial.suggest_categorical` does."""
        return self._suggest(name, optuna.distributions.CategoricalDistribution(choices))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self.frozen.params:
            if distribution.single():
                value = optuna.distributions._get_single_value(distribution)
            elif name in self._relative and distribution._contains(distribution.to_internal_repr(self._relative[name])):
                value = self._relative[name]
            else:
                value = self._study.sampler.sample_independent(self._study, self.frozen, name, distribution)
            # There and back, as Optuna stores it: an integer stays an integer, a step is kept.
            self.frozen.params[name] = distribution.to_external_repr(distribution.to_internal_repr(value))
            self.frozen.distributions[name] = distribution
        return self.frozen.params[name]
