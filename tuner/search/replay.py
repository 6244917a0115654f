"""A finished sweep, run again on paper: what would it have come to under other rules?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import SearchSpace
from tuner.errors import SweepError
from tuner.search.configurations import key_of
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.named import SearchSection
from tuner.search.simulate import Curve, Problem
from tuner.search.simulate import search as simulated
from tuner.study.record import Study, last_epoch


@dataclass(frozen=True)
class Replay:
    """What a finished sweep would have come to under other rules.

    Attributes:
        chosen: the number that the chosen trial has in the finished sweep.
        value: the best value that the replay saw of it.
        trials: number of trials that were begun.
        epochs: number of epochs that were trained.
        seconds: virtual wall-clock time.
        guessed: number of those epochs that the finished sweep never trained: the value of its last epoch was taken to stay.
    """

    chosen: int
    value: float
    trials: int
    epochs: int
    seconds: float
    guessed: int


def replay(
    finished: Study, space: SearchSpace, *, search: SearchSection | None, scheduler: SchedulerSection, max_epochs: int, workers: int, seed: int
) -> Replay:
    """Run a finished sweep again on paper.

    Args:
        finished: the sweep; trials without a single epoch are left out.
        space: what it searched.
        search: another searcher: what it suggests is taken to do as the nearest configuration of the finished sweep did. None takes the
            finished sweep's configurations in their order.
        scheduler: another scheduler.
        max_epochs: number of epochs of a full training.
        workers: number of trials at a time.
        seed: of the searcher and the audit.

    Raises:
        SweepError: the finished sweep has no trial with an epoch.
    """
    recorded = [trial for trial in finished.trials() if trial.intermediate_values]
    if not recorded:
        raise SweepError("simulate: the sweep has no trial with an epoch; there is nothing to replay")
    encoding = Encoding(space)
    points = np.array([encoding.encode(trial.params) for trial in recorded])
    order = {key_of(trial.user_attrs.get("configuration", trial.params)): trial for trial in recorded}

    def curves(configuration: Mapping[str, Any], _: int) -> Curve:
        trial = order.get(key_of(configuration))
        if trial is None:
            point = encoding.encode(space.parameters_of(configuration))  # type: ignore[arg-type]
            trial = recorded[int(np.argmin(((points - point) ** 2).sum(axis=1)))]
        return _recorded_curve(trial, max_epochs)

    def queue(record: Study) -> None:
        for trial in recorded:
            record.enqueue(trial.params, {"configuration": trial.user_attrs.get("configuration", trial.params)})

    section = search or SearchSection(sampler="random", trials=len(recorded))
    problem = Problem(space, finished.objective, curves, max_epochs)
    study, events = simulated(problem, search=section, scheduler=scheduler, workers=workers, seed=seed, prepare=None if search else queue)
    seen = [event for event in events if math.isfinite(event.value)]
    if not seen:
        raise SweepError("simulate: no epoch of the replay gave a finite value; there is nothing to choose from")
    best = min(seen, key=lambda event: (finished.objective.cost(event.value), event.number, event.epoch))
    source = {trial.number: trial.user_attrs["recorded"] for trial in study.trials() if "recorded" in trial.user_attrs}
    trained = {trial.number: last_epoch(trial) for trial in recorded}
    guessed = sum(event.epoch > trained[source[event.number]] for event in events)
    return Replay(source[best.number], best.value, len(study.trials()), len(events), events[-1].seconds, guessed)


def _recorded_curve(trial: FrozenTrial, max_epochs: int) -> Curve:
    """Return a trial's recorded curve, its last value kept to the last epoch; one that failed fails again after its last epoch."""
    last = last_epoch(trial)
    values: list[float] = []
    seconds: list[float] = []
    for epoch in range(1, last + 1):
        values.append(trial.intermediate_values.get(epoch, math.nan))
        seconds.append(float(trial.user_attrs.get(f"epoch_{epoch}", {}).get("seconds") or (seconds[-1] if seconds else 1.0)))
    typical = float(np.median(seconds))
    if trial.state == TrialState.FAIL:
        return Curve(values, [*seconds, typical], ended=trial.user_attrs.get("cause"), facts={"recorded": trial.number})
    rest = max(0, max_epochs - last)
    return Curve(values + [values[-1]] * rest, seconds + [typical] * rest, facts={"recorded": trial.number})
