"""The journey of a sweep, in order: data, cluster, study, search, leaderboard, confirmation, retraining, test, report. Owns the order, and nothing else."""

import platform
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from cluster import targets
from tuner import data, evaluate, reopen, warm
from tuner import spec as specs
from tuner.accounts import Accounts
from tuner.card import write_card
from tuner.confirm import Race, candidates
from tuner.console import View
from tuner.dispatch import dispatch
from tuner.errors import SpecError
from tuner.leaderboard import Leaderboard
from tuner.lock import Lock, alone, beating
from tuner.process import Limits
from tuner.report import render
from tuner.report.summary import summarise
from tuner.report.tables import headlines
from tuner.report.tables import text as text_table
from tuner.scheduler import StudyScheduler, milestones
from tuner.searcher import StudySearcher, build_sampler, enqueue_baselines
from tuner.study import STATES, Study, note_database, open_study
from tuner.training import Recipe
from tuner.trial import Trial, Work, forget

VERSIONS_OF = ("ray", "optuna", "tensorflow", "keras", "numpy", "pyarrow", "scikit-learn")


def run_sweep(spec: specs.SweepSpec, *, view: View, interrupted: threading.Event, search_path: tuple[str, ...] = (), telling: bool = True) -> Leaderboard:
    """Run a sweep from its spec to its report; where the folder holds one already, go on with it.

    Args:
        spec: checked.
        view: is told what happens.
        interrupted: set from a signal handler: the sweep then ends cleanly, to be continued later.
        search_path: folders in which the spec's own builder is looked for.
        telling: tell the view the result at the end, and write the reports; a sweep within another command does neither.

    Returns:
        The leaderboard, as it was written to the folder.

    Raises:
        SpecError, DatasetError, ClusterError, SweepError: see `tuner.errors`.
    """
    with alone(spec.sweep_folder) as lock:
        board = _journey(spec, lock, view=view, interrupted=interrupted, search_path=search_path)
        if telling and not interrupted.is_set():
            _tell(board, spec.sweep_folder, view)
        return board


def _journey(spec: specs.SweepSpec, lock: Lock, *, view: View, interrupted: threading.Event, search_path: tuple[str, ...]) -> Leaderboard:
    folder = spec.sweep_folder
    space = spec.search_space()
    view.stage("data", text=f"{spec.dataset.source}")
    dataset, test = data.load(spec.dataset, spec.seed)
    objective = spec.objective_for(dataset.task)
    with targets.connect(spec.cluster) as cluster, ExitStack() as held:
        targets.clear(lock.before.get("scratch"))
        lock.note(scratch=cluster.scratch)
        for warning in cluster.warnings:
            view.note(warning)
        resources = spec.resources.resolve(cluster.capacity)
        slots = min(cluster.capacity.fits(resources), spec.search.max_concurrent or 10**6)
        view.stage("cluster", text=f"{cluster.description}: {slots} trial{'s' * (slots != 1)} at a time, {resources} each")

        study = open_study(spec.storage or folder, spec.name, objective, alone=spec.storage is None)
        if spec.storage is not None:
            held.enter_context(beating(study, interrupted.set))
            study.take_over()
            note_database(folder, spec.storage, spec.name)
        spec = _same_sweep(study, spec)
        _record(study, spec, space.describe(), dataset, folder, search_path)
        for line in warm.learn(study, spec.search.warm_start, space, max_epochs=spec.training.max_epochs, content_hash=dataset.facts["content_hash"]):
            view.note(line)
        known = warm.known_trials(study)
        sampler = build_sampler(
            spec.search, space, objective=objective, max_epochs=spec.training.max_epochs, seed=spec.seed, trials=len(study.trials()), known=len(known)
        )
        study.optuna.sampler = warm.KnowingSampler(sampler, known) if known else sampler
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

        if study.facts.get("search_ended") is None:
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
                done_epochs=accounts.epochs,
                gone_s=accounts.seconds,
                ended={trial.number: STATES[trial.state] for trial in study.trials("complete", "pruned", "failed")},
            )
            dispatch(
                tune.with_parameters(Trial, work=work),
                StudySearcher(accounts, space, section=spec.search, seed=spec.seed, known=known),
                StudyScheduler(accounts, space, section=spec.scheduler, seed=spec.seed),
                resources=resources,
                slots=slots,
                scratch=cluster.scratch,
                view=view,
                interrupted=interrupted,
                slots_now=lambda: min(targets.capacity_now().slots(resources), spec.search.max_concurrent or 10**6),
            )
            forget(folder / "checkpoints", [trial.number for trial in study.trials("complete", "pruned", "failed")])
            _stage(study, "search", began, accounts.epochs)
        board = Leaderboard.of(study.trials(), objective, study.facts)
        board.write(folder)
        if interrupted.is_set():
            return board

        best = board.best  # raises where there is nothing to rank
        workers = evaluate.Workers(resources, interrupted)
        if spec.evaluation.enabled and spec.evaluation.confirm > 1 and study.facts.get("confirmed") is None:
            _confirm(study, board, spec.evaluation, work=work, seed=spec.seed, workers=workers, view=view)
            board = Leaderboard.of(study.trials(), objective, study.facts)
        best = board.winner
        epochs = best.best_epoch or 1
        # An extended search may have found another winner: only then is the final evaluation made again, on a test split that was opened before.
        if spec.evaluation.enabled and not _is_of(study.facts.get("final"), best.number, epochs):
            began = time.monotonic()
            seeds = evaluate.final_seeds(spec.seed, spec.evaluation.seeds)
            view.stage("retrain", text=f"trial {best.number} on all {len(dataset.y)} rows of train and validation, {epochs} epochs, {len(seeds)} seeds")
            recipes = [replace(work.recipe, configuration=dict(best.configuration), seed=seed) for seed in seeds]
            runs = evaluate.retrain(work, dataset, [evaluate.Job(recipe, epochs) for recipe in recipes], workers=workers, view=view)
            _stage(study, "retrain", began, epochs * len(runs))
            openings = len(study.facts.get("test_openings", []))
            view.stage("test", text=f"the test split is opened{f' for the {openings + 1}. time' if openings else ''}: {test.rows} rows")
            reason = f"final evaluation of trial {best.number}"
            x, y = evaluate.open_test(test, record=lambda why: _record_opening(study, why), reason=reason)
            results = evaluate.score(work, dataset, runs, x, y, workers=workers)
            found = evaluate.summary(dataset, x, y, runs, results)
            evaluate.save_model(runs[0], folder)
            final = {"trial": best.number, "configuration": best.configuration, "epochs": epochs, **found}
            write_card(folder, final, work.recipe, dataset, study.facts)
            if study.facts.get("final"):
                view.note("the test score is of another winner than before: with each further look at the test split it promises a little too much")
                earlier = {name: study.facts["final"][name] for name in ("trial", "epochs", "mean", "spread", "saved")}
                study.set_fact("earlier_finals", [*study.facts.get("earlier_finals", []), earlier])
            study.set_fact("final", final)
            board = Leaderboard.of(study.trials(), objective, study.facts)
            board.write(folder)

    return board


