"""The Gaussian process over configurations and epochs, against finite differences and against scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from tuner.search.samplers.gaussian import CurveProcess, Prior, fit, negative_log_posterior

DIMENSIONS = 3
FAR = 1e8  # a length at which a coordinate does not count


def observations(count: int = 25, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x, t = random.random((count, DIMENSIONS)), random.choice([0.2, 0.6, 1.0], count)
    y = np.sin(4 * x[:, 0]) + x[:, 1] * t + 0.1 * random.normal(size=count)
    return x, t, (y - y.mean()) / y.std()


def parameters(seed: int = 1) -> np.ndarray:
    prior = Prior.of(DIMENSIONS)
    return prior.mean + 0.5 * prior.deviation * np.random.default_rng(seed).normal(size=len(prior.mean))


def sklearns(values: np.ndarray, x: np.ndarray, t: np.ndarray, y: np.ndarray) -> GaussianProcessRegressor:
    """Return scikit-learn's process under the same kernel, over points with the time as one more coordinate."""
    lengths, length_t, (a, b, c, noise) = np.exp(values[:DIMENSIONS]), math.exp(values[DIMENSIONS]), np.exp(values[DIMENSIONS + 1 :])
    time = RBF([FAR] * DIMENSIONS + [length_t])
    kernel = ConstantKernel(a) * time + Matern([*lengths, FAR], nu=2.5) * (ConstantKernel(b) + ConstantKernel(c) * time)
    return GaussianProcessRegressor(kernel, alpha=noise + 1e-6, optimizer=None).fit(np.column_stack([x, t]), y)


@pytest.mark.parametrize("seed", range(5))
def test_gradient_is_that_of_finite_differences(seed: int) -> None:
    x, t, y = observations(seed=seed)
    at, prior, step = parameters(seed), Prior.of(DIMENSIONS), 1e-5
    _, gradient = negative_log_posterior(at, x, t, y, prior)
    for index in range(len(at)):
        away = np.eye(len(at))[index] * step
        above, below = (negative_log_posterior(at + sign * away, x, t, y, prior)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_likelihood_is_scikit_learns(seed: int) -> None:
    x, t, y = observations(seed=seed)
    prior = Prior.of(DIMENSIONS)
    ours, theirs = [], []
    for values in (prior.mean, parameters(seed)):
        away = (values - prior.mean) / prior.deviation
        ours.append(negative_log_posterior(values, x, t, y, prior)[0] - 0.5 * away @ away)
        theirs.append(-sklearns(values, x, t, y).log_marginal_likelihood_value_)
    assert ours[0] - ours[1] == pytest.approx(theirs[0] - theirs[1])


@pytest.mark.parametrize("at", [1.0, 0.3])
def test_posterior_is_scikit_learns(at: float) -> None:
    x, t, y = observations()
    asked = np.random.default_rng(7).random((40, DIMENSIONS))
    ours, theirs = CurveProcess(x, t, y, parameters()), sklearns(parameters(), x, t, y)
    mean, deviation = ours.predict(asked, at)
    expected_mean, expected_deviation = theirs.predict(np.column_stack([asked, np.full(40, at)]), return_std=True)
    assert mean == pytest.approx(expected_mean)
    assert deviation == pytest.approx(expected_deviation)
    assert ours.mean(asked, at) == pytest.approx(expected_mean)


def test_further_observations_condition_as_if_they_had_been_there_at_first() -> None:
    x, t, y = observations()
    asked = np.random.default_rng(7).random((10, DIMENSIONS))
    later = CurveProcess(x[:20], t[:20], y[:20], parameters()).extended(x[20:], t[20:], y[20:])
    for ours, whole in zip(later.predict(asked), CurveProcess(x, t, y, parameters()).predict(asked), strict=True):
        assert ours == pytest.approx(whole)


def test_fitting_ends_where_the_posterior_density_is_larger_and_flat() -> None:
    x, t, y = observations(60)
    prior = Prior.of(DIMENSIONS)
    fitted = fit(x, t, y, start=None, iterations=200)
    value, gradient = negative_log_posterior(fitted, x, t, y, prior)
    assert value < negative_log_posterior(prior.mean, x, t, y, prior)[0] - 5
    assert np.abs(gradient).max() < 0.1
    assert fitted[2] > fitted[0]  # the third coordinate tells nothing, and gets a longer length than the first


def test_covariance_that_cannot_be_factored_is_as_unlikely_as_can_be() -> None:
    x, t, y = observations()
    x[:], large = x[0], np.array([0.0] * (DIMENSIONS + 1) + [40.0] * 3 + [-40.0])  # one point, and far too little noise
    value, gradient = negative_log_posterior(large, x, t, y, Prior.of(DIMENSIONS))
    assert value == 1e10 and not gradient.any()
