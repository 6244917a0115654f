"""The journey of a sweep, in order: data, cluster, study, search, confirmation, retraining, test, report. Owns the order, and nothing else."""

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ray import tune

from cluster import targets
from cluster.gpus import check_share
from cluster.resources import Resources
from search_spaces.space import SearchSpace
from tuner import data, evaluate, facts, starting, warm
from tuner import spec as specs
from tuner.accounts import Accounts
from tuner.audit import audit_of
from tuner.card import write_card
from tuner.confirm import Race, candidates
from tuner.console import View
from tuner.dispatch import dispatch
from tuner.leaderboard import Leaderboard
from tuner.lock import Lock, alone, beating
from tuner.objective import Objective
from tuner.process import Limits
from tuner.report import render
from tuner.report.ending import ending, ending_facts
from tuner.scheduler import StudyScheduler
from tuner.searcher import StudySearcher, build_sampler, enqueue_baselines
from tuner.study import STATES, Study, note_database, open_study
from tuner.training import Recipe
from tuner.trial import Trial, Work, forget

CHECKPOINTS = "checkpoints"
ANY = 10**6  # as many trials at a time as fit


@dataclass(frozen=True)
class _Sweep:
    """What every stage of one run needs."""

    spec: specs.SweepSpec
    space: SearchSpace
    dataset: data.Dataset
    study: Study
    work: Work
    workers: evaluate.Workers
    view: View

    def board(self) -> Leaderboard:
        """Write the leaderboard as it stands, and return it."""
        board = Leaderboard.of(self.study.trials(), self.study.objective, self.study.facts)
        board.write(self.spec.sweep_folder)
        return board


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
    folder = spec.sweep_folder
    with alone(folder) as lock, ExitStack() as held:
        view.stage("data", text=spec.dataset.source)
        dataset, test = data.load(spec.dataset, spec.seed)
        if spec.cluster.target == "local":
            held.enter_context(starting.ahead())
        cluster = held.enter_context(targets.connect(spec.cluster))
        resources, slots = _fit(spec, cluster, lock, view)
        study = _open(spec, spec.objective_for(dataset.task), held, interrupted)
        spec = facts.same_sweep(study, spec)
        space = spec.search_space()
        facts.record_beginning(study, spec, space, dataset, search_path)
        work = _work(spec, space, dataset, resources, scratch=cluster.scratch, began=facts.began_at(study), search_path=search_path)
        sweep = _Sweep(spec, space, dataset, study, work, evaluate.Workers(resources, interrupted), view)

        if study.facts.get("search_ended") is None:
            _search(sweep, slots)
        board = sweep.board()
        if interrupted.is_set():
            return board
        board.best  # noqa: B018  # raises where there is nothing to rank
        if spec.evaluation.enabled:
            board = _confirm(sweep, board)
            board = _final(sweep, board, test)
    if telling:
        view.stage("report")
        for form in ("html", "md"):
            (folder / f"report.{form}").write_text(render(board, form), encoding="utf-8")
        view.result(ending(board, folder), ending_facts(board, folder))
    return board


def _fit(spec: specs.SweepSpec, cluster: targets.Cluster, lock: Lock, view: View) -> tuple[Resources, int]:
    """Return what each trial is given, and how many run at a time."""
    targets.clear(lock.before.get("scratch"))
    lock.note(scratch=cluster.scratch)
    for warning in cluster.warnings:
        view.note(warning)
    resources = spec.resources.resolve(cluster.capacity)
    slots = min(cluster.capacity.fits(resources), spec.search.max_concurrent or ANY)
    check_share(resources.gpus)
    view.stage("cluster", text=f"{cluster.description}: {slots} trial{'s' * (slots != 1)} at a time, {resources} each")
    return resources, slots


def _open(spec: specs.SweepSpec, objective: Objective, held: ExitStack, interrupted: threading.Event) -> Study:
    """Open the record, new or to be continued, for this driver alone."""
    study = open_study(spec.storage or spec.sweep_folder, spec.name, objective, alone=spec.storage is None)
    if spec.storage is not None:
        held.enter_context(beating(study, interrupted.set))
        study.take_over()
        note_database(spec.sweep_folder, spec.storage, spec.name)
    return study


def _work(
    spec: specs.SweepSpec, space: SearchSpace, dataset: data.Dataset, resources: Resources, *, scratch: str, began: float, search_path: tuple[str, ...]
) -> Work:
    recipe = Recipe(
        builder=space.builder,
        configuration={},
        task=dataset.task,
        outputs=dataset.outputs,
        epochs=spec.training.max_epochs,
        seed=0,
        deterministic=spec.training.deterministic,
        precision=spec.training.precision,
        search_path=search_path,
    )
    return Work(
        x=dataset.x,
        y=dataset.y,
        folds=tuple((fold.train, fold.validation, dataset.scaling(fold.train)) for fold in dataset.folds),
        recipe=recipe,
        limits=Limits(threads=int(resources.cpus), memory_bytes=resources.memory_bytes),
        scratch=scratch,
        checkpoints=str((spec.sweep_folder / CHECKPOINTS).resolve()),
        began=began,
        epoch_timeout_s=spec.training.epoch_timeout_s,
    )


