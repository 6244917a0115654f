"""What a sweep will take, stage by stage, from what a few networks took: intervals, not numbers.

The search is simulated: the very scheduler that Ray drives, on a virtual clock (simulate.py), over made-up learning curves, many times. Each time
it is drawn anew how much trials differ, how fast they learn, how noisy epochs are, how fast the machine is that day, and how far the networks
that will be tried are faster or slower than the few that were measured. The confirmation that follows is the race of confirm.py over the trials
of this search.

What the model does not know: failures, other users of the machine, and what the sampler itself takes to think. Must not know how networks are
measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.space import SearchSpace
from tuner.results.confirm import Race, candidates
from tuner.results.leaderboard import Leaderboard
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers.named import SearchSection
from tuner.search.simulate import Curve, Problem, search
from tuner.spec.sweep_spec import SweepSpec
from tuner.study.objective import Objective
from tuner.study.record import Study

REPETITIONS = 20
LEVEL = 0.8
# By how much the same training may take longer or shorter another time: a standard deviation of the logarithm.
SPEED_SPREAD = 0.15
# How much networks of a space differ in speed, as a standard deviation of the logarithm: at least, and where only one was measured.
LEAST_SCATTER = 0.1
UNKNOWN_SCATTER = 0.5
# How far a sampler that learns may move from the mean speed of the space, and the best of what was tried from the mean of that, in such standard deviations.
LEARNT_SHIFT = 0.5
BEST_SHIFT = 0.5
# Of an epoch under way, and of what ends after it, when the seconds of a search are over: up to so many epochs.
LAST_EPOCHS = 2.0
# The largest share of what stopping by forecast saves over made-up curves that it does not save over real ones.
LOST_SAVING = 1.0
# How many times as much as epochs of one training the same epoch may scatter from seed to seed.
SEEDS_DIFFER = 4.0
# The smallest share of what the start of a trial takes that the start of a later training takes.
LEAST_START = 0.2
# Seconds that the first stage after the search waits for workers of its own, each a Python that imports Ray: on a fast machine, and on a busy one.
WORKERS_S = (1.0, 4.0)
# Trials before a sampler that learns has learnt anything.
WARM_UP = 10
# Trials of a search that are simulated, or two for each that runs at a time: a longer search is taken to go on as the second half of these went.
MOST_SIMULATED = 80


@dataclass(frozen=True)
class Measured:
    """What one network took.

    Attributes:
        seconds: of an epoch over all rows that trials train on.
        start_s: what a training takes beside its epochs.
    """

    seconds: float
    start_s: float


@dataclass(frozen=True)
class Span:
    """Where a number is expected: between `low` and `high` with a chance of 80 %, `middle` as likely above as below."""

    low: float
    middle: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return it as JSON."""
        return {"low": self.low, "middle": self.middle, "high": self.high}

    def __mul__(self, factor: float) -> "Span":
        return Span(self.low * factor, self.middle * factor, self.high * factor)


@dataclass(frozen=True)
class Stage:
    """What a stage is expected to take. A stage that may not happen has a low end of 0."""

    name: str
    epochs: Span
    seconds: Span

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "epochs": self.epochs.to_json(), "seconds": self.seconds.to_json()}


@dataclass(frozen=True)
class CostInputs:
    """What the spec says of a sweep, as far as it decides what the sweep takes.

    Attributes:
        slots: trials at a time.
        confirm: how many of the best are confirmed; 0: none.
        confirm_budget: as a share of the search's epochs.
        seeds: final trainings; 0: none.
        pool_share: rows of a final training by rows of a trial's.
        networks: that a trial trains at a time: one per fold.
        waited_s: from the beginning of a search to the start of its first trials: Ray's workers start, and TensorFlow is loaded.
    """

    space: SearchSpace
    objective: Objective
    search: SearchSection
    scheduler: SchedulerSection
    max_epochs: int
    slots: int
    confirm: int = 0
    confirm_budget: float = 0.5
    seeds: int = 0
    pool_share: float = 1.0
    networks: int = 1
    waited_s: float = 0.0

    @classmethod
    def of(cls, spec: SweepSpec, space: SearchSpace, objective: Objective, *, slots: int, pool_share: float, networks: int, waited_s: float) -> "CostInputs":
        """Return what a spec says; the rest is as in the attributes.

        Args:
            spec: of the sweep.
            space: of the sweep.
            objective: of the sweep.
            slots: trials at a time.
            pool_share: rows of the whole pool for each that a trial trains on.
            networks: of a trial, one per fold.
            waited_s: how long workers took until the first was ready, in seconds.
        """
        evaluation = spec.evaluation
        return cls(
            space,
            objective,
            spec.search,
            spec.scheduler,
            max_epochs=spec.training.max_epochs,
            slots=slots,
            confirm=evaluation.confirm if evaluation.enabled else 0,
            confirm_budget=evaluation.confirm_budget,
            seeds=evaluation.seeds if evaluation.enabled else 0,
            pool_share=pool_share,
            networks=networks,
            waited_s=waited_s,
        )


