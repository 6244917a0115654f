"""The journey of a sweep, in order: data, cluster, study, search, leaderboard, retraining, test, report. Owns the order, and nothing else."""

import platform
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from cluster import targets
from tuner import data, evaluate
from tuner import spec as specs
from tuner.accounts import Accounts
from tuner.card import write_card
from tuner.console import View
from tuner.dispatch import dispatch
from tuner.errors import SpecError
from tuner.leaderboard import Leaderboard
from tuner.process import Limits
from tuner.report import render
from tuner.report.tables import text as text_table
from tuner.scheduler import StudyScheduler, milestones
from tuner.searcher import StudySearcher, build_sampler, enqueue_baselines
from tuner.study import Study, open_study
from tuner.training import Recipe
from tuner.trial import Trial, Work, forget

VERSIONS_OF = ("ray", "optuna", "tensorflow", "keras", "numpy", "pyarrow", "scikit-learn")


def run_sweep(spec: specs.SweepSpec, *, view: View, interrupted: threading.Event, search_path: tuple[str, ...] = ()) -> Leaderboard:
    """Run a sweep from its spec to its report; where the folder holds one already, go on with it.

    Args:
        spec: checked.
        view: is told what happens.
        interrupted: set from a signal handler: the sweep then ends cleanly, to be continued later.
        search_path: folders in which the spec's own builder is looked for.

    Returns:
        The leaderboard, as it was written to the folder.

    Raises:
        SpecError, DatasetError, ClusterError, SweepError: see `tuner.errors`.
    """
    folder = spec.sweep_folder
    space = spec.search_space()
    view.stage("data", text=f"{spec.dataset.source}")
    dataset, test = data.load(spec.dataset, spec.seed)
    objective = spec.objective_for(dataset.task)
    with targets.connect(spec.cluster) as cluster:
        resources = spec.resources.resolve(cluster.capacity)
        slots = min(cluster.capacity.fits(resources), spec.search.max_concurrent or 10**6)
        view.stage("cluster", text=f"{cluster.description}: {slots} trial{'s' * (slots != 1)} at a time, {resources} each")

        study = open_study(spec.storage or folder, spec.name, objective)
        _same_sweep(study, spec)
        study.optuna.sampler = build_sampler(
            spec.search, space, objective=objective, max_epochs=spec.training.max_epochs, seed=spec.seed, trials=len(study.trials())
        )
        _record(study, spec, space.describe(), dataset, folder)
        enqueue_baselines(study, space, spec.search)

        work = Work(
            x=dataset.x,
            y=dataset.y,
            folds=tuple((fold.train, fold.validation, dataset.scaling(fold.train)) for fold in dataset.folds),
            recipe=Recipe(
                builder=space.builder,
                configuration={},
                task=dataset.task,
                outputs=dataset.outputs,
                epochs=spec.training.max_epochs,
                seed=0,
                deterministic=spec.training.deterministic,
                precision=spec.training.precision,
                search_path=search_path,
            ),
            limits=Limits(threads=int(resources.cpus), memory_bytes=resources.memory_bytes),
            scratch=cluster.scratch,
            checkpoints=str((folder / "checkpoints").resolve()),
            began=datetime.fromisoformat(study.facts["started_at"]).timestamp(),
            epoch_timeout_s=spec.training.epoch_timeout_s,
        )

        if "search_ended" not in study.facts:
            began = time.monotonic()
            accounts = Accounts(study, max_epochs=spec.training.max_epochs, budget=spec.search.budget)
            view.stage(
                "search",
                text=f"{space.name} for {objective.metric}",
                trials=spec.search.trials,
                epochs=spec.search.epochs,
                seconds=spec.search.seconds,
                max_epochs=spec.training.max_epochs,
                maximise=objective.mode == "max",
                metric=objective.metric,
            )
            dispatch(
                tune.with_parameters(Trial, work=work),
                StudySearcher(accounts, space, section=spec.search, seed=spec.seed),
                StudyScheduler(accounts, space, section=spec.scheduler, seed=spec.seed),
                resources=resources,
                slots=slots,
                scratch=cluster.scratch,
                view=view,
                interrupted=interrupted,
            )
            forget(folder / "checkpoints", [trial.number for trial in study.trials("complete", "pruned", "failed")])
            _stage(study, "search", began, accounts.epochs)
        board = Leaderboard.of(study.trials(), objective, study.facts)
        board.write(folder)
        if interrupted.is_set():
            return board

        best = board.best  # raises where there is nothing to rank
        epochs = best.best_epoch or 1
        if spec.evaluation.enabled and "final" not in study.facts:
            began = time.monotonic()
            seeds = evaluate.final_seeds(spec.seed, spec.evaluation.seeds)
            view.stage("retrain", text=f"trial {best.number} on all {len(dataset.y)} rows of train and validation, {epochs} epochs, {len(seeds)} seeds")
            recipes = [replace(work.recipe, configuration=dict(best.configuration), seed=seed) for seed in seeds]
            workers = evaluate.Workers(resources, interrupted)
            runs = evaluate.retrain(work, dataset, [evaluate.Job(recipe, epochs) for recipe in recipes], workers=workers, view=view)
            _stage(study, "retrain", began, epochs * len(runs))
            view.stage("test", text=f"the test split is opened: {test.rows} rows")
            reason = f"final evaluation of trial {best.number}"
            x, y = evaluate.open_test(test, record=lambda why: _record_opening(study, why), reason=reason)
            results = evaluate.score(work, dataset, runs, x, y, workers=workers)
            found = evaluate.summary(dataset, x, y, runs, results)
            evaluate.save_model(runs[0], folder)
            final = {"trial": best.number, "configuration": best.configuration, "epochs": epochs, **found}
            write_card(folder, final, work.recipe, dataset, study.facts)
            study.set_fact("final", final)
            board = Leaderboard.of(study.trials(), objective, study.facts)
            board.write(folder)

    view.stage("report")
    for form in ("html", "md"):
        (folder / f"report.{form}").write_text(render(board, form), encoding="utf-8")
    view.result(_result(board, folder), _result_facts(board, folder))
    return board


