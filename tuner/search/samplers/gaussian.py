"""A Gaussian process over configurations and epochs, in numpy: what any trial, or any configuration, will reach at its last epoch.

Arrays in, arrays out: the kernel, its hyperparameters and prediction.

The kernel over a point x of the unit cube and a time t (the logarithm of the epoch, scaled to [0, 1]) is

    k = a Kt(t, t') + Kx(x, x') (b + c Kt(t, t')) + noise

a mean curve, configurations that are better at all epochs, and configurations that are better early or late. Kx is Matern 5/2 with a length per
coordinate, Kt is squared exponential.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

ROOT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Prior:
    """Means and standard deviations of the logarithms of the hyperparameters.

    They matter while there are few observations; they are wide, and no number here comes from any data set.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, dimensions: int) -> "Prior":
        """Return the prior for points of so many coordinates: lengths grow with the cube's diagonal."""
        length = math.log(0.6 * math.sqrt(dimensions))
        #                lengths                 time length     a mean curve    b all epochs   c some epochs   noise
        mean = np.array([*[length] * dimensions, math.log(0.6), math.log(0.5), math.log(0.7), math.log(0.2), math.log(1e-2)])
        deviation = np.array([*[1.0] * dimensions, 0.5, 1.0, 0.7, 0.8, 1.2])
        return cls(mean, deviation)


def negative_log_posterior(parameters: np.ndarray, x: np.ndarray, t: np.ndarray, y: np.ndarray, prior: Prior) -> tuple[float, np.ndarray]:
    """Return the negative logarithm of the hyperparameters' posterior density, up to a constant, and its gradient.

    Args:
        parameters: logarithms of the hyperparameters, float64 of shape (dimensions + 5,), in the order of `Prior.of`.
        x: points of the unit cube, float64 of shape (n, dimensions).
        t: times in [0, 1], float64 of shape (n,).
        y: observations, about standardised, float64 of shape (n,).
        prior: of the hyperparameters.

    Returns:
        The value, and its gradient, float64 of shape (dimensions + 5,); 1e10 and a gradient of 0 where the covariance cannot be factored.
    """
    dimensions = x.shape[1]
    lengths, length_t = np.exp(parameters[:dimensions]), math.exp(parameters[dimensions])
    a, b, c, noise = np.exp(parameters[dimensions + 1 :])
    scaled = x / lengths
    r = np.sqrt(_squared(scaled, scaled)) * ROOT5
    decay = np.exp(-r)
    matern = (1 + r + r * r / 3) * decay
    gap = (t[:, None] - t[None, :]) ** 2 / length_t**2
    time = np.exp(-0.5 * gap)
    mixed = b + c * time
    covariance = a * time + matern * mixed
    covariance[np.diag_indices_from(covariance)] += noise + 1e-6
    try:
        factor = cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(parameters)
    alpha = cho_solve((factor, True), y, check_finite=False)
    inverse, _ = dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weight = np.outer(alpha, alpha) - inverse
    value = 0.5 * y @ alpha + np.log(np.diag(factor)).sum()
    gradient = np.empty_like(parameters)
    slope = weight * mixed * ((5.0 / 3.0) * (1 + r) * decay)
    sums = slope.sum(axis=1)
    gradient[:dimensions] = -0.5 * 2 * ((sums[:, None] * scaled**2).sum(axis=0) - (scaled * (slope @ scaled)).sum(axis=0))
    gradient[dimensions] = -0.5 * np.sum(weight * (a + c * matern) * time * gap)
    gradient[dimensions + 1] = -0.5 * a * np.sum(weight * time)
    gradient[dimensions + 2] = -0.5 * b * np.sum(weight * matern)
    gradient[dimensions + 3] = -0.5 * c * np.sum(weight * matern * time)
    gradient[dimensions + 4] = -0.5 * noise * np.trace(weight)
    away = (parameters - prior.mean) / prior.deviation
    return float(value + 0.5 * away @ away), gradient + away / prior.deviation


