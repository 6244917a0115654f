"""The journey of a sweep, in order: data, cluster, study, search, confirmation, retraining, test, report. Owns the order, and nothing else."""

import threading
import time
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ray import tune

from cluster import targets, waiting
from cluster.gpus import check_share
from cluster.hardware import hardware, machine, words
from cluster.resources import Allotment
from search_spaces.space import SearchSpace
from tuner.data import dataset as data
from tuner.data.decisions import lines
from tuner.errors import SweepError
from tuner.monitor.console import View
from tuner.monitor.trackers.following import Following, following
from tuner.monitor.trackers.named import check_installed
from tuner.report.ending import ending, ending_facts
from tuner.report.formats import render
from tuner.results import evaluate, held_out
from tuner.results.card import chosen_by, write_card
from tuner.results.confirm import Race, candidates
from tuner.results.leaderboard import Leaderboard
from tuner.search import warm_start as warm
from tuner.search.accounts import Accounts, epochs_s
from tuner.search.audit import audit_of
from tuner.search.dispatch import Audience, Slots, dispatch
from tuner.search.first_trials import enqueue_first
from tuner.search.prefetch import Prefetcher
from tuner.search.rules.milestones import milestones
from tuner.search.rules.named import build_rule
from tuner.search.samplers.named import build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.spec import sweep_spec as specs
from tuner.study import failures, storage
from tuner.study.backends import note_database, open_study, read_study
from tuner.study.lock import Lock, beating, exclusive_driver
from tuner.study.mirror import CHECKPOINTS, mirrored
from tuner.study.objective import Objective
from tuner.study.record import STATES, Study
from tuner.study.retention import CheckpointRetention
from tuner.study.writing import write_whole
from tuner.sweep import facts, in_process, plan
from tuner.sweep.eta import Eta
from tuner.sweep.first_batch import try_first_batch
from tuner.sweep.found_space import is_found, space_of, space_of_record
from tuner.sweep.given import NOTHING, Given, Load
from tuner.sweep.growth import Growth
from tuner.sweep.reopen import begin_anew, has_trials
from tuner.training import keras_settings, starting
from tuner.training.trial import Trial, TrialContext

ANY = 10**6  # as many trials at a time as fit


@dataclass(frozen=True)
class _Sweep:
    """What every stage of one run needs."""

    spec: specs.SweepSpec
    space: SearchSpace
    dataset: data.Dataset
    study: Study
    context: TrialContext
    workers: evaluate.Workers
    view: View
    trackers: Following

    def board(self) -> Leaderboard:
        """Write the leaderboard as it stands, and return it."""
        board = Leaderboard.of(self.study.trials(), self.study.objective, self.study.facts)
        board.write(self.spec.sweep_folder)
        return board


def run_sweep(spec: specs.SweepSpec, *, view: View, interrupted: threading.Event, given: Given = NOTHING, telling: bool = True) -> Leaderboard:
    """Run a sweep from its spec to its report; where the folder holds one already, go on with it.

    Args:
        spec: checked.
        view: shows what happens.
        interrupted: set from a signal handler: the sweep then ends cleanly, to be continued later.
        given: code and data that are not in the spec.
        telling: tell the view the result at the end, and write the reports; a sweep within another command does neither.

    Returns:
        The leaderboard, as it was written to the folder.

    Raises:
        SpecError, DatasetError, ClusterError, SweepError: see `tuner.errors`.
    """
    folder = spec.sweep_folder
    check_installed(spec.trackers)
    for line in keras_settings.check():
        view.note(line)
    with exclusive_driver(folder) as lock, _kept(spec, view, interrupted):

        @cache
        def load() -> tuple[data.Dataset, data.SealedTest]:
            view.stage("data", text=spec.dataset.source)
            loaded = given.load() if given.load else data.load(spec.dataset, spec.seed, given.search_path)
            for line in lines(loaded[0].facts.get("decisions", ())):
                view.note(line)
            return loaded

        if anew := begin_anew(spec, given):
            view.note(anew)
        # What a driver left that was killed can only be cleared away where the sweep runs; and trackers may have more to hear.
        board = None if lock.before or spec.trackers else _finished(spec, load, given)
        if board is None:
            board = _run(spec, load, lock=lock, view=view, interrupted=interrupted, given=given)
            if interrupted.is_set():
                return board
        if telling:
            view.stage("report")
            for form in ("html", "md"):
                write_whole(folder / f"report.{form}", render(board, form))
            view.result(ending(board, folder), ending_facts(board, folder))
    return board


