"""Stopping by forecast: what has too small a chance to end better than its rivals."""

from collections.abc import Mapping

from tuner.search.rules.milestones import milestones
from tuner.search.rules.rule import Unpausing
from tuner.search.samplers.forecast import Forecast, ForecastSampler
from tuner.study.record import Study

# The forecast is asked at these steps of the epoch: as often late as early, for a chance that falls slowly.
CHECK_FACTOR = 1.4


class ForecastStopping(Unpausing):
    """Stops a trial whose chance to end better than every rival is expected to is too small.

    Rivals are the trials that run, or have run, to their end. The forecast says how much early epochs can be trusted on this very problem: where
    they tell little, as where learning curves cross, chances stay apart from 0 and 1 and trials run on; where they tell all, a few epochs decide.

    Args:
        forecast: of what each trial will reach, for a study whose sampler has none.
        study: what it is about.
        max_epochs: number of epochs of a full training.
        grace_period: no trial is stopped before this epoch.
        least_chance: the smallest chance to go on with.
    """

    def __init__(self, forecast: Forecast, study: Study, *, max_epochs: int, grace_period: int, least_chance: float) -> None:
        self._own = forecast
        self._study = study
        self._grace = grace_period
        self._least_chance = least_chance
        self._checks = frozenset(milestones(max_epochs, grace_period, CHECK_FACTOR))
        self.forecast.update(study.view().study)  # what an earlier run left is read here, once, and not while the first suggestion is waited for

    @property
    def forecast(self) -> Forecast:
        """The forecast: the sampler's, where that forecasts too, so that one model is fitted for both."""
        sampler = self._study.optuna.sampler  # another one once a space has grown
        return sampler.forecast if isinstance(sampler, ForecastSampler) else self._own

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing: the forecast reads the study.

        Args:
            number: the trial.
            history: its values by epoch; NaN where an epoch has none.
        """

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return the trial's chance if it is too small to go on.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch; NaN where an epoch has none.
        """
        posterior = self.forecast.update(self._study.view().study) if epoch in self._checks else None
        if posterior is None or not posterior.enough(self._grace):
            return None
        chance = posterior.chance(number)
        if chance is None or chance >= self._least_chance:
            return None
        return f"a chance of {chance:.0%} at epoch {epoch} to end better than the trials that run on"
