"""A smooth model of the game between the coalitions that were asked, and what it says of the whole game in closed form.

Every figure here is a linear function of the table's values once the covariance is chosen, so leaving out a coalition or a
complementary pair has a closed form too, and the errors can be those of a jackknife.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from probe.methods.base import Bools, CoalitionTable, Floats
from probe.methods.design import Ints
from probe.methods.gp_data import observe_rows
from probe.methods.gp_fit import FIT_ROWS, Observations, Prior, factor, fit_prior
from probe.methods.gp_kernel import Kernel, combine, elementary, leave_out

#: a feature is taken to have no part in the game if the logarithm of the evidence loses no more than this without it
_IDLE = 1.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """A Gaussian process over the coalitions of a table (``gp_kernel.py``), conditioned on its values.

    ``inverse`` (m, m): of the covariance of ``seen``; ``weights`` (m,) = inverse @ seen.values. The game's values are
    ``centre`` + ``scale`` · the process. Features without a part in the game have scale 0 in ``prior.kernel``, so that
    features that do nothing get exactly equal figures.
    """

    prior: Prior
    seen: Observations
    inverse: Floats
    weights: Floats
    centre: float
    scale: float

    @classmethod
    def of(cls, table: CoalitionTable) -> Proxy | None:
        """Fitted to ``table``; ``None`` if all its values are equal."""
        data = observe_rows(table)
        if data.scale == 0:
            return None
        prior = _without_idle(fit_prior(data.seen), data.seen.thinned(FIT_ROWS))
        return cls._conditioned(prior, data.seen, float(table.values.mean()), data.scale)

    @classmethod
    def _conditioned(cls, prior: Prior, seen: Observations, centre: float, scale: float) -> Proxy:
        lower = factor(prior.covariance(seen))
        half = scipy.linalg.lapack.dpotri(lower, lower=1)[0]
        weights = scipy.linalg.cho_solve((lower, True), seen.values, check_finite=False)
        return cls(prior, seen, np.tril(half) + np.tril(half, -1).T, weights, centre, scale)

    def part(self, rows: Bools) -> Proxy:
        """The same covariance, conditioned on some of the rows only."""
        return self._conditioned(self.prior, self.seen.take(rows), self.centre, self.scale)

    def read(self, covariances: Floats) -> Floats:
        """(p,): what functionals with these covariances (p, m) with the observations are, less their part of the centre.

        Rows that are equal give figures that are equal to the last bit.
        """
        values: Floats = self.scale * np.sum(covariances * self.weights, axis=1)
        return values

    def left_out(self, partners: Ints) -> Floats:
        """(m,): each value minus its prediction from all rows but its own and its partner's (−1: it has none)."""
        own = np.diag(self.inverse)
        paired = partners >= 0
        other = np.where(paired, partners, 0)
        cross = np.where(paired, self.inverse[np.arange(len(own)), other], 0.0)
        theirs = np.where(paired, own[other], 1.0)
        residuals: Floats = (theirs * self.weights - cross * np.where(paired, self.weights[other], 0.0)) / (
            own * theirs - cross**2
        )
        return self.scale * residuals

    def widening(self) -> float:
        """How much larger left-out residuals are than the process expects, at least 1."""
        inner = self.seen.shape > 0
        standardised = self.weights[inner] ** 2 / np.diag(self.inverse)[inner]
        return max(1.0, math.sqrt(float(standardised.mean()))) if inner.any() else 1.0


def _without_idle(prior: Prior, seen: Observations) -> Prior:
    """``prior`` without the features that the data do not need: the smallest scales become 0 while the evidence holds."""
    least = _evidence(prior, seen)
    order = np.argsort(prior.kernel.scales, kind="stable")
    for count in range(1, len(order)):
        scales = prior.kernel.scales.copy()
        scales[order[:count]] = 0.0
        fewer = dataclasses.replace(prior, kernel=dataclasses.replace(prior.kernel, scales=scales))
        least -= _IDLE
        if _evidence(fewer, seen) < least:
            break
        prior = fewer
    return prior


