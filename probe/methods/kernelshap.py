"""Shapley values: exact from all 2ⁿ coalitions, else KernelSHAP from distinct complementary pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import Ints, enumerate_all, kernel_masses, layers_of, singles_first_design, without_known
from probe.methods.effects import base_value, check_features, end_values, full_value
from probe.methods.exact import explain_exactly, is_complete
from probe.methods.findings import (
    constant,
    figures,
    noise_share,
    noisy,
    only_singles_flat,
    small_budget,
    undetermined,
    unstable,
)
from probe.methods.regression import (
    Fit,
    fit,
    half_split_spread,
    halves,
    pair_partners,
    r_squared,
    row_weights,
    solve,
    spread,
)


@dataclass(frozen=True)
class KernelShap:
    """Shapley values of the game v(S) = score of coalition S, as shap's ``KernelExplainer`` with ``l1_reg=False``.

    2ⁿ evaluations or more: all coalitions and the exact formula, standard errors 0. Fewer: ∅, the full coalition, then
    everything of sizes 1 and n − 1 (without them a small design leaves features undetermined), then distinct complementary
    pairs with sizes by KernelSHAP's weights, and weighted least squares with Σφ = v(full) − v(∅) built in. Needs n + 2.

    Standard errors are those of the estimate over the random choice of coalitions: a jackknife over pairs, in closed form,
    with finite-population correction by layer (``regression.py``); with few pairs use them with Student's t and
    ``trust["dof"]`` degrees of freedom. Measured noise is added. NaN if the evaluations do not determine every feature.
    """

    name: ClassVar[str] = "kernelshap"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = (
        "Lundberg & Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS 2017; "
        "paired: Covert & Lee, Improving KernelSHAP, AISTATS 2021"
    )

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else the design described above, less what ``table`` has."""
        n = check_features(self.name, features, table)
        needed = n + 2 if n > 1 else 2
        if budget < min(needed, 2**n):
            raise BudgetTooSmall(self.name, budget, min(needed, 2**n), n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        return self._design(n, budget, rng, table.coalitions)

    def _design(self, n: int, budget: int, rng: np.random.Generator, known: Bools) -> Bools:
        return singles_first_design(n, budget, rng, masses=kernel_masses(n), known=known)

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Raises :class:`ValueError` if ∅ or the full coalition is missing, or nothing else is there."""
        check_features(self.name, features, table)
        base, full = end_values(self.name, table)
        if is_complete(table):
            return explain_exactly(self.name, table, base, full)
        return self._sampled(table, base, full)

    def _sampled(self, table: CoalitionTable, base: float, full: float) -> Explanation:
        problem = _Problem.of(table, base, full)
        if not len(problem.targets):
            raise ValueError(f"{self.name}: only the empty and the full coalition are there; raise the budget")
        partners = pair_partners(problem.coalitions)
        result = problem.fit(partners)
        values = result.coefficients + (full - base) / table.n
        errors = spread(result, problem.coalitions, partners, problem.noise)
        std_errors = np.sqrt(errors.std_errors**2 + _end_noise(table, problem, result))
        determined = result.rank >= table.n - 1
        halved = problem.half_split(values, partners) if determined else math.nan
        residuals, held_out = result.residuals, result.held_out
        return Explanation(
            method=self.name,
            values=values,
            std_errors=std_errors if determined else np.full(table.n, np.nan),
            base_value=base,
            full_value=full,
            evaluations=table.m,
            trust=figures(
                r2=r_squared(problem.raw, residuals, problem.weights),
                r2_held_out=r_squared(problem.raw, held_out, problem.weights),
                efficiency_gap=math.fsum(values) - (full - base),
                half_split_spread=halved,
                dof=errors.dof if determined else math.nan,
                noise_share=noise_share(table),
            ),
            findings=(
                *small_budget(table.m, table.n),
                *undetermined(result.rank, table.n - 1),
                *(constant(table) or only_singles_flat(table, base, full)),
                *unstable(halved),
                *noisy(table),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Problem:
    """The regression over the rows between ∅ and the full coalition, with the efficiency constraint projected out.

    φ = Δ/n + least squares of v − v(∅) − sΔ/n on Z − s/n (Musco & Witter, *Provably Accurate Shapley Value Estimation via
    Leverage Score Sampling*, ICLR 2025, section 3): both members of a pair are one observation of the odd part of v.
    """

    coalitions: Bools
    raw: Floats
    noise: Floats
    columns: Floats
    targets: Floats
    weights: Floats

    @classmethod
    def of(cls, table: CoalitionTable, base: float, full: float) -> _Problem:
        n = table.n
        sizes = table.coalitions.sum(axis=1)
        inner = (sizes > 0) & (sizes < n)
        coalitions, raw, noise = table.coalitions[inner], table.values[inner], table.noise[inner]
        share = sizes[inner] / n
        return cls(
            coalitions=coalitions,
            raw=raw,
            noise=noise,
            columns=coalitions - share[:, None],
            targets=raw - base - share * (full - base),
            weights=_weights(coalitions),
        )

    def fit(self, partners: Ints) -> Fit:
        return fit(self.columns, self.targets, self.weights, partners)

    def half_split(self, values: Floats, partners: Ints) -> float:
        """How far the values from two halves of the pairs are apart; NaN if a half does not determine them."""
        n = self.coalitions.shape[1]
        estimates = []
        for rows in halves(self.coalitions, partners):
            part, rank = solve(self.columns[rows], self.targets[rows], _weights(self.coalitions[rows]))
            if rank < n - 1:
                return math.nan
            estimates.append(part)
        return half_split_spread(estimates, values, self.raw)


def _weights(coalitions: Bools) -> Floats:
    """KernelSHAP's weights by layer, so that both members of a pair weigh the same and the even part cancels."""
    n = coalitions.shape[1]
    masses = kernel_masses(n)[: n // 2 + 1] * 2
    if n % 2 == 0:
        masses[-1] /= 2
    return row_weights(layers_of(coalitions), masses)


def _end_noise(table: CoalitionTable, problem: _Problem, result: Fit) -> Floats:
    """Variance (n,) that noise in v(∅) and v(full) adds to the values."""
    _, noise_full = full_value("", table)
    _, noise_base = base_value(table)
    share = problem.coalitions.mean(axis=1)
    by_full = 1 / table.n - result.influence @ share
    by_base = -1 / table.n - result.influence @ (1 - share)
    variance: Floats = by_full**2 * noise_full + by_base**2 * noise_base
    return variance