def expect(sweep: CostInputs, measured: Sequence[Measured], *, seed: int) -> tuple[list[Stage], Stage]:
    """Return what each stage is expected to take, and all of them together.

    Args:
        sweep: what is planned.
        measured: a few of its networks, drawn at random.
        seed: of all draws.

    Raises:
        ValueError: nothing was measured.
    """
    if not measured:
        raise ValueError("expect: got no measured network; expected at least one")
    outcomes = [_once(sweep, measured, np.random.default_rng([seed, repetition])) for repetition in range(REPETITIONS)]
    stages = [
        Stage(name, _whole(_span([outcome[name][0] for outcome in outcomes])), _span([outcome[name][1] for outcome in outcomes]))
        for name in ("search", "confirm", "retrain")
        if any(outcome[name][0] for outcome in outcomes)
    ]
    totals = [tuple(math.fsum(taken[part] for taken in outcome.values()) for part in (0, 1)) for outcome in outcomes]
    return stages, Stage("in all", _whole(_span([epochs for epochs, _ in totals])), _span([seconds for _, seconds in totals]))


def _once(sweep: CostInputs, measured: Sequence[Measured], draw: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Simulate the sweep once; return stage -> (epochs, seconds)."""
    learns = sweep.search.sampler not in ("random", "qmc", "grid")
    # A few networks say little of how fast all are, and a sampler that learns does not choose among all alike.
    logarithms = np.log([each.seconds for each in measured])
    scatter = max(float(logarithms.std(ddof=1)), LEAST_SCATTER) if len(measured) > 1 else UNKNOWN_SCATTER
    unsure = scatter * math.sqrt(1 / len(measured) + (LEARNT_SHIFT**2 if learns else 0.0))
    speed = math.exp(draw.normal(scale=SPEED_SPREAD) + draw.normal(scale=unsure))
    # Each range covers what learning curves of real networks do (LCBench, tests/benchmarks/forecast.py): most are near the best, a few far below it.
    rate, speeds, spread = draw.uniform(0.03, 0.4), draw.uniform(0.3, 1.5), draw.uniform(0.5, 4.0)
    noise = math.exp(draw.uniform(math.log(0.05), math.log(2.0)))
    # A sampler that learns proposes better and better configurations: of each it weighs some, and fewer of its trials deserve to be stopped.
    weighed = int(draw.integers(2, 9)) if learns else 1
    # It begins with the space's default configuration, which is better than most, and whoever comes after is compared with it.
    default = learns and sweep.space.default() is not None
    # What early epochs cannot tell of late ones.
    drift = draw.uniform(0.0, 1.0)
    sign = 1.0 if sweep.objective.mode == "max" else -1.0
    networks: dict[int, Measured] = {}

    def curve(configuration: Mapping[str, Any], seed: int) -> Curve:
        own = np.random.default_rng([seed, int(1e6 * speed)])
        network = networks[seed] = measured[int(own.integers(len(measured)))]
        epochs = np.arange(1, sweep.max_epochs + 1)
        chosen = len(networks) > WARM_UP or (len(networks) == 1 and default)
        final = -math.exp(0.8 * own.normal(size=weighed if chosen else 1).min())
        worth = final - spread * np.exp(-rate * math.exp(speeds * own.normal()) * epochs)
        worth += drift * own.normal() * epochs / sweep.max_epochs + noise * own.normal(size=sweep.max_epochs)
        seconds = np.full(sweep.max_epochs, network.seconds * speed)
        seconds[0] += network.start_s * speed
        return Curve([float(value) for value in sign * worth], [float(value) for value in seconds])

    lost, last, seed = LOST_SAVING * draw.random() ** 2, draw.uniform(0.0, LAST_EPOCHS), int(draw.integers(2**31))
    study, epochs, taken = _searched(sweep, curve, lost=lost, last=last, seed=seed)
    taken += sweep.waited_s
    board = Leaderboard.of(study.trials(), sweep.objective, {})
    stages = {"search": (epochs, taken), "confirm": (0.0, 0.0), "retrain": (0.0, 0.0)}

    # Seeds differ at least as much as epochs do.
    between = noise * math.exp(draw.uniform(0.0, math.log(SEEDS_DIFFER)))
    # By now processes stand ready, and what was compiled for a network may be used again.
    again = draw.uniform(LEAST_START, 1.0)
    workers_s = draw.uniform(*WORKERS_S)
    # What is best is seldom of mean size.
    best_speed = speed * math.exp(draw.normal(scale=BEST_SHIFT * scatter))

    def seconds_of(trial: int, epochs: float) -> float:
        network = networks[study.trials()[trial].user_attrs["seed"]]
        return best_speed * (again * network.start_s + epochs * network.seconds)

    winner, budget = board.best, int(sweep.confirm_budget * epochs)
    field = candidates(board.ranked, sweep.confirm, budget) if sweep.confirm > 1 else ()
    if field:
        race = Race(field, sweep.objective, budget)
        scores: dict[tuple[int, int], float | None] = {}
        taken = 0.0
        while wanted := race.next(scores):
            each = [seconds_of(trial, race.epochs(trial)) for trial, _ in wanted]
            taken += max(max(each), math.fsum(each) / sweep.slots)
            scores |= {(trial, index): board.find(trial).score + between * float(draw.normal()) for trial, index in wanted}  # type: ignore[operator]
        stages["confirm"] = (float(sum(race.epochs(trial) for trial, _ in scores)), taken + workers_s)
        workers_s = 0.0
        chosen = next(entry["trial"] for entry in race.verdict(scores) if entry["chosen"])
        winner = board.find(chosen)
    if sweep.seeds:
        length = winner.best_epoch or 1
        # A final training is of one network on all rows, a trial's of one per fold.
        once = seconds_of(winner.number, length * sweep.pool_share / sweep.networks)
        stages["retrain"] = (float(length * sweep.seeds), once * math.ceil(sweep.seeds / sweep.slots) + workers_s)
    return stages


def _searched(sweep: CostInputs, curves: Callable[[Mapping[str, Any], int], Curve], *, lost: float, last: float, seed: int) -> tuple[Study, float, float]:
    """Simulate a search, or the beginning of a long one; return its study, and epochs and seconds of the whole.

    Args:
        sweep: whose search.
        curves: a configuration and a seed -> what training it gives.
        lost: the share of what stopping by forecast saves here that it would not save over real curves.
        last: epochs that end after the search's seconds are over, one after another.
        seed: of the search.
    """
    most = {"trials": sweep.search.trials, "epochs": sweep.search.epochs, "seconds": sweep.search.seconds}
    limits = {what: math.inf if limit is None else float(limit) for what, limit in most.items()}
    limits["seconds"] = max(1e-3, limits["seconds"] - sweep.waited_s)
    plain: dict[str, Any] = {"sampler": "random", "baselines": False, "warm_start": [], "also_minimize": None, "max_concurrent": None}
    simulated = max(MOST_SIMULATED, 2 * sweep.slots)
    plain["trials"] = int(min(limits["trials"], simulated))
    plain["seconds"] = limits["seconds"] if math.isfinite(limits["seconds"]) else None
    problem = Problem(sweep.space, sweep.objective, curves, sweep.max_epochs)
    study, events = search(problem, search=sweep.search.model_copy(update=plain), scheduler=sweep.scheduler, workers=sweep.slots, seed=seed)
    if not events:
        return study, 0.0, 0.0
    trials, epochs, taken = len(study.trials()), len(events), max(event.seconds for event in events)
    # Real curves are harder to foresee than made-up ones: of what foresight saves here, it mostly saves nearly all there, but where networks are alike, little.
    unsaved = lost * (trials * sweep.max_epochs - epochs) if sweep.scheduler.name == "forecast" else 0.0
    longer = max(1.0, min(1 + unsaved / epochs, limits["epochs"] / epochs, limits["seconds"] / taken))
    reached = {"trials": float(trials), "epochs": epochs * longer, "seconds": taken * longer}
    if trials >= simulated:
        # The search goes on as its second half went.
        half = next(index for index, event in enumerate(events) if event.number >= trials // 2)
        a_trial = {"trials": 1.0, "epochs": longer * (epochs - half) / (trials / 2), "seconds": longer * (taken - events[half].seconds) / (trials / 2)}
        more = max(0.0, min((limits[what] - reached[what]) / a_trial[what] for what in limits))
        reached = {what: reached[what] + more * a_trial[what] for what in reached}
    if reached["seconds"] >= 0.999 * limits["seconds"]:
        reached["seconds"] = limits["seconds"] + last * sweep.slots * reached["seconds"] / reached["epochs"]
    return study, reached["epochs"], reached["seconds"]


def _whole(span: Span) -> Span:
    """Return a range of what is counted: its ends are numbers that a count can have."""
    return Span(float(math.floor(span.low)), float(round(span.middle)), float(math.ceil(span.high)))


def _span(values: Sequence[float]) -> Span:
    # Weibull's positions: between these ends of a few draws another draw falls with the chance that is promised, not with less.
    low, middle, high = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], method="weibull")
    return Span(float(low), float(middle), float(high))
