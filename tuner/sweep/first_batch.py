"""The first batch, before the cluster is there: a network of the user's builder is built and takes one step on the data, so that a mistake shows at once.

In a process of its own, as a trial's. Owns what is tried, and what is said of a mistake. What only one configuration does wrong is that trial's failure, and
no mistake of the sweep's.
"""

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from search_spaces import network
from search_spaces.errors import nearest
from search_spaces.space import SearchSpace
from tuner.data import dataset as data
from tuner.data.own.pipelines import Pipeline
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.data.tables.stream import Stream
from tuner.errors import SpecError, SweepError, TrialDiverged
from tuner.monitor.console import View
from tuner.spec import sweep_spec as specs
from tuner.study.seeds import seed_of
from tuner.sweep.given import Given
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied, TrainingProcess
from tuner.training.shared_data import store

# Where the default configuration fails, so many others are tried before the builder is said to be wrong.
OTHERS = 5
# A builder of someone's own may load weights.
TIMEOUT_S = 600.0


def try_first_batch(spec: specs.SweepSpec, dataset: data.Dataset, space: SearchSpace, given: Given, *, view: View, interrupted: threading.Event) -> None:
    """Build the default configuration's network and let it take a step and score a few rows, where the builder is the user's own.

    In a debugger's process the first trial is as good.

    Args:
        spec: checked.
        dataset: what it is about.
        space: of the builder.
        given: where the builder is.
        view: shows what happens, and where Keras cannot write the network down.
        interrupted: set from a signal handler.

    Raises:
        SpecError: the builder fails on its default configuration and on others, or no epoch will report the objective.
        SweepError: the user asked to stop.
    """
    if spec.space.builder is None or spec.cluster.target == "in-process":
        return
    view.stage("first batch", text=spec.builder)
    tried = _outcome(spec, dataset, space, given, interrupted)
    if tried is None:
        return
    metric = spec.objective_for(dataset.task).metric
    if metric not in tried.reported:
        raise SpecError(f"objective.metric: got {metric!r}, which no epoch of {spec.builder} reports; {nearest(metric, tried.reported)}")
    if tried.unsaved:
        kept = "its weights alone will be kept, and predictions build it anew by the builder's copy in the folder"
        view.note(f"Keras cannot write this network down ({tried.unsaved}): {kept}")


@dataclass(frozen=True)
class _Outcome:
    """What an epoch reports, and why Keras cannot write the network down; empty where it can."""

    reported: tuple[str, ...]
    unsaved: str


def _outcome(spec: specs.SweepSpec, dataset: data.Dataset, space: SearchSpace, given: Given, interrupted: threading.Event) -> _Outcome | None:
    """Return what came of the first configuration that came to its end; None where what went wrong may be these configurations' own doing."""
    config = spec.training_config(dataset, given.search_path)
    failures: list[ProcessDied] = []
    for number, configuration in enumerate(_configurations(space, spec.seed)):
        one = replace(config, configuration=dict(configuration), seed=seed_of(spec.seed, number, "first batch"))
        try:
            return _tried(one, dataset, given, interrupted)
        except TrialDiverged:
            return None
        except ProcessDied as died:
            if interrupted.is_set():
                raise SweepError("interrupted before the search began; run the same command again") from died
            if died.kind not in ("error", "fatal"):  # memory, time, a crash
                return None
            failures.append(died)
    raise _mistake(spec, failures) from failures[0]


def _configurations(space: SearchSpace, seed: int) -> Iterator[Mapping[str, Any]]:
    default = space.default()
    if default is not None:
        yield default
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed_of(seed, 0, "first batch")))
    drawn = [] if default is None else [default]
    for _ in range(OTHERS):
        configuration = space.suggest(study.ask())
        if configuration not in drawn:
            drawn.append(configuration)
            yield configuration


def _tried(config: TrainingConfig, dataset: data.Dataset, given: Given, interrupted: threading.Event) -> _Outcome:
    pool, fold = _few(dataset, network.batch_size(config.configuration))
    with tempfile.TemporaryDirectory(prefix="tuner-first-batch-") as folder:
        arrays = store(Path(folder) / "pool", pool)
        with TrainingProcess(config, arrays, folds=(fold,), limits=Limits(), timeout_s=TIMEOUT_S, code=given.code) as process:
            report = process.run_epoch(TIMEOUT_S, cancelled=interrupted.is_set)
            return _Outcome(tuple(name for name in report if name != "seconds"), process.export(Path(folder) / "model.keras"))


def _few(dataset: data.Dataset, batch_size: int) -> tuple[Pool, Fold]:
    """Return a batch of training rows and as many validation rows, and nothing else."""
    fold = dataset.folds[0]
    scaling = dataset.scalings(fold.train)
    if isinstance(fold.train, Pipeline):
        return dataset.pool, Fold(_first_of(fold.train), None if fold.validation is None else _first_of(fold.validation), scaling)
    # A stream's validation rows are in memory.
    train, validation = np.array_split(fold.validation, 2) if isinstance(fold.train, Stream) else (fold.train, fold.validation)
    count = min(batch_size, len(train))
    rows = np.concatenate([train[:count], validation[:batch_size]])
    return dataset.pool.take(rows), Fold(np.arange(count), np.arange(count, len(rows)), scaling)


def _first_of(pipeline: Pipeline) -> Pipeline:
    return replace(pipeline, parts=(replace(pipeline.parts[0], steps=1, endless=True),))


def _mistake(spec: specs.SweepSpec, failures: Sequence[ProcessDied]) -> SpecError:
    """Return what is said of a builder that fails whatever it is given."""
    first = failures[0]
    kind, _, message = first.message.partition(": ")
    if kind == "SearchSpaceError":  # says all there is to say, and names the builder
        return SpecError(f"space.builder: {message}")
    if kind == "DatasetError":
        return SpecError(f"dataset.source: {message}")
    times = f"{len(failures)} of {len(failures)} configurations" if len(failures) > 1 else "its only configuration"
    return SpecError(f"space.builder: {spec.builder} fails on the first batch with {times}: {first.message}{first.place}\n{first.details}".rstrip())
