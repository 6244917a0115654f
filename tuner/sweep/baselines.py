"""Trains the hand-tuned networks again, as they were trained, and sets the result beside what was published.

Owns what "as they were trained" means: all 60,000 training images of MNIST, no validation, the notebooks' batches and epochs. The networks
themselves are data in `search_spaces.notebooks`. A reproduction compares; it chooses nothing by a test score.
"""

import json
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cluster import targets
from cluster.resources import Allotment, Resources
from search_spaces.errors import nearest
from search_spaces.notebooks import BASELINES, GRID_SEARCH
from search_spaces.spaces import SPACES
from tuner.data import dataset as data
from tuner.errors import SpecError
from tuner.monitor.console import View
from tuner.results import evaluate
from tuner.spec import sweep_spec as specs
from tuner.study.seeds import seed_of
from tuner.sweep.journey import run_sweep
from tuner.training.config import TrainingConfig
from tuner.training.trial import TrialContext


@dataclass(frozen=True)
class Reproduction:
    """A published score beside ours.

    Attributes:
        name: the baseline, or the optimizer of the grid search.
        published: accuracies, empty where none was.
        reproduced: one accuracy per seed (of the grid search, a mean over folds).
    """

    name: str
    published: tuple[float, ...]
    reproduced: tuple[float, ...]
    parameters: int | None = None

    @property
    def difference(self) -> float | None:
        """Our mean minus the nearest published score."""
        if not self.published:
            return None
        ours = mean(self.reproduced)
        return min((ours - score for score in self.published), key=abs)


def reproduce(mnist: Path | None, *, only: Sequence[str], seeds: int, seed: int, view: View, interrupted: threading.Event) -> list[Reproduction]:
    """Train the baselines and test them on MNIST's own test split.

    Args:
        mnist: an `mnist.npz`; None: Keras's own, downloaded once.
        only: names, or empty for all.
        seeds: how often each is trained.
        seed: what their seeds derive from.

    Raises:
        SpecError: a name is unknown.
        DatasetError: MNIST is not at hand.
    """
    for name in only:
        if name not in BASELINES:
            raise SpecError(f"--only {name}: unknown baseline; {nearest(name, BASELINES)}")
    names = list(only) or list(BASELINES)
    section = _mnist(mnist)
    view.stage("data", text=section.source)
    dataset, test = data.load(section, seed)
    jobs = [(name, index) for name in names for index in range(seeds)]
    with targets.connect(targets.ClusterSection()) as cluster:
        template = _recipe(names[0], 0)
        context = TrialContext(dataset.pool, (), template, cluster.scratch, cluster.scratch)
        workers = evaluate.Workers(Allotment(Resources()), interrupted)
        view.stage("retrain", text=f"{len(names)} networks, {seeds} seed{'s' * (seeds != 1)} each, on all {len(dataset.y)} training images")
        tasks = [evaluate.Job(_recipe(name, seed_of(seed, index, f"baseline {name}")), BASELINES[name].epochs) for name, index in jobs]
        runs = evaluate.retrain(context, dataset, tasks, workers=workers, view=view)
        view.stage("test", text=f"{test.rows} images")
        rows = evaluate.open_test(test, record=lambda reason: view.note(f"the test split is opened: {reason}"), reason="published against reproduced scores")
        results = evaluate.score(context, dataset, runs, rows, workers=workers)
    reproductions = []
    for name in names:
        mine = [index for index, (other, _) in enumerate(jobs) if other == name]
        scores = tuple(results[index].metrics["test_accuracy"] for index in mine)
        reproductions.append(Reproduction(name, BASELINES[name].published, scores, runs[mine[0]].parameters))
    return reproductions


def reproduce_grid(mnist: Path | None, *, seeds: int, seed: int, view: View, interrupted: threading.Event) -> list[Reproduction]:
    """Run the notebooks' grid search over optimizers as sweeps, one per seed: mean accuracy over the folds of the training images.

    Args:
        mnist: an mnist.npz; None: Keras's own copy, downloaded once.
        seeds: how often the grid is searched.
        seed: what all their seeds derive from.
        view: shows what happens.
        interrupted: set from a signal handler.
    """
    scores: dict[str, list[float]] = {name: [] for name in GRID_SEARCH.published}
    parameters: dict[str, int | None] = {}
    for index in range(seeds):
        with tempfile.TemporaryDirectory(prefix="tuner-grid-") as folder:
            spec = _grid_spec(mnist, folder, seed_of(seed, index, "grid search"))
            board = run_sweep(spec, view=view, interrupted=interrupted, telling=False)
        for record in board.ranked:
            name = record.configuration["optimizer"]
            scores[name].append(record.score or 0.0)
            parameters[name] = record.parameters
        if interrupted.is_set():
            break
    return [Reproduction(name, (score,), tuple(scores[name]), parameters[name]) for name, score in GRID_SEARCH.published.items() if scores[name]]


def _grid_spec(mnist: Path | None, folder: str, seed: int) -> specs.SweepSpec:
    section = _mnist(mnist).model_copy(update={"folds": GRID_SEARCH.folds})
    return specs.check(
        {
            "name": "grid-search",
            "seed": seed,
            "folder": folder,
            "dataset": section.model_dump(exclude_defaults=True),
            "space": {"name": GRID_SEARCH.space, **GRID_SEARCH.choices},
            "search": {"sampler": "grid", "trials": len(GRID_SEARCH.published)},
            "scheduler": {"name": "fifo", "grace_period": 1},
            "training": {"max_epochs": GRID_SEARCH.epochs},
            "evaluation": {"enabled": False},
        }
    )


def table(rows: Sequence[Reproduction], title: str) -> str:
    """Return the comparison as text.

    Args:
        rows: one network each.
        title: of the first column.
    """
    lines = [f"{title:<22}{'parameters':>11}  {'published':<16}{'reproduced':<19}difference"]
    for row in rows:
        published = " / ".join(f"{score:.4f}" for score in row.published) or "-"
        ours = f"{mean(row.reproduced):.4f}" + (f" ± {stdev(row.reproduced):.4f}" if len(row.reproduced) > 1 else "")
        gap = "" if row.difference is None else f"{row.difference:+.4f}"
        lines.append(f"{row.name:<22}{row.parameters or 0:>11,}  {published:<16}{ours:<19}{gap}")
    return "\n".join(lines)


def to_json(rows: Sequence[Reproduction]) -> list[dict[str, Any]]:
    """Return the comparison for machines."""
    return [json.loads(json.dumps({**vars(row), "difference": row.difference})) for row in rows]


def _mnist(path: Path | None) -> data.DatasetSection:
    return data.DatasetSection(source="mnist") if path is None else data.DatasetSection(source="npz", path=str(path))


def _recipe(name: str, seed: int) -> TrainingConfig:
    baseline = BASELINES[name]
    builder = SPACES[baseline.space].builder
    return TrainingConfig(builder, dict(baseline.configuration), task="classification", outputs=10, epochs=baseline.epochs, seed=seed)