def _search(sweep: _Sweep, slots: int) -> None:
    """Propose, train and stop trials until a budget is spent or the user asks to stop."""
    spec, study, space, view = sweep.spec, sweep.study, sweep.space, sweep.view
    max_epochs = spec.training.max_epochs
    began = time.monotonic()
    for line in warm.learn(study, spec.search.warm_start, space, max_epochs=max_epochs, content_hash=sweep.dataset.facts["content_hash"]):
        view.note(line)
    known = warm.known_trials(study)
    sampler = build_sampler(
        spec.search, space, objective=study.objective, max_epochs=max_epochs, seed=spec.seed, trials=len(study.trials()), known=len(known)
    )
    study.optuna.sampler = warm.KnowingSampler(sampler, known) if known else sampler
    enqueue_baselines(study, space, spec.search)
    accounts = Accounts(study, max_epochs=max_epochs, budget=spec.search.budget)
    view.stage(
        "search",
        text=f"{space.name} for {study.objective.metric}",
        trials=spec.search.trials,
        epochs=spec.search.epochs,
        seconds=spec.search.seconds,
        max_epochs=max_epochs,
        maximise=study.objective.mode == "max",
        metric=study.objective.metric,
        done_epochs=accounts.epochs,
        gone_s=accounts.seconds,
        ended={trial.number: STATES[trial.state] for trial in study.trials("complete", "pruned", "failed")},
    )
    dispatch(
        tune.with_parameters(Trial, work=sweep.work),
        StudySearcher(accounts, space, section=spec.search, seed=spec.seed, known=known),
        StudyScheduler(accounts, space, section=spec.scheduler, seed=spec.seed),
        resources=sweep.workers.resources,
        slots=slots,
        scratch=sweep.work.scratch,
        view=view,
        interrupted=sweep.workers.interrupted,
        slots_now=lambda: min(targets.capacity_now().slots(sweep.workers.resources), spec.search.max_concurrent or ANY),
    )
    forget(spec.sweep_folder / CHECKPOINTS, [trial.number for trial in study.trials("complete", "pruned", "failed")])
    facts.record_stage(study, "search", began=began, epochs=accounts.epochs)
    study.set_fact("audit", audit_of(study.trials(), study.objective, max_epochs=max_epochs))


def _confirm(sweep: _Sweep, board: Leaderboard) -> Leaderboard:
    """Train the best again on fresh seeds and write down what that says; the scores of an interrupted confirmation are not trained again."""
    section, study, view = sweep.spec.evaluation, sweep.study, sweep.view
    if section.confirm <= 1 or study.facts.get("confirmed") is not None:
        return board
    budget = int(section.confirm_budget * sum(record.epochs for record in board.records))
    field = candidates(board.ranked, section.confirm, budget)
    if not field:
        view.note(f"nothing is confirmed on fresh seeds: evaluation.confirm_budget allows {budget} epochs, too few for two trials on two seeds each")
        study.set_fact("confirmed", [])
        return sweep.board()
    began = time.monotonic()
    view.stage("confirm", text=f"the best {len(field)} trials on fresh seeds, at most {budget} epochs")
    known = {(trial, index): score for trial, index, score in study.facts.get("confirm_runs", [])}
    race, trained = Race(field, board.objective, budget), 0

    def record(run: tuple[int, int], score: float | None) -> None:
        nonlocal trained
        known[run] = score
        trained += race.epochs(run[0])
        study.set_fact("confirm_runs", [[*run, score] for run, score in known.items()])

    recipes = {each.trial: replace(sweep.work.recipe, configuration=dict(board.find(each.trial).configuration)) for each in field}
    confirmed = evaluate.confirm(sweep.work, recipes, race, seed=sweep.spec.seed, known=dict(known), record=record, workers=sweep.workers, view=view)
    if not confirmed:
        view.note("no trial could be confirmed: each failed on a fresh seed; the best of the search is taken")
    facts.record_stage(study, "confirm", began=began, epochs=trained)
    study.set_fact("confirmed", confirmed)
    return sweep.board()


def _final(sweep: _Sweep, board: Leaderboard, test: data.SealedTest) -> Leaderboard:
    """Retrain the winner on the whole pool, open the test split, and keep model and scores; nothing where that has been done for this very winner."""
    study, dataset, view, winner = sweep.study, sweep.dataset, sweep.view, board.winner
    epochs = winner.best_epoch or 1
    if facts.has_final_of(study, winner.number, epochs):
        return board
    began = time.monotonic()
    seeds = evaluate.final_seeds(sweep.spec.seed, sweep.spec.evaluation.seeds)
    view.stage("retrain", text=f"trial {winner.number} on all {len(dataset.y)} rows of train and validation, {epochs} epochs, {len(seeds)} seeds")
    recipes = [replace(sweep.work.recipe, configuration=dict(winner.configuration), seed=seed) for seed in seeds]
    runs = evaluate.retrain(sweep.work, dataset, [evaluate.Job(recipe, epochs) for recipe in recipes], workers=sweep.workers, view=view)
    facts.record_stage(study, "retrain", began=began, epochs=epochs * len(runs))

    openings = len(study.facts.get("test_openings", []))
    view.stage("test", text=f"the test split is opened{f' for the {openings + 1}. time' if openings else ''}: {test.rows} rows")
    x, y = evaluate.open_test(test, record=lambda reason: facts.record_opening(study, reason), reason=f"final evaluation of trial {winner.number}")
    results = evaluate.score(sweep.work, dataset, runs, x, y, workers=sweep.workers)
    if study.facts.get("final"):
        view.note("the test score is of another winner than before: with each further look at the test split it promises a little too much")
    evaluate.save_model(runs[0], sweep.spec.sweep_folder)
    final = {"trial": winner.number, "configuration": winner.configuration, "epochs": epochs, **evaluate.summary(dataset, x, y, runs, results)}
    write_card(sweep.spec.sweep_folder, final, sweep.work.recipe, dataset, study.facts)
    facts.record_final(study, final)
    return sweep.board()
