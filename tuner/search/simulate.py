"""A search on a virtual clock: the very searcher and scheduler that Ray Tune drives, over curves that are known already.

Owns the order of calls (Ray 2.60's TuneController: a result goes to the scheduler, then, unless it stops the trial, to the searcher; a result
that is done goes to neither, only the trial's completion does) and the clock. Must not know how a trial is trained or what is decided.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search_spaces.space import SearchSpace
from tuner.errors import SweepError
from tuner.search.accounts import Accounts
from tuner.search.prefetch import Prefetcher
from tuner.search.rules import SchedulerSection
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.named import SearchSection, build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher, key_of
from tuner.study.objective import Objective
from tuner.study.record import Study


@dataclass(frozen=True)
class Curve:
    """What training a configuration gives, epoch by epoch.

    Attributes:
        values: the objective's value after each epoch, from epoch 1.
        seconds: how long each epoch takes; as many as values, one more where the trial fails in the epoch after its last value.
        ended: the cause of its failure after the last value, as results carry it; None for a curve that reaches the last epoch.
        facts: of the trial, such as its number of parameters.
    """

    values: Sequence[float]
    seconds: Sequence[float]
    ended: Mapping[str, str] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class VirtualClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@dataclass(frozen=True)
class Event:
    """One epoch of a simulated search.

    Attributes:
        seconds: when it was reported.
        number: the trial.
        epoch: which epoch.
        value: the objective's value.
        stopped: whether the trial ended with it.
    """

    seconds: float
    number: int
    epoch: int
    value: float
    stopped: bool


class _Trial:
    """What searcher and scheduler see of one of Ray's trials."""

    def __init__(self, trial_id: str, suggestion: Mapping[str, Any], curve: Curve) -> None:
        self.trial_id = trial_id
        self.number: int = suggestion["number"]
        self.epoch: int = suggestion["epoch"]
        self.curve = curve


def simulate(
    searcher: StudySearcher,
    scheduler: StudyScheduler,
    curves: Callable[[Mapping[str, Any], int], Curve],
    *,
    workers: int,
    clock: VirtualClock,
    overhead_s: float = 0.0,
) -> list[Event]:
    """Run a search to its end.

    Args:
        searcher: suggests trials until its budget is spent; its accounts and the scheduler's use `clock`.
        scheduler: stops trials.
        curves: a configuration and a seed -> what training it gives.
        workers: number of trials at a time.
        clock: is set to the time of each event.
        overhead_s: how long a trial takes to start.

    Returns:
        Every epoch that is in the study, in the order of time.
    """
    events: list[Event] = []
    queue: list[tuple[float, int, _Trial]] = []
    accounts, max_epochs = searcher.accounts, searcher.accounts.max_epochs
    started, finished = 0, False

    def start() -> bool:
        nonlocal started, finished
        trial_id = f"simulated-{started}"
        suggestion = searcher.suggest(trial_id)
        if suggestion == Searcher.FINISHED:
            finished = True
        if not isinstance(suggestion, dict):
            return False
        trial = _Trial(trial_id, suggestion, curves(suggestion["configuration"], suggestion["seed"]))
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        heapq.heappush(queue, (clock.now + overhead_s + trial.curve.seconds[trial.epoch], started, trial))
        started += 1
        return True

    while True:
        while not finished and len(queue) < workers and start():
            pass
        if not queue:
            return events
        clock.now, order, trial = heapq.heappop(queue)
        result, before = _result(trial, max_epochs, accounts.study.objective), accounts.epochs
        stops = result["done"]
        if not stops:
            stops = scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP  # type: ignore[arg-type]
            if not stops:
                searcher.on_trial_result(trial.trial_id, result)
        if stops:
            scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            searcher.on_trial_complete(trial.trial_id, result)
        else:
            heapq.heappush(queue, (clock.now + trial.curve.seconds[trial.epoch], order, trial))
        if accounts.epochs > before:  # else the budget had no room for it
            events.append(Event(clock.now, trial.number, result["epoch"], trial.curve.values[result["epoch"] - 1], stops))


