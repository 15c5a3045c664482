"""A second opinion for bounded scores: the process on the log-odds scale.

A probability near 0 or 1 hardly moves, whatever is replaced; its log-odds does. A Gaussian process fitted to log-odds
therefore often needs far fewer interactions, but the Shapley values of its back-transformed mean have no closed form. For up
to 16 features they are those of all 2ⁿ predictions; beyond, those of the plain process plus those of the difference of the
two, by a regression over thousands of predicted pairs (no evaluation is spent). How far to follow the second process is
decided by stacking: the weight that predicts left-out rows best (Wolpert, *Stacked Generalization*, 1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.special

from probe.methods.base import CoalitionTable, Floats
from probe.methods.design import Ints, layer_sizes, layers_of, leverage_masses, paired_design
from probe.methods.exact import exact_shapley
from probe.methods.gp_data import Data, observe_rows
from probe.methods.gp_fit import Posterior, Prior, fit_prior, posterior
from probe.methods.gp_kernel import Kernel, signs
from probe.methods.regression import pair_partners, row_weights

#: scores are kept this far from the ends of their range
_MARGIN = 1e-4
#: features up to which all coalitions are predicted, and how many pairs are beyond
_ALL = 16
_PAIRS = 2048
#: rows on which the second process is fitted, and steps of the climb
_ROWS = 200
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Stacked:
    """``shift`` (n,): what to add to the plain process's Shapley values, with standard errors ``shift_errors`` (n,) if
    not all coalitions were predicted. ``left_out`` (m,): the errors of both together on the plain process's observations.
    All in its units."""

    shift: Floats
    shift_errors: Floats
    left_out: Floats

    @classmethod
    def nothing(cls, plain: Posterior, left_out: Floats | None = None) -> Stacked:
        """The plain process alone."""
        zero = np.zeros(len(plain.values))
        return cls(zero, zero, plain.left_out if left_out is None else left_out)


@dataclass(frozen=True, slots=True)
class _Link:
    """Log-odds of a score within (``low``, ``high``)."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> _Link | None:
        """The range that scores usually have: [0, 1] or [−1, 1]; ``None`` if these do not fit."""
        if values.max() > 1 or values.min() < -1:
            return None
        low, high = (0.0 if values.min() >= 0 else -1.0), 1.0
        margin = _MARGIN * (high - low)
        return cls(low - margin, high + margin)

    def there(self, values: Floats) -> Floats:
        transformed: Floats = scipy.special.logit((values - self.low) / (self.high - self.low))
        return transformed

    def back(self, transformed: Floats) -> Floats:
        values: Floats = self.low + (self.high - self.low) * scipy.special.expit(transformed)
        return values


@dataclass(frozen=True, slots=True)
class _Second:
    """The process of ``data`` on the log-odds scale about ``mean``, transformed back."""

    link: _Link
    kernel: Kernel
    data: Data
    mean: float
    alpha: Floats

    def odd(self, x: Floats) -> Floats:
        """Odd part (k,) of the predicted score at sign rows ``x`` (k, n)."""
        even, odd = (self.data.scale * part for part in self.kernel.parts(x, self.data.seen.x, self.alpha))
        values: Floats = (self.link.back(self.mean + even + odd) - self.link.back(self.mean + even - odd)) / 2
        return values

    def shapley(self) -> Floats:
        """Shapley values (n,) of the predicted score, from all 2ⁿ predictions."""
        n = self.data.seen.x.shape[1]
        predicted = self.mean + self.data.scale * self.kernel.everywhere(self.data.seen.x, self.alpha)
        rows = np.arange(2**n)[:, None] >> np.arange(n) & 1 == 1
        return exact_shapley(CoalitionTable.of(rows, self.link.back(predicted)))[0]


