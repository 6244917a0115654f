"""After the search: the best are trained again on fresh seeds, the winner on all rows that a search may see, and the test split is opened, once.

The only room that opens the test split. The order is the point: first every network is trained and written down, then the opening is recorded,
and only then are the test rows read. What infrastructure does to a training is tried again, as with a trial. Must not choose anything by a test score:
the saved model is the one of the first seed, not of the luckiest.
"""

import contextlib
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from cluster.errors import one_line
from cluster.resources import Allotment, Resources
from tuner.data.dataset import Dataset, SealedTest
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.errors import SweepError, TrialDiverged
from tuner.monitor.console import View
from tuner.results.confirm import Race
from tuner.study import failures
from tuner.study.seeds import seed_of
from tuner.study.writing import write_whole
from tuner.training.config import TrainingConfig
from tuner.training.in_process import TrainingHere
from tuner.training.process import ProcessDied, TrainingProcess
from tuner.training.saved_model import weights_beside
from tuner.training.trial import TrialContext, own_limits

MODEL = "model.keras"


@dataclass(frozen=True)
class Job:
    """A training of its own.

    Attributes:
        recipe: what to train, its seed included. Learning-rate schedules keep the horizon of the recipe, however long the training is.
        epochs: how long.
        features: see `Training.export`: of the network that is saved; None: its file is the network by itself.
    """

    config: TrainingConfig
    epochs: int
    features: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Retrained:
    """A network that was trained on the whole pool.

    Attributes:
        job: what was asked for.
        seconds: training time.
        state: its checkpoint, file name -> bytes.
        model: the saved model (a `.keras` file), or its weights (a `.weights.h5` file).
        unsaved: why it is its weights alone; empty where it is the whole model.
        layers: what it consists of: name, type, shape, parameters.
        parameters: number of its weights.
    """

    job: Job
    seconds: float
    state: Mapping[str, bytes]
    model: bytes
    layers: tuple[Mapping[str, Any], ...]
    parameters: int
    unsaved: str = ""

    @property
    def model_name(self) -> str:
        """The name of the model's file."""
        return weights_beside(Path(MODEL)).name if self.unsaved else MODEL


@dataclass(frozen=True)
class Score:
    """What one network does on the test split: metrics (`test_loss`, ...) and predictions (n, outputs) float32."""

    metrics: Mapping[str, float]
    predictions: np.ndarray


@dataclass(frozen=True)
class Probed:
    """What a network costs, tried out.

    Attributes:
        parameters: number of its weights.
        start_s: how long it took to start its process and build it.
        seconds: of each epoch.
        peak_bytes: the most memory that its process had, TensorFlow itself and mapped data included; None where the system does not say.
    """

    parameters: int
    start_s: float
    seconds: tuple[float, ...]
    peak_bytes: int | None


@dataclass(frozen=True)
class Workers:
    """Where trainings run: what each is given, by its configuration, and how the user asks them to stop."""

    allotment: Allotment
    interrupted: threading.Event


def probe(context: TrialContext, jobs: Sequence[Job], *, workers: Workers) -> Iterator[tuple[int, Probed | str]]:
    """Build networks and train them for a few epochs, or none, and yield (index of the job, what it cost, or why it failed) as they come.

    Args:
        context, jobs, workers: as in `rescore`.

    Raises:
        SweepError: the user asked to stop.
    """
    for index, result in _run(_probe, context, [(job,) for job in jobs], workers):
        yield index, result.reason if isinstance(result, _Failed) else result


def rescore(context: TrialContext, jobs: Sequence[Job], metric: str, *, workers: Workers) -> Iterator[tuple[int, float | None, str]]:
    """Train networks from scratch on the rows that trials train on, and score each on its validation rows after its last epoch.

    Args:
        work: as the trials had it, folds included.
        jobs: one network, or one per fold, each.
        metric: what is scored, as in the epoch reports.
        workers: where.

    Yields:
        As they come: the index of the job, its score (None: it failed), and in one line why it failed.

    Raises:
        SweepError: the user asked to stop.
    """
    for index, result in _run(_rescore, context, [(job, metric) for job in jobs], workers):
        if isinstance(result, _Failed):
            yield index, None, result.reason
        elif not math.isfinite(result):
            yield index, None, f"{metric} is {result}"
        else:
            yield index, result, ""


