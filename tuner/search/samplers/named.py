"""The samplers by name, and what a search may spend: `[search]`."""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from search_spaces.errors import one_of
from search_spaces.notebooks import BASELINES
from search_spaces.space import SearchSpace
from tuner.errors import SpecError
from tuner.search.accounts import Budget
from tuner.search.samplers.forecast import ForecastSampler
from tuner.search.samplers.plain import EvenSampler, GridSampler
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.study.seeds import seed_of

WARM_UP = 10


@dataclass(frozen=True)
class SamplerContext:
    """What a sampler is built from.

    Attributes:
        space: what is searched.
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        seed: of the sampler's draws.
        warm_up: number of trials drawn without a model; None leaves it to the sampler.
        also_minimize: the second objective, a fact of the trials.
        in_time: whether the search may spend time, rather than trials or epochs.
    """

    space: SearchSpace
    objective: Objective
    max_epochs: int
    seed: int
    warm_up: int | None = None
    also_minimize: str | None = None
    in_time: bool = False


@dataclass(frozen=True)
class Row:
    """A sampler that can be chosen by name.

    Attributes:
        build: makes the sampler.
        help: one line for users.
        startup: number of trials that it draws without a model, where the user gives none; None where it has no model, or notes by itself what
            comes from one.
        learns: whether it learns from trials; the first one is then the space's default configuration, where it has one.
    """

    build: Callable[[SamplerContext], BaseSampler]
    help: str
    startup: int | None = None
    learns: bool = False


def _tpe(context: SamplerContext) -> BaseSampler:
    startup = 10 if context.warm_up is None else context.warm_up
    return _quietly(lambda: optuna.samplers.TPESampler(seed=context.seed, multivariate=True, group=True, n_startup_trials=startup))


def _cmaes(context: SamplerContext) -> BaseSampler:
    _need("cmaes", "cmaes")
    return _quietly(lambda: optuna.samplers.CmaEsSampler(seed=context.seed, warn_independent_sampling=False))


def _gp(context: SamplerContext) -> BaseSampler:
    _need("gp", "torch")
    startup = 10 if context.warm_up is None else context.warm_up
    return _quietly(lambda: optuna.samplers.GPSampler(seed=context.seed, n_startup_trials=startup, warn_independent_sampling=False))


def _forecast(context: SamplerContext) -> BaseSampler:
    return ForecastSampler(
        context.space,
        objective=context.objective,
        max_epochs=context.max_epochs,
        seed=context.seed,
        warm_up=8 if context.warm_up is None else context.warm_up,
        in_time=context.in_time,
        also_minimize=context.also_minimize,
    )


SAMPLERS: dict[str, Row] = {
    "forecast": Row(_forecast, "models how good a configuration will be at its last epoch, from all epochs of all trials (the default)", learns=True),
    "tpe": Row(_tpe, "Optuna's tree-structured Parzen estimator", 10, learns=True),
    "gp": Row(_gp, "Optuna's Gaussian process; needs PyTorch", 10, learns=True),
    "cmaes": Row(_cmaes, "Optuna's CMA-ES, for spaces of numbers", 1, learns=True),
    "random": Row(lambda context: optuna.samplers.RandomSampler(seed=context.seed), "draws at random"),
    "qmc": Row(lambda context: EvenSampler(context.space, seed=context.seed), "covers the space evenly (a scrambled Sobol sequence)"),
    "grid": Row(lambda context: GridSampler(context.space, seed=context.seed), "every configuration of a finite space, once"),
}


class SearchSection(BaseModel):
    """`[search]`: how configurations are chosen, and what the search may spend."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sampler: str = Field("forecast", description="how configurations are chosen: " + "; ".join(f"'{name}' {row.help}" for name, row in SAMPLERS.items()))
    trials: int | None = Field(None, ge=1, description="budget: the number of trials, failed ones included")
    epochs: int | None = Field(None, ge=1, description="budget: the number of epochs, summed over all trials")
    seconds: float | None = Field(None, gt=0, description="budget: wall-clock seconds of searching, over all runs of this sweep")
    max_concurrent: int | None = Field(None, ge=1, description="the largest number of trials at a time; as many as fit where it is not given")
    warm_up: int | None = Field(None, ge=1, description="number of trials before the sampler trusts a model; the sampler's own number where it is not given")
    baselines: bool | list[str] = Field(
        False, description="true: the hand-tuned networks of the notebooks run first, never stopped early; a list: only those of these names"
    )
    enqueue: list[dict[str, str | int | float | bool]] = Field(
        default_factory=list,
        description="configurations of your own that are tried first, such as { units = 64 }; what one leaves out is drawn",
    )
    patience: int | None = Field(
        None, ge=1, description="the search ends early where so many trials, one after another, ended without a better value than the best before them"
    )
    warm_start: list[str] = Field(
        default_factory=list,
        description="folders of earlier sweeps over the same data, network and objective: their trials teach the sampler; they are not run again, spend "
        "no budget and are not ranked",
    )
    also_minimize: str | None = Field(
        None,
        description="a second objective to be small, by the name of a fact of the trials such as 'parameters'; the leaderboard then shows the "
        "Pareto front. Early stopping looks at the first objective only",
    )

    @field_validator("sampler")
    @classmethod
    def _named(cls, name: str) -> str:
        return one_of(name, SAMPLERS, "sampler")

    @field_validator("baselines")
    @classmethod
    def _all_named(cls, names: bool | list[str]) -> bool | list[str]:
        return [one_of(name, BASELINES, "baseline") for name in names] if isinstance(names, list) else names

    @model_validator(mode="after")
    def _limited(self) -> "SearchSection":
        if self.trials is None and self.epochs is None and self.seconds is None:
            raise ValueError("no budget: give trials, epochs or seconds, or several of them")
        if self.also_minimize is not None and self.sampler in ("tpe", "gp", "cmaes"):
            raise ValueError(f"also_minimize: sampler {self.sampler!r} looks at one objective; use 'forecast', or 'random', 'qmc' or 'grid' that look at none")
        return self

    @property
    def budget(self) -> Budget:
        """What the search may spend."""
        return Budget(self.trials, self.epochs, self.seconds)


def build_sampler(section: SearchSection, space: SearchSpace, *, study: Study, max_epochs: int, seed: int) -> BaseSampler:
    """Return the sampler of a search.

    Args:
        section: names it.
        space: what is searched.
        study: what it will draw for. A search that is resumed goes on, it does not draw the same again; enough trials of earlier sweeps are its warm-up.
        max_epochs: number of epochs of a full training.
        seed: of the sweep.

    Raises:
        SpecError: the sampler cannot search this space, or needs a package that is not installed.
    """
    warm_up = 0 if len(study.earlier) >= (section.warm_up or WARM_UP) else section.warm_up
    draws = seed_of(seed, study.count(), "sampler")
    context = SamplerContext(space, study.objective, max_epochs, draws, warm_up, section.also_minimize, section.seconds is not None)
    return SAMPLERS[section.sampler].build(context)


def _quietly(build: Callable[[], BaseSampler]) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return build()


def _need(name: str, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise SpecError(f"search.sampler: {name!r} needs the package {package}, which is not installed; pip install {package}, or use sampler = 'forecast'")
