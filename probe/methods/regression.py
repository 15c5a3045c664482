"""Weighted least squares over sampled coalitions, with standard errors that know how the coalitions were drawn.

Rows of one size stand for all coalitions of that size: their weights are the size's mass over their number
(post-stratification), so a fit over any table estimates the fit over the whole population of 2ⁿ coalitions. The errors
are a delete-one-unit jackknife in closed form (leverages), the unit being a complementary pair or a lone row, with the
finite-population correction of each layer: an enumerated layer adds no sampling error. Sources: Särndal, Swensson &
Wretman, *Model Assisted Survey Sampling*, 1992, ch. 5–7 (linearised estimators under stratified sampling); Bell &
McCaffrey, *Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples*, 2002 (blocked leverage).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from probe.methods.base import Bools, Floats
from probe.methods.design import Ints, layers_of, row_keys

#: leverages closer to 1 than this mean that the fit hangs on a single unit
_FREE = 1e-9


def row_weights(strata: Ints, masses: Floats) -> Floats:
    """Weight of each row (m,): the mass of its stratum over the number of rows in it.

    ``strata`` (m,) are sizes or layers, ``masses`` (k,) their weights in the population. The mass of a stratum without
    rows goes to the nearest that has some, in halves if two are equally near; strata of mass 0 keep weight 0.
    """
    counts = np.bincount(strata, minlength=len(masses)).astype(np.float64)
    present = np.flatnonzero((counts > 0) & (masses > 0))
    if not len(present):
        return np.zeros(len(strata))
    carried = _nearest(len(masses), present) @ masses
    weights: Floats = carried[strata] / counts[strata]
    return weights


def sampled_fractions(coalitions: Bools) -> tuple[Ints, Floats]:
    """The layer of each row (m,), and per layer 0 … ⌊n/2⌋ which part of what it stands for is in the table.

    A layer stands for itself and for its share of the layers nearest to it that have no rows.
    """
    n = coalitions.shape[1]
    layers = layers_of(coalitions)
    counts = np.bincount(layers, minlength=n // 2 + 1)
    population = np.array([float(min(math.comb(n, s) * (1 if 2 * s == n else 2), 10**290)) for s in range(n // 2 + 1)])
    fractions = np.ones(n // 2 + 1)
    inner = np.flatnonzero(counts[1:]) + 1
    if len(inner):
        share = _nearest(n // 2 + 1, inner)
        share[:, 0] = 0.0  # no other layer stands for ∅ and the full coalition
        fractions[inner] = np.minimum(1.0, counts[inner] / (share @ population)[inner])
    return layers, fractions


def _nearest(k: int, present: Ints) -> Floats:
    """(k, k): which part of position j is taken over by position i, the nearest of ``present``."""
    distance = np.abs(np.arange(k)[:, None] - present[None, :])
    nearest = (distance == distance.min(axis=1, keepdims=True)).astype(np.float64)
    share = np.zeros((k, k))
    share[present, :] = (nearest / nearest.sum(axis=1, keepdims=True)).T
    return share


def pair_partners(coalitions: Bools) -> Ints:
    """Index of each row's complement in the table (m,), −1 where it is missing."""
    index = {key: row for row, key in enumerate(row_keys(coalitions))}
    return np.array([index.get(key, -1) for key in row_keys(~coalitions)], dtype=np.intp)


def units(partners: Ints) -> Ints:
    """Number of each row's unit (m,): the index of the earlier member of its pair, or its own."""
    own = np.arange(len(partners))
    return np.where(partners >= 0, np.minimum(own, partners), own)


@dataclass(frozen=True, slots=True)
class Fit:
    """A weighted least-squares fit: ``influence`` @ targets = ``coefficients``.

    ``coefficients`` (p,), of least norm if the rows do not determine them (``rank`` says how many are). ``influence``
    (p, m). ``residuals`` and ``held_out`` (m,): target minus prediction, in sample and with the row's unit left out; NaN
    where the fit hangs on that unit. ``unit_leverage`` (m,): mean leverage of the rows of the row's unit.
    """

    coefficients: Floats
    influence: Floats
    residuals: Floats
    held_out: Floats
    unit_leverage: Floats
    rank: int


def fit(columns: Floats, targets: Floats, weights: Floats, partners: Ints | None = None) -> Fit:
    """Fit ``columns`` (m, p) to ``targets`` (m,) with ``weights`` (m,) ≥ 0; ``partners`` as of :func:`pair_partners`."""
    root = np.sqrt(weights)
    scaled = columns * root[:, None]
    u, sigma, vt = scipy.linalg.svd(scaled, full_matrices=False, check_finite=False)
    rank = int(np.sum(sigma > max(scaled.shape) * np.finfo(float).eps * sigma[:1].max(initial=0.0)))
    u, sigma, vt = u[:, :rank], sigma[:rank], vt[:rank]
    influence = (vt.T / sigma) @ (u.T * root)
    coefficients = (vt.T / sigma) @ (u.T @ (targets * root))
    residuals = targets - columns @ coefficients
    own = np.einsum("ij,ij->i", u, u)
    if partners is None:
        partners = np.full(len(targets), -1, dtype=np.intp)
    held_out, leverage = _left_out(u, own, residuals, root, partners)
    return Fit(coefficients, influence, residuals, held_out, leverage, rank)


