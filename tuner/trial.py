"""The Ray Tune trainable: one trial, one report per epoch, in a process of its own.

A class trainable whose actor is reused from trial to trial. The actor itself never loads TensorFlow: every trial trains in a fresh process
(process.py), so that nothing leaks from one to the next and a crash stays inside. A trial's failure is data: it comes back as the last report's
`ended`, never as an exception, because an exception would cost Ray an actor and the sweep a slot.

What a report holds: `number`, `epoch` (from 1), the epoch's metrics and `seconds`, `last` (the trial ran to its end), `ended` (None, or why it
failed: kind, message, details), and once, in the first one, `facts` of the trial: its network's `parameters`, its `worker`, how its epochs are run.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

from cluster.errors import ClusterError
from cluster.gpus import granted
from tuner import failures
from tuner.errors import TrialDiverged
from tuner.process import Limits, ProcessDied, TrainingProcess, store
from tuner.training import Fold, Recipe

# A trial saves its state after an epoch as soon as it has trained for so many times as long as a save takes: 5 % of its time at most, and a worker
# that is killed costs an epoch where epochs are long. Besides on being asked to stop. Measured on a local disk: 3 ms for 20,000 parameters, 20 ms
# for a million.
SAVE_SHARE = 20.0
FIRST_SAVE_S = 0.01
# The reports of a trial's epochs, beside its checkpoint.
REPORTS = "reports.json"
# Storage that refuses is asked again after these pauses (seconds): while the trial trains on, by the last of them in turn; on being asked to stop, once each.
STORAGE_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Work:
    """What all trials of a sweep share; it travels to each worker once.

    Attributes:
        x, y: the search pool. The test split is not in it.
        folds: for each network of a trial: training rows, validation rows, scaling.
        recipe: builder, task, horizon and options; its configuration and seed are replaced by each trial's own.
        limits: what a trial's process may use.
        scratch: a folder on each node for the shared arrays, removed when the sweep ends.
        began: when the sweep began, in seconds since 1970.
        checkpoints: the folder for the state of trials that are interrupted.
        epoch_timeout_s: after so many seconds an epoch is taken as hung; None: as long as the sweep's epochs so far suggest.
    """

    x: np.ndarray
    y: np.ndarray
    folds: tuple[Fold, ...]
    recipe: Recipe
    limits: Limits
    scratch: str
    checkpoints: str
    began: float = 0.0
    epoch_timeout_s: float | None = None


class Trial(tune.Trainable):
    """One trial after another, as Ray Tune hands them over.

    `config` holds `number`, `configuration`, `seed`, `epoch`, `pause_s` and `deadline_s`, as searcher.py writes them.
    """

    def setup(self, config: dict[str, Any], *, work: Work) -> None:  # type: ignore[override]  # tune.with_parameters hands it over
        self._work = work
        self._process: TrainingProcess | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial. Always True and quick: False, or more than 2 s, would fail the next trial (Ray 2.60) and leak its slot."""
        self._end()
        if self._over and not self._retried:
            # Only here: another trial shows that the driver has heard how this one ended. A report that an interruption swallowed is made again.
            shutil.rmtree(self._checkpoint, ignore_errors=True)
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        try:
            process = self._process or self._start()
            if self._unreported:
                return self._catch_up()
            metrics = process.run_epoch(self._deadline())
            self._epoch = process.epoch
            last = self._epoch >= self._work.recipe.epochs
            self._reports[self._epoch] = metrics
            self._unsaved_s += metrics["seconds"]
            if not last and self._unsaved_s > SAVE_SHARE * self._save_s and time.monotonic() >= self._save_not_before:
                self._save()
        except TrialDiverged as diverged:
            return self._report({}, ended={"kind": "diverged", "message": str(diverged), "details": ""})
        except ProcessDied as died:
            return self._report({}, ended={"kind": died.kind, "message": died.message, "details": died.details})
        self._epochs_s.append(metrics["seconds"])
        return self._report(metrics, last=last)

    def cleanup(self) -> None:
        """End the actor. A trial that was still under way leaves its state behind, to be continued by the next run."""
        if self._process is not None and not self._over and self._unsaved_s:
            with suppress(ProcessDied):
                for pause in (*STORAGE_PAUSES_S, None):
                    if self._save() or pause is None:
                        break
                    time.sleep(pause)
        self._end()

    def _begin(self, config: dict[str, Any]) -> None:
        self._number: int = config["number"]
        self._configuration: dict[str, Any] = config["configuration"]
        self._seed: int = config["seed"]
        self._pause_s: float = config["pause_s"]
        self._deadline_s: float | None = config["deadline_s"]
        self._recorded: int = config["epoch"]
        self._reports: dict[int, dict[str, float]] = {}
        self._unreported: list[int] = []
        self._epoch = 0
        self._epochs_s: list[float] = []
        self._over = self._retried = False
        self._unsaved_s = 0.0
        self._save_s = FIRST_SAVE_S
        self._save_not_before = 0.0
        self._refused = 0
        self._untold: dict[str, Any] | None = {"worker": worker_name(), "started_at": round(time.time() - self._work.began, 3)}
        self._checkpoint = Path(self._work.checkpoints) / str(self._number)

    def _catch_up(self) -> dict[str, Any]:
        """Report an epoch that the checkpoint holds and the record does not: whoever died, died after it was saved."""
        epoch = self._unreported.pop(0)
        report = self._report(self._reports[epoch])
        return {**report, "epoch": epoch}

    def _deadline(self) -> float | None:
        if self._work.epoch_timeout_s is not None:
            return self._work.epoch_timeout_s
        own = failures.deadline_s(self._epochs_s)
        return own if self._deadline_s is None else max(self._deadline_s, own or 0.0)

    def _start(self) -> TrainingProcess:
        if self._pause_s:
            time.sleep(self._pause_s)  # after a failure of infrastructure, which may need a moment
        work = self._work
        arrays = store(Path(work.scratch) / "pool", work.x, work.y)
        recipe = replace(work.recipe, configuration=self._configuration, seed=self._seed)
        self._process = TrainingProcess(recipe, arrays, folds=work.folds, limits=own_gpus(work.limits))
        self._untold = {**(self._untold or {}), "parameters": self._process.parameters, "path": self._process.reason or self._process.path}
        self._restore(self._process)
        self._epoch = self._process.epoch
        return self._process

    def _restore(self, process: TrainingProcess) -> None:
        """Go on from the checkpoint, if there is one; from the beginning where it is lost, and say so."""
        reason = ""
        for pause in (*STORAGE_PAUSES_S, None):
            try:
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
        if self._process is None or not self._epoch:
            return True
        began = time.monotonic()
        try:
            # First: a checkpoint never holds an epoch whose report could be lost.
            _write_reports(self._checkpoint, self._reports)
            self._process.save(self._checkpoint)
        except OSError:
            pause = STORAGE_PAUSES_S[min(self._refused, len(STORAGE_PAUSES_S) - 1)]
            self._refused += 1
            self._save_not_before = time.monotonic() + pause
            return False
        self._save_s = time.monotonic() - began
        self._unsaved_s = 0.0
        self._refused = 0
        return True

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _report(self, metrics: dict[str, float], *, last: bool = False, ended: dict[str, str] | None = None) -> dict[str, Any]:
        self._over = last or ended is not None
        self._retried = ended is not None and failures.is_retried(ended["kind"], ())
        report = {"number": self._number, "epoch": self._epoch if ended is None else self._epoch + 1, **metrics, "last": last, "ended": ended}
        if self._untold is not None:
            report["facts"], self._untold = self._untold, None
        return report


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


def forget(checkpoints: Path, numbers: Iterable[int]) -> None:
    """Remove the state that trials left behind which need it no more: an actor that ends cannot know that its trial was stopped for good."""
    for number in numbers:
        shutil.rmtree(checkpoints / str(number), ignore_errors=True)


def worker_name() -> str:
    """Return which worker this is, for the timeline: the host and the GPUs, if it has any."""
    gpus = ray.get_gpu_ids()
    host = ray.util.get_node_ip_address()
    return f"{host}/{ray.get_runtime_context().get_actor_id() or 'task'}"[: len(host) + 9] + (f"/gpu {','.join(map(str, gpus))}" if gpus else "")


def own_gpus(limits: Limits) -> Limits:
    """Return the limits with the GPUs that Ray gave to this worker, and its share of their memory; none means that the process sees none.

    Raises:
        ProcessDied: the share of a card cannot be worked out.
    """
    try:
        grant = granted()
    except ClusterError as error:
        raise ProcessDied("error", str(error)) from error
    return replace(limits.with_gpus(grant.ids), gpu_memory_bytes=grant.memory_bytes)
