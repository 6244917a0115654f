"""The rules by name: `[scheduler]`."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from search_spaces.errors import known
from search_spaces.space import SearchSpace
from tuner.search.rules.asha import Asha
from tuner.search.rules.fifo import Fifo
from tuner.search.rules.forecast import ForecastStopping
from tuner.search.rules.median import Median
from tuner.search.rules.rule import Rule
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.forecast import Forecast, ForecastSampler
from tuner.study.objective import Objective
from tuner.study.record import Study


@dataclass(frozen=True)
class RuleContext:
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

    build: Callable[[RuleContext], Rule]
    help: str


def _asha(context: RuleContext) -> Rule:
    return Asha(context.objective, max_epochs=context.max_epochs, grace_period=context.section.grace_period, reduction_factor=context.section.reduction_factor)


def _median(context: RuleContext) -> Rule:
    return Median(context.objective, grace_period=context.section.grace_period)


def _forecast(context: RuleContext) -> Rule:
    sampler = context.study.optuna.sampler
    # Where the sampler forecasts too, both ask one model: it is fitted once.
    forecast = sampler.forecast if isinstance(sampler, ForecastSampler) else Forecast(Encoding(context.space), context.objective, context.max_epochs)
    section = context.section
    return ForecastStopping(forecast, context.study, max_epochs=context.max_epochs, grace_period=section.grace_period, least_chance=section.least_chance)


SCHEDULERS: dict[str, Row] = {
    "forecast": Row(_forecast, "stops what has too small a chance to end better than the trials that run on (the default)"),
    "asha": Row(_asha, "asynchronous successive halving, as in Ray Tune"),
    "median": Row(_median, "stops what is worse than the median of the others so far"),
    "fifo": Row(lambda context: Fifo(), "stops nothing"),
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