class CurveProcess:
    """The process, conditioned on observations.

    Args:
        x: float64 of shape (n, dimensions), points of the unit cube.
        t: float64 of shape (n,), times in [0, 1].
        y: float64 of shape (n,), about standardised.
        parameters: logarithms of the hyperparameters, float64 of shape (dimensions + 5,).
    """

    def __init__(self, x: np.ndarray, t: np.ndarray, y: np.ndarray, parameters: np.ndarray) -> None:
        self._x, self._t, self._y, self._parameters = x, t, y, parameters
        dimensions = x.shape[1]
        self._lengths, self._length_t = np.exp(parameters[:dimensions]), math.exp(parameters[dimensions])
        self._a, self._b, self._c, noise = np.exp(parameters[dimensions + 1 :])
        self._scaled = x / self._lengths
        covariance = self._kernel(self._scaled, t)
        covariance[np.diag_indices_from(covariance)] += noise + 1e-6
        self._factor = cholesky(covariance, lower=True, check_finite=False, overwrite_a=True)
        self._alpha = cho_solve((self._factor, True), y, check_finite=False)

    def mean(self, x: np.ndarray, t: float = 1.0) -> np.ndarray:
        """Return the means of the noiseless values at points and one time: far cheaper than with their deviations.

        Args:
            x: float64 of shape (n, dimensions).
            t: the time.

        Returns:
            float64 of shape (n,).
        """
        return self._kernel(x / self._lengths, np.full(len(x), t)) @ self._alpha

    def predict(self, x: np.ndarray, t: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Return the means and standard deviations of the noiseless values at points and one time.

        Args:
            x: float64 of shape (n, dimensions).
            t: the time.

        Returns:
            Means and deviations, each float64 of shape (n,).
        """
        cross = self._kernel(x / self._lengths, np.full(len(x), t))
        mean = cross @ self._alpha
        reduced = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        variance = self._a + self._b + self._c - np.einsum("ij,ij->j", reduced, reduced)
        return mean, np.sqrt(np.maximum(variance, 1e-9))

    def extended(self, x: np.ndarray, t: np.ndarray, y: np.ndarray) -> "CurveProcess":
        """Return the process conditioned on further observations.

        Args:
            x: their points, float64 of shape (n, dimensions).
            t: their times, float64 of shape (n,).
            y: their values, float64 of shape (n,).
        """
        return CurveProcess(np.vstack([self._x, x]), np.append(self._t, t), np.append(self._y, y), self._parameters)

    def _kernel(self, scaled: np.ndarray, t: np.ndarray) -> np.ndarray:
        r = np.sqrt(_squared(scaled, self._scaled)) * ROOT5
        time = np.exp(-0.5 * (t[:, None] - self._t[None, :]) ** 2 / self._length_t**2)
        return self._a * time + (1 + r + r * r / 3) * np.exp(-r) * (self._b + self._c * time)


def fit(x: np.ndarray, t: np.ndarray, y: np.ndarray, *, start: np.ndarray | None, iterations: int) -> np.ndarray:
    """Return the hyperparameters of largest posterior density near a start.

    Args:
        x: points of the unit cube, float64 of shape (n, dimensions).
        t: times in [0, 1], float64 of shape (n,).
        y: observations, about standardised, float64 of shape (n,).
        start: logarithms of the hyperparameters, float64 of shape (dimensions + 5,); the prior's means where it is None.
        iterations: the largest number of steps.

    Returns:
        Logarithms of the hyperparameters, float64 of shape (dimensions + 5,).
    """
    prior = Prior.of(x.shape[1])
    first = prior.mean if start is None else start
    bounds = list(zip(prior.mean - 4 * prior.deviation, prior.mean + 4 * prior.deviation, strict=True))
    limits = {"maxiter": iterations, "maxfun": iterations + 5}
    result = minimize(negative_log_posterior, first, args=(x, t, y, prior), jac=True, method="L-BFGS-B", bounds=bounds, options=limits)
    return result.x


def _squared(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    distance = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :] - 2 * left @ right.T
    return np.maximum(distance, 0.0)
