"""A covariance over coalitions whose Shapley values have a closed form.

A coalition z ∈ {0, 1}ⁿ is written x = 2z − 1 ∈ {−1, 1}ⁿ. Every game is a sum Σ_T b_T Π_{i∈T} x_i over sets of features (its
Walsh expansion), and its Shapley values are φ_i = 2 Σ_{T∋i, |T| odd} b_T / |T| (Fumagalli et al., *An Odd Estimator for
Shapley Values*, arXiv 2602.01399, section 3). Independent b_T with variance a_|T| Π_{i∈T} s_i make the game a Gaussian
process with covariance

    K(x, y) = Σ_k a_k e_k(u),   u_i = s_i x_i y_i,

e_k the elementary symmetric polynomials. They follow by Newton's identities from the power sums p_j = Σ_i u_i^j, which are
constants for even j (x_i² = 1) and one matrix product for odd j: nothing larger than m × m is ever built. The kernel over
coalitions of ShaplEIG (Rundel et al., arXiv 2606.02247) is the one with all orders; here the orders are weighted freely.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from probe.methods.base import Bools, Floats


def signs(coalitions: Bools) -> Floats:
    """x = 2z − 1 of coalitions (m, n): 1 where the feature is kept, −1 where it is replaced."""
    x: Floats = 2.0 * coalitions.astype(np.float64) - 1.0
    return x


@dataclass(frozen=True, slots=True)
class Kernel:
    """K(x, y) = Σ_k a_k e_k(s ∘ x ∘ y).

    ``scales`` s (n,) > 0: how much each feature takes part. ``weights`` a (K + 1,) ≥ 0: variance of each order 0 … K
    against what the scales say.
    """

    scales: Floats
    weights: Floats

    @property
    def order(self) -> int:
        """The largest number of features that act together."""
        return len(self.weights) - 1

    def gram(self, x: Floats, y: Floats) -> Floats:
        """(m, k) covariances of the game at sign rows ``x`` (m, n) and ``y`` (k, n)."""
        return combine(self.weights, elementary(self.power_sums(x, y)))

    def parts(self, x: Floats, y: Floats, alpha: Floats) -> tuple[Floats, Floats]:
        """Even and odd part (m,) of K(x, y) @ ``alpha``: their sum is the value at ``x``, their difference that at −x."""
        found = elementary(self.power_sums(x, y))
        even, odd = self.weights.copy(), self.weights.copy()
        even[1::2], odd[::2] = 0.0, 0.0
        return combine(even, found) @ alpha, combine(odd, found) @ alpha

    def everywhere(self, y: Floats, alpha: Floats) -> Floats:
        """K(x, y) @ ``alpha`` at all 2ⁿ coalitions x: (2ⁿ,), place k for the coalition of the bits of k, the lowest first.

        ``y`` (m, n), ``alpha`` (m,). By the Walsh coefficients, of which there are few, and the fast Walsh–Hadamard transform.
        """
        n = y.shape[1]
        coefficients = np.zeros(2**n)
        for k, weight in enumerate(self.weights[: n + 1]):
            sets = np.array(list(itertools.combinations(range(n), k)), dtype=np.intp)
            products = np.ones((len(y), len(sets)))
            for member in sets.T:
                products *= y[:, member] * self.scales[member]
            coefficients[(1 << sets).sum(axis=1)] = weight * (alpha @ products)
        for i in range(n):
            halves = coefficients.reshape(-1, 2, 2**i)
            without, plus = halves[:, 0] - halves[:, 1], halves[:, 0] + halves[:, 1]
            halves[:, 0], halves[:, 1] = without, plus
        return coefficients

    def power_sums(self, x: Floats, y: Floats) -> list[Floats]:
        """p_1 … p_K of the s ∘ x ∘ y of every two rows: (m, k) each for odd orders, a single figure for even ones."""
        return [
            (x * self.scales**j) @ y.T if j % 2 else np.asarray((self.scales**j).sum())
            for j in range(1, self.order + 1)
        ]

    def shapley(self, y: Floats) -> Floats:
        """(n, k): covariance of every Shapley value with the game at sign rows ``y`` (k, n).

        The Shapley values of x ↦ K(x, y): Σ_{t odd} a_t (2/t) u_i e_{t−1}(u without i), u = s ∘ y.
        """
        u = (y * self.scales).T
        without = leave_out(elementary([np.sum(u**j, axis=0) for j in range(1, self.order + 1)]), u)
        factors = np.zeros(self.order)
        factors[::2] = 2 * self.weights[1::2] / np.arange(1, self.order + 1, 2)
        covariances: Floats = u * combine(factors, without[:-1])
        return covariances

    def shapley_covariance(self) -> Floats:
        """(n, n): covariance of the Shapley values before anything is known, Σ_{T∋i,j} a_|T| (2/|T|)² Π_{k∈T} s_k."""
        s = self.scales
        whole = elementary([np.asarray((s**j).sum()) for j in range(1, self.order + 1)])
        once = leave_out([np.broadcast_to(e, s.shape) for e in whole], s)
        factors = np.zeros(self.order + 1)
        factors[1::2] = self.weights[1::2] * (2 / np.arange(1, self.order + 1, 2)) ** 2
        twice = leave_out([e[:, None] for e in once], np.broadcast_to(s, (len(s), len(s))))
        covariance = np.outer(s, s) * combine(factors[2:], twice[: self.order - 1])
        np.fill_diagonal(covariance, s * combine(factors[1:], once[: self.order]))
        return covariance


def elementary(power_sums: list[Floats]) -> list[Floats]:
    """e_0 … e_K from the power sums p_1 … p_K, by Newton's identities k e_k = Σ_j (−1)^(j−1) e_(k−j) p_j."""
    found: list[Floats] = [np.asarray(1.0)]
    for k in range(1, len(power_sums) + 1):
        terms = [(-1) ** (j - 1) * found[k - j] * power_sums[j - 1] for j in range(1, k + 1)]
        found.append(np.asarray(sum(terms[1:], start=terms[0]) / k))
    return found


def leave_out(found: list[Floats], u: Floats) -> list[Floats]:
    """e_0 … e_K of all entries but one, which is ``u``: e_k(without u) = e_k − u e_(k−1)(without u)."""
    without = [np.broadcast_to(found[0], u.shape)]
    for k in range(1, len(found)):
        without.append(found[k] - u * without[k - 1])
    return without


def combine(factors: Floats, polynomials: list[Floats]) -> Floats:
    """Σ_k factors_k · polynomials_k, skipping zeros; of the polynomials' common shape."""
    shape = np.broadcast_shapes(*(np.shape(p) for p in polynomials))
    total = np.zeros(shape)
    for factor, polynomial in zip(factors, polynomials, strict=True):
        if factor:
            total += factor * polynomial
    return total