def _tell(board: Leaderboard, folder: Path, view: View) -> None:
    """Write the reports, and tell the result."""
    view.stage("report")
    for form in ("html", "md"):
        (folder / f"report.{form}").write_text(render(board, form), encoding="utf-8")
    view.result(_result(board, folder), _result_facts(board, folder))


def _confirm(
    study: Study, board: Leaderboard, section: specs.EvaluationSection, *, work: Work, seed: int, workers: evaluate.Workers, view: View
) -> None:
    """Train the best again on fresh seeds and write down what that says; the scores of an interrupted confirmation are not trained again."""
    budget = int(section.confirm_budget * sum(record.epochs for record in board.records))
    field = candidates(board.ranked, section.confirm, budget)
    if not field:
        view.note(f"nothing is confirmed on fresh seeds: evaluation.confirm_budget allows {budget} epochs, too few for two trials on two seeds each")
        study.set_fact("confirmed", [])
        return
    began = time.monotonic()
    view.stage("confirm", text=f"the best {len(field)} trials on fresh seeds, at most {budget} epochs")
    known = {(trial, index): score for trial, index, score in study.facts.get("confirm_runs", [])}
    race, trained = Race(field, board.objective, budget), 0

    def record(run: tuple[int, int], score: float | None) -> None:
        nonlocal trained
        known[run] = score
        trained += race.epochs(run[0])
        study.set_fact("confirm_runs", [[*run, score] for run, score in known.items()])

    recipes = {each.trial: replace(work.recipe, configuration=dict(board.find(each.trial).configuration)) for each in field}
    confirmed = evaluate.confirm(work, recipes, race, seed=seed, known=dict(known), record=record, workers=workers, view=view)
    if not confirmed:
        view.note("no trial could be confirmed: each failed on a fresh seed; the best of the search is taken")
    _stage(study, "confirm", began, trained)
    study.set_fact("confirmed", confirmed)


def _same_sweep(study: Study, spec: specs.SweepSpec) -> specs.SweepSpec:
    """Return the spec to go on with; refuse another one than the recorded: its trials would not be comparable.

    A sweep that was extended goes on with its larger budgets also where the spec is the one that it was begun with. Its folder may have moved.
    """
    recorded = study.facts.get("spec")
    if recorded is None:
        return spec
    asked = {**specs.to_json(spec), "folder": None}
    begun, now = ({**specs.with_defaults(study.facts.get(name) or recorded), "folder": None} for name in ("spec_as_begun", "spec"))
    changes = specs.differences(now, asked)
    if not changes or not specs.differences(begun, asked):
        return specs.check({**now, "folder": spec.folder})
    budgets = all(change.startswith(("search.trials:", "search.epochs:", "search.seconds:")) for change in changes)
    mend = f"`tuner extend {spec.sweep_folder}` gives it more to spend" if budgets else "give the new one another name or folder"
    raise SpecError(f"{spec.sweep_folder}: holds a sweep of another spec ({'; '.join(changes)}); {mend}")


def _is_of(final: dict[str, Any] | None, trial: int, epochs: int) -> bool:
    return final is not None and (final["trial"], final["epochs"]) == (trial, epochs)


def _record(study: Study, spec: specs.SweepSpec, space: dict[str, Any], dataset: data.Dataset, folder: Path, search_path: tuple[str, ...]) -> None:
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
        "objective": {"metric": study.objective.metric, "mode": study.objective.mode},
        "begun_in": reopen.begun_in(search_path),
        "spec": specs.to_json(spec),
        "dataset": dataset.facts,  # the last one: `reopen.recorded` takes it as the sign of a whole beginning
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
    lines += [f"{label:<16}{value}" for label, value in headlines(summarise(board)) if label.startswith("Winner")]
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
        "winner": summarise(board)["winner"],
        "test": {name: final.get(name) for name in ("mean", "spread", "saved")} if final else None,
        "report": str(folder / "report.html"),
    }
