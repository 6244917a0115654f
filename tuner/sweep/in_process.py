"""The search in this very process, one trial at a time: the searcher and the scheduler of every search, and the trainable of every trial, without Ray.

`[cluster] target = "in-process"`: a `breakpoint()` in a builder stops here. Everything else of the sweep is as anywhere: record, leaderboard, model, report.
"""

from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from cluster.resources import Allotment, Capacity, ResourcesSection
from tuner.errors import SweepError
from tuner.search.dispatch import Audience, tell
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.training.trial import Trial, TrialContext

TARGET = "in-process"
ASK_AGAIN_S = 0.1


class _Trial(Trial):
    """The trainable outside Ray: there is no actor, no folder of Ray's and no object store for what all trials share."""

    def __init__(self, config: dict[str, Any], context: TrialContext) -> None:
        self.setup(config, context=context)  # not Ray's own beginning, which wants all of them


@dataclass(frozen=True)
class _RayTrial:
    """What searcher and scheduler see of one of Ray's trials."""

    trial_id: str


def everything(capacity: Capacity) -> Allotment:
    """Return what a trial is given: all CPUs of this process, whatever a spec asks for elsewhere."""
    return ResourcesSection(cpus=capacity.cpus, gpus=0).allot(capacity)


def search(searcher: StudySearcher, scheduler: StudyScheduler, context: TrialContext, *, audience: Audience) -> None:
    """Run trials, one after another, until the searcher has no more, a budget is spent, or the user asks to stop.

    Args:
        searcher: proposes; its accounts are the scheduler's too.
        scheduler: stops.
        context: what all trials share.
        audience: who hears of it.

    Raises:
        SweepError: the first trials all failed alike.
    """
    accounts = searcher.accounts
    trial: _Trial | None = None
    try:
        for count in range(10**9):
            suggestion = searcher.suggest(f"here-{count}")
            if suggestion == Searcher.FINISHED:
                break
            if not isinstance(suggestion, dict):  # not yet: something is being drawn
                if audience.interrupted.wait(ASK_AGAIN_S):
                    break
                continue
            if trial is None:
                trial = _Trial(suggestion, context)
            else:
                trial.reset_config(suggestion)
            _train(trial, _RayTrial(f"here-{count}"), searcher, scheduler, audience=audience)
            if audience.interrupted.is_set() or accounts.broken is not None:
                break
    finally:
        if trial is not None:
            trial.cleanup()
        accounts.release_all()
    if accounts.broken is not None:
        raise SweepError(accounts.broken)


def _train(trial: Trial, known_as: _RayTrial, searcher: StudySearcher, scheduler: StudyScheduler, *, audience: Audience) -> None:
    """Train a trial until it ends or is stopped; where the user asks to stop, it waits to be continued. The calls are those of Ray's TuneController."""
    scheduler.on_trial_add(None, known_as)  # type: ignore[arg-type]
    while not audience.interrupted.is_set():
        audience.now_and_then()
        result = trial.step()
        stops = scheduler.on_trial_result(None, known_as, result) == TrialScheduler.STOP  # type: ignore[arg-type]
        if stops:
            scheduler.on_trial_complete(None, known_as, result)  # type: ignore[arg-type]
            searcher.on_trial_complete(known_as.trial_id, result)
        else:
            searcher.on_trial_result(known_as.trial_id, result)
        tell(audience.view, searcher.accounts.study, result)
        if stops:
            return
