"""Which coalitions to ask next: those that tell most about the Shapley values, under what the answers so far say.

The posterior variance of the Shapley values depends on which rows were asked and not on their values, so a whole batch can be
chosen before any of its answers is in (sequential A-optimal design; ShaplEIG, Rundel et al., arXiv 2606.02247, asks one row at
a time by information gain).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from probe.methods.base import Bools
from probe.methods.design import Ints, leave_one_out, row_keys, without_known
from probe.methods.gp_data import unmodelled
from probe.methods.gp_fit import Observations, Prior, factor
from probe.methods.gp_kernel import signs

#: random coalitions of which the best are taken
_CANDIDATES = 384


def candidates(n: int, known: Bools, rng: np.random.Generator, *, count: int = _CANDIDATES) -> Bools:
    """Distinct coalitions not in ``known`` (m, n), (k, n): complements of known ones, everything but one feature, one feature
    alone, and ``count`` random ones of uniform size with their complements."""
    sizes = rng.integers(1, n, size=count // 2)
    places = rng.random((count // 2, n)).argsort(axis=1).argsort(axis=1)
    drawn = places < sizes[:, None]
    rows = np.vstack([~known, leave_one_out(n)[1:], np.eye(n, dtype=bool), drawn, ~drawn])
    rows = without_known(rows, known)
    first = {key: row for row, key in reversed(list(enumerate(row_keys(rows))))}
    return rows[sorted(first.values())]


def greedy_batch(prior: Prior, seen: Observations, rows: Bools, count: int) -> Ints:
    """Indices (≤ count,) of the ``rows`` (k, n) that, one after the other, reduce Σ_i Var(φ_i) most.

    Taking the value at a row with covariances c (n,) with the Shapley values and variance v reduces the sum by |c|² / v.
    """
    x = signs(rows)
    n = x.shape[1]
    sizes = rows.sum(axis=1)
    own = prior.nugget * unmodelled(sizes, n) + float(seen.noise.mean()) if seen.m else np.zeros(len(rows))
    lower = factor(prior.covariance(seen))
    by_rows = scipy.linalg.solve_triangular(lower, prior.kernel.gram(seen.x, x), lower=True, check_finite=False)
    by_values = scipy.linalg.solve_triangular(lower, prior.kernel.shapley(seen.x).T, lower=True, check_finite=False)
    shared = prior.kernel.shapley(x) - by_values.T @ by_rows
    among = prior.kernel.gram(x, x) - by_rows.T @ by_rows
    floor = 1e-9 * float(np.diag(among).max(initial=1e-300))
    chosen: list[int] = []
    for _ in range(min(count, len(rows))):
        variance = np.diag(among) + own
        open_ = variance > floor  # of the others everything is known, and what is left of them is rounding
        gain = np.where(open_, np.einsum("ic,ic->c", shared, shared) / np.where(open_, variance, 1.0), -0.5)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        chosen.append(best)
        if not open_[best]:
            continue
        share = among[best] / variance[best]
        shared = shared - np.outer(shared[:, best], share)
        among = among - np.outer(among[best], share)
    return np.array(chosen, dtype=np.intp)
