"""What is tried next: the samplers by name, and the searcher that hands their configurations to Ray Tune.

Owns the `[search]` section and how a suggestion comes about: trials that wait to be continued or were put in the queue come first, then new
configurations from the sampler, none of them twice, until a budget is spent or a finite space is exhausted. Must not know Keras, nor what a
configuration means.
"""

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from ray.tune.search import Searcher

from search_spaces.errors import known
from search_spaces.notebooks import BASELINES
from search_spaces.space import SearchSpace
from tuner import failures
from tuner.accounts import Accounts, Budget, seed_of
from tuner.errors import SpecError
from tuner.here import Here
from tuner.objective import Objective
from tuner.samplers.draft import Draft
from tuner.samplers.forecast import ForecastSampler
from tuner.samplers.plain import SOURCE, EvenSampler, GridSampler
from tuner.study import Study

REDRAWS = 100
WARM_UP = 10


@dataclass(frozen=True)
class Recipe:
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

    build: Callable[[Recipe], BaseSampler]
    help: str
    startup: int | None = None
    learns: bool = False


def _tpe(recipe: Recipe) -> BaseSampler:
    startup = 10 if recipe.warm_up is None else recipe.warm_up
    return _quietly(lambda: optuna.samplers.TPESampler(seed=recipe.seed, multivariate=True, group=True, n_startup_trials=startup))


def _cmaes(recipe: Recipe) -> BaseSampler:
    _need("cmaes", "cmaes")
    return _quietly(lambda: optuna.samplers.CmaEsSampler(seed=recipe.seed, warn_independent_sampling=False))


def _gp(recipe: Recipe) -> BaseSampler:
    _need("gp", "torch")
    startup = 10 if recipe.warm_up is None else recipe.warm_up
    return _quietly(lambda: optuna.samplers.GPSampler(seed=recipe.seed, n_startup_trials=startup, warn_independent_sampling=False))


def _forecast(recipe: Recipe) -> BaseSampler:
    return ForecastSampler(
        recipe.space,
        objective=recipe.objective,
        max_epochs=recipe.max_epochs,
        seed=recipe.seed,
        warm_up=8 if recipe.warm_up is None else recipe.warm_up,
        in_time=recipe.in_time,
        also_minimize=recipe.also_minimize,
    )


