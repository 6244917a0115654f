"""Hands the trials of a search to Ray Tune: searcher, scheduler and trainable meet here, and nowhere else.

Here stands how Ray Tune is called and what is switched off in it: its experiment state is never read (the study is the record), its console output and
signal handling are replaced by ours.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from traceback import walk_tb
from typing import Any

import ray
from ray import tune
from ray.air._internal import usage
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial as RayTrial
from ray.tune.search import ConcurrencyLimiter

from cluster.resources import Allotment
from tuner.errors import SweepError
from tuner.monitor.console import View
from tuner.search.accounts import Accounts
from tuner.search.not_pickled import NotPickled
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.record import STATES, Study, is_paused, last_epoch
from tuner.study.writing import PAUSES_S, cannot_write

# Each break-down costs a few seconds; a cluster on which they go on and on is not fit for this sweep.
FITS_AT_MOST = 20
ASK_FOR_NODES_EVERY_S = 5.0


@dataclass(frozen=True)
class Slots:
    """Where trials run.

    Attributes:
        allotment: what each trial holds while it runs.
        count: how many trials run at a time, at first.
        now: asked now and then how many trials could run: nodes that join are used. None: the cluster does not grow.
    """

    allotment: Allotment
    count: int
    now: Callable[[], int] | None = None


@dataclass(frozen=True)
class Audience:
    """Who hears of a search while it runs.

    Attributes:
        view: shows every report.
        interrupted: set from a signal handler; trials then stop and wait to be continued.
        now_and_then: called often; quick.
    """

    view: View
    interrupted: threading.Event
    now_and_then: Callable[[], None] = lambda: None


class _Stopper(NotPickled, tune.Stopper):
    """Ends the whole run when the user asked for it, or when the search is over."""

    def __init__(self, interrupted: threading.Event, accounts: Accounts) -> None:
        self._interrupted = interrupted
        self._accounts = accounts

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._interrupted.is_set() or self._accounts.broken is not None


class _Watcher(NotPickled, tune.Callback):
    """Tells the view what happened."""

    def __init__(self, view: View, accounts: Accounts) -> None:
        self._view = view
        self._accounts = accounts
        self._has_printed = False

    def on_trial_result(self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any) -> None:
        printed = EpochReport.from_json(result).facts.get("printed")
        if printed and not self._has_printed:
            self._has_printed = True
            self._view.note(f"trial {result['number']} printed (what later trials print is in the record, as their fact `printed`):\n{str(printed).rstrip()}")
        tell(self._view, self._accounts.study, result)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self._view.note(f"trial {Assignment.from_json(trial.config).number}: its worker was lost; it is tried again")


class _Forget(NotPickled, tune.Callback):
    """Lets go of what Ray keeps of every metric of a trial that has ended: nobody asks for it, and it is most of what a trial takes of the driver's memory."""

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()


