"""Hyper-parameters of the coalition kernel by marginal likelihood, and what the data then say about the Shapley values.

Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006: sections 2.2 (posterior), 5.4.1 (marginal likelihood
and its gradient), 5.4.2 (leave-one-out in closed form).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize

from probe.methods.base import Bools, Floats
from probe.methods.design import Ints
from probe.methods.gp_kernel import Kernel, combine, elementary

#: the likelihood is climbed on at most this many rows; all rows are used afterwards
FIT_ROWS = 300
#: steps of L-BFGS
_STEPS = 80
#: the largest number of features that act together in the model
_ORDER = 5
#: normal priors (mean, standard deviation) of logarithms, for values with mean square 1; a scale's mean is −log n
_SCALE_SD = 1.5
_WEIGHT = (0.0, 1.5)
_NUGGET = (-6.0, 4.0)
_FIRST_NUGGET = -4.0
#: bounds of the logarithms: a scale against 1/n, a weight, the nugget
_SCALE_BOUNDS = (-14.0, 7.0)
_WEIGHT_BOUNDS = (-14.0, 10.0)
_NUGGET_BOUNDS = (-25.0, 3.0)
#: added to the diagonal, as a part of the largest variance, so that what is known exactly can be factorised
_JITTER = 1e-11
_IMPOSSIBLE = 1e25


@dataclass(frozen=True, slots=True)
class Observations:
    """What was seen of a game: ``values`` (m,) at sign rows ``x`` (m, n), scaled to a mean square of about 1.

    ``shape`` (m,) says how much of what the kernel leaves out each row carries (0: none); ``noise`` (m,) is known variance.
    ``odd``: the values are those of the game's odd part, so only odd orders matter.
    """

    x: Floats
    values: Floats
    shape: Floats
    noise: Floats
    odd: bool

    @property
    def m(self) -> int:
        return len(self.values)

    def take(self, rows: Ints | Bools) -> Observations:
        """The ``rows`` alone, by index or mask."""
        return Observations(self.x[rows], self.values[rows], self.shape[rows], self.noise[rows], self.odd)

    def thinned(self, most: int) -> Observations:
        """``most`` rows, evenly spaced, with all that are known exactly."""
        if self.m <= most:
            return self
        exact = self.shape == 0
        rest = np.flatnonzero(~exact)
        keep = rest[np.linspace(0, len(rest) - 1, max(1, most - int(exact.sum()))).astype(np.intp)]
        return self.take(np.union1d(np.flatnonzero(exact), keep))


@dataclass(frozen=True, slots=True)
class Prior:
    """A kernel and the variance ``nugget`` of what it leaves out."""

    kernel: Kernel
    nugget: float

    def covariance(self, seen: Observations) -> Floats:
        """(m, m) covariance of the observed values."""
        return self.with_diagonal(self.kernel.gram(seen.x, seen.x), seen)

    def with_diagonal(self, gram: Floats, seen: Observations) -> Floats:
        diagonal = np.einsum("ii->i", gram)
        diagonal += self.nugget * seen.shape + seen.noise + _JITTER * diagonal.max()
        return gram


class Likelihood:
    """The negative logarithm of likelihood × prior of ``seen``, and its gradient, over logarithms of the hyper-parameters.

    The vector is (scales (n,), weights of every order but the first (…,), nugget).
    """

    def __init__(self, seen: Observations) -> None:
        self.seen = seen
        self.n = seen.x.shape[1]
        orders = range(1, _ORDER + 1, 2) if seen.odd else range(_ORDER + 1)
        self.orders = [k for k in orders if k != 1 and k <= self.n]
        self.order = max([1, *self.orders])
        k = len(self.orders)
        self._mean = np.concatenate([np.full(self.n, -math.log(self.n)), np.full(k, _WEIGHT[0]), [_NUGGET[0]]])
        self._sd = np.concatenate([np.full(self.n, _SCALE_SD), np.full(k, _WEIGHT[1]), [_NUGGET[1]]])

    def start(self) -> Floats:
        """The prior's mean, with a larger nugget: from there the climb seldom ends in an interpolation of noise."""
        theta = self._mean.copy()
        theta[-1] = _FIRST_NUGGET
        return theta

    def bounds(self) -> list[tuple[float, float]]:
        low, high = (bound - math.log(self.n) for bound in _SCALE_BOUNDS)
        return [(low, high)] * self.n + [_WEIGHT_BOUNDS] * len(self.orders) + [_NUGGET_BOUNDS]

    def prior(self, theta: Floats) -> Prior:
        """What the vector says."""
        weights = np.zeros(self.order + 1)
        weights[1] = 1.0
        weights[self.orders] = np.exp(theta[self.n : -1])
        return Prior(Kernel(np.exp(theta[: self.n]), weights), math.exp(theta[-1]))

    def __call__(self, theta: Floats) -> tuple[float, Floats]:
        seen, prior = self.seen, self.prior(theta)
        kernel = prior.kernel
        polynomials = elementary(kernel.power_sums(seen.x, seen.x))
        covariance = prior.with_diagonal(combine(kernel.weights, polynomials), seen)
        try:
            lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            return _IMPOSSIBLE, np.zeros_like(theta)
        alpha = scipy.linalg.cho_solve((lower, True), seen.values, check_finite=False)
        slope = 0.5 * (_inverse(lower) - np.outer(alpha, alpha))  # of the likelihood by the covariance
        gradient = np.concatenate(
            [
                self._by_scales(kernel, polynomials, slope),
                [kernel.weights[k] * float(np.vdot(slope, polynomials[k] + np.zeros_like(slope))) for k in self.orders],
                [prior.nugget * float(np.diag(slope) @ seen.shape)],
            ]
        )
        away = (theta - self._mean) / self._sd
        fit = 0.5 * float(seen.values @ alpha) + float(np.log(np.diag(lower)).sum())
        return fit + 0.5 * float(away @ away), gradient + away / self._sd

    def _by_scales(self, kernel: Kernel, polynomials: list[Floats], slope: Floats) -> Floats:
        """Through the power sums: ∂e_k/∂p_j = (−1)^(j−1) e_(k−j) / j and ∂p_j/∂log s_i = j (s_i x_i y_i)^j."""
        x = self.seen.x
        gradient = np.zeros(self.n)
        for j in range(1, self.order + 1):
            by_sum = slope * combine(kernel.weights[j:], polynomials[: self.order + 1 - j])
            total = np.einsum("ai,ai->i", x, by_sum @ x) if j % 2 else np.full(self.n, by_sum.sum())
            gradient += (-1) ** (j - 1) * kernel.scales**j * total
        return gradient