def _finished(spec: specs.SweepSpec, load: Load, given: Given) -> Leaderboard | None:
    """Return the leaderboard of a sweep that has nothing left to do; None where something is left, or it has no record."""
    try:
        study = read_study(spec.sweep_folder)
    except SweepError:  # where it is damaged, opening it says so
        return None
    if study.facts.get("search_ended") is None:
        return None
    spec = facts.same_sweep(study, spec)
    if spec.space.define_by_run and not is_found(spec, study, given):
        return None
    facts.record_beginning(study, spec, spec.search_space(space_of_record(study)), load()[0], given)  # refuses other data
    board, section = Leaderboard.of(study.trials(), study.objective, study.facts), spec.evaluation
    board.write(spec.sweep_folder)
    board.best  # noqa: B018  # raises where there is nothing to rank
    if section.enabled:
        winner = board.winner
        confirmed = section.confirm <= 1 or study.facts.get("confirmed") is not None
        if not confirmed or not facts.has_final_of(study, winner.number, winner.best_epoch or 1):
            return None
    return board


def _run(
    spec: specs.SweepSpec,
    load: Load,
    *,
    lock: Lock,
    view: View,
    interrupted: threading.Event,
    given: Given,
) -> Leaderboard:
    """Do what is left to do on the cluster."""
    with ExitStack() as held:
        if spec.cluster.target == "local":
            held.enter_context(starting.ahead())
        begun = has_trials(spec.sweep_folder)

        def prepare() -> None:
            dataset, _ = load()
            specs.check_reports(spec, dataset.task)
            specs.class_weight_of(spec, dataset)  # refuses what the data do not have
            if not spec.space.define_by_run:
                try_first_batch(spec, dataset, spec.search_space(), given, view=view, interrupted=interrupted)

        cluster = held.enter_context(targets.connect(spec.cluster, meanwhile=load if begun else prepare, lost=lambda text: _gone(view, text)))
        dataset, test = load()
        allotment, slots = _fit(spec, cluster, lock, view, interrupted)
        study = _open(spec, spec.objective_for(dataset.task), held, interrupted)
        spec = facts.same_sweep(study, spec)
        space = space_of(spec, study, given, view=view, interrupted=interrupted)
        for line in plan.begun_again(spec):
            view.note(line)
        if spec.space.define_by_run and not begun:
            try_first_batch(spec, dataset, space, given, view=view, interrupted=interrupted)
        facts.record_beginning(study, spec, space, dataset, given)
        machines = words(machine()) if spec.cluster.target == in_process.TARGET else hardware()
        facts.record_place(study, machines, slots, allotment)
        context = _context(spec, dataset, scratch=cluster.scratch, began=facts.began_at(study), given=given)
        trackers = held.enter_context(following(spec.trackers, study, folder=spec.sweep_folder, began=facts.began_at(study), view=view))
        sweep = _Sweep(spec, space, dataset, study, context, evaluate.Workers(allotment, interrupted), view, trackers)

        if study.facts.get("search_ended") is None:
            _search(sweep, slots)
        board = sweep.board()
        if interrupted.is_set():
            return board
        board.best  # noqa: B018  # raises where there is nothing to rank
        if spec.evaluation.enabled:
            sweep = replace(sweep, context=replace(context, deadline_s=failures.deadline_s(epochs_s(study))))
            board = _confirm(sweep, board)
            board = _final(sweep, board, test)
        return board