def confirm(
    context: TrialContext,
    field: Mapping[int, TrainingConfig],
    race: Race,
    *,
    earlier: Mapping[tuple[int, int], float | None],
    record: Callable[[tuple[int, int], float | None], None],
    workers: Workers,
    view: View,
) -> list[dict[str, Any]]:
    """Train the candidates of a race on fresh seeds, round by round, until it is over, and return its verdict.

    Args:
        work: as the trials had it, folds included.
        field: trial number -> what is trained. Its seed is the sweep's: every fresh seed derives from it, and is none that a trial of the search or a final
            training has.
        race: whom, how often, and what follows from it.
        earlier: (trial, index of the seed) -> score, from a run that was interrupted.
        record: is called with each new score before anything follows from it.
        workers: where.
        view: shows each.

    Raises:
        SweepError: the user asked to stop.
    """
    scores = dict(earlier)
    while wanted := race.next(scores):
        missing = [run for run in wanted if run not in scores]
        jobs = [Job(replace(field[trial], seed=seed_of(field[trial].seed, index, f"confirm {trial}")), race.epochs(trial)) for trial, index in missing]
        for done, score, reason in rescore(context, jobs, race.objective.metric, workers=workers):
            trial, index = missing[done]
            record((trial, index), score)
            scores[trial, index] = score
            view.note(f"trial {trial} on fresh seed {index + 1}: {f'{race.objective.metric} {score:.4f}' if score is not None else f'failed, {reason}'}")
    return race.verdict(scores)


def retrain(context: TrialContext, dataset: Dataset, jobs: Sequence[Job], *, workers: Workers, view: View) -> list[Retrained]:
    """Train networks on the whole pool: train and validation rows, scaled by all of them.

    Args:
        work: as the trials had it; its folds are replaced.
        dataset: the search pool.
        jobs: one network each.
        workers: where.
        view: shows each that is done.

    Returns:
        One result per job, in their order.

    Raises:
        SweepError: a training failed, or the user asked to stop.
    """
    whole = replace(context, folds=(Fold(dataset.whole, None, dataset.scalings(None)),))
    done: dict[int, Retrained] = {}
    for index, result in _succeeding(_run(_retrain, whole, [(job,) for job in jobs], workers)):
        done[index] = result
        view.note(f"retrained {len(done)} of {len(jobs)}: {jobs[index].epochs} epochs in {result.seconds:.1f} s, seed {jobs[index].config.seed}")
    return [done[index] for index in range(len(jobs))]


def open_test(test: SealedTest, *, record: Callable[[str], None], reason: str) -> Pool:
    """Open the test split, and return its rows: the only place where it happens. The opening has been recorded before a row is read.

    Args:
        test: sealed.
        record, reason: writes down why, in words.
    """
    return test.open(record, reason)


def score(context: TrialContext, dataset: Dataset, runs: Sequence[Retrained], test: Pool, *, workers: Workers) -> list[Score]:
    """Evaluate retrained networks on the opened test split; one result per run, in their order.

    Args:
        context, dataset: as the trials had them.
        runs: retrained networks.
        test: the opened split.
        workers: where.

    Raises:
        SweepError: an evaluation failed, or the user asked to stop.
    """
    opened = replace(context, pool=test, folds=(Fold(None, np.arange(len(test)), dataset.scalings(None)),))
    done = dict(_succeeding(_run(_test, opened, [(run.job, dict(run.state)) for run in runs], workers)))
    return [done[index] for index in range(len(runs))]


