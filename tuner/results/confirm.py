"""Which of the best are really the best: a race on fresh seeds, decided from values alone.

The score by which a trial was chosen is the best of many draws of luck (the winner's curse). The best trials are therefore trained again from
scratch on fresh seeds, for as many epochs as their best one in the search had, and are scored at exactly that epoch: the best epoch of the new
training would again be a choice by luck. Every trial in the race gets two seeds; after each round whoever is clearly worse than the leader leaves,
and the others get one more, until one is left, each has five, or the budget is spent.

Owns who takes part, which seeds are trained next, and the verdict. The whole race is computed from the scores so far, so that it comes out the
same in whatever order they arrive and wherever it was interrupted. Must not know how a network is trained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy.special import stdtrit

from tuner.results.leaderboard import TrialRecord
from tuner.study.objective import Objective

LEAST_SEEDS = 2
MOST_SEEDS = 5
# How many seeds' worth the common variance counts in a candidate's own: few seeds say little of how seeds scatter, and networks do not scatter alike.
COMMON_WEIGHT = 2.0
# The chance of an error that intervals and comparisons may have.
LEVEL = 0.05
# The part of it that the intervals give up, because a race ends sooner where seeds happened to scatter little. By simulation (tests/benchmarks/confirm.py).
SPENT_ON_LOOKING = 0.01

Scores = Mapping[tuple[int, int], float | None]
Runs = Mapping[int, Sequence[float | None]]


@dataclass(frozen=True)
class Candidate:
    """A trial that takes part.

    Attributes:
        trial: its number.
        score: what the search saw.
        epochs: of each fresh training: the best epoch of the search.
        parameters: trainable parameters; None: not recorded.
    """

    trial: int
    score: float
    epochs: int
    parameters: int | None = None


@dataclass(frozen=True)
class _Estimate:
    """What the runs say of a candidate, as a cost: less is better. `error` is the standard error of the mean, `freedom` the degrees of freedom behind it."""

    mean: float
    error: float
    freedom: float


def candidates(ranked: Sequence[TrialRecord], most: int, budget: int) -> tuple[Candidate, ...]:
    """Return who takes part: as many of the best as the budget gives the least number of seeds to; nobody where that is fewer than two.

    Args:
        ranked: the trials with a rank, best first.
        most: how many may take part.
        budget: epochs that all fresh trainings may take together.
    """
    chosen: list[Candidate] = []
    spent = 0
    for record in ranked[:most]:
        if record.score is None or record.best_epoch is None:
            continue
        spent += LEAST_SEEDS * record.best_epoch
        if spent > budget:
            break
        chosen.append(Candidate(record.number, record.score, record.best_epoch, record.parameters))
    return tuple(chosen) if len(chosen) > 1 else ()


@dataclass(frozen=True)
class Race:
    """A race on fresh seeds.

    Its methods take all scores so far, (trial, index of its fresh seed, from 0) -> score; None: that training failed.

    Attributes:
        field: who takes part, at least two.
        objective: what is compared.
        budget: epochs that all fresh trainings may take together.

    Raises:
        ValueError: fewer than two take part.
    """

    field: tuple[Candidate, ...]
    objective: Objective
    budget: int

    def __post_init__(self) -> None:
        if len(self.field) < 2:
            raise ValueError(f"race: got {len(self.field)} candidates; expected at least two")

    def epochs(self, trial: int) -> int:
        """Return how long a fresh training of this trial is."""
        return next(each.epochs for each in self.field if each.trial == trial)

    def next(self, scores: Scores) -> list[tuple[int, int]]:
        """Return the trainings of the next round as (trial, index of the seed), none once the race is over; those of a round that was begun again."""
        runs = self._runs(scores)
        alive, seeds = _race(self.field, runs, self.objective)
        if seeds > MOST_SEEDS or (seeds > LEAST_SEEDS and len(alive) < 2):
            return []
        missing = [(each, index) for each in alive for index in range(len(runs[each.trial]), seeds)]
        spent = sum(len(runs[each.trial]) * each.epochs for each in self.field)
        if spent + sum(each.epochs for each, _ in missing) > self.budget:
            return []
        return [(each.trial, index) for each, index in missing]

    def verdict(self, scores: Scores) -> list[dict[str, Any]]:
        """Return how the race went, best first, as `report/facts_schema.py` describes it (`confirmed`).

        The winner has the fewest parameters among those that cannot be told from the first and lie within one standard error of it: that few seeds
        cannot tell two networks apart is no sign yet that they are alike. A candidate with a failed training is left out: what fails on one seed of
        a few is no network to rely on.

        Source: L. Breiman et al., Classification and Regression Trees, 1984, section 3.4.3, for the rule of one standard error.
        """
        runs = self._runs(scores)
        whole = [each for each in self.field if len(runs[each.trial]) >= LEAST_SEEDS and None not in runs[each.trial]]
        if not whole:
            return []
        estimates = _estimates(whole, runs, self.objective)
        order = sorted(whole, key=lambda each: estimates[each.trial].mean)
        worse = {each.trial: {other.trial for other in whole if _worse(each, other, estimates, len(self.field))} for each in whole}
        left = {each.trial for each in _race(self.field, runs, self.objective)[0]}
        first = next((each.trial for each in order if each.trial in left), order[0].trial)
        for each in order:
            # Whoever has left the race stays beaten, whatever later seeds of the others say.
            if each.trial not in left and each.trial != first:
                worse[each.trial].add(first)
        tied = [each for each in order if not worse[each.trial]]
        limit = estimates[tied[0].trial].mean + estimates[tied[0].trial].error
        near = [each for each in tied if estimates[each.trial].mean <= limit]
        winner = min(near, key=lambda each: (math.inf if each.parameters is None else each.parameters, estimates[each.trial].mean))
        return [
            {
                **self._measured(each, [score for score in runs[each.trial] if score is not None], estimates[each.trial]),
                "rank_low": 1 + len(worse[each.trial]),
                "rank_high": len(whole) - sum(each.trial in others for others in worse.values()),
                "tied": each in tied,
                "near": each in near,
                "chosen": each is winner,
            }
            for each in order
        ]

    def _measured(self, each: Candidate, runs: list[float], estimate: "_Estimate") -> dict[str, Any]:
        mean = fmean(runs)
        half = float(stdtrit(estimate.freedom, 1 - (LEVEL - SPENT_ON_LOOKING) / 2)) * estimate.error
        return {
            "trial": each.trial,
            "search_score": each.score,
            "epochs": each.epochs,
            "runs": runs,
            "mean": mean,
            "low": mean - half,
            "high": mean + half,
            "shrinkage": self.objective.cost(each.score) - self.objective.cost(mean),
        }

    def _runs(self, scores: Scores) -> dict[int, list[float | None]]:
        """Return the scores of each trial's seeds, up to the first that is missing."""
        runs: dict[int, list[float | None]] = {each.trial: [] for each in self.field}
        for trial, own in runs.items():
            while (trial, len(own)) in scores:
                own.append(scores[trial, len(own)])
        return runs


