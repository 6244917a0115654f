"""Which hyperparameters mattered: a forest learns the score from the configuration, and each hyperparameter is shuffled in turn.

Owns the comparison at equal epochs: a trial that was stopped early is compared with others at the epoch that it reached, never with their final
scores. Must not know any hyperparameter, nor how the result is drawn.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from tuner.leaderboard import Leaderboard, TrialRecord

LEAST_TRIALS = 12
MOST_TRIALS = 800
FOLDS = 5
REPEATS = 4


@dataclass(frozen=True)
class Share:
    """How much of the variation hangs on one hyperparameter.

    Attributes:
        name: the hyperparameter.
        value: rise of the forest's squared error on trials it has not seen, when the hyperparameter is shuffled among the trials where it is
            active, as a share of the variance; 0 where it does not matter, above 1 possible with interactions.
        spread: sample standard deviation over folds and repetitions.
        active: how many of the trials it was active in.
    """

    name: str
    value: float
    spread: float
    active: int


@dataclass(frozen=True)
class Importances:
    """What the forest found.

    Attributes:
        epoch: the epoch at which the trials were compared.
        trials: how many trials took part.
        fit: share of the variance of unseen trials that the forest explains, at most 1; near 0 or below, it knows nothing.
        shares: the greatest first.
        why_not: where it could not be measured, the reason; then the rest is empty.
    """

    epoch: int = 0
    trials: int = 0
    fit: float = 0.0
    shares: tuple[Share, ...] = ()
    why_not: str = ""


def equal_epoch(leaderboard: Leaderboard) -> int | None:
    """Return the last epoch that at least half of the trials with a score reached: late enough to tell, early enough not to keep only the good."""
    reached = sorted((record.epochs for record in leaderboard.ranked), reverse=True)
    return reached[(len(reached) - 1) // 2] if reached else None


def score_by(record: TrialRecord, leaderboard: Leaderboard, epoch: int) -> float | None:
    """Return a trial's best objective up to an epoch, or None if it did not get there."""
    if record.epochs < epoch:
        return None
    values = [value for value in record.curves.get(leaderboard.objective.metric, ())[:epoch] if value is not None]
    return min(values, key=leaderboard.objective.cost) if values else None


def measure(leaderboard: Leaderboard) -> Importances:
    """Return the importances of the hyperparameters that vary; failed trials are left out."""
    epoch = equal_epoch(leaderboard)
    scored = [(record, score_by(record, leaderboard, epoch)) for record in leaderboard.ranked] if epoch else []
    usable = [(record, score) for record, score in scored if score is not None and record.configuration]
    if len(usable) < LEAST_TRIALS:
        return Importances(why_not=f"{len(usable)} trials can be compared; at least {LEAST_TRIALS} are needed.")
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        return Importances(why_not="scikit-learn is not installed where this report was made.")
    draws = random.Random(0)
    if len(usable) > MOST_TRIALS:
        usable = draws.sample(usable, MOST_TRIALS)
    else:
        draws.shuffle(usable)
    records = [record for record, _ in usable]
    names = [name for name in leaderboard.varying if len({repr(record.configuration.get(name)) for record in records}) > 1]
    target = _ranks([leaderboard.objective.cost(score) for _, score in usable])
    if not names or len(set(target)) == 1:
        return Importances(why_not="All trials that can be compared have the same configuration, or the same score.")
    features = [_Feature(name, records, draws) for name in names]
    rows = [[value for feature in features for value in feature.encoded[index]] for index in range(len(records))]
    rises: dict[str, list[float]] = {name: [] for name in names}
    wrong = 0.0
    for fold in range(FOLDS):
        held = list(range(fold, len(rows), FOLDS))
        kept = [index for index in range(len(rows)) if index % FOLDS != fold]
        forest = RandomForestRegressor(n_estimators=60, min_samples_leaf=2, max_features=0.7, random_state=fold, n_jobs=1)
        forest.fit([rows[index] for index in kept], [target[index] for index in kept])
        error = _squared(forest.predict([rows[index] for index in held]), [target[index] for index in held])
        wrong += error * len(held)
        shuffled, start = [], 0
        for feature in features:
            end = start + feature.width
            for _ in range(REPEATS):
                source = feature.shuffled(held, draws)
                shuffled += [[*rows[index][:start], *feature.encoded[other], *rows[index][end:]] for index, other in zip(held, source, strict=True)]
            start = end
        predicted = forest.predict(shuffled)
        for position in range(len(features) * REPEATS):
            part = predicted[position * len(held) : (position + 1) * len(held)]
            rises[features[position // REPEATS].name].append(_squared(part, [target[index] for index in held]) - error)
    mean = fmean(target)
    variance = fmean((value - mean) ** 2 for value in target)
    shares = [
        Share(feature.name, max(0.0, fmean(rises[feature.name]) / variance), stdev(rises[feature.name]) / variance, sum(feature.active)) for feature in features
    ]
    return Importances(
        epoch=epoch or 0, trials=len(rows), fit=1 - wrong / len(rows) / variance, shares=tuple(sorted(shares, key=lambda share: (-share.value, share.name)))
    )


class _Feature:
    """One hyperparameter as numbers for the forest.

    Where it is not active it gets the value of a trial where it is, drawn at random: the forest then cannot read from it which choice switched it
    on, and that choice keeps the credit.
    """

    def __init__(self, name: str, records: Sequence[TrialRecord], draws: random.Random) -> None:
        self.name = name
        values = [record.configuration.get(name) for record in records]
        self.active = [value is not None for value in values]
        known = [value for value in values if value is not None]
        filled = [draws.choice(known) if value is None else value for value in values]
        self.encoded = _encode(filled)
        self.width = len(self.encoded[0])

    def shuffled(self, rows: Sequence[int], draws: random.Random) -> list[int]:
        """Return for each row the row whose value it gets; rows where the hyperparameter is not active keep theirs."""
        active = [row for row in rows if self.active[row]]
        mixed = iter(draws.sample(active, len(active)))
        return [next(mixed) if self.active[row] else row for row in rows]


def _encode(values: Sequence[Any]) -> list[list[float]]:
    if all(isinstance(value, int | float) for value in values):
        return [[float(value)] for value in values]
    choices = sorted({repr(value) for value in values})
    return [[float(repr(value) == choice) for choice in choices] for value in values]


def _ranks(costs: Sequence[float]) -> list[float]:
    """Return ranks from 0 to 1, ties sharing their mean: a few hopeless networks then do not outweigh all others."""
    order = sorted(costs)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, cost in enumerate(order):
        first.setdefault(cost, place)
        last[cost] = place
    return [(first[cost] + last[cost]) / 2 / max(1, len(order) - 1) for cost in costs]


def _squared(predicted: Sequence[float], truth: Sequence[float]) -> float:
    return math.fsum((float(guess) - value) ** 2 for guess, value in zip(predicted, truth, strict=True)) / len(truth)
