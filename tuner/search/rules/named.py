"""The rules by name: `[scheduler]`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from search_spaces.errors import one_of
from search_spaces.space import SearchSpace
from tuner.search.rules.asha import Asha
from tuner.search.rules.fifo import Fifo
from tuner.search.rules.forecast import ForecastStopping
from tuner.search.rules.median import Median
from tuner.search.rules.promotion import Promotion
from tuner.search.rules.rule import Rule
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.forecast import Forecast
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
        seed: of the sweep.
    """

    objective: Objective
    max_epochs: int
    section: "SchedulerSection"
    study: Study
    space: SearchSpace
    seed: int


@dataclass(frozen=True)
class Row:
    """A rule that can be chosen by name."""

    build: Callable[[RuleContext], Rule]
    help: str


def _asha(context: RuleContext) -> Rule:
    if context.section.type == "promotion":
        return Promotion(
            context.objective,
            max_epochs=context.max_epochs,
            grace_period=context.section.grace_period,
            reduction_factor=context.section.reduction_factor,
            brackets=context.section.brackets,
            seed=context.seed,
        )
    return Asha(context.objective, max_epochs=context.max_epochs, grace_period=context.section.grace_period, reduction_factor=context.section.reduction_factor)


def _median(context: RuleContext) -> Rule:
    return Median(context.objective, grace_period=context.section.grace_period)


def _forecast(context: RuleContext) -> Rule:
    forecast = Forecast(Encoding(context.space), context.objective, context.max_epochs)
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
    type: Literal["stopping", "promotion"] = Field(
        "stopping", description="asha: 'stopping' decides at once, 'promotion' lets every trial wait at a rung until it is among the best there"
    )
    brackets: int = Field(
        1, ge=1, le=9, description="asha by promotion: number of brackets, as in Hyperband: in the second, trials are first compared at the second rung"
    )
    least_chance: float = Field(0.1, gt=0, lt=1, description="forecast: a trial goes on while its chance to end better than all that run on is at least this")
    audit: float = Field(
        0.03,
        ge=0,
        le=0.5,
        description="control arm, to tell what early stopping costs: trials that would be stopped run on to their end by lot, "
        "as long as that takes no more than this share of all epochs; 0 is none",
    )

    @model_validator(mode="after")
    def _together(self) -> "SchedulerSection":
        if self.name != "asha" and self.type == "promotion":
            raise ValueError(f"type: 'promotion' is a kind of scheduler 'asha', not of {self.name!r}; remove it")
        if self.type != "promotion" and self.brackets != 1:
            raise ValueError("brackets: belongs to name = 'asha' with type = 'promotion'; remove it")
        return self

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        return one_of(name, SCHEDULERS, "scheduler")


def build_rule(section: SchedulerSection, study: Study, space: SearchSpace, *, max_epochs: int, seed: int) -> Rule:
    """Return the rule of a search.

    Args:
        section: names it.
        study: has the sampler by now, with which the rule may share a model.
        space: what is searched.
        max_epochs: number of epochs of a full training.
        seed: of the sweep.
    """
    return SCHEDULERS[section.name].build(RuleContext(study.objective, max_epochs, section, study, space, seed))