def final_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of the final trainings: none that a trial of the search had.

    Args:
        seed, count: the sweep's, and how many.
    """
    return [seed_of(seed, number, "final") for number in range(count)]


def save_model(run: Retrained, folder: Path) -> Path:
    """Write the model, whole or not at all; that of a winner before is gone.

    Args:
        run, folder: the network that is kept, and the sweep's.
    """
    write_whole(folder / run.model_name, run.model)
    for name in {MODEL, weights_beside(Path(MODEL)).name} - {run.model_name}:
        (folder / name).unlink(missing_ok=True)
    return folder / run.model_name


# ---- on the workers


def _probe(context: TrialContext, job: Job) -> Probed:
    began = time.monotonic()
    with _process(context, job, "pool") as process:
        start_s = time.monotonic() - began
        seconds = tuple(report["seconds"] for report in _train(process, context, job.epochs))
        return Probed(process.parameters, start_s, seconds, _peak_bytes(process.pid))


def _peak_bytes(pid: int) -> int | None:
    with contextlib.suppress(OSError, StopIteration):
        return next(int(line.split()[1]) * 1024 for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return None


def _rescore(context: TrialContext, job: Job, metric: str) -> float:
    with _process(context, job, "pool") as process:
        return _train(process, context, job.epochs)[-1][metric]


def _retrain(context: TrialContext, job: Job) -> Retrained:
    with _process(context, job, "pool") as process:
        seconds = sum(report["seconds"] for report in _train(process, context, job.epochs))
        with tempfile.TemporaryDirectory(dir=context.scratch) as folder:
            process.save(Path(folder) / "state")
            unsaved = process.export(Path(folder) / MODEL, job.features)
            state = {file.name: file.read_bytes() for file in (Path(folder) / "state").iterdir()}
            model = weights_beside(Path(folder) / MODEL) if unsaved else Path(folder) / MODEL
            return Retrained(job, seconds, state, model.read_bytes(), tuple(process.layers()), process.parameters, unsaved)


def _test(context: TrialContext, job: Job, state: dict[str, bytes]) -> Score:
    with _process(context, job, "test") as process, tempfile.TemporaryDirectory(dir=context.scratch) as folder:
        for name, content in state.items():
            (Path(folder) / name).write_bytes(content)
        process.restore(folder)
        metrics, predictions = process.evaluate()
        return Score({f"test_{name}": value for name, value in metrics.items()}, predictions)


def _train(process: TrainingProcess | TrainingHere, context: TrialContext, epochs: int) -> list[dict[str, float]]:
    """Train for so many epochs, none of which may hang, and return their reports."""
    watch, reports = failures.Watch(context.epoch_timeout_s, context.deadline_s), []
    for _ in range(epochs):
        reports.append(process.run_epoch(watch.timeout_s))
        watch.note(reports[-1]["seconds"])
        if process.stopped is not None:
            break
    return reports


def _process(context: TrialContext, job: Job, arrays: str) -> TrainingProcess | TrainingHere:
    return context.begin(job.config, own_limits(), arrays=arrays)


@dataclass(frozen=True)
class _Failed:
    """Comes back instead of a result: of which kind of failure a training was one, why in one line, and the traceback in the user's own code, if any."""

    kind: str
    reason: str
    details: str = ""


def _guarded(function: Callable, *arguments: Any) -> Any:
    """Call a worker's function, again where its process was lost; a training that failed comes back as the line that says why."""
    lost: list[str] = []
    while True:
        place = details = ""
        try:
            return function(*arguments)
        except TrialDiverged as diverged:
            return _Failed("diverged", f"diverged: {diverged}")
        except ProcessDied as died:
            kind, message, place, details = died.kind, died.message, died.place, died.details
        except OSError as refused:
            kind, message = "storage", f"{refused.filename or 'a disk'}: {refused.strerror or refused}"
        if not failures.is_retried(kind, lost):
            return _Failed(kind, f"{kind}: {message}{place}", details)
        lost.append(kind)
        time.sleep(failures.pause_s(len(lost)))


def _succeeding(results: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Pass results on, and refuse the first failure."""
    for index, result in results:
        if isinstance(result, _Failed):
            raise SweepError(f"the final training failed: {result.reason}\n{result.details}".rstrip())
        yield index, result


def _run(function: Callable, context: TrialContext, calls: Sequence[tuple], workers: Workers) -> Iterator[tuple[int, Any]]:
    """Run a function on the cluster once per call, and yield (index, result or failure) as they come.

    A call begins with its job. One that needs more memory than its share of a GPU is tried again with a larger one, as a trial is; what only probes is not.
    """
    if context.in_process:
        for index, call in enumerate(calls):
            if workers.interrupted.is_set():
                raise SweepError("interrupted; run the same command again to go on")
            yield index, _guarded(function, context, *call)
        return
    shared = ray.put(context)
    running: dict[Any, tuple[int, Resources]] = {}

    def start(index: int, larger_share: bool) -> None:
        resources = workers.allotment.of(calls[index][0].config.configuration, larger_share=larger_share)
        task = ray.remote(_guarded).options(max_retries=3, **_options(resources))
        running[task.remote(function, shared, *calls[index])] = index, resources

    for index in range(len(calls)):
        start(index, False)
    again: set[int] = set()
    while running:
        ready, waiting = ray.wait(list(running), num_returns=1, timeout=0.5)
        if workers.interrupted.is_set():
            for job in waiting:
                ray.cancel(job, force=True)
            raise SweepError("interrupted; run the same command again to go on")
        for job in ready:
            index, resources = running.pop(job)
            try:
                result = ray.get(job)
            except ray.exceptions.RayError as error:
                raise SweepError(f"Ray lost a training for good ({one_line(error)}); run the same command again to go on") from error
            if isinstance(result, _Failed) and result.kind == "memory" and resources.is_share and index not in again and function is not _probe:
                again.add(index)
                start(index, True)
            else:
                yield index, result


def _options(resources: Resources) -> dict[str, Any]:
    bundle = resources.bundle()
    options = {"num_cpus": bundle.pop("CPU"), "num_gpus": bundle.pop("GPU", 0), "memory": bundle.pop("memory", None), "resources": bundle}
    return {**options, "label_selector": dict(resources.labels)}
