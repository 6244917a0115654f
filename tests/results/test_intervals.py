"""Intervals cover what they promise, and stay within what a score can be."""

import numpy as np
import pytest

from tuner.results import intervals


def test_interval_of_a_share_is_wilsons() -> None:
    found = intervals.of_share(0.95, 100)
    assert (found["low"], found["high"]) == pytest.approx((0.88825, 0.97846), abs=1e-4)
    assert intervals.of_share(1.0, 20)["high"] == 1.0 and intervals.of_share(0.0, 20)["low"] == 0.0


def test_interval_of_an_area_covers_the_true_area() -> None:
    draw = np.random.default_rng(5)
    truth = 0.7602499  # of two normal distributions of variance 1, one apart: Phi(1 / sqrt 2)
    covered = 0
    for _ in range(300):
        y = (np.arange(120) < 40).astype(int)
        found = intervals.of_area(y, draw.normal(size=120) + y)
        assert found is not None
        covered += found["low"] < truth < found["high"]
    assert 0.91 <= covered / 300 <= 0.985


@pytest.mark.parametrize(("p", "area"), [(np.array([0.1, 0.2, 0.8, 0.9]), 1.0), (np.array([0.9, 0.8, 0.2, 0.1]), 0.0)])
def test_area_without_one_pair_out_of_order_has_a_wide_interval_all_the_same(p: np.ndarray, area: float) -> None:
    found = intervals.of_area(np.array([0, 0, 1, 1]), p)
    assert found is not None and found["value"] == area
    assert found["high"] - found["low"] > 0.5
    assert intervals.of_area(np.ones(4), p) is None


def test_interval_of_macro_f1_covers_the_true_value() -> None:
    draw = np.random.default_rng(6)
    shares = np.array([[0.45, 0.05], [0.1, 0.4]])
    truth = float(np.mean([2 * 0.45 / (0.5 + 0.55), 2 * 0.4 / (0.5 + 0.45)]))
    covered = 0
    for _ in range(200):
        found = intervals.of_macro_f1(draw.multinomial(150, shares.ravel()).reshape(2, 2))
        covered += found["low"] <= truth <= found["high"]
    assert 0.9 <= covered / 200 <= 0.99


def test_mean_without_scatter_or_below_zero_has_no_interval() -> None:
    assert intervals.of_mean(np.array([0.5])) is None
    assert intervals.of_mean(np.array([0.0, 0.0])) is None