def stack(table: CoalitionTable, data: Data, prior: Prior, plain: Posterior) -> Stacked:
    """What the log-odds process adds to ``plain``, the posterior of ``data`` under ``prior``; nothing to unbounded scores."""
    link = _Link.of(table.values)
    if link is None or np.any(table.noise > 0):
        return Stacked.nothing(plain)
    linked = CoalitionTable.of(table.coalitions, link.there(table.values))
    second = observe_rows(linked)
    if second.scale == 0:
        return Stacked.nothing(plain)
    second_prior = fit_prior(second.seen, rows=_ROWS, steps=_STEPS)
    found = posterior(second_prior, second.seen)
    partners = pair_partners(table.coalitions)
    errors = table.values - link.back(linked.values - second.scale * _left_out_units(found, partners))
    errors = errors / data.scale
    if data.seen.odd:
        first = np.flatnonzero(partners > np.arange(table.m))
        errors = (errors[first] - errors[partners[first]]) / 2
        own = plain.left_out
    else:
        own = _left_out_units(plain, partners)
    weight = _weight(own, errors)
    if weight == 0:
        return Stacked.nothing(plain, own)
    second_process = _Second(link, second_prior.kernel, second, float(linked.values.mean()), found.alpha)
    if table.n <= _ALL:
        shift = second_process.shapley() / data.scale - plain.values
        shift, shift_errors = shift - shift.mean(), np.zeros(table.n)
    else:
        x = _pairs(table.n)
        gap = second_process.odd(x) / data.scale - prior.kernel.parts(x, data.seen.x, plain.alpha)[1]
        shift, shift_errors = shapley_of_pairs(x, gap)
    return Stacked(weight * shift, weight * shift_errors, own + weight * (errors - own))


def _left_out_units(found: Posterior, partners: Ints) -> Floats:
    """Errors (m,) of each row predicted from all rows but itself and its complement, in closed form for blocks of two."""
    own = np.diag(found.precision)
    paired = partners >= 0
    other = np.where(paired, partners, 0)
    cross = np.where(paired, found.precision[np.arange(len(own)), other], 0.0)
    own_other = np.where(paired, own[other], 1.0)
    alpha_other = np.where(paired, found.alpha[other], 0.0)
    errors: Floats = (own_other * found.alpha - cross * alpha_other) / (own * own_other - cross**2)
    return errors


def _weight(own: Floats, errors: Floats) -> float:
    """The share of the second process, in [0, 1], with the least sum of squared errors."""
    apart = own - errors
    total = float(apart @ apart)
    return min(1.0, max(0.0, float(own @ apart) / total)) if total > 0 else 0.0


def _pairs(n: int) -> Floats:
    """Sign rows (k, n) of one member of each pair to predict, distinct ones of all sizes."""
    rows = paired_design(n, 2 * _PAIRS + 2, np.random.default_rng(0), masses=leverage_masses(n))
    return signs(rows[2::2])


def shapley_of_pairs(x: Floats, odd: Floats) -> tuple[Floats, Floats]:
    """Shapley values (n,), with sum 0, of a game that is ``odd`` (k,) at sign rows ``x`` (k, n), and their standard errors.

    Exact, with errors 0, if all pairs are there.
    """
    influence, missing = pair_regression(x)
    values = influence @ odd
    residuals = odd - x @ values / 2
    return values, np.sqrt(influence**2 @ (missing * residuals**2))


def pair_regression(x: Floats) -> tuple[Floats, Floats]:
    """The paired regression of Leverage SHAP (Musco & Witter, arXiv 2410.01917) on one member ``x`` (k, n) of each pair.

    The first result (n, k) times the odd part's values is φ − (Σφ)/n; a linear game Σ φ_i z_i is Σ φ_i x_i / 2 in its odd
    part. The second (k,) says which part of the pairs that a row stands for is not in ``x``.
    """
    n = x.shape[1]
    layers = layers_of(x > 0)
    sizes = np.arange(1, n // 2 + 1, dtype=np.float64)
    masses = np.concatenate([[0.0], 1 / (sizes * (n - sizes))])
    if n % 2 == 0:
        masses[-1] /= 2
    weighted = (x - x.mean(axis=1, keepdims=True)) / 2
    information = weighted.T @ (weighted * row_weights(layers, masses)[:, None])
    influence = scipy.linalg.pinvh(information) @ (weighted.T * row_weights(layers, masses))
    counts = np.bincount(layers, minlength=n // 2 + 1)
    missing = np.array([0.0] + [1 - min(1.0, c / p) for c, p in zip(counts[1:], layer_sizes(n), strict=True)])
    return influence, missing[layers]