def _after(spec: specs.SweepSpec) -> str:
    """Return what comes after the search, in words."""
    section = spec.evaluation
    retrain = f"retraining the best {section.seeds} time{'s' * (section.seeds != 1)}"
    return retrain if section.confirm <= 1 else f"confirming the best {section.confirm} (at most {section.confirm_budget:.0%} of its epochs) and {retrain}"


def _gone(view: View, text: str) -> None:
    """Tell that the cluster has gone, and leave the terminal as it was: nothing else is written after it."""
    view.close()
    view.note(text)


def _kept(spec: specs.SweepSpec, view: View, interrupted: threading.Event) -> AbstractContextManager[object]:
    """Keep the folder in the storage as well, where the spec names one: to the last report."""
    return nullcontext() if spec.kept_at is None else mirrored(spec.sweep_folder, spec.kept_at, tell=view.note, interrupted=interrupted)


def _fit(spec: specs.SweepSpec, cluster: targets.Cluster, lock: Lock, view: View, interrupted: threading.Event) -> tuple[Allotment, int]:
    """Return what each trial is given, and how many run at a time."""
    if spec.cluster.target == in_process.TARGET:
        view.stage("cluster", text=f"{cluster.description}: one trial at a time, unbounded; [resources] is not looked at")
        return in_process.everything(cluster.capacity), 1
    targets.clear(lock.before.get("scratch"))
    lock.note(scratch=cluster.scratch)
    for warning in cluster.warnings:
        view.note(warning)
    allotment, capacity = waiting.place(spec.resources, spec.cluster.patience_s, tell=view.note, interrupted=interrupted)
    slots = min(allotment.fits(capacity), spec.search.max_concurrent or ANY)
    for resources in allotment.every:
        check_share(resources.gpus)
    if len(capacity.nodes) > 1:
        for line in storage.check_nodes(spec.kept_at or str(spec.sweep_folder.resolve()), required=spec.kept_at is not None):
            view.note(f"{line}; trials that are interrupted there begin again elsewhere; `storage` in the spec keeps their states")
    view.stage("cluster", text=f"{cluster.description}: {slots} trial{'s' * (slots != 1)} at a time, {allotment} each")
    return allotment, slots


def _open(spec: specs.SweepSpec, objective: Objective, held: ExitStack, interrupted: threading.Event) -> Study:
    """Open the record, new or to be continued, for this driver alone."""
    study = open_study(spec.database or spec.sweep_folder, spec.name, objective, alone=spec.database is None)
    if spec.database is not None:
        held.enter_context(beating(study, interrupted.set))
        study.take_over()
        note_database(spec.sweep_folder, spec.database, spec.name)
    return study


def _context(spec: specs.SweepSpec, dataset: data.Dataset, *, scratch: str, began: float, given: Given) -> TrialContext:
    bucket = f"{spec.kept_at}/{CHECKPOINTS}" if spec.kept_at and storage.is_bucket(spec.kept_at) else None
    return TrialContext(
        pool=dataset.pool,
        folds=tuple(replace(fold, scaling=dataset.scalings(fold.train)) for fold in dataset.folds),
        config=spec.training_config(dataset, given.search_path),
        scratch=scratch,
        checkpoints=f"{scratch}/{CHECKPOINTS}" if bucket else f"{spec.kept_at or spec.sweep_folder.resolve()}/{CHECKPOINTS}",
        bucket=bucket,
        code=given.code,
        began=began,
        epoch_timeout_s=spec.training.epoch_timeout_s,
        milestones=milestones(spec.training.max_epochs, spec.scheduler.grace_period, spec.scheduler.reduction_factor),
        in_process=spec.cluster.target == in_process.TARGET,
    )