def search(
    space: SearchSpace,
    objective: Objective,
    curves: Callable[[Mapping[str, Any], int], Curve],
    *,
    search: SearchSection,
    scheduler: SchedulerSection,
    max_epochs: int,
    workers: int,
    seed: int,
    prepare: Callable[[Study], None] | None = None,
    ahead: bool = False,
) -> tuple[Study, list[Event]]:
    """Simulate a whole search with a study in memory.

    Args:
        space: what is searched.
        objective: what is optimised.
        curves: a configuration and a seed -> what training it gives.
        search: the searcher's section, with its budget; seconds are virtual.
        scheduler: the scheduler's section.
        max_epochs: number of epochs of a full training.
        workers: number of trials at a time.
        seed: of the sweep.
        prepare: puts trials into the study's queue before the search begins.
        ahead: draw every configuration one ahead, as a driver does that has much to do.

    Returns:
        The study, and every epoch in the order of time.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        record = Study(optuna.create_study(direction=objective.direction), objective)
        if prepare is not None:
            prepare(record)
        record.optuna.sampler = build_sampler(search, space, objective=objective, max_epochs=max_epochs, seed=seed)
        clock = VirtualClock()
        accounts = Accounts(record, max_epochs=max_epochs, budget=search.budget, clock=clock)
        drawing = Prefetcher(record.optuna, space, noticeable=0.0, at_once=True) if ahead else None
        searcher = StudySearcher(accounts, space, section=search, seed=seed, ahead=drawing)
        return record, simulate(searcher, StudyScheduler(accounts, space, section=scheduler, seed=seed), curves, workers=workers, clock=clock)
    finally:
        optuna.logging.set_verbosity(verbosity)


# `search` is also the name of a section, and of an argument below.
_search = search


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
        return _recorded_curve(trial, max_epochs, finished.objective.metric)

    def queue(record: Study) -> None:
        for trial in recorded:
            record.enqueue(trial.params, {"configuration": trial.user_attrs.get("configuration", trial.params)})

    section = search or SearchSection(sampler="random", trials=len(recorded))
    study, events = _search(
        space, finished.objective, curves, search=section, scheduler=scheduler, max_epochs=max_epochs, workers=workers, seed=seed,
        prepare=None if search else queue,
    )  # fmt: skip
    seen = [event for event in events if math.isfinite(event.value)]
    if not seen:
        raise SweepError("simulate: no epoch of the replay gave a finite value; there is nothing to choose from")
    best = min(seen, key=lambda event: (finished.objective.cost(event.value), event.number, event.epoch))
    source = {trial.number: trial.user_attrs["recorded"] for trial in study.trials() if "recorded" in trial.user_attrs}
    known = {trial.number: max(trial.intermediate_values) for trial in recorded}
    guessed = sum(event.epoch > known[source[event.number]] for event in events)
    return Replay(source[best.number], best.value, len(study.trials()), len(events), events[-1].seconds, guessed)


def _recorded_curve(trial: FrozenTrial, max_epochs: int, metric: str) -> Curve:
    """Return a trial's recorded curve, its last value kept to the last epoch; one that failed fails again after its last epoch."""
    last = max(trial.intermediate_values)
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


def _result(trial: _Trial, max_epochs: int, objective: Objective) -> dict[str, Any]:
    """Return the trial's next result, as the trainable makes it."""
    curve = trial.curve
    result: dict[str, Any] = {"number": trial.number, "done": False, **{f"facts/{name}": value for name, value in curve.facts.items()}}
    if trial.epoch >= len(curve.values):
        ended = curve.ended or {"kind": "error", "message": "its curve is shorter than a full training"}
        return {**result, "done": True, "ended": ended}
    trial.epoch += 1
    result["epoch"] = trial.epoch
    result[objective.metric] = curve.values[trial.epoch - 1]
    result["seconds"] = curve.seconds[trial.epoch - 1]
    result["done"] = trial.epoch >= max_epochs
    return result
