"""How much hangs on each hyperparameter: a forest learns what configurations lead to, and each hyperparameter is shuffled in turn among unseen trials.

Source: L. Breiman, "Random forests", Machine Learning 45, 2001, section 10, for the rise of the error under shuffling.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuner.report.forest import grow

FOLDS = 5
REPEATS = 4
TREES = 24
# An even selection of so many trials tells the same as more, and takes no longer.
MOST_TRIALS = 500


def shares(configurations: Sequence[Mapping[str, Any]], target: Sequence[float], names: Sequence[str]) -> tuple[float, list[tuple[str, float, float, int]]]:
    """Return how well a forest predicts unseen trials, and what hangs on each hyperparameter.

    Args:
        configurations: the active hyperparameters of each trial.
        target: what is predicted of each, of at least two different values.
        names: of the hyperparameters that are asked about.

    Returns:
        The share of the variance that is explained, and the greatest first (name, rise of the squared error as a share of the variance, its standard
        deviation over folds and repetitions, in how many of all trials it is active).
    """
    draws = np.random.default_rng(0)
    chosen = [index * len(target) // MOST_TRIALS for index in range(MOST_TRIALS)] if len(target) > MOST_TRIALS else range(len(target))
    order = draws.permutation(list(chosen))
    y = np.array([target[index] for index in order])
    features = [_Feature([configurations[index].get(name) for index in order], draws) for name in names]
    x = np.concatenate([feature.encoded for feature in features], axis=1)
    ends = np.cumsum([feature.encoded.shape[1] for feature in features])
    rises: list[list[float]] = [[] for _ in names]
    wrong, place = 0.0, np.arange(len(y))
    learned = [place[place % FOLDS != fold] for fold in range(FOLDS)]
    forest = grow(x, y, [draws.choice(learned[tree % FOLDS], len(learned[tree % FOLDS])) for tree in range(FOLDS * TREES)], draws=draws)
    for fold in range(FOLDS):
        held, trees = place[place % FOLDS == fold], range(fold, FOLDS * TREES, FOLDS)
        error = float(((forest.predict(x[held], trees) - y[held]) ** 2).mean())
        wrong += error * len(held)
        shuffled = np.tile(x[held], (len(names) * REPEATS, 1, 1))
        for position in range(len(names) * REPEATS):
            feature, end = features[position // REPEATS], ends[position // REPEATS]
            shuffled[position, :, end - feature.encoded.shape[1] : end] = feature.encoded[feature.mixed(held, draws)]
        predicted = forest.predict(shuffled.reshape(-1, x.shape[1]), trees).reshape(len(shuffled), -1)
        for position, guess in enumerate(predicted):
            rises[position // REPEATS].append(float(((guess - y[held]) ** 2).mean()) - error)
    variance = float(y.var())
    measured = [
        (name, max(0.0, float(np.mean(rise)) / variance), float(np.std(rise, ddof=1)) / variance, sum(name in each for each in configurations))
        for name, rise in zip(names, rises, strict=True)
    ]
    return 1 - wrong / len(y) / variance, sorted(measured, key=lambda share: (-share[1], share[0]))


class _Feature:
    """One hyperparameter as numbers for the forest.

    Where it is not active it gets the value of a trial where it is, drawn at random: the forest then cannot read from it which choice switched it
    on, and that choice keeps the credit.
    """

    def __init__(self, values: Sequence[Any], draws: np.random.Generator) -> None:
        self.active = np.array([value is not None for value in values])
        given = [value for value in values if value is not None] or [0]
        self.encoded = _encode([given[int(draws.integers(len(given)))] if value is None else value for value in values])

    def mixed(self, rows: np.ndarray, draws: np.random.Generator) -> np.ndarray:
        """Return for each row the row whose value it gets; rows where the hyperparameter is not active keep theirs."""
        mixed, active = rows.copy(), self.active[rows]
        mixed[active] = draws.permutation(rows[active])
        return mixed


def _encode(values: Sequence[Any]) -> np.ndarray:
    """Return values as columns: numbers as they are, everything else with one column per choice."""
    if all(isinstance(value, int | float) for value in values):
        return np.array(values, dtype=np.float64)[:, None]
    choices = sorted({repr(value) for value in values})
    return np.array([[repr(value) == choice for choice in choices] for value in values], dtype=np.float64)