SAMPLERS: dict[str, Row] = {
    "forecast": Row(_forecast, "models how good a configuration will be at its last epoch, from all epochs of all trials (the default)", learns=True),
    "tpe": Row(_tpe, "Optuna's tree-structured Parzen estimator", 10, learns=True),
    "gp": Row(_gp, "Optuna's Gaussian process; needs PyTorch", 10, learns=True),
    "cmaes": Row(_cmaes, "Optuna's CMA-ES, for spaces of numbers", 1, learns=True),
    "random": Row(lambda recipe: optuna.samplers.RandomSampler(seed=recipe.seed), "draws at random"),
    "qmc": Row(lambda recipe: EvenSampler(recipe.space, seed=recipe.seed), "covers the space evenly (a scrambled Sobol sequence)"),
    "grid": Row(lambda recipe: GridSampler(recipe.space, seed=recipe.seed), "every configuration of a finite space, once"),
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
        return known(name, SAMPLERS, "sampler")

    @field_validator("baselines")
    @classmethod
    def _all_named(cls, names: bool | list[str]) -> bool | list[str]:
        return [known(name, BASELINES, "baseline") for name in names] if isinstance(names, list) else names

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


def build_sampler(
    section: SearchSection, space: SearchSpace, *, objective: Objective, max_epochs: int, seed: int, trials: int = 0, known: int = 0
) -> BaseSampler:
    """Return the sampler of a search.

    Args:
        section: names it.
        space: what is searched.
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        seed: of the sweep.
        trials: number of trials that the study has already: a resumed search goes on, it does not draw the same again.
        known: number of trials of earlier sweeps that the sampler is shown: enough of them are its warm-up.

    Raises:
        SpecError: the sampler cannot search this space, or needs a package that is not installed.
    """
    warm_up = 0 if known >= (section.warm_up or WARM_UP) else section.warm_up
    recipe = Recipe(space, objective, max_epochs, seed_of(seed, trials, "sampler"), warm_up, section.also_minimize, section.seconds is not None)
    return SAMPLERS[section.sampler].build(recipe)


class StudySearcher(Here, Searcher):
    """Hands the study's waiting trials, and then new ones, to Ray Tune.

    A suggestion is `{"number", "configuration", "seed", "epoch", "pause_s", "deadline_s", "larger_share"}`: `epoch` is the last one recorded (0 for a new
    trial), `pause_s` how long to wait before it is tried again, `deadline_s` how long an epoch may take (None: not known yet), `larger_share` whether
    its share of a GPU was too small.

    Args:
        accounts: what is spent and running; shared with the scheduler. Its study has the sampler.
        space: what is searched.
        section: how configurations are chosen.
        seed: of the sweep; a trial's own seed derives from it and the trial's number.
        known: trials of earlier sweeps, whose configurations are not run again.
    """

    def __init__(self, accounts: Accounts, space: SearchSpace, *, section: SearchSection, seed: int, known: Sequence[FrozenTrial] = ()) -> None:
        super().__init__()
        self.accounts = accounts
        self._study = accounts.study
        self._space = space
        self._section = section
        self._seed = seed
        self._size = space.size()
        self._seen: set[tuple[tuple[str, str], ...]] = {key_of(trial.user_attrs["configuration"]) for trial in known}
        self._read = 0
        self._read_seen()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return what the trial of Ray with this id is to train; None for not now, FINISHED for never again."""
        with self._study.together():
            return self._suggest(trial_id)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.accounts.overspent():
            return Searcher.FINISHED
        number = self._study.waiting()
        if number is not None:
            configuration = self._configuration(self._study.resume(number))
        else:
            reason = self._nothing_new()
            drawn = None if reason else self._draw()
            if reason or drawn is None:
                return self._finish(reason or f"all {self._size} configurations of the space have been run")
            number, configuration = drawn
        trial = self._study.trial(number)
        self._seen.add(key_of(configuration))
        self.accounts.begin(trial_id, number)
        facts = trial.user_attrs
        if "seed" not in facts:
            self._study.set_trial_fact(number, "configuration", configuration)
            self._study.set_trial_fact(number, "source", facts.get("source", "enqueued"))
            self._study.set_trial_fact(number, "seed", seed_of(self._seed, number))
        return {
            "number": number,
            "configuration": configuration,
            "seed": facts.get("seed", seed_of(self._seed, number)),
            "epoch": max(trial.intermediate_values, default=0),
            "pause_s": failures.pause_s(sum(entry["epoch"] >= max(trial.intermediate_values, default=0) for entry in facts.get("retried", []))),
            "deadline_s": self.accounts.deadline_s,
            "larger_share": any(entry["kind"] == "share" for entry in facts.get("retried", [])),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the scheduler has recorded the epoch by now."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end of a trial, where the scheduler has not done so."""
        number = self.accounts.number_of(trial_id)
        if number is None:
            return
        with self._study.together():
            if error:
                self.accounts.lose(number)
            else:
                self.accounts.conclude(number, result or {})

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the record, and Ray's snapshots are never read back."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing; see `save`."""

    def _nothing_new(self) -> str | None:
        """Say why no new trial may begin; None if one may."""
        self._read_seen()
        limit = self.accounts.budget.trials
        if limit is not None and self._study.count() >= limit:
            return f"the budget of {limit} trials is spent"
        if self._size is not None and len(self._seen) >= self._size and sum(1 for _ in self._unseen()) == 0:
            return f"all {self._size} configurations of the space have been run"
        return None

    def _finish(self, reason: str) -> str | None:
        # A trial that runs may yet be lost and wait again: as long as one does, the answer is "not now".
        if self.accounts.running:
            return None
        self._study.set_fact("search_ended", reason)
        return Searcher.FINISHED

    def _read_seen(self) -> None:
        for number in range(self._read, self._study.count()):
            trial = self._study.trial(number)
            self._seen.add(key_of(trial.user_attrs.get("configuration", trial.params)))
        self._read = self._study.count()

    def _unseen(self) -> Any:
        return (configuration for configuration in self._space.grid() if key_of(configuration) not in self._seen)

    def _configuration(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the configuration of a trial that waited; one outside the space is in its facts only."""
        frozen = self._study.trial(trial.number)
        stated = frozen.user_attrs.get("configuration")
        if stated is not None and (frozen.params or not frozen.system_attrs.get("fixed_params")):
            return dict(stated)
        suggested = self._space.suggest(trial)
        return dict(stated) if stated is not None else suggested

    def _draw(self) -> tuple[int, dict[str, Any]] | None:
        """Record a new trial that is no duplicate; None where the space has no more."""
        number = self._study.count()
        for _ in range(REDRAWS):
            draft = Draft(self._study.optuna, number)
            configuration = self._space.suggest(draft)
            if key_of(configuration) not in self._seen:
                return self._record(draft.frozen, configuration), configuration
        rest = list(self._unseen()) if self._size is not None else []
        if self._size is not None and not rest:
            return None
        if rest:
            configuration = rest[int(np.random.default_rng([self._seed, number]).integers(len(rest)))]
            draft.frozen.system_attrs.pop(SOURCE, None)
            draft.frozen.params = self._space.parameters_of(configuration)
            draft.frozen.distributions = {name: self._space.parameters[name].distribution for name in draft.frozen.params}
        return self._record(draft.frozen, configuration), configuration

    def _source(self) -> str:
        """Say whether the configurations of a sampler that notes nothing come from a model yet."""
        startup = SAMPLERS[self._section.sampler].startup
        return "random" if startup is None or len(self._study.trials("complete", "pruned")) < (self._section.warm_up or startup) else "model"

    def _record(self, frozen: FrozenTrial, configuration: Mapping[str, Any]) -> int:
        source = frozen.system_attrs.pop(SOURCE, None) or self._source()
        frozen.user_attrs = {"configuration": dict(configuration), "seed": seed_of(self._seed, frozen.number), "source": source}
        self._study.optuna.add_trial(frozen)
        return frozen.number


def enqueue_first(study: Study, space: SearchSpace, section: SearchSection, known: Sequence[FrozenTrial] = ()) -> None:
    """Let the named baselines be the first trials of a new study, and then, for a sampler that learns, the space's default configuration.

    Baselines of another builder than the space's are left out. One that lies outside the (narrowed) space is trained all the same; samplers do not learn
    from it.

    Args:
        study: has no trials yet; else nothing happens.
        space: what is searched.
        section: names baselines and sampler.
        known: trials of earlier sweeps, whose configurations are not run again.
    """
    if study.trials():
        return
    wanted = list(BASELINES) if section.baselines is True else section.baselines or []
    for name in wanted:
        baseline = BASELINES[name]
        if baseline.space == space.name:
            configuration = dict(baseline.configuration)
            parameters = space.parameters_of(configuration) if space.contains(configuration) else {}
            study.enqueue(parameters, {"configuration": configuration, "baseline": name})
    default = space.default() if SAMPLERS[section.sampler].learns else None
    if default is not None and all(key_of(default) != key_of(trial.user_attrs["configuration"]) for trial in (*study.trials(), *known)):
        study.enqueue(space.parameters_of(default), {"configuration": default, "source": "default"})


def key_of(configuration: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what tells two configurations apart: 1, 1.0 and True are three values."""
    return tuple(sorted((name, repr(value)) for name, value in configuration.items()))


def _quietly(build: Callable[[], BaseSampler]) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return build()


def _need(name: str, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise SpecError(f"search.sampler: {name!r} needs the package {package}, which is not installed; pip install {package}, or use sampler = 'forecast'")
