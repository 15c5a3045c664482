"""A second opinion for bounded scores: the process on the log-odds scale.

A probability near 0 or 1 hardly moves, whatever is replaced; its log-odds does. A Gaussian process fitted to log-odds
therefore often needs far fewer interactions, but the Shapley values of its back-transformed mean have no closed form. They are
those of the plain process plus those of the difference of the two, which is cheap to evaluate anywhere: a regression over
thousands of predicted pairs (no evaluation is spent). How far to follow the second process is decided by stacking: the weight
that predicts left-out rows best (Wolpert, *Stacked Generalization*, 1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special

from probe.methods.base import CoalitionTable, Floats
from probe.methods.design import Ints, enumerate_all, leverage_masses, paired_design
from probe.methods.gp_data import Data, observe_rows
from probe.methods.gp_fit import Posterior, Prior, fit_prior, posterior
from probe.methods.gp_kernel import signs
from probe.methods.regression import pair_partners, row_weights, solve

#: scores are kept this far from the ends of their range
_MARGIN = 1e-4
#: predicted pairs, and features up to which all of them are predicted
_PAIRS = 1024
_ALL_PAIRS = 11
#: rows on which the second process is fitted, and steps of the climb
_ROWS = 200
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Stacked:
    """``shift`` (n,): what to add to the plain process's Shapley values. ``left_out`` (m,): the errors of both together on the
    plain process's observations, in its units."""

    shift: Floats
    left_out: Floats


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


def stack(table: CoalitionTable, data: Data, prior: Prior, plain: Posterior) -> Stacked:
    """What the log-odds process adds to ``plain``, the posterior of ``data`` under ``prior``; nothing to unbounded scores."""
    nothing = Stacked(np.zeros(table.n), plain.left_out)
    link = _Link.of(table.values)
    if link is None or np.any(table.noise > 0):
        return nothing
    linked = CoalitionTable.of(table.coalitions, link.there(table.values))
    second = observe_rows(linked)
    if second.scale == 0:
        return nothing
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
        return Stacked(np.zeros(table.n), own)
    x = _pairs(table.n)
    mean = float(linked.values.mean())
    at = [mean + second.scale * (second_prior.kernel.gram(side, second.seen.x) @ found.alpha) for side in (x, -x)]
    odd = (link.back(at[0]) - link.back(at[1])) / (2 * data.scale)
    gram = prior.kernel.gram(x, data.seen.x)
    if not data.seen.odd:
        gram = (gram - prior.kernel.gram(-x, data.seen.x)) / 2
    return Stacked(weight * _shapley_of_pairs(x, odd - gram @ plain.alpha), own + weight * (errors - own))


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
    """Sign rows (k, n) of one member of each pair to predict: all pairs if there are few, else distinct ones of all sizes."""
    if n <= _ALL_PAIRS:
        rows = enumerate_all(n)[2:]
        return signs(rows[rows[:, 0]])
    rows = paired_design(n, 2 * _PAIRS + 2, np.random.default_rng(0), masses=leverage_masses(n))
    return signs(rows[2::2])


def _shapley_of_pairs(x: Floats, odd: Floats) -> Floats:
    """Shapley values (n,), with sum 0, of a game that is ``odd`` (k,) at sign rows ``x`` (k, n): the paired regression.

    Exact if all pairs are there. A linear game Σ φ_i z_i is Σ φ_i x_i / 2 in its odd part; Σ φ = 0 is projected out.
    """
    n = x.shape[1]
    layers = np.minimum((x > 0).sum(axis=1), (x < 0).sum(axis=1)).astype(np.intp)
    sizes = np.arange(n // 2 + 1, dtype=np.float64)
    masses = np.zeros(n // 2 + 1)
    masses[1:] = 1 / (sizes[1:] * (n - sizes[1:]))
    if n % 2 == 0:
        masses[-1] /= 2
    columns = (x - x.mean(axis=1, keepdims=True)) / 2
    found, _ = solve(columns, odd, row_weights(layers, masses))
    values: Floats = found - found.mean()
    return values
