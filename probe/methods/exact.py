"""Shapley values from all 2ⁿ coalitions, by their definition."""

from __future__ import annotations

import math

import numpy as np

from probe.methods.base import CoalitionTable, Explanation, Floats
from probe.methods.design import row_keys
from probe.methods.findings import constant, figures, noise_share, noisy


def is_complete(table: CoalitionTable) -> bool:
    """Whether the table holds all 2ⁿ coalitions."""
    return table.m.bit_length() > table.n and len(set(row_keys(table.coalitions))) == 2**table.n


def exact_shapley(table: CoalitionTable) -> tuple[Floats, Floats]:
    """Values and standard errors (n,) of a complete table; the errors are 0 without measured noise.

    φ_i = Σ_S (v(S ∪ i) − v(S)) / (n·C(n − 1, |S|)) over S without i (Shapley, *A Value for n-Person Games*, 1953). Sums of
    one size are exactly rounded, so a feature that changes nothing gets exactly 0 and interchangeable features get equal
    values, in whatever order the rows come.
    """
    n = table.n
    place = table.coalitions @ (1 << np.arange(n, dtype=np.int64)) if n else np.zeros(table.m, dtype=np.int64)
    values = np.empty(2**n)
    noise = np.empty(2**n)
    values[place], noise[place] = table.values, table.noise
    sizes = np.bitwise_count(np.arange(2**n, dtype=np.uint64)).astype(np.intp)
    by_size = [np.flatnonzero(sizes == s) for s in range(n)]
    phi, variance = np.zeros(n), np.zeros(n)
    for i in range(n):
        terms = []
        for s, members in enumerate(by_size):
            without = members[(members >> i) & 1 == 0]
            weight = n * math.comb(n - 1, s)
            terms.append(math.fsum(values[without | (1 << i)] - values[without]) / weight)
            variance[i] += float(np.sum(noise[without | (1 << i)] + noise[without])) / weight**2
        phi[i] = math.fsum(terms)
    return phi, np.sqrt(variance)


def explain_exactly(method: str, table: CoalitionTable, base: float, full: float) -> Explanation:
    """The explanation ``method`` gives of a complete table."""
    values, errors = exact_shapley(table)
    return Explanation(
        method=method,
        values=values,
        std_errors=errors,
        base_value=base,
        full_value=full,
        evaluations=table.m,
        exact=True,
        trust=figures(efficiency_gap=math.fsum(values) - (full - base), noise_share=noise_share(table)),
        findings=(*constant(table), *noisy(table)),
    )
