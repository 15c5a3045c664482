"""Pair interactions: what two features do together beyond what they do one by one, from one table for all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import Ints, enumerate_all, singles_first_design, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.exact import exact_shapley, is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, small_budget, unstable
from probe.methods.proxy import Proxy, pair_covariances, pair_variances
from probe.methods.regression import (
    Fit,
    fit,
    half_split_spread,
    halves,
    pair_partners,
    r_squared,
    row_weights,
    spread,
)

#: deviations are widened by 1 + this · n / m: the covariance was fitted to the same rows
_FEW_ROWS = 5.0


@dataclass(frozen=True)
class Interactions:
    """The Shapley interaction index of every pair, and main effects that with the pairs add up to v(full) − v(∅).

    I_ij is the mean over coalitions S of the others, of uniformly random size, of v(S∪ij) − v(S∪i) − v(S∪j) + v(S)
    (Grabisch & Roubens, *An Axiomatic Approach to the Concept of Interaction*, IJGT 1999): above 0 where two features need
    each other, below where one stands in for the other. A feature's value is its main effect, its Shapley value less half
    of its interactions (order 2 of n-Shapley values, Bordt & von Luxburg, AISTATS 2023).

    2ⁿ evaluations or more: exact. Fewer: from any table with the full coalition and two more, the better at predicting
    left-out rows of least squares on all single features and pairs, and a Gaussian process over coalitions whose indices
    have a closed form (``proxy.py``); the process also works with fewer rows than pairs. ``details["pairs"]`` lists
    [i, j, I_ij, standard error], the largest first; ``details["shapley"]`` the Shapley values, ``details["estimator"]``
    which one was used. Needs n + 2 evaluations; to tell pairs apart, nearer n²/2.
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
        """Standard errors are 0 if exact, without measured noise; the proxy's take the indices as independent."""
        n = check_features(self.name, features, table)
        full, _ = full_value(self.name, table)
        if table.m < min(3, 2**n):
            raise ValueError(f"{self.name}: {table.m} evaluations say nothing about pairs; raise the budget")
        exact = is_complete(table)
        found = _exactly(table) if exact else _estimated(table)
        first, second = np.triu_indices(n, 1)
        order = np.argsort(-np.abs(found.pairs), kind="stable")
        return Explanation(
            method=self.name,
            values=found.mains,
            std_errors=found.main_errors,
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
                "shapley": (found.mains + _per_feature(found.pairs, n) / 2).tolist(),
                "estimator": "exact" if exact else found.estimator,
            },
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """Main effects (n,) and the indices of the pairs i < j (n(n − 1)/2,), with standard errors."""

    mains: Floats
    main_errors: Floats
    pairs: Floats
    pair_errors: Floats
    r2_held_out: float = math.nan
    half_split_spread: float = math.nan
    estimator: str = "proxy"

    @classmethod
    def of_shapley(cls, shapley: Floats, errors: Floats, pairs: Floats, pair_errors: Floats, **more: Any) -> _Found:
        """With main effects from Shapley values and pairs, their errors as if independent."""
        n = len(shapley)
        variances = errors**2 + _per_feature(pair_errors**2, n) / 4
        return cls(shapley - _per_feature(pairs, n) / 2, np.sqrt(variances), pairs, pair_errors, **more)


def _estimated(table: CoalitionTable) -> _Found:
    partners = pair_partners(table.coalitions)
    # each size counts the same, as in the index
    weights = row_weights(table.coalitions.sum(axis=1), np.ones(table.n + 1))
    polynomial = _polynomial(table, weights, partners)
    left_out = math.inf if polynomial is None else float(weights @ polynomial.held_out**2)
    if polynomial is not None and left_out <= 1e-20 * float(weights @ table.values**2):
        return _by_polynomial(polynomial, table, weights, partners)
    proxy = Proxy.of(table)
    if proxy is None:
        nothing, no_pairs = np.zeros(table.n), np.zeros(table.n * (table.n - 1) // 2)
        return _Found(nothing, nothing, no_pairs, no_pairs)
    if polynomial is not None and left_out < float(weights @ proxy.left_out(partners) ** 2):
        return _by_polynomial(polynomial, table, weights, partners)
    return _by_proxy(proxy, table, weights, partners)


def _polynomial(table: CoalitionTable, weights: Floats, partners: Ints) -> Fit | None:
    """Least squares on 1, every feature and every pair; ``None`` if the rows do not leave it room to be judged."""
    n = table.n
    first, second = np.triu_indices(n, 1)
    if table.m <= 1 + n + len(first):
        return None
    columns = np.hstack(
        [np.ones((table.m, 1)), table.coalitions, table.coalitions[:, first] & table.coalitions[:, second]]
    )
    found = fit(columns, table.values, weights, partners)
    return None if found.rank < columns.shape[1] or np.isnan(found.held_out).any() else found


def _by_polynomial(found: Fit, table: CoalitionTable, weights: Floats, partners: Ints) -> _Found:
    errors = spread(found, table.coalitions, partners, table.noise).std_errors
    split = 1 + table.n
    return _Found(
        mains=found.coefficients[1:split],
        main_errors=errors[1:split],
        pairs=found.coefficients[split:],
        pair_errors=errors[split:],
        r2_held_out=r_squared(table.values, found.held_out, weights),
        estimator="polynomial",
    )


def _by_proxy(proxy: Proxy, table: CoalitionTable, weights: Floats, partners: Ints) -> _Found:
    kernel = proxy.prior.kernel
    by_feature, by_pair = kernel.shapley(proxy.seen.x), pair_covariances(kernel, proxy.seen.x)
    pairs = proxy.read(by_pair)
    wider = proxy.widening() * (1 + _FEW_ROWS * table.n / table.m)
    split = [proxy.part(rows) for rows in halves(table.coalitions, partners)]
    pair_halves = [part.read(pair_covariances(kernel, part.seen.x)) for part in split]
    feature_halves = [part.read(kernel.shapley(part.seen.x)) for part in split]
    errors = wider * _deviations(proxy, np.diag(kernel.shapley_covariance()), by_feature)
    pair_errors = wider * _deviations(proxy, pair_variances(kernel), by_pair)
    return _Found.of_shapley(
        proxy.read(by_feature),
        np.maximum(errors, np.abs(feature_halves[0] - feature_halves[1]) / 2),
        pairs,
        np.maximum(pair_errors, np.abs(pair_halves[0] - pair_halves[1]) / 2),
        r2_held_out=r_squared(table.values, proxy.left_out(partners), weights),
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
    return _Found.of_shapley(shapley, errors, np.array(pairs), np.sqrt(np.array(variances)))


def _per_feature(pairs: Floats, n: int) -> Floats:
    """(n,): the sum over the pairs (n(n − 1)/2,) that each feature is part of."""
    first, second = np.triu_indices(n, 1)
    sums: Floats = np.zeros(n)
    np.add.at(sums, first, pairs)
    np.add.at(sums, second, pairs)
    return sums
