"""What a sweep will be like, before anything is paid for it: every branch of its space is built, a few networks are tried out, the rest is forecast.

Owns what is tried, which plans are refused because no sweep could come of them, and the plan's text. Trials are built and measured by the machinery
that later trains them, on the workers that the spec names. Nothing is written, and the test split stays sealed. Must not know how costs are computed
from measurements (costs.py).
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import optuna

from cluster import targets, waiting
from cluster.gpus import check_share
from cluster.resources import Allotment
from search_spaces.choice_coverage import Branch, branches
from search_spaces.space import SearchSpace
from tuner.data import dataset as data
from tuner.data.decisions import lines
from tuner.data.splits.drawing import Fold
from tuner.errors import SpecError
from tuner.monitor.console import View
from tuner.report.numbers import count, duration
from tuner.results import evaluate
from tuner.spec import sweep_spec as specs
from tuner.study.seeds import seed_of
from tuner.sweep.costs import LEVEL, CostInputs, Measured, expect
from tuner.sweep.first_batch import try_first_batch
from tuner.sweep.found_space import space_lines, space_of
from tuner.sweep.given import NOTHING, Given
from tuner.training import starting
from tuner.training.trial import TrialContext

# So many rows hold a batch of any usual size.
ROWS_TRIED = 1024
# More rows than these are not needed to know how long a row takes.
ROWS_MEASURED = 10_000
# The first epoch of a training also compiles; the second is like all that follow.
EPOCHS_MEASURED = 2
# With a smaller share of its CPUs' worth than this, a trial has more of them than its network can use.
CPUS_USED = 0.6
# Weights, their gradients and two moments, 4 bytes each.
BYTES_PER_PARAMETER = 16


def make_plan(
    spec: specs.SweepSpec,
    *,
    measure: int = 4,
    price_per_hour: float | None = None,
    view: View,
    interrupted: threading.Event,
    given: Given = NOTHING,
) -> dict[str, Any]:
    """Return the plan of a sweep as JSON.

    Args:
        spec: checked.
        measure: how many configurations, drawn at random, are trained for two epochs.
        price_per_hour: of all machines together, in any currency; None: no money is spoken of.
        view: shows what happens.
        interrupted: set from a signal handler.
        given: code and data that are not in the spec.

    Returns:
        `sweep` (what is planned), `space` (as `SearchSpace.describe` has its parameters) where the builder was run to find it, `branches` (how many were
        built, and `impossible` ones), `parameters` and `memory` (ranges), `measured`, `hint` (what would be better, or None), `stages` and `total` (epochs
        and seconds, each `low`, `middle`, `high`), and `money` where a price is given.

    Raises:
        SpecError: no network can be built, or a budget does not even pay for one full training.
    """
    if spec.cluster.target == "in-process":
        raise SpecError('cluster.target: got "in-process", which is for debugging and has no plan; expected another: --set \'cluster={target="local"}\'')
    view.stage("data", text=spec.dataset.source)
    dataset, _ = given.load() if given.load else data.load(spec.dataset, spec.seed, given.search_path)
    for line in lines(dataset.facts.get("decisions", ())):
        view.note(line)
    specs.check_reports(spec, dataset.task)
    specs.class_weight_of(spec, dataset)  # refuses what the data do not have
    began = time.monotonic()
    # As a sweep does: TensorFlow is loaded on this machine while Ray starts.
    with starting.ahead() if spec.cluster.target == "local" else nullcontext(), targets.connect(spec.cluster) as cluster:
        allotment, capacity = waiting.place(spec.resources, spec.cluster.patience_s, tell=view.note, interrupted=interrupted)
        slots = min(allotment.fits(capacity), spec.search.max_concurrent or 10**6)
        for each in allotment.every:
            check_share(each.gpus)
        connected_s = time.monotonic() - began
        view.stage("cluster", text=f"{cluster.description}: {slots} trial{'s' * (slots != 1)} at a time, {allotment} each")
        config = spec.training_config(dataset, given.search_path).of({}, seed_of(spec.seed, 0, "plan"))
        fold = dataset.folds[0]
        share = min(1.0, ROWS_MEASURED / len(fold.train))
        part = Fold(_part(fold.train, share), _part(fold.validation, share), dataset.scalings(fold.train))
        timeout_s = spec.training.epoch_timeout_s
        context = TrialContext(dataset.pool, (part,), config, cluster.scratch, cluster.scratch, epoch_timeout_s=timeout_s, code=given.code)
        workers = evaluate.Workers(allotment, interrupted)

        for line in begun_again(spec):
            view.note(line)
        space = space_of(spec, None, given, view=view, interrupted=interrupted)
        try_first_batch(spec, dataset, space, given, view=view, interrupted=interrupted)
        every = branches(space)
        view.stage("build", text=f"{count(len(every), 'branch').replace('branchs', 'branches')} of {space.name}")
        waiting_since = time.monotonic()
        built, impossible, first_at = _build(context, every, workers)
        if not built:
            raise SpecError(f"space: no network of it can be built ({impossible[0]['reason']}); mend the builder or narrow the space")
        drawn = _draw(space, measure, spec.seed)
        view.stage("measure", text=f"{count(len(drawn), 'configuration')}, {EPOCHS_MEASURED} epochs each on {share:.0%} of the rows")
        tried, failed = _measure(context, drawn, workers)
        hint = _too_many_cpus(context, tried, allotment, workers)
    networks = len(dataset.folds)
    if not tried:
        raise SpecError(f"space: none of {count(len(drawn), 'configuration')} drawn at random could be trained ({failed[0]['reason']})")
    measured = [_full(probed, share, networks) for _, probed in tried]
    _refuse(spec, measured)
    view.stage("forecast")
    objective = spec.objective_for(dataset.task)
    waited_s = first_at - waiting_since
    sweep = CostInputs.of(spec, space, objective, slots=slots, pool_share=len(dataset.whole) / len(fold.train), networks=networks, waited_s=waited_s)
    stages, total = expect(sweep, measured, seed=spec.seed)
    sizes = [probed.parameters for probed in built] + [probed.parameters for _, probed in tried]
    peaks = [probed.peak_bytes for _, probed in tried if probed.peak_bytes is not None]
    plan: dict[str, Any] = {
        "sweep": {
            "name": spec.name,
            "space": space.name,
            "dataset": spec.dataset.source,
            "slots": slots,
            "resources": str(allotment),
            "objective": {"metric": objective.metric, "mode": objective.mode},
        },
        "branches": {"built": len(every) - sum(each["wholly"] for each in impossible), "impossible": impossible, "failed_draws": failed},
        "parameters": {"low": min(sizes), "high": max(sizes)},
        "memory": {"state_bytes": BYTES_PER_PARAMETER * max(sizes) * networks, "measured_bytes": max(peaks, default=None)},
        "measured": [
            {"configuration": dict(configuration), "parameters": probed.parameters, "epoch_s": full.seconds, "start_s": full.start_s}
            for (configuration, probed), full in zip(tried, measured, strict=True)
        ],
        "hint": hint,
        "connect_s": connected_s,
        "level": LEVEL,
        "stages": [stage.to_json() for stage in stages],
        "total": total.to_json(),
    }
    if spec.space.define_by_run:
        plan["space"] = space.describe()["parameters"]
    if price_per_hour is not None:
        plan["money"] = {"price_per_hour": price_per_hour, **(total.seconds * (price_per_hour / 3600)).to_json()}
    return plan


def text(plan: Mapping[str, Any]) -> str:
    """Return a plan for people, at most 100 columns wide but for configurations."""
    sweep, branched, measured = plan["sweep"], plan["branches"], plan["measured"]
    seconds = [each["epoch_s"] for each in measured]
    sizes, memory = plan["parameters"], plan["memory"]
    used = f"; a process that was measured used up to {_size(memory['measured_bytes'])}" if memory["measured_bytes"] else ""
    lines = [
        f"{sweep['name']}: {sweep['space']} on {sweep['dataset']}, {count(sweep['slots'], 'trial')} at a time, {sweep['resources']} each",
        f"{'objective':<12}{sweep['objective']['metric']}: {'higher' if sweep['objective']['mode'] == 'max' else 'lower'} is better",
        f"{'branches':<12}{branched['built']} can be built, {len([each for each in branched['impossible'] if each['wholly']]) or 'none'} cannot",
        f"{'parameters':<12}{sizes['low']:,} to {sizes['high']:,}",
        f"{'memory':<12}up to {_size(memory['state_bytes'])} for the largest network's state{used}",
        f"{'measured':<12}{count(len(measured), 'configuration')}: {min(seconds):.3g} to {max(seconds):.3g} s an epoch",
        "",
        f"{'':<12}{'epochs':<20}time",
    ]
    for stage in [*plan["stages"], plan["total"]]:
        epochs = _range(stage["epochs"], lambda value: f"{value:,.0f}")
        lines.append(f"{stage['name']:<12}{epochs:<20}{_range(stage['seconds'], duration)}")
    if "money" in plan:
        money = _range(plan["money"], lambda value: f"{value:,.2f}")
        lines.append(f"{'money':<12}{'':<20}{money} at {plan['money']['price_per_hour']:g} per hour")
    lines += ["", plan["hint"]] if plan["hint"] else []
    lines += ["", f"Each range is expected to hold with a chance of {plan['level']:.0%}: a simulation from these measurements, not a promise."]
    if "space" in plan:
        lines += ["", "the space that the builder showed:", *space_lines(plan["space"])]
    for each in branched["impossible"]:
        when = "impossible" if each["wholly"] else "impossible when large"
        lines += ["", f"{when}: {each['name']}: {each['reason']}", f"  {json.dumps(each['configuration'])}"]
    for each in branched["failed_draws"]:
        lines += ["", f"failed when tried: {each['reason']}", f"  {json.dumps(each['configuration'])}"]
    return "\n".join(lines)


def begun_again(spec: specs.SweepSpec) -> list[str]:
    """Return what an interruption costs besides an epoch, before anything is trained."""
    said = [f"trials are trained by {spec.training.fit}: one that is interrupted is begun again from its first epoch"] if spec.training.fit else []
    if spec.training.callbacks:
        said.append(f"{spec.training.callbacks}: a trial that is interrupted goes on from its checkpoint, and its callbacks begin anew")
    return said


def _build(context: TrialContext, every: Sequence[Branch], workers: evaluate.Workers) -> tuple[list[evaluate.Probed], list[dict[str, Any]], float]:
    """Build each branch at its largest, where that fails at its smallest, and the smallest of all.

    Returns:
        What was built, what cannot be, and when (by `time.monotonic`) the workers were ready for the first of them.
    """
    ready: list[float] = []

    def probe(configurations: Sequence[Mapping[str, Any]]) -> dict[int, evaluate.Probed | str]:
        jobs = [evaluate.Job(replace(context.config, configuration=dict(configuration)), 0) for configuration in configurations]
        results = {}
        for index, result in evaluate.probe(context, jobs, workers=workers):
            results[index] = result
            ready.append(time.monotonic())
        return results

    # Many branches are the same configuration where everything else is at its first choice.
    distinct = list({json.dumps(configuration, sort_keys=True): configuration for configuration in [branch.largest for branch in every]}.values())
    large = probe([*distinct, every[0].smallest])
    results = {json.dumps(configuration, sort_keys=True): large[index] for index, configuration in enumerate(distinct)}
    failed = [branch for branch in every if isinstance(results[json.dumps(branch.largest, sort_keys=True)], str)]
    small = probe([branch.smallest for branch in failed])
    impossible = [
        {
            "name": branch.name,
            "reason": results[json.dumps(branch.largest, sort_keys=True)],
            "configuration": dict(branch.largest),
            "wholly": isinstance(small[index], str),
        }
        for index, branch in enumerate(failed)
    ]
    built = [result for result in [*large.values(), *small.values()] if isinstance(result, evaluate.Probed)]
    return built, impossible, ready[0]


def too_large(context: TrialContext, space: SearchSpace, workers: evaluate.Workers) -> list[str]:
    """Try out, on a share of a GPU, whether the largest networks of a space fit into it; return those that do not, one line each.

    Every branch is built at its largest. Of what can be built, the one with the most weights is trained on a few rows: at its own batch size, with its
    optimizer's memory. Where trials have whole GPUs or none, nothing is tried.

    Args:
        context: as trials have it.
        space: what is searched.
        workers: where trials run.
    """
    largest = {json.dumps(branch.largest, sort_keys=True): branch.largest for branch in branches(space)}.values()
    tried = [configuration for configuration in largest if workers.allotment.of(configuration).is_share]
    if not tried:
        return []

    def probe(configurations: Sequence[Mapping[str, Any]], epochs: int) -> list[evaluate.Probed | str]:
        jobs = [evaluate.Job(replace(context.config, configuration=dict(configuration)), epochs) for configuration in configurations]
        outcome = dict(evaluate.probe(few, jobs, workers=workers))
        return [outcome[index] for index in range(len(jobs))]

    folds = [replace(fold, train=_part(fold.train, ROWS_TRIED / len(fold.train))) for fold in context.folds if fold.train is not None]
    few = replace(context, folds=tuple(folds))
    built = list(zip(tried, probe(tried, 0), strict=True))
    fitting = [(configuration, outcome) for configuration, outcome in built if isinstance(outcome, evaluate.Probed)]
    if fitting:
        heaviest = max(fitting, key=lambda pair: pair[1].parameters)[0]
        built += zip([heaviest], probe([heaviest], 1), strict=True)
    return [
        f"{workers.allotment.of(configuration).gpus:g} of a GPU is too small for the largest networks of the space ({outcome}): {json.dumps(configuration)}"
        for configuration, outcome in built
        if isinstance(outcome, str) and outcome.startswith("memory: ")
    ]


def _draw(space: SearchSpace, number: int, seed: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed_of(seed, 1, "plan")))
    return [space.suggest(study.ask()) for _ in range(number)]


def _measure(
    context: TrialContext, drawn: Sequence[Mapping[str, Any]], workers: evaluate.Workers
) -> tuple[list[tuple[Mapping[str, Any], evaluate.Probed]], list[dict[str, Any]]]:
    jobs = [evaluate.Job(replace(context.config, configuration=dict(configuration)), EPOCHS_MEASURED) for configuration in drawn]
    results = dict(evaluate.probe(context, jobs, workers=workers))
    tried: list[tuple[Mapping[str, Any], evaluate.Probed]] = []
    failed = []
    for index, configuration in enumerate(drawn):
        result = results[index]
        if isinstance(result, str):
            failed.append({"reason": result, "configuration": dict(configuration)})
        else:
            tried.append((configuration, result))
    return tried, failed


def _too_many_cpus(
    context: TrialContext, tried: Sequence[tuple[Mapping[str, Any], evaluate.Probed]], allotment: Allotment, workers: evaluate.Workers
) -> str | None:
    """Try the slowest network that was measured with one CPU as well; return a line where more of them are of little use to it."""
    cpus = allotment.usual.cpus
    if cpus < 2 or allotment.usual.gpus or not tried:
        return None
    configuration, _ = max(tried, key=lambda each: min(each[1].seconds[1:]))
    job = evaluate.Job(replace(context.config, configuration=dict(configuration)), EPOCHS_MEASURED)
    seconds: dict[float, float] = {}
    for number in (cpus, 1.0, cpus, 1.0):  # in turns, for what else runs on the machine
        place = evaluate.Workers(Allotment(replace(allotment.usual, cpus=number)), workers.interrupted)
        outcome = dict(evaluate.probe(context, [job], workers=place))[0]
        if isinstance(outcome, str):
            return None
        seconds[number] = min(*outcome.seconds[1:], seconds.get(number, math.inf))
    gain = seconds[1.0] / seconds[cpus]
    if gain > CPUS_USED * cpus:
        return None
    return (
        f"resources.cpus: {cpus:g} CPUs train the slowest network that was measured {gain:.1f} times as fast as one does ({seconds[cpus]:.2g} and "
        f"{seconds[1.0]:.2g} s an epoch); with 1 per trial, {cpus:g} times as many trials run at a time"
    )


def _full(probed: evaluate.Probed, share: float, networks: int) -> Measured:
    """Return what a network takes on all rows, from what it took on a part of them."""
    first, *later = probed.seconds
    steady = min(later)
    return Measured(seconds=networks * steady / share, start_s=probed.start_s + networks * max(0.0, first - steady))


def _part(rows: Any, share: float) -> Any:
    count = max(1, math.ceil(len(rows) * min(1.0, share)))
    return rows[:count] if isinstance(rows, np.ndarray) else rows.first(count)


def _refuse(spec: specs.SweepSpec, measured: Sequence[Measured]) -> None:
    """Refuse a budget that does not even pay for one full training of the fastest network."""
    epochs = spec.training.max_epochs
    fastest = min(measured, key=lambda each: each.start_s + epochs * each.seconds)
    least = fastest.start_s + epochs * fastest.seconds
    if spec.search.seconds is not None and spec.search.seconds < least:
        raise SpecError(
            f"search.seconds: got {spec.search.seconds:g}; expected at least {math.ceil(least)}, one full training of the fastest network that was "
            f"measured ({epochs} epochs of {fastest.seconds:.2g} s and {fastest.start_s:.2g} s to start); give more, or lower training.max_epochs"
        )


def _range(span: Mapping[str, float], shown: Any) -> str:
    low, high = shown(span["low"]), shown(span["high"])
    return low if low == high else f"{low} to {high}"


def _size(amount: float) -> str:
    return f"{amount / 2**20:,.0f} MiB" if amount < 2**30 else f"{amount / 2**30:,.1f} GiB"
