"""Banzhaf values: what a feature changes on average over all coalitions of the others, each equally likely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import coin_masses, enumerate_all, paired_design, singles_first_design, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.exact import is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, small_budget, undetermined, unstable
from probe.methods.limit import linear_limit

#: rows per feature from which random pairs determine the values better than single replacements do
_PAIRS_FROM = 3


@dataclass(frozen=True)
class Banzhaf:
    """β_i = mean of v(S ∪ i) − v(S) over all 2ⁿ⁻¹ coalitions S without i. They do not add up to v(full) − v(∅).

    2ⁿ evaluations or more: the exact mean. Fewer: the slopes of the best linear model over uniformly drawn coalitions, which
    are the Banzhaf values (Hammer & Holzman, *Approximations of Pseudo-Boolean Functions*, ZOR 1992), from these or any
    other coalitions (``limit.py``). Its own are distinct complementary pairs of random coalitions. Needs n + 2.
    """

    name: ClassVar[str] = "banzhaf"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = (
        "Banzhaf, Weighted Voting Doesn't Work, Rutgers Law Review 1965; Wang & Jia, Data Banzhaf, AISTATS 2023"
    )

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else ∅, full and pairs with sizes as of fair coins."""
        n = check_features(self.name, features, table)
        needed = min(n + 2, 2**n)
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        design = paired_design if budget >= _PAIRS_FROM * n + 2 else singles_first_design
        return design(n, budget, rng, masses=coin_masses(n), known=table.coalitions)

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """``trust`` as for ``lime``: the linear model here is the best one under the uniform law."""
        n = check_features(self.name, features, table)
        full, _ = full_value(self.name, table)
        if table.m < 2:
            raise ValueError(f"{self.name}: only the unchanged input is there; raise the budget")
        found = linear_limit(table, coin_masses(n))
        exact = is_complete(table)
        values, errors = exact_banzhaf(table) if exact else (found.coefficients[1:], found.std_errors[1:])
        return Explanation(
            method=self.name,
            values=values,
            std_errors=errors,
            base_value=base_value(table)[0],
            full_value=full,
            evaluations=table.m,
            exact=exact,
            trust=figures(
                r2=found.r2,
                r2_held_out=found.r2_held_out,
                half_split_spread=found.half_split_spread,
                dof=found.dof,
                noise_share=noise_share(table),
            ),
            findings=(
                *([] if exact else small_budget(table.m, n)),
                *undetermined(found.rank, found.needed),
                *constant(table),
                *unstable(found.half_split_spread),
                *noisy(table),
            ),
            details={"estimator": "exact" if exact else found.estimator},
        )


def exact_banzhaf(table: CoalitionTable) -> tuple[Floats, Floats]:
    """Values and standard errors (n,) of a complete table; sums are exactly rounded, whatever the order of the rows."""
    signs = np.where(table.coalitions, 1.0, -1.0)
    share = 2.0 ** (1 - table.n)
    values = np.array([math.fsum(column) * share for column in (signs * table.values[:, None]).T])
    return values, np.full(table.n, share * math.sqrt(float(table.noise.sum())))