def fit_prior(seen: Observations, *, steps: int = _STEPS, rows: int = FIT_ROWS) -> Prior:
    """The most likely hyper-parameters, found on at most ``rows`` of the rows.

    If all but ∅ and the full coalition look alike, nothing tells features apart, and the starting point is kept.
    """
    likelihood = Likelihood(seen.thinned(rows))
    inner = seen.values[np.abs(seen.x.sum(axis=1)) < likelihood.n]
    if not len(inner) or float(np.ptp(inner)) == 0:
        return likelihood.prior(likelihood.start())
    found = scipy.optimize.minimize(
        likelihood,
        likelihood.start(),
        jac=True,
        method="L-BFGS-B",
        bounds=likelihood.bounds(),
        options={"maxiter": steps, "maxcor": 20},
    )
    return likelihood.prior(found.x)


@dataclass(frozen=True, slots=True)
class Posterior:
    """The Shapley values given the data.

    ``values`` (n,), ``covariance`` (n, n). ``alpha`` (m,): the game's expected value at rows y is K(y, seen) @ alpha.
    ``left_out`` (m,): each observation minus its prediction from all others; ``standardised`` (m,): the same over its
    predicted standard deviation. ``precision`` (m, m): the inverse of the observations' covariance.
    """

    values: Floats
    covariance: Floats
    alpha: Floats
    precision: Floats
    left_out: Floats
    standardised: Floats

    @property
    def std(self) -> Floats:
        """Standard deviations (n,)."""
        deviations: Floats = np.sqrt(np.maximum(0.0, np.diag(self.covariance)))
        return deviations


def posterior(prior: Prior, seen: Observations) -> Posterior:
    """Condition the Shapley values on all of ``seen``."""
    lower = factor(prior.covariance(seen))
    alpha = scipy.linalg.cho_solve((lower, True), seen.values, check_finite=False)
    shared = prior.kernel.shapley(seen.x)
    whitened = scipy.linalg.solve_triangular(lower, shared.T, lower=True, check_finite=False)
    inverse = _inverse(lower)
    precision = np.diag(inverse)
    return Posterior(
        values=shared @ alpha,
        alpha=alpha,
        precision=inverse,
        covariance=prior.kernel.shapley_covariance() - whitened.T @ whitened,
        left_out=alpha / precision,
        standardised=alpha / np.sqrt(precision),
    )


def factor(covariance: Floats) -> Floats:
    """Cholesky's L of ``covariance``, whose diagonal grows until there is one: it was fitted to fewer rows than it has."""
    for power in range(-10, -4):
        try:
            lower: Floats = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            covariance = covariance + np.eye(len(covariance)) * 10.0**power * float(np.diag(covariance).max())
        else:
            return lower
    last: Floats = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
    return last


def _inverse(lower: Floats) -> Floats:
    """The inverse of L Lᵀ, both triangles."""
    half = scipy.linalg.lapack.dpotri(lower, lower=1)[0]
    inverse: Floats = np.tril(half) + np.tril(half, -1).T
    return inverse
