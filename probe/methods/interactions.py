"""Pair interactions: what two features do together beyond what they do one by one, from one table for all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import enumerate_all, singles_first_design, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.exact import exact_shapley, is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, small_budget, unstable
from probe.methods.proxy import Proxy, pair_covariances, pair_variances
from probe.methods.regression import half_split_spread, halves, pair_partners, r_squared

#: deviations are widened by 1 + this · n / m: the covariance was fitted to the same rows
_FEW_ROWS = 5.0


@dataclass(frozen=True)
class Interactions:
    """The Shapley interaction index of every pair, and main effects that with the pairs add up to v(full) − v(∅).

    I_ij is the mean over coalitions S of the others, of uniformly random size, of v(S∪ij) − v(S∪i) − v(S∪j) + v(S)
    (Grabisch & Roubens, *An Axiomatic Approach to the Concept of Interaction*, IJGT 1999): above 0 where two features need
    each other, below where one stands in for the other. A feature's value is its main effect, its Shapley value less half
    of its interactions (order 2 of n-Shapley values, Bordt & von Luxburg, AISTATS 2023).

    2ⁿ evaluations or more: exact. Fewer: a Gaussian process over coalitions, whose indices have a closed form
    (``proxy.py``), from any table with the full coalition and two more. ``details["pairs"]`` lists
    [i, j, I_ij, standard error], the largest first; ``details["shapley"]`` the Shapley values. Needs n + 2 evaluations; to
    tell pairs apart, nearer n²/2.
    """

    name: ClassVar[str] = "interactions"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = "Grabisch & Roubens, An Axiomatic Approach to the Concept of Interaction, IJGT 1999"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else ∅, full, all of sizes 1 and n − 1, then pairs of every size."""
        n = check_features(self.name, features, table)
        needed = min(n + 2, 2**n)
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        return singles_first_design(n, budget, rng, masses=np.ones(n + 1), known=table.coalitions)

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Standard errors of main effects take those of the indices as independent. 0 if exact, without measured noise."""
        n = check_features(self.name, features, table)
        full, _ = full_value(self.name, table)
        if table.m < min(3, 2**n):
            raise ValueError(f"{self.name}: {table.m} evaluations say nothing about pairs; raise the budget")
        exact = is_complete(table)
        found = _exactly(table) if exact else _estimated(table)
        first, second = np.triu_indices(n, 1)
        mains = found.shapley - _per_feature(found.pairs, n) / 2
        variances = found.shapley_errors**2 + _per_feature(found.pair_errors**2, n) / 4
        order = np.argsort(-np.abs(found.pairs), kind="stable")
        return Explanation(
            method=self.name,
            values=mains,
            std_errors=np.sqrt(variances),
            base_value=base_value(table)[0],
            full_value=full,
            evaluations=table.m,
            exact=exact,
            trust=figures(
                r2_held_out=found.r2_held_out,
                half_split_spread=found.half_split_spread,
                noise_share=noise_share(table),
            ),
            findings=(
                *([] if exact else small_budget(table.m, n)),
                *constant(table),
                *unstable(found.half_split_spread),
                *noisy(table),
            ),
            details={
                "index": "Shapley interaction index",
                "pairs": [
                    [int(first[k]), int(second[k]), float(found.pairs[k]), float(found.pair_errors[k])] for k in order
                ],
                "shapley": found.shapley.tolist(),
            },
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """Shapley values (n,) and the indices of the pairs i < j (n(n − 1)/2,), with standard errors."""

    shapley: Floats
    shapley_errors: Floats
    pairs: Floats
    pair_errors: Floats
    r2_held_out: float = math.nan
    half_split_spread: float = math.nan


def _estimated(table: CoalitionTable) -> _Found:
    n = table.n
    proxy = Proxy.of(table)
    if proxy is None:
        nothing, no_pairs = np.zeros(n), np.zeros(n * (n - 1) // 2)
        return _Found(nothing, nothing, no_pairs, no_pairs)
    kernel = proxy.prior.kernel
    by_feature, by_pair = kernel.shapley(proxy.seen.x), pair_covariances(kernel, proxy.seen.x)
    pairs = proxy.read(by_pair)
    wider = proxy.widening() * (1 + _FEW_ROWS * n / table.m)
    partners = pair_partners(table.coalitions)
    split = [proxy.part(rows) for rows in halves(table.coalitions, partners)]
    pair_halves = [part.read(pair_covariances(kernel, part.seen.x)) for part in split]
    feature_halves = [part.read(kernel.shapley(part.seen.x)) for part in split]
    return _Found(
        shapley=proxy.read(by_feature),
        shapley_errors=np.maximum(
            wider * _deviations(proxy, np.diag(kernel.shapley_covariance()), by_feature),
            np.abs(feature_halves[0] - feature_halves[1]) / 2,
        ),
        pairs=pairs,
        pair_errors=np.maximum(
            wider * _deviations(proxy, pair_variances(kernel), by_pair), np.abs(pair_halves[0] - pair_halves[1]) / 2
        ),
        r2_held_out=r_squared(table.values, proxy.left_out(partners), np.ones(table.m)),
        half_split_spread=half_split_spread(pair_halves, pairs, table.values),
    )


def _deviations(proxy: Proxy, variances: Floats, covariances: Floats) -> Floats:
    """Posterior standard deviations (p,) of functionals with these prior variances (p,) and covariances (p, m)."""
    told = np.einsum("ij,ij->i", covariances @ proxy.inverse, covariances)
    deviations: Floats = proxy.scale * np.sqrt(np.maximum(0.0, variances - told))
    return deviations


def _exactly(table: CoalitionTable) -> _Found:
    """From all 2ⁿ coalitions, by the definition: weights 1/((n − 1) C(n − 2, |S|)) on S without i and j."""
    n = table.n
    shapley, errors = exact_shapley(table)
    place = table.coalitions @ (1 << np.arange(n, dtype=np.int64))
    values, noise = np.empty(2**n), np.empty(2**n)
    values[place], noise[place] = table.values, table.noise
    sizes = np.bitwise_count(np.arange(2**n, dtype=np.uint64)).astype(np.intp)
    weights = np.array([1 / ((n - 1) * math.comb(n - 2, s)) for s in range(n - 1)])
    pairs, variances = [], []
    for i, j in zip(*np.triu_indices(n, 1), strict=True):
        both = (1 << int(i)) | (1 << int(j))
        without = np.flatnonzero(np.arange(2**n) & both == 0)
        corners = (without | both, without | (1 << int(i)), without | (1 << int(j)), without)
        weight = weights[sizes[without]]
        change = values[corners[0]] - values[corners[1]] - values[corners[2]] + values[corners[3]]
        pairs.append(math.fsum(weight * change))
        variances.append(float(sum((weight**2) @ noise[corner] for corner in corners)))
    return _Found(shapley, errors, np.array(pairs), np.sqrt(np.array(variances)))


def _per_feature(pairs: Floats, n: int) -> Floats:
    """(n,): the sum over the pairs (n(n − 1)/2,) that each feature is part of."""
    first, second = np.triu_indices(n, 1)
    return np.bincount(first, pairs, minlength=n) + np.bincount(second, pairs, minlength=n)
