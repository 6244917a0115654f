"""The rules of early stopping by name: values in, a reason to stop out.

Owns the `[scheduler]` section. Must not know Ray, nor how configurations are chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from search_spaces.errors import known
from search_spaces.space import SearchSpace
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.forecast import Forecast, ForecastSampler
from tuner.study.objective import Objective
from tuner.study.record import Study

# The forecast is asked at these steps of the epoch: as often late as early, for a chance that falls slowly.
CHECK_FACTOR = 1.4


class Rule(Protocol):
    """Decides whether a trial goes on."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Take note of a trial of an earlier run, by its values up to the last epoch that was decided upon."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Take note of a trial's newest epoch, and return in one line why the trial should stop; None if it goes on.

        Args:
            number: the trial.
            epoch: its newest epoch, in `history` if it gave a finite value.
            history: its values by epoch, the newest among them.
        """


class Fifo:
    """Stops nothing."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return None."""
        return None


class Asha:
    """Asynchronous successive halving, the stopping variant: at each rung a trial goes on if it is in the best fraction of those before it.

    The best value so far counts, for that is what trials are ranked by. A tie with the cutoff stops: the first of its kind runs on already.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; the cutoff as in Ray Tune's ASHAScheduler.

    Args:
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        grace_period: the first rung, in epochs.
        reduction_factor: from rung to rung epochs grow, and trials shrink, by this factor.
    """

    def __init__(self, objective: Objective, *, max_epochs: int, grace_period: int, reduction_factor: float) -> None:
        self._objective = objective
        self._factor = reduction_factor
        self.rungs: dict[int, dict[int, float]] = {milestone: {} for milestone in milestones(max_epochs, grace_period, reduction_factor)}

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter a trial at the rungs whose own epoch it has reported."""
        for milestone, recorded in self.rungs.items():
            if milestone in history and number not in recorded:
                recorded[number] = min(self._objective.cost(value) for epoch, value in history.items() if epoch <= milestone)

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return why the trial falls at this rung; None between rungs, and where it goes on."""
        recorded = self.rungs.get(epoch)
        if recorded is None or number in recorded:
            return None
        others = list(recorded.values())
        self.record(number, history)
        if not others or number not in recorded:
            return None
        cutoff = float(np.quantile(others, 1 / self._factor))
        if recorded[number] < cutoff:
            return None
        return f"not in the best 1/{self._factor:g} of {len(others) + 1} trials at epoch {epoch}"


class Median:
    """Stops a trial whose best value is worse than the median of what the others had on average by the same epoch.

    Source: Golovin et al., Google Vizier, KDD 2017, section 3.2.2.

    Args:
        objective: what is optimised.
        grace_period: no trial is stopped before this epoch.
        least: nor before this number of other trials reached the epoch.
    """

    def __init__(self, objective: Objective, *, grace_period: int, least: int = 5) -> None:
        self._objective = objective
        self._grace = grace_period
        self._least = least
        self._means: dict[int, dict[int, float]] = {}

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter the means of a trial up to each of its epochs."""
        total = 0.0
        for count, epoch in enumerate(sorted(history), start=1):
            total += self._objective.cost(history[epoch])
            self._means.setdefault(epoch, {})[number] = total / count

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return why the trial stops at this epoch; None where it goes on."""
        self.record(number, history)
        others = [mean for other, mean in self._means.get(epoch, {}).items() if other != number]
        if epoch < self._grace or len(others) < self._least or not history:
            return None
        if min(self._objective.cost(value) for value in history.values()) <= float(np.median(others)):
            return None
        return f"worse than the median of {len(others)} other trials at epoch {epoch}"


