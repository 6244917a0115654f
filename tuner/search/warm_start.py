"""What a sweep knows from earlier ones: their trials teach its sampler, and are no trials of its own.

Owns which trials of another sweep are knowledge here, where they are kept (in a study beside the sweep's own, so that the earlier sweep may be deleted),
and how a sampler is shown them. They have no number, spend no budget, and never reach scheduler or leaderboard. Must not know which sampler looks.
"""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.errors import SearchSpaceError
from search_spaces.space import SearchSpace
from tuner.errors import SpecError
from tuner.study.backends import KNOWN, read_study
from tuner.study.record import Study


def learn(study: Study, sources: Sequence[str], space: SearchSpace, *, max_epochs: int, content_hash: str) -> list[str]:
    """Take the compatible trials of earlier sweeps into the record, once; say in one line per sweep how many.

    Compatible is a trial that has a score, or failed for what its configuration is, and whose configuration lies in this space. Of one that
    trained beyond this sweep's last epoch, the epochs up to it count.

    Args:
        study: the sweep's.
        sources: folders of earlier sweeps.
        space: what this sweep searches.
        max_epochs: number of epochs of its full training.
        content_hash: of its data.

    Raises:
        SweepError: there is no sweep in one of the folders.
        SpecError: an earlier sweep is about something else: its values say nothing here.
    """
    if not sources or "warm_start" in study.facts:
        return []
    known, told = [], []
    for source in sources:
        earlier = read_study(source)
        _check(study, earlier, source, space, content_hash)
        trials = [trial for trial in earlier.trials("complete", "pruned", "failed") if _tells(trial)]
        taken = [taken for trial in trials if (taken := _taken(trial, study, space, max_epochs)) is not None]
        known += taken
        told.append(f"{source}: {len(taken)} of {len(trials)} trials lie in this space, and are known to the sampler")
    _record(study, known)
    study.set_fact("warm_start", {"sweeps": [Path(source).name for source in sources], "trials": len(known)})
    return told


def known_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of earlier sweeps that this one knows; their numbers are negative."""
    if "warm_start" not in study.facts:
        return []
    trials = optuna.load_study(study_name=study.optuna.study_name + KNOWN, storage=study.optuna._storage).get_trials()
    for trial in trials:
        trial.number -= len(trials)
    return trials


class KnowingSampler(BaseSampler):
    """Another sampler, which sees the trials of earlier sweeps before those of its own.

    Args:
        sampler: chooses.
        known: what it is shown.
    """

    def __init__(self, sampler: BaseSampler, known: Sequence[FrozenTrial]) -> None:
        self._sampler = sampler
        self._known = list(known)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what the sampler says."""
        return self._sampler.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return what the sampler says."""
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Return what the sampler says."""
        return self._sampler.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the sampler."""
        self._sampler.before_trial(self._shown(study), trial)

    def _shown(self, study: optuna.Study) -> optuna.Study:
        shown = copy.copy(study)
        shown._storage = _Shown(study._storage, study._study_id, self._known)  # type: ignore[assignment]
        return shown


class _Shown:
    """A storage in which a study has more trials."""

    def __init__(self, storage: Any, study_id: int, known: list[FrozenTrial]) -> None:
        self._storage = storage
        self._study_id = study_id
        self._known = known

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Iterable[TrialState] | None = None) -> list[FrozenTrial]:
        wanted = None if states is None else tuple(states)
        known = [trial for trial in self._known if wanted is None or trial.state in wanted] if study_id == self._study_id else []
        return (copy.deepcopy(known) if deepcopy else known) + self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=wanted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def _check(study: Study, earlier: Study, source: str, space: SearchSpace, content_hash: str) -> None:
    theirs = {
        "objective": f"{earlier.objective.mode} {earlier.objective.metric}",
        "network": earlier.facts.get("builder"),
        "data": str(earlier.facts.get("dataset", {}).get("content_hash"))[:12],
    }
    ours = {"objective": f"{study.objective.mode} {study.objective.metric}", "network": space.builder, "data": content_hash[:12]}
    for name, value in ours.items():
        if theirs[name] != value:
            raise SpecError(f"search.warm_start: {source} is about another {name} ({theirs[name]}, here {value}); expected a sweep of the same")


def _tells(trial: FrozenTrial) -> bool:
    # A trial that infrastructure or a bug ended says nothing of its configuration.
    return trial.state != TrialState.FAIL or trial.user_attrs.get("cause", {}).get("kind") in ("diverged", "memory")


def _taken(trial: FrozenTrial, study: Study, space: SearchSpace, max_epochs: int) -> FrozenTrial | None:
    configuration = trial.user_attrs.get("configuration", {})
    try:
        parameters = space.parameters_of(space.check(configuration))
    except SearchSpaceError:
        return None
    history = {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= max_epochs}
    state = TrialState.FAIL
    if trial.state != TrialState.FAIL:
        if not history:
            return None
        state = TrialState.COMPLETE if max(history) == max_epochs else TrialState.PRUNED
    kept = {name: value for name, value in trial.user_attrs.items() if name in ("configuration", "seed", "parameters", "cause") or name.startswith("epoch_")}
    return create_trial(
        state=state,
        value=None if state == TrialState.FAIL else history[study.objective.best_epoch(history)],
        params=parameters,
        distributions={name: space.parameters[name].distribution for name in parameters},
        user_attrs={**kept, "source": "warm start"},
        intermediate_values=history,
    )


def _record(study: Study, known: list[FrozenTrial]) -> None:
    name, storage = study.optuna.study_name + KNOWN, study.optuna._storage
    if name in optuna.study.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)  # a run that was killed while it wrote them
    optuna.create_study(storage=storage, study_name=name, direction=study.objective.direction).add_trials(known)
