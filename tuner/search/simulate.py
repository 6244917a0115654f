"""A search on a virtual clock: the very searcher and scheduler that Ray Tune drives, over curves that are there already.

Calls come in the order of Ray 2.60's TuneController: a result goes to the scheduler, then, unless it stops the trial, to the searcher; a result that is done
goes to neither, only the trial's completion does.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search_spaces.space import SearchSpace
from tuner.search.accounts import Accounts
from tuner.search.prefetch import Prefetcher
from tuner.search.rules.named import SchedulerSection, build_rule
from tuner.search.samplers.named import SearchSection, build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
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


@dataclass(frozen=True)
class Problem:
    """What a simulated search is about.

    Attributes:
        space: what is searched.
        objective: what is optimised.
        curves: a configuration and a seed -> what training it gives.
        max_epochs: number of epochs of a full training.
    """

    space: SearchSpace
    objective: Objective
    curves: Callable[[Mapping[str, Any], int], Curve]
    max_epochs: int


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

    def __init__(self, trial_id: str, assignment: Assignment, curve: Curve) -> None:
        self.trial_id = trial_id
        self.number = assignment.number
        self.epoch = assignment.epoch
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
        assignment = Assignment.from_json(suggestion)
        trial = _Trial(trial_id, assignment, curves(assignment.configuration, assignment.seed))
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
        result, before = _result(trial, max_epochs, accounts.study.objective.metric), accounts.epochs
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
    problem: Problem,
    *,
    search: SearchSection,
    scheduler: SchedulerSection,
    workers: int,
    seed: int,
    prepare: Callable[[Study], None] | None = None,
    ahead: bool = False,
) -> tuple[Study, list[Event]]:
    """Simulate a whole search with a study in memory.

    Args:
        problem: what is searched.
        search: the searcher's section, with its budget; seconds are virtual.
        scheduler: the scheduler's section.
        workers: number of trials at a time.
        seed: of the sweep.
        prepare: puts trials into the study's queue before the search begins.
        ahead: draw every configuration one ahead, as a driver does that has much to do.

    Returns:
        The study, and every epoch in the order of time.
    """
    space, objective, max_epochs = problem.space, problem.objective, problem.max_epochs
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = Study(optuna.create_study(direction=objective.direction), objective)
        if prepare is not None:
            prepare(study)
        study.optuna.sampler = build_sampler(search, space, study=study, max_epochs=max_epochs, seed=seed)
        clock = VirtualClock()
        accounts = Accounts(study, max_epochs=max_epochs, budget=search.budget, clock=clock)
        drawing = Prefetcher(study, space, noticeable=0.0, at_once=True) if ahead else None
        rule = build_rule(scheduler, study, space, max_epochs=max_epochs, seed=seed)
        searcher = StudySearcher(accounts, space, section=search, rule=rule, seed=seed, ahead=drawing)
        return study, simulate(searcher, StudyScheduler(accounts, rule, section=scheduler, seed=seed), problem.curves, workers=workers, clock=clock)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _result(trial: _Trial, max_epochs: int, metric: str) -> dict[str, Any]:
    """Return the trial's next result, as the trainable makes it."""
    curve, number = trial.curve, trial.number
    if trial.epoch >= len(curve.values):
        ended = Cause(**{"details": "", **curve.ended}) if curve.ended else Cause("error", "its curve is shorter than a full training")
        return {**EpochReport(number, ended=ended, facts=curve.facts).to_json(), "done": True}
    trial.epoch += 1
    value, seconds = curve.values[trial.epoch - 1], curve.seconds[trial.epoch - 1]
    return {**EpochReport(number, trial.epoch, {metric: value}, seconds, facts=curve.facts).to_json(), "done": trial.epoch >= max_epochs}
