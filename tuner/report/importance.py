"""Which hyperparameters mattered: a forest learns the score from the configuration, and each hyperparameter is shuffled in turn.

Owns the comparison at equal epochs (`Contest`): two trials are compared at the last epoch that both reached, never by what only one of them had
time for. Must not know any hyperparameter, nor how the result is drawn.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from tuner.results.leaderboard import Leaderboard, TrialRecord

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
        standings: number of each trial that took part -> share of the others that it beats at equal epochs.
        fit: share of the variance of unseen trials that the forest explains, at most 1; near 0 or below, it knows nothing.
        shares: the greatest first.
        why_not: where it could not be measured, the reason; then the rest is empty.
    """

    standings: Mapping[int, float] = field(default_factory=dict)
    fit: float = 0.0
    shares: tuple[Share, ...] = ()
    why_not: str = ""


class Contest:
    """Trials compared in pairs at equal epochs: at the last epoch that both reached, by the best objective until then.

    So no trial is left out because it was stopped, and none is judged by what it had no time for. Failed trials take no part. Of very large
    sweeps, an even selection takes part.
    """

    def __init__(self, leaderboard: Leaderboard, *, most: int = MOST_TRIALS) -> None:
        able = [record for record in leaderboard.ranked if any(value is not None for value in record.curves.get(leaderboard.objective.metric, ()))]
        if len(able) > most:
            able = [able[index * len(able) // most] for index in range(most)]
        self.records = able
        self._costs = {record.number: _best_costs(record, leaderboard) for record in able}

    def share_of_wins(self, ours: Iterable[TrialRecord], theirs: Sequence[TrialRecord]) -> float:
        """Return the share of pairs, one of ours and one of theirs, in which ours is better; a tie is half a win."""
        wins, pairs = 0.0, 0
        others = [self._costs[record.number] for record in theirs]
        for record in ours:
            mine = self._costs[record.number]
            for other in others:
                last = min(len(mine), len(other)) - 1
                if mine is not other:
                    pairs += 1
                    wins += 1.0 if mine[last] < other[last] else 0.5 if mine[last] == other[last] else 0.0
        return wins / pairs if pairs else 0.5

    def standings(self) -> dict[int, float]:
        """Return for each trial, by number, the share of the others that it beats."""
        return {record.number: self.share_of_wins([record], self.records) for record in self.records}


def _best_costs(record: TrialRecord, leaderboard: Leaderboard) -> list[float]:
    costs, best = [], math.inf
    for value in record.curves[leaderboard.objective.metric]:
        best = min(best, math.inf if value is None else leaderboard.objective.cost(value))
        costs.append(best)
    return costs


def measure(leaderboard: Leaderboard) -> Importances:
    """Return the importances of the hyperparameters that vary; failed trials are left out."""
    contest = Contest(leaderboard)
    records = [record for record in contest.records if record.configuration]
    if len(records) < LEAST_TRIALS:
        return Importances(why_not=f"{len(records)} trials can be compared; at least {LEAST_TRIALS} are needed.")
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        return Importances(why_not="scikit-learn is not installed where this report was made.")
    standings = contest.standings()
    draws = random.Random(0)
    draws.shuffle(records)
    names = [name for name in leaderboard.varying if len({repr(record.configuration.get(name)) for record in records}) > 1]
    target = [standings[record.number] for record in records]
    if not names or len(set(target)) == 1:
        return Importances(why_not="All trials that can be compared have the same configuration, or come out even.")
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
    return Importances(standings=standings, fit=1 - wrong / len(rows) / variance, shares=tuple(sorted(shares, key=lambda share: (-share.value, share.name))))


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


def _squared(predicted: Sequence[float], truth: Sequence[float]) -> float:
    return math.fsum((float(guess) - value) ** 2 for guess, value in zip(predicted, truth, strict=True)) / len(truth)
