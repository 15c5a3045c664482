"""Two sets of answers compared, feature by feature: what moved, by how much, and what could have been seen.

**Paired** (the same coalitions asked twice): the differences d(S) = y₂(S) − y₁(S) are a game of their own. Its linear part
d(S) ≈ d(∅) + Σᵢ φᵢ zᵢ(S) with Σφᵢ = d(N) − d(∅) is fitted by least squares after the sum constraint has been eliminated (as in
Kernel SHAP; Covert & Lee, AISTATS 2021), with the covariance HC3 (MacKinnon & White, J. Econometrics 29, 1985), to which the
noise of d(∅) and d(N) comes in quadrature, because they enter every row. What an unchanged endpoint answers differs by noise
alone, which is what the residuals measure; an interaction that did not change has no part in them.

**Unpaired** (other seeds, other masks): each attribution with its own standard error, which the methods cluster by antithetic
pair; noise of the endpoint comes in quadrature.

Many features are tested at once: q-values are Benjamini & Hochberg's (JRSS B 57, 1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.special
from numpy.typing import NDArray

from probe.analysis.intervals import p_values, quantile

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_POWER = 0.8
#: Differences of scores below this, relative to the scores, are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Diff:
    """What moved, in score units; all (n,).

    ``least``: the change that would have been found at this level with a probability of 0.8, had there been one. ``judged``
    is ``False`` where nothing can tell noise from change (too few coalitions, no repeats): p and q are NaN then.
    """

    change: Floats
    std_errors: Floats
    dof: float
    p: Floats
    q: Floats
    least: Floats
    judged: bool
    paired: bool
    rows: int  #: coalitions that were compared
    base: float = math.nan  #: change of the score with every feature replaced
    full: float = math.nan  #: change of the score of the input as it is

    def moved(self, level: float = 0.05) -> Bools:
        """Which features (n,) moved, at a false discovery rate of ``level``."""
        return np.nan_to_num(self.q, nan=1.0) < level


def paired(
    coalitions: Bools, first: Floats, second: Floats, *, noise: Floats | None = None, level: float = 0.05
) -> Diff:
    """Compare answers to the same ``coalitions`` (m, n), which must include the full and the empty one.

    ``noise``: (m,) variance of each difference as far as repeats tell it. Degrees of freedom are m/2 − n, because coalitions
    come in pairs. Raises ``ValueError`` if the full or the empty coalition is missing.
    """
    coalitions = np.asarray(coalitions, dtype=bool)
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    scale = float(np.max(np.abs(np.concatenate([first, second])), initial=0.0))
    difference = np.where(np.abs(difference) <= _ROUNDING * scale, 0.0, difference)
    size = coalitions.sum(axis=1)
    n = coalitions.shape[1]
    full, empty = np.flatnonzero(size == n), np.flatnonzero(size == 0)
    if not len(full) or not len(empty):
        raise ValueError("the full or the empty coalition was not answered in both")
    rise, floor = float(difference[full].mean()), float(difference[empty].mean())
    inner = (size > 0) & (size < n)
    known = np.zeros(len(difference)) if noise is None else np.asarray(noise, dtype=np.float64)
    least_noise = float(known.mean()) if len(known) else 0.0
    dof = len(difference) / 2 - n
    judged = dof >= 1 or not difference.any()
    singles = {int(np.flatnonzero(~coalitions[row])[0]): row for row in np.flatnonzero(size == n - 1)}
    if dof < 1 and len(singles) == n:
        # too few for a regression, but each feature was left out once
        change = rise - difference[[singles[feature] for feature in range(n)]]
        variance = np.full(n, 2 * least_noise)
    else:
        change, variance = _constrained(coalitions[inner], difference[inner], rise, floor, least_noise)
    change = np.where(np.abs(change) <= 1e3 * _ROUNDING * scale, 0.0, change)
    if not judged and least_noise > 0 and (len(singles) == n or int(inner.sum()) >= n - 1):
        dof, judged = math.inf, True  # the repeats say how large the noise is
    return _tested(
        change, np.sqrt(variance), dof, judged, level, paired=True, rows=len(difference), base=floor, full=rise
    )


def unpaired(
    first: Floats,
    second: Floats,
    first_errors: Floats,
    second_errors: Floats,
    *,
    dof: float | None = None,
    level: float = 0.05,
    rows: int = 0,
    base: float = math.nan,
    full: float = math.nan,
) -> Diff:
    """Compare attributions (n,) that have nothing in common but their features. Where an error is NaN nothing is judged.

    ``dof``: of the explanation that has fewer.
    """
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    errors = np.hypot(first_errors, second_errors)
    judged = bool(np.isfinite(errors).any())
    return _tested(change, errors, math.inf if dof is None else dof, judged, level, rows=rows, base=base, full=full)


def false_discovery(p: Floats) -> Floats:
    """Benjamini & Hochberg's q-values of ``p`` (n,); NaN stays NaN and does not count."""
    known = np.flatnonzero(np.isfinite(p))
    q = np.full(len(p), np.nan)
    order = known[np.argsort(p[known])]
    ranked = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(1.0, np.minimum.accumulate(ranked[::-1])[::-1])
    return q


def _constrained(
    coalitions: Bools, difference: Floats, rise: float, floor: float, least_noise: float
) -> tuple[Floats, Floats]:
    """Changes (n,) and their variances. The last feature is what the others leave of the sum."""
    z = coalitions.astype(np.float64)
    n = z.shape[1]
    design = z[:, :-1] - z[:, -1:]
    target = difference - floor - z[:, -1] * (rise - floor)
    inverse = np.linalg.pinv(design)  # (n − 1, m)
    head = inverse @ target
    residuals = target - design @ head
    leverage = np.clip(np.einsum("ij,ji->i", design, inverse), 0.0, 1.0 - 1e-9)
    inflated = residuals / (1.0 - leverage)
    spread = inverse * inflated
    covariance = spread @ spread.T
    free = max(1, len(target) - (n - 1))
    noise = max(float(residuals @ residuals) / free, least_noise)
    ends = np.column_stack([inverse @ (z[:, -1] - 1.0), -(inverse @ z[:, -1])])  # by d(∅), by d(N)
    covariance = covariance + noise * ends @ ends.T
    last = np.array([-1.0, 1.0]) - ends.sum(axis=0)
    # the last one: (d(N) − d(∅)) − Σ; the residual part of the sum and the ends' part
    own = float(spread.sum(axis=0) @ spread.sum(axis=0)) + noise * float(last @ last)
    change = np.append(head, rise - floor - head.sum())
    by_repeats = least_noise * np.einsum("ij,ij->i", inverse, inverse)
    return change, np.append(np.maximum(np.diag(covariance), by_repeats), own)


def _tested(
    change: Floats,
    errors: Floats,
    dof: float,
    judged: bool,
    level: float,
    *,
    paired: bool = False,
    rows: int,
    base: float,
    full: float,
) -> Diff:
    if not judged:
        p = np.full(len(change), np.nan)
        least = np.full(len(change), np.nan)
    else:
        free = None if math.isinf(dof) else max(1.0, dof)
        p = p_values(change, errors, dof=free)
        at_once = max(1, int(np.isfinite(p).sum()))
        shifted = quantile(free, level=1 - level / at_once) + float(scipy.special.ndtri(_POWER))
        least = shifted * np.asarray(errors)
    return Diff(
        change=change,
        std_errors=np.asarray(errors),
        dof=dof,
        p=p,
        q=false_discovery(p),
        least=least,
        judged=judged,
        paired=paired,
        rows=rows,
        base=base,
        full=full,
    )
