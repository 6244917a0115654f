"""The Ray Tune trainable: one trial, one report per epoch, in a process of its own.

A class trainable whose actor is reused from trial to trial. The actor itself never loads TensorFlow: trials train in a process beside it (process.py),
so that a crash stays inside. A few trials share one, bit by bit as if each had its own; after a failure the next one gets a fresh one. A trial's
failure is data: it comes back as the last report's `ended`, never as an exception, because an exception would cost Ray an actor and the sweep a slot.

A trial is handed an `Assignment`, and reports an `EpochReport` per epoch; its first one holds `facts` of the trial as well: its network's `parameters`, its
`worker`, how its epochs are run.
"""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from cluster.errors import ClusterError
from cluster.gpus import granted
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.errors import TrialDiverged
from tuner.study import failures
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.storage import Storage
from tuner.training.checkpoint import STATE
from tuner.training.config import TrainingConfig
from tuner.training.in_process import TrainingHere
from tuner.training.own_fit import OWN
from tuner.training.process import Limits, ProcessDied, TrainingProcess
from tuner.training.shared_data import store

# A trial saves its state after an epoch as soon as it has trained for so many times as long as a save takes: 5 % of its time at most, and a worker
# that is killed costs an epoch where epochs are long. Besides on being asked to stop. Measured on a local disk: 3 ms for 20,000 parameters, 20 ms
# for a million.
SAVE_SHARE = 20.0
FIRST_SAVE_S = 0.01
# TensorFlow needs 0.25 s of processor time in each process before the first batch that it does not need again, 4 s where a process is not forked (GPUs), and
# keeps a few megabytes of every training: so many trials share a process.
TRIALS_PER_PROCESS = 8
# The reports of a trial's epochs, beside its checkpoint.
REPORTS = "reports.json"
# What Python warns of in a trial's first epoch is kept, up to so many lines.
MOST_WARNINGS = 5
MOST_PRINTED = 2000
# Storage that refuses is asked again after these pauses (seconds): while the trial trains on, by the last of them in turn; on being asked to stop, once each.
STORAGE_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a sweep share; it travels to each worker once.

    Attributes:
        pool: what the search may see. The test split is not in it.
        folds: one for each network of a trial, with its scaling.
        recipe: builder, task, horizon and options; its configuration and seed are replaced by each trial's own.
        scratch: a folder on each node for the shared arrays, removed when the sweep ends.
        began: when the sweep began, in seconds since 1970.
        checkpoints: the folder for the state of trials that are interrupted.
        epoch_timeout_s: after so many seconds an epoch is taken as hung; None: as long as the sweep's epochs so far suggest.
        deadline_s: what they suggest, for trainings that are no trials; None: nothing yet.
        milestones: epochs after which a trial saves its state in any case.
        code: the builder itself, where it is in no module (code.py); empty: its name says where it is.
        bucket: where states are kept, in which case `checkpoints` is a folder of each node on their way there; None: in `checkpoints` itself.
        in_process: whether trainings run in the driver's own process, for a debugger.
    """

    pool: Pool
    folds: tuple[Fold, ...]
    config: TrainingConfig
    scratch: str
    checkpoints: str
    began: float = 0.0
    epoch_timeout_s: float | None = None
    deadline_s: float | None = None
    milestones: tuple[int, ...] = ()
    bucket: str | None = None
    code: bytes = b""
    in_process: bool = False

    def begin(self, config: TrainingConfig, limits: Limits, *, arrays: str = "pool") -> TrainingProcess | TrainingHere:
        """Begin a training, in a process of its own unless this sweep runs in its driver's.

        Args:
            config: what to train.
            limits: what it may use.
            arrays: the name under which the pool lies on the node.

        Raises:
            ProcessDied: the networks could not be built.
        """
        if self.in_process:
            Path(self.scratch).mkdir(parents=True, exist_ok=True)
            return TrainingHere(config, self.pool, folds=self.folds, limits=limits, code=self.code)
        return TrainingProcess(config, store(Path(self.scratch) / arrays, self.pool), folds=self.folds, limits=limits, code=self.code)


class Trial(tune.Trainable):
    """One trial after another, as Ray Tune hands them over.

    `config` is an `Assignment`, and each step returns an `EpochReport`, as Ray carries them.
    """

    _epoch: int
    _recorded: int
    _failed: bool
    _unsaved_s: float
    _save_not_before: float
    _over: Cause | None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # Ray Tune would change the working folder of a trial, which a builder may look for its files in
        super().__init__(*arguments, **named)

    def setup(self, config: dict[str, Any], *, context: TrialContext) -> None:  # type: ignore[override]  # tune.with_parameters hands it over
        self._context = context
        self._bucket = Storage(context.bucket) if context.bucket else None
        self._process: TrainingProcess | TrainingHere | None = None
        self._spare: TrainingProcess | TrainingHere | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial. Always True and quick: False, or more than 2 s, would fail the next trial (Ray 2.60) and leak its slot."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        try:
            process = self._process or self._start()
            if self._unreported or self._epoch >= self._context.config.epochs or self._over is not None:
                return self._catch_up()
            metrics = process.run_epoch(self._watch.timeout_s)
            self._epoch = process.epoch
            if self._untold is not None:
                self._untold["path"] = process.reason or process.path  # an epoch that cannot be compiled says so when it is first run
            self._over = process.stopped
            self._watch.note(metrics["seconds"])
            self._reports[self._epoch] = metrics
            self._unsaved_s += metrics["seconds"]
            if self._is_to_save() and time.monotonic() >= self._save_not_before:
                self._save()
        except TrialDiverged as diverged:
            return self._report({}, ended=Cause("diverged", str(diverged)))
        except ProcessDied as died:
            if died.kind == "memory" and self._process is not None and self._process.trainings > 1:
                # What the trials before it left behind in this process may be what it lacked: it goes on from its checkpoint in one of its own.
                self._process, self._recorded = None, self._epoch
                return self.step()
            # TensorFlow does not say reliably whose memory it was: a trial on a share of a GPU gets a larger share, once.
            kind = "share" if died.kind == "memory" and self._can_have_more else died.kind
            return self._report({}, ended=Cause(kind, died.message, died.details))
        except OSError as refused:
            return self._report({}, ended=Cause("storage", f"{refused.filename or 'a disk'}: {refused.strerror or refused}"))
        return self._report(metrics)

    def cleanup(self) -> None:
        """End the actor. A trial leaves its state behind, to be continued by the next run: its last report may not have been heard."""
        if self._process is not None and not self._failed and self._unsaved_s:
            with suppress(ProcessDied):
                for pause in (*STORAGE_PAUSES_S, None):
                    if self._save() or pause is None:
                        break
                    time.sleep(pause)
        self._failed = True  # no trial follows
        self._end()

    def _begin(self, config: dict[str, Any]) -> None:
        self._assignment = Assignment.from_json(config)
        self._watch = failures.Watch(self._context.epoch_timeout_s, self._assignment.deadline_s)
        self._can_have_more = False
        self._recorded = self._assignment.epoch
        self._reports: dict[int, dict[str, float]] = {}
        self._unreported: list[int] = []
        self._epoch = 0
        self._failed = False
        self._over = None
        self._unsaved_s = 0.0
        self._save_s = FIRST_SAVE_S
        self._save_not_before = 0.0
        self._refused = 0
        self._untold: dict[str, Any] | None = {"worker": worker_name(), "started_at": round(time.time() - self._context.began, 3)}
        self._checkpoint = Path(self._context.checkpoints) / str(self._assignment.number)

    def _catch_up(self) -> dict[str, Any]:
        """Report an epoch that the checkpoint holds and the record does not: whoever died, died after it was saved."""
        epoch = self._unreported.pop(0) if self._unreported else self._epoch
        return self._report(self._reports[epoch], epoch)

    def _is_to_save(self) -> bool:
        done = self._epoch >= self._context.config.epochs or self._over is not None  # the best stay on disk
        return done or self._epoch in self._context.milestones or self._unsaved_s > SAVE_SHARE * self._save_s

    def _start(self) -> TrainingProcess | TrainingHere:
        if self._assignment.pause_s:
            time.sleep(self._assignment.pause_s)  # after a failure of infrastructure, which may need a moment
        context = self._context
        config = replace(context.config, configuration=self._assignment.configuration, seed=self._assignment.seed)
        limits = own_limits()
        self._can_have_more = limits.gpu_memory_bytes is not None and not self._assignment.larger_share
        self._process = self._reused(config, limits) or context.begin(config, limits)
        asked = {word: names for word, names in self._process.asked.items() if names}
        self._untold = {**(self._untold or {}), "parameters": self._process.parameters, "path": self._process.reason or self._process.path, **asked}
        self._restore(self._process)
        self._epoch, self._over = self._process.epoch, self._process.stopped
        return self._process

    def _restore(self, process: TrainingProcess | TrainingHere) -> None:
        """Go on from the checkpoint, if there is one; from the beginning where it is lost, and say so."""
        if process.path == OWN:  # nobody can begin a function of the user's in its middle
            if self._recorded:
                self._untold = {**(self._untold or {}), "restarted": "from its first epoch, for an own fit cannot go on in its middle"}
            return
        reason = ""
        for pause in (*STORAGE_PAUSES_S, None):
            try:
                if self._bucket is not None:
                    self._bucket.download(str(self._assignment.number), self._checkpoint)
                if self._checkpoint.exists():
                    self._reports = _read_reports(self._checkpoint)
                    process.restore(self._checkpoint)
                    self._unreported = [epoch for epoch in range(self._recorded + 1, process.epoch + 1) if epoch in self._reports]
                return
            except FileNotFoundError:
                return  # a trial that was killed while it wrote its first one
            except ValueError as error:
                reason = str(error)
                break
            except OSError as error:
                reason = f"{self._checkpoint}: {error.strerror or error}"
                if pause is not None:
                    time.sleep(pause)
        self._untold = {**(self._untold or {}), "restarted": f"from its first epoch, for its checkpoint is lost ({reason})"}

    def _save(self) -> bool:
        """Write a checkpoint; False where the storage refuses: the trial trains on, and tries again later."""
        if self._process is None or not self._epoch or self._process.path == OWN:
            return True
        began = time.monotonic()
        try:
            # First: a checkpoint never holds an epoch whose report could be lost.
            _write_reports(self._checkpoint, self._reports)
            self._process.save(self._checkpoint)
            if self._bucket is not None:
                self._bucket.upload(self._checkpoint, str(self._assignment.number), last=STATE)
        except OSError:
            pause = STORAGE_PAUSES_S[min(self._refused, len(STORAGE_PAUSES_S) - 1)]
            self._refused += 1
            self._save_not_before = time.monotonic() + pause
            return False
        self._save_s = time.monotonic() - began
        self._unsaved_s = 0.0
        self._refused = 0
        return True

    def _reused(self, config: TrainingConfig, limits: Limits) -> TrainingProcess | TrainingHere | None:
        """Return the process of the trial before, with this trial's networks in it; None where it cannot be had, or did not manage that."""
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        if spare.limits == limits:
            with suppress(ProcessDied):
                spare.begin(config)
                return spare
        spare.close()
        return None

    def _end(self) -> None:
        """Let go of this trial's process: it is the next trial's, unless it failed or has served enough. What it keeps of a GPU is this worker's own share."""
        process = self._process or self._spare
        self._process = self._spare = None
        if process is None:
            return
        if self._failed or process.trainings >= TRIALS_PER_PROCESS or process.path == OWN:  # whose thread stands in the middle of a function
            process.close()
        else:
            self._spare = process

    def _report(self, metrics: dict[str, float], epoch: int | None = None, *, ended: Cause | None = None) -> dict[str, Any]:
        epoch = epoch or (self._epoch if ended is None else self._epoch + 1)
        stopped = self._over if ended is None and epoch == self._epoch else None
        last = ended is None and (epoch >= self._context.config.epochs or stopped is not None)
        self._failed = ended is not None
        facts, self._untold = self._untold or {}, None
        if facts and self._process is not None and self._process.warnings:
            facts["warnings"] = self._process.warnings[:MOST_WARNINGS]
        if facts and self._process is not None and self._process.printed.strip():
            facts["printed"] = self._process.printed[:MOST_PRINTED]
        values = {name: value for name, value in metrics.items() if name != "seconds"}
        return EpochReport(self._assignment.number, epoch, values, metrics.get("seconds"), last, ended, facts, stopped).to_json()


