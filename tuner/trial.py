"""The Ray Tune trainable: one trial, one report per epoch, in a process of its own.

A class trainable whose actor is reused from trial to trial. The actor itself never loads TensorFlow: every trial trains in a fresh process
(process.py), so that nothing leaks from one to the next and a crash stays inside. A trial's failure is data: it comes back as the last report's
`ended`, never as an exception, because an exception would cost Ray an actor and the sweep a slot.

What a report holds: `number`, `epoch` (from 1), the epoch's metrics and `seconds`, `last` (the trial ran to its end), `ended` (None, or why it
failed: kind, message, details), and once, in the first one, `facts` of the trial: its network's `parameters`, its `worker`, how its epochs are run.
"""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

from tuner.errors import TrialDiverged
from tuner.process import Limits, ProcessDied, TrainingProcess, store
from tuner.training import Fold, Recipe

# A trial that trains for long saves its state this often (seconds), besides on being asked to stop.
SAVE_EVERY_S = 60.0


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
        epoch_timeout_s: after so many seconds an epoch is taken as hung; None: never.
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

    `config` holds `number`, `configuration` and `seed`, as searcher.py writes them.
    """

    def setup(self, config: dict[str, Any], *, work: Work) -> None:  # type: ignore[override]  # tune.with_parameters hands it over
        self._work = work
        self._process: TrainingProcess | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial. Always True and quick: False, or more than 2 s, would fail the next trial (Ray 2.60) and leak its slot."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        try:
            process = self._process or self._start()
            metrics = process.run_epoch(self._work.epoch_timeout_s)
        except TrialDiverged as diverged:
            return self._report({}, ended={"kind": "diverged", "message": str(diverged), "details": ""})
        except ProcessDied as died:
            return self._report({}, ended={"kind": died.kind, "message": died.message, "details": died.details})
        self._epoch = process.epoch
        last = self._epoch >= self._work.recipe.epochs
        if not last and time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self._save()
        return self._report(metrics, last=last)

    def cleanup(self) -> None:
        """End the actor. A trial that was still under way leaves its state behind, to be continued by the next run."""
        if self._process is not None and not self._over:
            self._save()
        self._end()

    def _begin(self, config: dict[str, Any]) -> None:
        self._number: int = config["number"]
        self._configuration: dict[str, Any] = config["configuration"]
        self._seed: int = config["seed"]
        self._epoch = 0
        self._over = False
        self._saved_at = time.monotonic()
        self._untold: dict[str, Any] | None = {"worker": worker_name(), "started_at": round(time.time() - self._work.began, 3)}
        self._checkpoint = Path(self._work.checkpoints) / str(self._number)

    def _start(self) -> TrainingProcess:
        work = self._work
        arrays = store(Path(work.scratch) / "pool", work.x, work.y)
        recipe = replace(work.recipe, configuration=self._configuration, seed=self._seed)
        self._process = TrainingProcess(recipe, arrays, folds=work.folds, limits=own_gpus(work.limits))
        self._untold = {**(self._untold or {}), "parameters": self._process.parameters, "path": self._process.reason or self._process.path}
        if self._checkpoint.exists():
            self._process.restore(self._checkpoint)
            self._epoch = self._process.epoch
        return self._process

    def _save(self) -> None:
        if self._process is not None and self._epoch:
            self._process.save(self._checkpoint)
            self._saved_at = time.monotonic()

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._over:
            shutil.rmtree(self._checkpoint, ignore_errors=True)

    def _report(self, metrics: dict[str, float], *, last: bool = False, ended: dict[str, str] | None = None) -> dict[str, Any]:
        self._over = last or ended is not None
        report = {"number": self._number, "epoch": self._epoch if ended is None else self._epoch + 1, **metrics, "last": last, "ended": ended}
        if self._untold is not None:
            report["facts"], self._untold = self._untold, None
        return report


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
    """Return the limits with the GPUs that Ray gave to this worker; none means that the process sees none."""
    return limits.with_gpus(tuple(str(gpu) for gpu in ray.get_gpu_ids()))
