"""The time at work, without what lies between two runs of a sweep; and quantiles along an axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweeps_made_up import changed, sweep
from tuner.report.clock import Clock
from tuner.report.formats import render
from tuner.report.smooth import quantiles, running_quartiles
from tuner.results.leaderboard import Leaderboard, TrialRecord


def at(number: int, start: float, seconds: float = 10.0) -> TrialRecord:
    return TrialRecord(number=number, state="complete", score=0.5, best_epoch=1, epochs=1, started_at=start, seconds=seconds)


def test_time_begins_with_the_first_trial() -> None:
    clock = Clock([at(0, 43.0), at(1, 55.0)])
    assert [clock(43.0), clock(55.0), clock.ended(at(1, 55.0))] == [0.0, 12.0, 22.0]
    assert clock.breaks == []


def test_night_between_two_runs_is_left_out() -> None:
    clock = Clock([at(0, 5.0), at(1, 5.0, 20.0), at(2, 40_000.0), at(3, 40_011.0)])
    assert clock.breaks == [20.0]
    assert clock(40_000.0) == 20.0 and clock.ended(at(3, 40_011.0)) == 41.0


def test_trials_without_a_time_have_none() -> None:
    nothing = TrialRecord(number=0, state="waiting")
    assert Clock([nothing]).ended(nothing) is None
    assert Clock([])(3.0) == 3.0


def test_resumed_sweep_says_so_in_its_chart() -> None:
    board = sweep(30)
    late = {record.number for record in board.records if record.number >= 20}
    records = [TrialRecord(**{**vars(record), "started_at": (record.started_at or 0.0) + 50_000 * (record.number in late)}) for record in board.records]
    page = render(Leaderboard(tuple(records), board.facts), "html")
    assert "The sweep was resumed 1 time; the time between is left out." in page
    assert "time at work (h)" not in page
    assert "was resumed" not in render(changed(board), "html")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    assert quantiles(values, [share])[0] == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


def test_running_quartiles_follow_the_points_and_stop_where_there_are_none() -> None:
    points = [(place / 10, float(place)) for place in range(100)]
    near = running_quartiles(points, 0.0, 20.0)
    assert all(low <= middle <= high for _, (low, middle, high) in near)
    assert [middle for at_, (_, middle, _) in near if at_ == 5.0] == [pytest.approx(50.0, abs=2)]
    assert max(at_ for at_, _ in near) < 14.0