class ForecastStopping:
    """Stops a trial whose chance to end better than every rival is expected to is too small.

    Rivals are the trials that run, or have run, to their end. The forecast says how much early epochs can be trusted on this very problem: where
    they tell little, as where learning curves cross, chances stay apart from 0 and 1 and trials run on; where they tell all, a few epochs decide.

    Args:
        forecast: of what each trial will reach.
        study: what it is about.
        max_epochs: number of epochs of a full training.
        grace_period: no trial is stopped before this epoch.
        least_chance: the smallest chance to go on with.
    """

    def __init__(self, forecast: Forecast, study: Study, *, max_epochs: int, grace_period: int, least_chance: float) -> None:
        self.forecast = forecast
        self._study = study
        self._grace = grace_period
        self._least_chance = least_chance
        self._checks = frozenset(milestones(max_epochs, grace_period, CHECK_FACTOR))
        forecast.update(study.optuna)  # what an earlier run left is read here, once, and not while the first suggestion is waited for

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing: the forecast reads the study."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return the trial's chance if it is too small to go on."""
        belief = self.forecast.update(self._study.optuna) if epoch in self._checks else None
        if belief is None or not belief.enough(self._grace):
            return None
        chance = belief.chance(number)
        if chance is None or chance >= self._least_chance:
            return None
        return f"a chance of {chance:.0%} at epoch {epoch} to end better than the trials that run on"


@dataclass(frozen=True)
class Circumstances:
    """What a rule is built from.

    Attributes:
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        section: the user's numbers.
        study: for a rule that looks at the whole of it.
        space: what is searched.
    """

    objective: Objective
    max_epochs: int
    section: "SchedulerSection"
    study: Study
    space: SearchSpace


@dataclass(frozen=True)
class Row:
    """A rule that can be chosen by name."""

    build: Callable[[Circumstances], Rule]
    help: str


def _asha(given: Circumstances) -> Rule:
    return Asha(given.objective, max_epochs=given.max_epochs, grace_period=given.section.grace_period, reduction_factor=given.section.reduction_factor)


def _foresight(given: Circumstances) -> Rule:
    sampler = given.study.optuna.sampler
    # Where the sampler forecasts too, both ask one model: it is fitted once.
    forecast = sampler.forecast if isinstance(sampler, ForecastSampler) else Forecast(Encoding(given.space), given.objective, given.max_epochs)
    section = given.section
    return ForecastStopping(forecast, given.study, max_epochs=given.max_epochs, grace_period=section.grace_period, least_chance=section.least_chance)


SCHEDULERS: dict[str, Row] = {
    "forecast": Row(_foresight, "stops what has too small a chance to end better than the trials that run on (the default)"),
    "asha": Row(_asha, "asynchronous successive halving, as in Ray Tune"),
    "median": Row(lambda given: Median(given.objective, grace_period=given.section.grace_period), "stops what is worse than the median of the others so far"),
    "fifo": Row(lambda given: Fifo(), "stops nothing"),
}


class SchedulerSection(BaseModel):
    """`[scheduler]`: which trials are stopped early."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field("forecast", description="which trials are stopped early: " + "; ".join(f"'{name}' {row.help}" for name, row in SCHEDULERS.items()))
    grace_period: int = Field(2, ge=1, description="no trial is stopped before this epoch")
    reduction_factor: float = Field(3.0, gt=1, description="asha: from rung to rung, epochs grow and trials shrink by this factor")
    least_chance: float = Field(0.1, gt=0, lt=1, description="forecast: a trial goes on while its chance to end better than all that run on is at least this")
    audit: float = Field(
        0.03,
        ge=0,
        le=0.5,
        description="control arm, to tell what early stopping costs: trials that would be stopped run on to their end by lot, "
        "as long as that takes no more than this share of all epochs; 0 is none",
    )

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        return known(name, SCHEDULERS, "scheduler")


def milestones(max_epochs: int, grace_period: int, reduction_factor: float) -> tuple[int, ...]:
    """Return the epochs of the rungs, rising, all before the last epoch.

    Args:
        max_epochs: number of epochs of a full training, at least 1.
        grace_period: the first rung, in epochs.
        reduction_factor: of each rung to the one before, above 1.
    """
    found: list[int] = []
    milestone = float(grace_period)
    while round(milestone) < max_epochs:
        if not found or round(milestone) > found[-1]:
            found.append(round(milestone))
        milestone *= reduction_factor
    return tuple(found)