def _race(field: Sequence[Candidate], runs: Runs, objective: Objective) -> tuple[list[Candidate], int]:
    """Replay the rounds; return who is left, and the number of seeds that each of them has after the round that is to be trained next."""
    alive = list(field)
    for seeds in range(LEAST_SEEDS, MOST_SEEDS + 1):
        # Only rounds that are whole are judged: who arrived first must not matter.
        alive = [each for each in alive if None not in runs[each.trial]]
        if any(len(runs[each.trial]) < seeds for each in alive):
            return alive, seeds
        so_far = {trial: scores[:seeds] for trial, scores in runs.items()}
        judged = [each for each in field if len(so_far[each.trial]) >= LEAST_SEEDS and None not in so_far[each.trial]]
        if len(alive) < 2:
            break
        estimates = _estimates(judged, so_far, objective)
        leader = min(alive, key=lambda each: estimates[each.trial].mean)
        alive = [each for each in alive if not _worse(each, leader, estimates, len(field))]
        if len(alive) < 2:
            break
    return alive, MOST_SEEDS + 1


def _estimates(field: Sequence[Candidate], runs: Runs, objective: Objective) -> dict[int, _Estimate]:
    """Estimate mean and error of each.

    A candidate's variance is a weighted mean of its own and that of all: its own alone would rest on one or two degrees of freedom, the common one
    alone would be wrong for whoever scatters more than the others.

    Source: G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray experiments", Statistical
    Applications in Genetics and Molecular Biology 3, 2004, with a fixed weight of the common variance.
    """
    costs = {each.trial: [objective.cost(score) for score in runs[each.trial] if score is not None] for each in field}
    means = {trial: fmean(values) for trial, values in costs.items()}
    squares = {trial: math.fsum((value - means[trial]) ** 2 for value in values) for trial, values in costs.items()}
    freedom = {trial: len(values) - 1 for trial, values in costs.items()}
    degrees = sum(freedom.values())
    common = math.fsum(squares.values()) / degrees
    estimates = {}
    for trial, values in costs.items():
        variance = (COMMON_WEIGHT * common + squares[trial]) / (COMMON_WEIGHT + freedom[trial])
        estimates[trial] = _Estimate(means[trial], math.sqrt(variance / len(values)), min(COMMON_WEIGHT + freedom[trial], degrees))
    return estimates


def _worse(one: Candidate, other: Candidate, estimates: Mapping[int, _Estimate], size: int) -> bool:
    """Say whether one is worse than another, beyond doubt: at a level that holds for all comparisons of one candidate over all rounds together.

    Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved", Biometrika 34, 1947,
    for the degrees of freedom; Bonferroni's inequality for the level.
    """
    ours, theirs = estimates[one.trial], estimates[other.trial]
    difference = ours.mean - theirs.mean
    variance = ours.error**2 + theirs.error**2
    if difference <= 0 or variance == 0:
        return difference > 0
    freedom = variance**2 / (ours.error**4 / ours.freedom + theirs.error**4 / theirs.freedom)
    level = LEVEL / 2 / (size - 1) / (MOST_SEEDS - LEAST_SEEDS + 1)
    return difference > float(stdtrit(freedom, 1 - level)) * math.sqrt(variance)