def _same_sweep(study: Study, spec: specs.SweepSpec) -> None:
    """Refuse to go on with a sweep under another spec: its trials would not be comparable."""
    recorded = study.facts.get("spec")
    changes = [] if recorded is None else specs.differences(specs.with_defaults(recorded), specs.to_json(spec))
    if changes:
        raise SpecError(f"{spec.sweep_folder}: holds a sweep of another spec ({'; '.join(changes)}); give the new one another name or folder")


def _record(study: Study, spec: specs.SweepSpec, space: dict[str, Any], dataset: data.Dataset, folder: Path) -> None:
    """Write down what the sweep is, once; a sweep that goes on keeps what it began with."""
    recorded = study.facts.get("dataset", {}).get("content_hash")
    if recorded is not None:
        if recorded != dataset.facts["content_hash"]:
            raise SpecError(f"dataset: its content has changed since this sweep began (was {recorded[:12]}, is {dataset.facts['content_hash'][:12]})")
        return
    np.savez_compressed(folder / "split.npz", allow_pickle=False, **dataset.indices())
    facts = {
        "name": spec.name,
        "seed": spec.seed,
        "started_at": _now(),
        "tuner": version("keras-sweep-tuner"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS_OF}},
        "platform": platform.platform(),
        "space": space["parameters"],
        "builder": space["builder"],
        "scheduler": {
            **spec.scheduler.model_dump(),
            "milestones": list(milestones(spec.training.max_epochs, spec.scheduler.grace_period, spec.scheduler.reduction_factor)),
        },
        "test_openings": [],
        "stages": [],
        "spec": specs.to_json(spec),
        "dataset": dataset.facts,
    }
    for name, value in facts.items():
        study.set_fact(name, value)


def _stage(study: Study, name: str, began: float, epochs: int) -> None:
    study.set_fact("stages", [*study.facts.get("stages", []), {"name": name, "seconds": round(time.monotonic() - began, 3), "epochs": epochs}])


def _record_opening(study: Study, reason: str) -> None:
    study.set_fact("test_openings", [*study.facts.get("test_openings", []), {"at": _now(), "reason": reason}])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _result(board: Leaderboard, folder: Path) -> str:
    """Return what the user reads last."""
    lines = [text_table(board, top=5), ""]
    final = board.facts.get("final")
    if final:
        for name, mean in final["mean"].items():
            spread = final["spread"][name]
            more = f" ± {spread:.4f} over {len(final['runs'])} seeds" if spread is not None else ""
            lines.append(f"{name:<16}{mean:.4f}{more}; the saved model: {final['saved'][name]:.4f}")
        lines.append(f"{'model':<16}{folder / final['model']}")
    lines.append(f"{'report':<16}{folder / 'report.html'}")
    return "\n".join(lines)


def _result_facts(board: Leaderboard, folder: Path) -> dict[str, Any]:
    final = board.facts.get("final") or {}
    return {
        "folder": str(folder),
        "trials": len(board.records),
        "best": {"trial": board.best.number, "score": board.best.score, "best_epoch": board.best.best_epoch, "configuration": dict(board.best.configuration)},
        "test": {name: final.get(name) for name in ("mean", "spread", "saved")} if final else None,
        "report": str(folder / "report.html"),
    }
