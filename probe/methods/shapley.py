"""Shapley values by a Gaussian process over coalitions: the most truth per evaluation of the methods here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, View
from probe.methods.design import (
    enumerate_all,
    leave_one_out,
    leverage_masses,
    paired_design,
    singles_first_design,
    without_known,
)
from probe.methods.effects import check_features, end_values
from probe.methods.exact import explain_exactly, is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, only_singles_flat, small_budget, unstable
from probe.methods.gp_data import observe_rows
from probe.methods.gp_design import candidates, greedy_batch
from probe.methods.gp_fit import fit_prior
from probe.methods.gp_read import read

#: rows are chosen one batch after the other for at most this many features, and up to this many rows
_ADAPTIVE_FEATURES = 128
_ADAPTIVE_ROWS = 1024
#: steps of L-BFGS between batches, and the rows they look at: the choice of rows needs no more
_ROUGH_STEPS = 30
_ROUGH_ROWS = 200
#: evaluations per feature below which pairs alone determine too little
_SINGLES_BELOW = 3


@dataclass(frozen=True)
class Shapley:
    """Shapley values of the game v(S) = score of coalition S.

    2ⁿ evaluations or more: all coalitions and the exact formula. Fewer: ∅, full and every coalition without one feature, then
    batches of a quarter of what is there, each chosen for what it tells about the values (so 10 n evaluations take about
    twelve rounds); what goes beyond 1024 rows is asked at once, as distinct complementary pairs of uniformly distributed
    sizes. With more than 128 features, or ``adaptive="never"``, all rows are such pairs and asked in one round;
    ``adaptive="always"`` chooses every row. Needs n + 2.

    The values are the posterior mean under a Gaussian process over coalitions whose covariance weighs interactions of up to
    five features, and the standard errors its posterior standard deviation, scaled to the errors that leaving rows out
    shows, with a part of a regression's. Without measured noise, Σφ = v(full) − v(∅).
    """

    adaptive: Literal["auto", "always", "never"] = "auto"

    name: ClassVar[str] = "shapley"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = (
        "Gaussian process over coalitions with a closed-form Shapley read-out; after Musco & Witter, arXiv 2410.01917; "
        "Fumagalli et al., arXiv 2602.01399; Rundel et al., arXiv 2606.02247"
    )

    def __post_init__(self) -> None:
        if self.adaptive not in ("auto", "always", "never"):
            raise ValueError(f"{self.name}: adaptive is auto, always or never, not {self.adaptive!r}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"adaptive": self.adaptive}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else the pairs or the next batch, as described above."""
        n = check_features(self.name, features, table)
        needed = min(n + 2, 2**n)
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        if self._chooses(n, table.m):
            return self._next_batch(table, budget, rng)
        design = singles_first_design if budget < _SINGLES_BELOW * n else paired_design
        return design(n, budget, rng, masses=leverage_masses(n), known=table.coalitions)

    def _chooses(self, n: int, m: int) -> bool:
        """Whether the rows after ``m`` are chosen by what the answers so far say."""
        if self.adaptive == "auto":
            return n <= _ADAPTIVE_FEATURES and m < _ADAPTIVE_ROWS
        return self.adaptive == "always"

    def rounds(self, n: int, m: int, budget: int) -> list[int]:
        """See :class:`Foreseeable`."""
        sizes = []
        while m < budget:
            sizes.append(min(budget - m, _batch(n, m)) if self._chooses(n, m) and budget < 2**n else budget - m)
            m += sizes[-1]
        return sizes

    def _next_batch(self, table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        n, room = table.n, budget - table.m
        rows = np.vstack([np.zeros((1, n), dtype=bool), leave_one_out(n)])
        missing = without_known(rows, table.coalitions)
        if room <= 0 or 2 * len(missing) > len(rows):  # a few without an answer do not keep the others from being asked
            return missing[: max(0, room)]
        rng = np.random.default_rng([int(rng.integers(2**32)), table.m])
        rows = candidates(n, table.coalitions, rng)
        seen = observe_rows(table).seen
        batch = min(room, _batch(n, table.m))
        prior = fit_prior(seen, steps=_ROUGH_STEPS, rows=_ROUGH_ROWS)
        return rows[greedy_batch(prior, seen, rows, batch)]

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Raises :class:`ValueError` if ∅ or the full coalition is missing, or nothing else is there."""
        check_features(self.name, features, table)
        base, full = end_values(self.name, table)
        if is_complete(table):
            return explain_exactly(self.name, table, base, full)
        if table.m < 3:
            raise ValueError(f"{self.name}: only the empty and the full coalition are there; raise the budget")
        reading = read(table)
        return Explanation(
            method=self.name,
            values=reading.values,
            std_errors=reading.std_errors,
            base_value=base,
            full_value=full,
            evaluations=table.m,
            trust=figures(
                r2_held_out=reading.r2_held_out,
                half_split_spread=reading.half_split_spread,
                efficiency_gap=math.fsum(reading.values) - (full - base),
                noise_share=noise_share(table),
            ),
            findings=(
                *small_budget(table.m, table.n),
                *(constant(table) or only_singles_flat(table, base, full)),
                *unstable(reading.half_split_spread),
                *noisy(table),
            ),
        )


def _batch(n: int, m: int) -> int:
    """How many rows are chosen together after ``m``."""
    return n + 2 if m == 0 else max(2, n // 4, m // 4)
