"""What a sweep takes from earlier ones: their trials teach its sampler and its forecast, and are no trials of its own.

Here stands which trials of another sweep teach, and where they are kept: in a study beside the sweep's own, so that the earlier sweep may be deleted.
They have numbers below 0, spend no budget, and never reach the leaderboard.
"""

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.errors import SearchSpaceError
from search_spaces.space import SearchSpace
from tuner.errors import SpecError
from tuner.study.backends import KNOWN, read_study
from tuner.study.record import Study, last_epoch


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
    teaching, lines = [], []
    for source in sources:
        earlier = read_study(source)
        _check(study, earlier, source, space, content_hash)
        trials = [trial for trial in earlier.trials("complete", "pruned", "failed") if _tells(trial)]
        taken = [taken for trial in trials if (taken := _taken(trial, study, space, max_epochs)) is not None]
        teaching += taken
        lines.append(f"{source}: {len(taken)} of {len(trials)} trials lie in this space, and teach the sampler")
    _record(study, teaching)
    study.set_facts({"warm_start": {"sweeps": [Path(source).name for source in sources], "trials": len(teaching)}})
    return lines


def earlier_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of earlier sweeps that teach this one; their numbers are below 0."""
    if "warm_start" not in study.facts:
        return []
    trials = optuna.load_study(study_name=study.optuna.study_name + KNOWN, storage=study.optuna._storage).get_trials()
    for trial in trials:
        trial.number -= len(trials)
    return trials


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
    return trial.state != TrialState.FAIL or trial.user_attrs.get("cause", {}).get("kind") in ("diverged", "undefined", "memory")


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
        state = TrialState.COMPLETE if last_epoch(trial) >= max_epochs else TrialState.PRUNED
    kept = {name: value for name, value in trial.user_attrs.items() if name in ("configuration", "seed", "parameters", "cause") or name.startswith("epoch_")}
    return create_trial(
        state=state,
        value=None if state == TrialState.FAIL else history[study.objective.best_epoch(history)],
        params=parameters,
        distributions={name: space.parameters[name].distribution for name in parameters},
        user_attrs={**kept, "source": "warm start"},
        intermediate_values=history,
    )


def _record(study: Study, teaching: list[FrozenTrial]) -> None:
    name, storage = study.optuna.study_name + KNOWN, study.optuna._storage
    if name in optuna.study.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)  # a run that was killed while it wrote them
    optuna.create_study(storage=storage, study_name=name, direction=study.objective.direction).add_trials(teaching)
