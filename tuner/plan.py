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
from dataclasses import replace
from typing import Any

import numpy as np
import optuna

from cluster import targets
from search_spaces.branches import Branch, branches
from search_spaces.space import SearchSpace
from tuner import data, evaluate
from tuner import spec as specs
from tuner.accounts import seed_of
from tuner.console import View
from tuner.costs import LEVEL, Measured, Stage, Sweep, expect
from tuner.errors import SpecError
from tuner.process import Limits
from tuner.report.numbers import count, duration
from tuner.training import Recipe
from tuner.trial import Work

# More rows than these are not needed to know how long a row takes.
ROWS_MEASURED = 10_000
# The first epoch of a training also compiles; the second is like all that follow.
EPOCHS_MEASURED = 2
# Weights, their gradients and two moments, 4 bytes each.
BYTES_PER_PARAMETER = 16


def make_plan(
    spec: specs.SweepSpec,
    *,
    measure: int = 4,
    price_per_hour: float | None = None,
    view: View,
    interrupted: threading.Event,
    search_path: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the plan of a sweep as JSON.

    Args:
        spec: checked.
        measure: how many configurations, drawn at random, are trained for two epochs.
        price_per_hour: of all machines together, in any currency; None: no money is spoken of.
        view: is told what happens.
        interrupted: set from a signal handler.
        search_path: folders in which the spec's own builder is looked for.

    Returns:
        `sweep` (what is planned), `branches` (how many were built, and `impossible` ones), `parameters` and `memory` (ranges), `measured`, `stages`
        and `total` (epochs and seconds, each `low`, `middle`, `high`), and `money` where a price is given.

    Raises:
        SpecError: no network can be built, or a budget does not even pay for one full training.
    """
    space = spec.search_space()
    view.stage("data", text=spec.dataset.source)
    dataset, _ = data.load(spec.dataset, spec.seed)
    began = time.monotonic()
    with targets.connect(spec.cluster) as cluster:
        resources = spec.resources.resolve(cluster.capacity)
        slots = min(cluster.capacity.fits(resources), spec.search.max_concurrent or 10**6)
        connected_s = time.monotonic() - began
        view.stage("cluster", text=f"{cluster.description}: {slots} trial{'s' * (slots != 1)} at a time, {resources} each")
        recipe = Recipe(
            builder=space.builder,
            configuration={},
            task=dataset.task,
            outputs=dataset.outputs,
            epochs=spec.training.max_epochs,
            seed=seed_of(spec.seed, 0, "plan"),
            deterministic=spec.training.deterministic,
            precision=spec.training.precision,
            search_path=search_path,
        )
        fold = dataset.folds[0]
        share = min(1.0, ROWS_MEASURED / len(fold.train))
        part = (_part(fold.train, share), _part(fold.validation, share), dataset.scaling(fold.train))
        limits = Limits(threads=int(resources.cpus), memory_bytes=resources.memory_bytes)
        work = Work(dataset.x, dataset.y, (part,), recipe, limits, cluster.scratch, cluster.scratch, epoch_timeout_s=spec.training.epoch_timeout_s)
        workers = evaluate.Workers(resources, interrupted)

        every = branches(space)
        view.stage("build", text=f"{count(len(every), 'branch').replace('branchs', 'branches')} of {space.name}")
        built, impossible = _build(work, every, workers)
        if not built:
            raise SpecError(f"space: no network of it can be built ({impossible[0]['reason']}); mend the builder or narrow the space")
        drawn = _draw(space, measure, spec.seed)
        view.stage("measure", text=f"{count(len(drawn), 'configuration')}, {EPOCHS_MEASURED} epochs each on {share:.0%} of the rows")
        tried, failed = _measure(work, drawn, workers)
    networks = len(dataset.folds)
    if not tried:
        raise SpecError(f"space: none of {count(len(drawn), 'configuration')} drawn at random could be trained ({failed[0]['reason']})")
    measured = [_full(probed, share, networks) for _, probed in tried]
    _refuse(spec, measured)
    view.stage("forecast")
    evaluation = spec.evaluation
    sweep = Sweep(
        space,
        spec.objective_for(dataset.task),
        spec.search,
        spec.scheduler,
        max_epochs=spec.training.max_epochs,
        slots=slots,
        confirm=evaluation.confirm if evaluation.enabled else 0,
        confirm_budget=evaluation.confirm_budget,
        seeds=evaluation.seeds if evaluation.enabled else 0,
        pool_share=len(dataset.y) / len(fold.train),
        networks=networks,
    )
    stages, total = expect(sweep, measured, seed=spec.seed)
    sizes = [probed.parameters for probed in built] + [probed.parameters for _, probed in tried]
    peaks = [probed.peak_bytes for _, probed in tried if probed.peak_bytes is not None]
    found: dict[str, Any] = {
        "sweep": {"name": spec.name, "space": space.name, "dataset": spec.dataset.source, "slots": slots, "resources": str(resources)},
        "branches": {"built": len(every) - sum(each["wholly"] for each in impossible), "impossible": impossible, "failed_draws": failed},
        "parameters": {"low": min(sizes), "high": max(sizes)},
        "memory": {"state_bytes": BYTES_PER_PARAMETER * max(sizes) * networks, "measured_bytes": max(peaks, default=None)},
        "measured": [
            {"configuration": dict(configuration), "parameters": probed.parameters, "epoch_s": full.seconds, "start_s": full.start_s}
            for (configuration, probed), full in zip(tried, measured, strict=True)
        ],
        "connect_s": connected_s,
        "level": LEVEL,
        "stages": [_stage(stage) for stage in stages],
        "total": _stage(total),
    }
    if price_per_hour is not None:
        found["money"] = {"price_per_hour": price_per_hour, **(total.seconds * (price_per_hour / 3600)).to_json()}
    return found


def text(found: Mapping[str, Any]) -> str:
    """Return a plan for people, at most 100 columns wide but for configurations."""
    sweep, branched, measured = found["sweep"], found["branches"], found["measured"]
    seconds = [each["epoch_s"] for each in measured]
    sizes, memory = found["parameters"], found["memory"]
    used = f"; a process that was measured used up to {_size(memory['measured_bytes'])}" if memory["measured_bytes"] else ""
    lines = [
        f"{sweep['name']}: {sweep['space']} on {sweep['dataset']}, {count(sweep['slots'], 'trial')} at a time, {sweep['resources']} each",
        f"{'branches':<12}{branched['built']} can be built, {len([each for each in branched['impossible'] if each['wholly']]) or 'none'} cannot",
        f"{'parameters':<12}{sizes['low']:,} to {sizes['high']:,}",
        f"{'memory':<12}up to {_size(memory['state_bytes'])} for the largest network's state{used}",
        f"{'measured':<12}{count(len(measured), 'configuration')}: {min(seconds):.3g} to {max(seconds):.3g} s an epoch",
        "",
        f"{'':<12}{'epochs':<20}time",
    ]
    for stage in [*found["stages"], found["total"]]:
        epochs = _range(stage["epochs"], lambda value: f"{value:,.0f}")
        lines.append(f"{stage['name']:<12}{epochs:<20}{_range(stage['seconds'], duration)}")
    if "money" in found:
        money = _range(found["money"], lambda value: f"{value:,.2f}")
        lines.append(f"{'money':<12}{'':<20}{money} at {found['money']['price_per_hour']:g} per hour")
    lines += ["", f"Each range is expected to hold with a chance of {found['level']:.0%}: a simulation from these measurements, not a promise."]
    for each in branched["impossible"]:
        when = "impossible" if each["wholly"] else "impossible when large"
        lines += ["", f"{when}: {each['name']}: {each['reason']}", f"  {json.dumps(each['configuration'])}"]
    for each in branched["failed_draws"]:
        lines += ["", f"failed when tried: {each['reason']}", f"  {json.dumps(each['configuration'])}"]
    return "\n".join(lines)


def _build(work: Work, every: Sequence[Branch], workers: evaluate.Workers) -> tuple[list[evaluate.Probed], list[dict[str, Any]]]:
    """Build each branch at its largest, where that fails at its smallest, and the smallest of all; return what was built, and what cannot be."""

    def probe(configurations: Sequence[Mapping[str, Any]]) -> dict[int, evaluate.Probed | str]:
        jobs = [evaluate.Job(replace(work.recipe, configuration=dict(configuration)), 0) for configuration in configurations]
        return dict(evaluate.probe(work, jobs, workers=workers))

    # Many branches are the same configuration where everything else is at its first choice.
    distinct = list({json.dumps(configuration, sort_keys=True): configuration for configuration in [branch.largest for branch in every]}.values())
    large = probe([*distinct, every[0].smallest])
    found = {json.dumps(configuration, sort_keys=True): large[index] for index, configuration in enumerate(distinct)}
    failed = [branch for branch in every if isinstance(found[json.dumps(branch.largest, sort_keys=True)], str)]
    small = probe([branch.smallest for branch in failed])
    impossible = [
        {
            "name": branch.name,
            "reason": found[json.dumps(branch.largest, sort_keys=True)],
            "configuration": dict(branch.largest),
            "wholly": isinstance(small[index], str),
        }
        for index, branch in enumerate(failed)
    ]
    built = [result for result in [*large.values(), *small.values()] if isinstance(result, evaluate.Probed)]
    return built, impossible


def _draw(space: SearchSpace, number: int, seed: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed_of(seed, 1, "plan")))
    return [space.suggest(study.ask()) for _ in range(number)]


def _measure(
    work: Work, drawn: Sequence[Mapping[str, Any]], workers: evaluate.Workers
) -> tuple[list[tuple[Mapping[str, Any], evaluate.Probed]], list[dict[str, Any]]]:
    jobs = [evaluate.Job(replace(work.recipe, configuration=dict(configuration)), EPOCHS_MEASURED) for configuration in drawn]
    results = dict(evaluate.probe(work, jobs, workers=workers))
    tried: list[tuple[Mapping[str, Any], evaluate.Probed]] = []
    failed = []
    for index, configuration in enumerate(drawn):
        result = results[index]
        if isinstance(result, str):
            failed.append({"reason": result, "configuration": dict(configuration)})
        else:
            tried.append((configuration, result))
    return tried, failed


def _full(probed: evaluate.Probed, share: float, networks: int) -> Measured:
    """Return what a network takes on all rows, from what it took on a part of them."""
    first, *later = probed.seconds
    steady = min(later)
    return Measured(seconds=networks * steady / share, start_s=probed.start_s + networks * max(0.0, first - steady))


def _part(rows: np.ndarray, share: float) -> np.ndarray:
    return rows[: max(1, math.ceil(len(rows) * share))]


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


def _stage(stage: Stage) -> dict[str, Any]:
    return {"name": stage.name, "epochs": stage.epochs.to_json(), "seconds": stage.seconds.to_json()}


def _range(span: Mapping[str, float], shown: Any) -> str:
    low, high = shown(span["low"]), shown(span["high"])
    return low if low == high else f"{low} to {high}"


def _size(amount: float) -> str:
    return f"{amount / 2**20:,.0f} MiB" if amount < 2**30 else f"{amount / 2**30:,.1f} GiB"
