"""How trials are compared at equal epochs, and the forest that says what mattered."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_friedman1
from sklearn.ensemble import RandomForestRegressor

from tests.sweeps_made_up import sweep
from tuner.report.forest import grow
from tuner.report.importance import LEAST_FIT, Contest, measure
from tuner.results.leaderboard import Leaderboard, TrialRecord, rank_trials


def board(curves: list[list[float]]) -> Leaderboard:
    records = []
    for number, curve in enumerate(curves):
        best = {"score": max(curve), "best_epoch": curve.index(max(curve)) + 1}
        records.append(TrialRecord(number=number, state="complete", epochs=len(curve), curves={"score": tuple(curve)}, **best))
    return Leaderboard(rank_trials(records, sweep(0).objective), {"objective": {"metric": "score", "mode": "max"}})


def won(mine: list[float], other: list[float]) -> float:
    last = min(len(mine), len(other))
    ours, theirs = max(mine[:last]), max(other[:last])
    return 1.0 if ours > theirs else 0.5 if ours == theirs else 0.0


CURVES = st.lists(st.lists(st.integers(0, 4).map(float), min_size=1, max_size=4), min_size=2, max_size=9)


@given(CURVES)
def test_standing_is_the_share_of_pairs_won_at_the_last_epoch_that_both_reached(curves: list[list[float]]) -> None:
    standings = Contest(board(curves)).standings()
    for number, mine in enumerate(curves):
        pairs = [won(mine, other) for place, other in enumerate(curves) if place != number]
        assert standings[number] == pytest.approx(sum(pairs) / len(pairs))


@given(CURVES, st.integers(1, 8))
def test_share_of_wins_of_two_groups_is_that_of_all_their_pairs(curves: list[list[float]], cut: int) -> None:
    contest = Contest(board(curves))
    ours, theirs = ([record for record in contest.records if (record.number < cut) == first] for first in (True, False))
    pairs = [won(curves[one.number], curves[other.number]) for one in ours for other in theirs]
    assert contest.share_of_wins(ours, theirs) == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.5)


def test_forest_predicts_as_well_as_scikit_learns() -> None:
    x, y = make_friedman1(n_samples=500, n_features=8, random_state=1)
    draws = np.random.default_rng(0)
    ours = grow(x[:400], y[:400], [draws.choice(400, 400) for _ in range(60)], draws=draws).predict(x[400:], range(60))
    theirs = RandomForestRegressor(n_estimators=60, max_features=0.7, min_samples_leaf=3, random_state=0).fit(x[:400], y[:400]).predict(x[400:])
    errors = [float(((guess - y[400:]) ** 2).mean() / y[400:].var()) for guess in (ours, theirs)]
    assert errors[0] < 1.15 * errors[1]


def test_trees_are_told_apart() -> None:
    x, y = np.arange(40.0)[:, None], np.repeat([0.0, 1.0], 20)
    forest = grow(x, y, [np.arange(20), np.arange(20, 40), np.arange(40)], draws=np.random.default_rng(0))
    assert set(forest.predict(x, [0])) == {0.0} and set(forest.predict(x, [1])) == {1.0}
    assert np.array_equal(forest.predict(x, [0, 1]), np.full(40, 0.5))


def test_nothing_is_told_where_the_forest_explains_nothing() -> None:
    draws = random.Random(3)
    records = []
    for number in range(60):
        value, configuration = draws.random(), {"a": draws.random()}
        records.append(TrialRecord(number=number, state="complete", score=value, best_epoch=1, epochs=1, configuration=configuration, curves={"s": (value,)}))
    found = measure(Leaderboard(rank_trials(records, sweep(0).objective), {"objective": {"metric": "s", "mode": "max"}}))
    assert found.fit < LEAST_FIT and found.shares and not found.is_telling