def solve(columns: Floats, targets: Floats, weights: Floats) -> tuple[Floats, int]:
    """Coefficients (p,) and rank as of :func:`fit`, without what errors need and in a third of its time."""
    root = np.sqrt(weights)
    cut_off = max(columns.shape) * np.finfo(float).eps
    found = scipy.linalg.lstsq(
        columns * root[:, None], targets * root, cond=cut_off, lapack_driver="gelsy", check_finite=False
    )
    return found[0], int(found[2])


def half_split_spread(estimates: Sequence[Floats], values: Floats, targets: Floats) -> float:
    """Half the distance of two halves' ``estimates`` over the norm of ``values``; NaN if the values are rounding errors.

    About the relative standard error of ``values``: each half has twice their variance, the difference four times.
    """
    norm = float(np.linalg.norm(values))
    if norm <= 1e-9 * max(float(np.abs(targets).max()), 1e-300):
        return math.nan
    return float(np.linalg.norm(estimates[0] - estimates[1])) / (2 * norm)


def _left_out(u: Floats, own: Floats, residuals: Floats, root: Floats, partners: Ints) -> tuple[Floats, Floats]:
    """Residuals with the unit left out, (I − H_unit)⁻¹ e in closed form for units of one or two rows, and leverages."""
    paired = partners >= 0
    other = np.where(paired, partners, 0)
    cross = np.where(paired, np.einsum("ij,ij->i", u, u[other]), 0.0)
    own_other = np.where(paired, own[other], 0.0)
    determinant = (1 - own) * (1 - own_other) - cross**2
    free = determinant > _FREE
    # in weighted units; a row of weight 0 has leverage 0 and keeps its residual
    scaled = residuals * root
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = ((1 - own_other) * scaled + cross * np.where(paired, scaled[other], 0.0)) / determinant / root
    left_out = np.where(root > 0, left_out, residuals)
    return np.where(free, left_out, np.nan), np.where(paired, (own + own_other) / 2, own)


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard errors (p,) and the degrees of freedom of the residuals they rest on."""

    std_errors: Floats
    dof: float


def spread(result: Fit, coalitions: Bools, partners: Ints, noise: Floats) -> Spread:
    """Errors of ``result.coefficients`` from sampling, and from the measured ``noise`` (m,) where sampling adds none.

    All NaN where they cannot be told: fewer rows than coefficients, or a fit that hangs on a single unit.
    """
    layers, fractions = sampled_fractions(coalitions)
    missing = 1 - fractions[layers]
    noise_variance = (result.influence**2) @ (noise * fractions[layers])
    sampled = (missing > 0) & (np.abs(result.influence).sum(axis=0) > 0)
    if not sampled.any():
        return Spread(np.sqrt(noise_variance), math.inf)
    if np.isnan(result.held_out[sampled]).any():
        return Spread(np.full(len(result.coefficients), np.nan), 0.0)
    scores = result.influence * np.where(sampled, result.held_out * np.sqrt(missing), 0.0)
    first = units(partners) == np.arange(len(partners))
    sums = scores[:, first] + np.where(partners[first] >= 0, scores[:, partners[first]], 0.0)
    dof = float(np.sum(np.maximum(0.0, 1 - _unit_total(result, partners))[first & sampled]))
    return Spread(np.sqrt(np.sum(sums**2, axis=1) + noise_variance), max(1.0, dof))


def _unit_total(result: Fit, partners: Ints) -> Floats:
    return result.unit_leverage * np.where(partners >= 0, 2.0, 1.0)


def r_squared(targets: Floats, residuals: Floats, weights: Floats) -> float:
    """1 − Σ w e² / Σ w (t − t̄)²; NaN if the targets do not vary or a residual is NaN."""
    total = weights.sum()
    if total <= 0:
        return math.nan
    mean = float(weights @ targets / total)
    variation = float(weights @ (targets - mean) ** 2)
    floor = total * (1e-12 * max(1.0, float(np.abs(targets).max()))) ** 2
    if variation <= floor:
        return math.nan
    return 1 - float(weights @ residuals**2) / variation


def halves(coalitions: Bools, partners: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two disjoint halves of the rows, whole units dealt alternately within each layer; ∅ and full are in both."""
    layers = layers_of(coalitions)
    unit = units(partners)
    one = np.zeros(len(coalitions), dtype=bool)
    turn = 0
    for layer in np.unique(layers[layers > 0]):
        members = np.unique(unit[layers == layer])
        one |= np.isin(unit, members[turn::2])
        turn ^= len(members) & 1
    end = layers == 0
    return one | end, ~one | end