def _search(sweep: _Sweep, slots: int) -> None:
    """Propose, train and stop trials until a budget is spent or the user asks to stop."""
    spec, study, space, view = sweep.spec, sweep.study, sweep.space, sweep.view
    max_epochs = spec.training.max_epochs
    began = time.monotonic()
    for line in [] if study.trials() else plan.too_large(sweep.context, space, sweep.workers):
        view.note(line)
    for line in warm.learn(study, spec.search.warm_start, space, max_epochs=max_epochs, content_hash=sweep.dataset.facts["content_hash"]):
        view.note(line)
    study.earlier = warm.earlier_trials(study)
    study.optuna.sampler = build_sampler(spec.search, space, study=study, max_epochs=max_epochs, seed=spec.seed)
    enqueue_first(study, space, spec.search)
    rule = build_rule(spec.scheduler, study, space, max_epochs=max_epochs, seed=spec.seed)
    accounts = Accounts(study, max_epochs=max_epochs, budget=spec.search.budget)
    before = accounts.epochs
    bucket = sweep.context.bucket
    shelf = CheckpointRetention(storage.States(bucket) if bucket else Path(sweep.context.checkpoints), study, spec.training.checkpoint_gb * 1e9)
    view.stage(
        "search",
        text=f"{space.name} for {study.objective.metric}: {'higher' if study.objective.mode == 'max' else 'lower'} is better",
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
    if spec.search.seconds and spec.evaluation.enabled:
        view.note(f"search.seconds bounds the search alone: {_after(spec)} follow{'s' if spec.evaluation.confirm <= 1 else ''}")
    fold = sweep.dataset.folds[0]
    outlook = Eta(spec, accounts, slots=slots, pool_share=len(sweep.dataset.whole) / len(fold.train), networks=len(sweep.dataset.folds), view=view)

    def see_to_the_rest() -> None:
        ask_for_nodes()
        shelf.prune_now_and_then()
        outlook.look()
        sweep.trackers.look()

    usual, rest = sweep.workers.allotment.usual, (spec.search.trials or ANY) - len(study.trials("complete", "pruned", "failed"))
    grows = spec.cluster.target == "address"
    most = min(rest, spec.search.max_concurrent or ANY) if grows else 0

    def learn_from(larger: SearchSpace) -> None:
        study.optuna.sampler = build_sampler(spec.search, larger, study=study, max_epochs=max_epochs, seed=spec.seed)

    with waiting.wanted(usual, most) as ask_for_nodes, closing(Prefetcher(study, space)) as ahead:
        growth = Growth(study, space, learn_from=learn_from, view=view) if spec.space.define_by_run else None
        searcher = StudySearcher(accounts, space, section=spec.search, rule=rule, seed=spec.seed, ahead=ahead, grown=growth)
        scheduler = StudyScheduler(accounts, rule, section=spec.scheduler, seed=spec.seed)
        audience = Audience(view, sweep.workers.interrupted, see_to_the_rest)
        if sweep.context.in_process:
            in_process.search(searcher, scheduler, sweep.context, audience=audience)
        else:
            trial = tune.with_parameters(Trial, context=sweep.context)
            places = Slots(sweep.workers.allotment, slots, lambda: min(targets.capacity_now().slots(usual), spec.search.max_concurrent or ANY))
            dispatch(trial, searcher, scheduler, slots=places, scratch=sweep.context.scratch, audience=audience)
    outlook.close()
    accounts.settle()
    shelf.prune()
    if study.facts.get("search_ended"):
        view.note(f"the search has ended: {study.facts['search_ended']}")
    facts.record_ways(study)
    facts.record_stage(study, "search", began=began, epochs=accounts.epochs - before)
    study.set_facts({"audit": audit_of(study.trials(), study.objective, max_epochs=max_epochs)})


def _confirm(sweep: _Sweep, board: Leaderboard) -> Leaderboard:
    """Train the best again on fresh seeds and write down what that says; the scores of an interrupted confirmation are not trained again."""
    section, study, view = sweep.spec.evaluation, sweep.study, sweep.view
    if section.confirm <= 1 or study.facts.get("confirmed") is not None:
        return board
    budget = int(section.confirm_budget * sum(record.epochs for record in board.records))
    field = candidates(board.ranked, section.confirm, budget)
    if not field:
        view.note(f"nothing is confirmed on fresh seeds: evaluation.confirm_budget allows {budget} epochs, too few for two trials on two seeds each")
        study.set_facts({"confirmed": []})
        return sweep.board()
    began = time.monotonic()
    view.stage("confirm", text=f"the best {len(field)} trials on fresh seeds, at most {budget} epochs")
    scores = {(trial, index): score for trial, index, score in study.facts.get("confirm_runs", [])}
    race, trained = Race(field, board.objective, budget), 0

    def record(run: tuple[int, int], score: float | None) -> None:
        nonlocal trained
        scores[run] = score
        trained += race.epochs(run[0])
        study.set_facts({"confirm_runs": [[*run, score] for run, score in scores.items()]})

    # For as many epochs as their best one was, scored at exactly that epoch: there is nothing to wait for.
    recipe = replace(sweep.context.config, patience=None)
    configs = {each.trial: recipe.of(board.find(each.trial).configuration, sweep.spec.seed) for each in field}
    confirmed = evaluate.confirm(sweep.context, configs, race, earlier=dict(scores), record=record, workers=sweep.workers, view=view)
    if not confirmed:
        view.note("no trial could be confirmed: each failed on a fresh seed; the best of the search is taken")
    facts.record_stage(study, "confirm", began=began, epochs=trained)
    study.set_facts({"confirmed": confirmed})
    return sweep.board()


def _final(sweep: _Sweep, board: Leaderboard, test: data.SealedTest) -> Leaderboard:
    """Retrain the winner on the whole pool, open the test split, and keep model and scores; nothing where that has been done for this very winner."""
    study, dataset, view, winner = sweep.study, sweep.dataset, sweep.view, board.winner
    epochs = winner.best_epoch or 1
    if facts.has_final_of(study, winner.number, epochs):
        return board
    began = time.monotonic()
    seeds = evaluate.final_seeds(sweep.spec.seed, sweep.spec.evaluation.seeds)
    view.stage("retrain", text=f"trial {winner.number} on all {len(dataset.whole)} rows of train and validation, {epochs} epochs, {len(seeds)} seeds")
    configs = [replace(sweep.context.config, configuration=dict(winner.configuration), seed=seed, patience=None) for seed in seeds]
    # The first is the one that is saved: it takes rows as they are in their source.
    jobs = [evaluate.Job(config, epochs, None if number else dataset.features.to_json()) for number, config in enumerate(configs)]
    runs = evaluate.retrain(sweep.context, dataset, jobs, workers=sweep.workers, view=view)
    facts.record_stage(study, "retrain", began=began, epochs=epochs * len(runs))

    openings = len(study.facts.get("test_openings", []))
    size = "" if test.rows is None else f": {test.rows} rows"
    view.stage("test", text=f"the test split is opened{f' for the {openings + 1}. time' if openings else ''}{size}")
    rows = evaluate.open_test(test, record=lambda reason: facts.record_opening(study, reason), reason=f"final evaluation of trial {winner.number}")
    results = evaluate.score(sweep.context, dataset, runs, rows, workers=sweep.workers)
    if study.facts.get("final"):
        view.note("the test score is of another winner than before: with each further look at the test split it promises a little too much")
    evaluate.save_model(runs[0], sweep.spec.sweep_folder)
    if runs[0].unsaved:
        view.note(f"{runs[0].model_name} holds the weights alone, for Keras cannot write this network down: {runs[0].unsaved}")
    metrics = held_out.held_out_metrics(dataset, rows.x, rows.y, runs, results)
    final = {"trial": winner.number, "configuration": winner.configuration, "epochs": epochs, **metrics}
    write_card(sweep.spec.sweep_folder, final, sweep.context.config, dataset, study.facts, chosen=chosen_by(board))
    facts.record_final(study, final)
    return sweep.board()