def _evidence(prior: Prior, seen: Observations) -> float:
    """Logarithm of the likelihood of ``seen``, up to a constant."""
    try:
        lower = scipy.linalg.cholesky(prior.covariance(seen), lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return -math.inf
    whitened = scipy.linalg.solve_triangular(lower, seen.values, lower=True, check_finite=False)
    return -0.5 * float(whitened @ whitened) - float(np.log(np.diag(lower)).sum())


def sign_moments(masses: Floats, most: int) -> Floats:
    """E Π_{i∈T} x_i for |T| = 0 … ``most``, under a law that gives size s the mass ``masses[s]`` and is fair within it.

    ``masses`` (n + 1,) need not add to 1; entries beyond n are 0. A size contributes Krawtchouk's polynomial over its
    number of coalitions: Σ_j (−1)^j C(n − s, j) C(s, t − j) / C(n, t).
    """
    n = len(masses) - 1
    share = masses / masses.sum()
    moments = np.zeros(most + 1)
    for t in range(min(most, n) + 1):
        by_size = [
            sum((-1) ** j * math.comb(n - s, j) * math.comb(s, t - j) for j in range(t + 1)) / math.comb(n, t)
            for s in range(n + 1)
        ]
        moments[t] = float(share @ np.array(by_size))
    return moments


def cross_moments(kernel: Kernel, x: Floats, moments: Floats) -> tuple[Floats, Floats]:
    """Covariances of E v (m,) and of E x_i v (n, m) with the game's values at sign rows ``x`` (m, n).

    ``moments``: :func:`sign_moments` up to order K + 1. E Π_T x is c_|T|, so e_k(s ∘ x ∘ ·) has mean c_k e_k(u), and its
    product with x_i has c_(k+1) e_k(u without i) + u_i c_(k−1) e_(k−1)(u without i), with u = s ∘ x.
    """
    u = (x * kernel.scales).T
    a, c, order = kernel.weights, moments, kernel.order
    whole = elementary([np.sum(u**j, axis=0) for j in range(1, order + 1)])
    mean = combine(a * c[: order + 1], [np.broadcast_to(e, x.shape[:1]) for e in whole])
    without = leave_out(whole, u)
    by_feature = combine(a * c[1 : order + 2], without)
    by_feature += u * combine(a[1:] * c[:order], without[:-1])
    return mean, by_feature


def pair_covariances(kernel: Kernel, x: Floats) -> Floats:
    """Covariances of the Shapley interaction index of every pair i < j with the game's values: (n(n − 1)/2, m).

    I_ij = 4 Σ_{T∋i,j, |T| even} b_T / (|T| − 1) for a game Σ_T b_T Π_T x: the discrete derivative of Π_T x by i and j is 4
    times the product over the others, whose mean over a coalition of uniformly random size is 1/(|T| − 1), or 0 for odd |T|.
    """
    first, second = np.triu_indices(x.shape[1], 1)
    u = (x * kernel.scales).T
    order = kernel.order
    without_first = leave_out(elementary([np.sum(u**j, axis=0) for j in range(1, order + 1)]), u)
    without = leave_out([e[first] for e in without_first], u[second])
    covariances: Floats = u[first] * u[second] * combine(_pair_factors(kernel, 1), without[: order - 1])
    return covariances


def pair_variances(kernel: Kernel) -> Floats:
    """Variance of the Shapley interaction index of every pair i < j before anything is known: (n(n − 1)/2,)."""
    s, order = kernel.scales, kernel.order
    first, second = np.triu_indices(len(s), 1)
    without_first = leave_out(elementary([np.full(len(s), np.sum(s**j)) for j in range(1, order + 1)]), s)
    without = leave_out([np.broadcast_to(e, s.shape)[first] for e in without_first], s[second])
    variances: Floats = s[first] * s[second] * combine(_pair_factors(kernel, 2), without[: order - 1])
    return variances


def _pair_factors(kernel: Kernel, power: int) -> Floats:
    """a_t (4/(t − 1))^power of the even orders t = 2 …, 0 of the odd ones."""
    t = np.arange(2, kernel.order + 1)
    factors: Floats = np.where(t % 2 == 0, kernel.weights[2:] * (4.0 / (t - 1)) ** power, 0.0)
    return factors
