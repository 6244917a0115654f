import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tuner.data.scaling import Scaling, apply, fit


def columns() -> np.ndarray:
    """A spread-out, a constant and a holed column of more rows than are looked at together."""
    random = np.random.default_rng(0)
    x = np.stack([random.normal(50, 7, 20_000), np.full(20_000, 0.1), random.exponential(3, 20_000)], axis=1).astype(np.float32)
    x[::3, 2] = np.nan
    return x


def test_standard_gives_mean_zero_and_deviation_one() -> None:
    scaled = apply(fit("standard", columns()), columns())
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-5)
    assert scaled[:, 0].std() == pytest.approx(1, abs=1e-5)


def test_minmax_spans_zero_to_one_and_unit_keeps_the_sign() -> None:
    x = np.array([[-4.0, 1.0], [2.0, 3.0]], np.float32)
    assert apply(fit("minmax", x), x).tolist() == [[0, 0], [1, 1]]
    assert np.allclose(apply(fit("unit", x), x), [[-1, 1 / 3], [0.5, 1]])


@pytest.mark.parametrize("method", ["standard", "minmax"])
def test_constant_column_becomes_zero_and_divides_by_nothing(method: str) -> None:
    scaling = fit(method, columns())
    assert scaling.factor[1] == 1
    assert not apply(scaling, columns())[:, 1].any()


@pytest.mark.parametrize(("fill", "expected"), [("mean", np.nanmean), ("median", np.nanmedian), ("zero", lambda values: 0.0)])
def test_missing_values_are_filled_by_what_the_known_ones_say(fill: str, expected) -> None:
    scaling = fit("none", columns(), fill=fill)
    known = columns()[:, 2].astype(np.float64)
    assert scaling.fill[2] == pytest.approx(expected(known), rel=1e-6)
    assert apply(scaling, columns())[0, 2] == scaling.fill[2]


def test_column_without_a_value_in_the_training_rows_is_filled_with_zero() -> None:
    x = np.array([[np.nan], [np.nan], [5.0]], np.float32)
    scaling = fit("standard", x, rows=np.array([0, 1]), fill="mean")
    assert (scaling.fill.item(), scaling.factor.item()) == (0, 1)


def test_only_the_named_rows_are_looked_at() -> None:
    x = columns()
    rows = np.arange(0, 20_000, 7)
    assert fit("standard", x, rows=rows).to_json() == fit("standard", x[rows]).to_json()


def test_columns_of_zeros_and_ones_stay_as_they_are() -> None:
    x = np.array([[10.0, 1.0], [20.0, 0.0], [30.0, 0.0]], np.float32)
    scaled = apply(fit("standard", x, plain=np.array([False, True])), x)
    assert scaled[:, 1].tolist() == [1, 0, 0]
    assert scaled[:, 0].tolist() == pytest.approx([-1.2247449, 0, 1.2247449])


def test_bytes_are_divided_by_the_largest_they_can_be_and_not_by_the_largest_there_is() -> None:
    images = np.full((5, 2, 2), 51, np.uint8)
    assert apply(fit("unit", images), images).max() == pytest.approx(0.2)
    assert apply(fit("unit", images, largest=102), images).max() == pytest.approx(0.5)
    assert apply(fit("none", images), images).max() == 51


def test_images_have_one_scaling_for_all_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    scaling = fit("standard", images)
    assert scaling.center.shape == ()
    assert apply(scaling, images).std() == pytest.approx(1, abs=1e-5)


def test_bytes_are_not_touched() -> None:
    images = np.full((5, 2, 2), 51, np.uint8)
    images.flags.writeable = False
    assert apply(fit("unit", images), images) is not images
    assert images.dtype == np.uint8


def test_scaling_survives_json_bit_for_bit() -> None:
    scaling = fit("standard", columns())
    again = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    assert all(np.array_equal(getattr(again, name), getattr(scaling, name)) for name in ("center", "factor", "fill"))


def test_scaling_that_would_spoil_numbers_cannot_be_made() -> None:
    one = np.float32(1)
    with pytest.raises(ValueError, match=r"Scaling.factor: .*expected finite numbers"):
        Scaling(one, np.float32(0), one)
    with pytest.raises(ValueError, match=r"Scaling.center: .*expected finite numbers"):
        Scaling(np.float32("nan"), one, one)
    with pytest.raises(ValueError, match="expected one shape"):
        Scaling(one, np.ones(2), one)
    with pytest.raises(ValueError, match="expected at least one"):
        fit("standard", columns(), rows=np.zeros(0, np.int64))


numbers = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=numbers), st.sampled_from(["none", "unit", "standard", "minmax"]))
def test_no_column_whatever_becomes_infinite_or_missing(x: np.ndarray, method: str) -> None:
    scaled = apply(fit(method, x, fill="median"), x)
    assert np.isfinite(scaled).all()
    if method in ("unit", "minmax"):
        assert np.abs(scaled).max() <= 1.001