def _write_reports(checkpoint: Path, reports: dict[int, dict[str, float]]) -> None:
    checkpoint.mkdir(parents=True, exist_ok=True)
    aside = checkpoint / f".{os.getpid()}-{REPORTS}"
    try:
        aside.write_text(json.dumps(reports), encoding="utf-8")
        aside.replace(checkpoint / REPORTS)
    finally:
        aside.unlink(missing_ok=True)


def _read_reports(checkpoint: Path) -> dict[int, dict[str, float]]:
    return {int(epoch): metrics for epoch, metrics in json.loads((checkpoint / REPORTS).read_text(encoding="utf-8")).items()}


def worker_name() -> str:
    """Return which worker this is, for the timeline: the host and the GPUs, if it has any."""
    if not ray.is_initialized():
        return "this process"
    gpus = ray.get_gpu_ids()
    host = ray.util.get_node_ip_address()
    return f"{host}/{ray.get_runtime_context().get_actor_id() or 'task'}"[: len(host) + 9] + (f"/gpu {','.join(map(str, gpus))}" if gpus else "")


def own_limits() -> Limits:
    """Return what Ray has given to this worker: CPUs, memory, and GPUs with its share of their memory; a process without GPUs sees none. Outside Ray, nothing.

    Raises:
        ProcessDied: the share of a card cannot be worked out.
    """
    if not ray.is_initialized():
        return Limits()
    try:
        grant = granted()
    except ClusterError as error:
        raise ProcessDied("error", str(error)) from error
    given = ray.get_runtime_context().get_assigned_resources()
    memory = int(given.get("memory", 0)) or None
    return Limits(threads=max(1, int(given.get("CPU", 1))), memory_bytes=memory, gpus=grant.ids, gpu_memory_bytes=grant.memory_bytes)