class _NowAndThen(NotPickled, tune.Callback):
    """Lets the sweep see to its other things."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def on_step_begin(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        self._function()


class _Limit(NotPickled, tune.Callback):
    """How many trials run at a time: as many as fit, and more when nodes join.

    It never shrinks: where nodes leave, the trials that do not fit any more wait in Ray until others end.
    """

    def __init__(self, slots: Slots, view: View) -> None:
        self._slots = slots.count
        self._slots_now = slots.now
        self._view = view
        self._limiter: ConcurrencyLimiter | None = None
        self._asked_at = time.monotonic()

    def around(self, searcher: StudySearcher) -> ConcurrencyLimiter:
        """Return the searcher under this limit."""
        self._limiter = ConcurrencyLimiter(searcher, max_concurrent=self._slots)
        return self._limiter

    def on_step_begin(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        if self._slots_now is None or self._limiter is None or time.monotonic() - self._asked_at < ASK_FOR_NODES_EVERY_S:
            return
        self._asked_at = time.monotonic()
        slots = self._slots_now()
        if slots > self._slots:
            self._view.note(f"nodes have joined: {slots} trials at a time")
            self._slots = slots
            self._limiter.set_max_concurrency(slots)


def tell(view: View, study: Study, result: Mapping[str, Any]) -> None:
    """Tell the view what a trial reported and what became of it.

    Args:
        view: of the sweep.
        study: searcher and scheduler have written the report and its consequence into it, so it says in which state the trial is.
        result: the report, as Ray carries it.
    """
    report = EpochReport.from_json(result)
    record = study.trial(report.number)
    if STATES[record.state] == "waiting" and not is_paused(record):
        retried = record.user_attrs.get("retried") or [{"message": "it was interrupted"}]
        view.note(f"trial {record.number}: {retried[-1]['message']}; it is tried again")
        return
    cause = record.user_attrs.get("cause", {}).get("message", "")
    epoch = report.epoch or last_epoch(record) + 1
    view.epoch(record.number, epoch, record.intermediate_values.get(epoch), STATES[record.state], cause)


def dispatch(
    trainable: type,
    searcher: StudySearcher,
    scheduler: StudyScheduler,
    *,
    slots: Slots,
    scratch: str,
    audience: Audience,
) -> None:
    """Run trials until the searcher has no more, a budget is spent, or `interrupted` is set.

    Args:
        trainable: the class trainable, with its work bound to it.
        searcher: proposes; its accounts are the scheduler's too.
        scheduler: stops.
        slots: where trials run.
        scratch: a folder for what Ray insists on writing; it is not read again.
        audience: who hears of it.

    Raises:
        SweepError: Ray Tune itself failed, or the first trials all failed alike.
    """
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # the command line owns the signals
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "100000"  # Ray's snapshots are never read; each costs a copy of the whole folder
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(2, slots.count))
    accounts, view, interrupted = searcher.accounts, audience.view, audience.interrupted
    limit = _Limit(slots, view)
    try:
        for fits in range(1, FITS_AT_MOST + 1):
            try:
                callbacks: list[tune.Callback] = [_Watcher(view, accounts), _Forget(), limit, _NowAndThen(audience.now_and_then)]
                stopper = _Stopper(interrupted, accounts)
                _fit(trainable, limit.around(searcher), scheduler, allotment=slots.allotment, storage=f"{scratch}/{fits}", callbacks=callbacks, stopper=stopper)
                break
            except tune.TuneError as error:
                raise SweepError(f"Ray Tune ended the search: {str(error).strip().splitlines()[-1]}") from error
            except BrokenPipeError:  # whoever read what the view prints has gone
                raise
            except OSError as error:  # of Ray's own files, which the sweep does not need, but Ray does
                if fits > len(PAUSES_S):
                    raise cannot_write(error.filename or scratch, error) from error
                view.note(f"Ray Tune cannot write to {error.filename or scratch} ({error.strerror or error}); the search goes on")
                if interrupted.wait(PAUSES_S[fits - 1]):
                    break
            except RuntimeError as error:
                if not isinstance(error.__cause__, ray.exceptions.RayError):
                    raise
                reason = " ".join(str(error.__cause__).split())[:300]
                if fits == FITS_AT_MOST:
                    raise SweepError(f"Ray Tune broke down {fits} times, at last with: {reason}; run the same command again to go on") from error
                number = _victim(error)
                if number is not None and isinstance(error.__cause__, ray.exceptions.OutOfMemoryError):
                    accounts.end(number, "failed", Cause("memory", "the node ran out of memory, and Ray ended this trial's worker"))
                view.note(f"Ray Tune broke down ({reason}); the search goes on")
            accounts.release_all()
    finally:
        accounts.release_all()
    if accounts.broken is not None:
        raise SweepError(accounts.broken)


def _fit(
    trainable: type,
    searcher: ConcurrencyLimiter,
    scheduler: StudyScheduler,
    *,
    allotment: Allotment,
    storage: str,
    callbacks: list[tune.Callback],
    stopper: _Stopper,
) -> None:
    # Ray 2.60 counts the callbacks for its usage statistics, which are off, and loads MLflow and W&B for that where they are installed: 1.6 s, and two
    # temporary folders that a kill leaves behind.
    usage.tag_callbacks = lambda callbacks: False
    # Ray Tune 2.60 starts trials in an environment of their own. It holds the driver's AWS credentials, which Ray then writes into its logs; and it keeps
    # trials from the workers that stand ready, which have none.
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()

    # An actor is reused for trials that hold the same (Ray 2.60 keeps them by what they hold), and ends where one waits that holds something else.
    def held(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        assignment = Assignment.from_json(config)
        resources = allotment.of(assignment.configuration, larger_share=assignment.larger_share)
        return tune.PlacementGroupFactory([resources.bundle()], bundle_label_selector=[dict(resources.labels)])

    tuner = tune.Tuner(
        tune.with_resources(trainable, held),
        tune_config=TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=-1, reuse_actors=True),
        run_config=RunConfig(
            name="search",
            storage_path=storage,
            stop=stopper,
            callbacks=callbacks,
            verbose=0,
            failure_config=FailureConfig(max_failures=0),
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def _victim(error: RuntimeError) -> int | None:
    """Return the number of the trial over whose dead worker Ray Tune broke down; None where nothing says.

    Ray 2.60 raises where Ray's memory monitor has killed a worker (ray/air/execution/_internal/actor_manager.py), and says whose worker it was
    nowhere but in that exception's frames. Once it handles OutOfMemoryError as any death, `test_search_goes_on_where_rays_memory_monitor_breaks_ray_tune`
    fails at its note, and this can go.
    """
    tasks = [frame.f_locals["tracked_actor_task"] for frame, _ in walk_tb(error.__traceback__) if "tracked_actor_task" in frame.f_locals]
    cells = getattr(getattr(tasks[-1], "_on_error", None), "__closure__", None) or () if tasks else ()
    return next((Assignment.from_json(cell.cell_contents.config).number for cell in cells if isinstance(cell.cell_contents, RayTrial)), None)
