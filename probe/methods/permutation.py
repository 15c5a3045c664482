"""Permutation sampling: the assumption-free check of a Shapley value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, OwnTable, View
from probe.methods.design import Ints, ends, enumerate_all, row_keys, without_known
from probe.methods.effects import check_features, end_values
from probe.methods.exact import explain_exactly, is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, small_budget

#: orders drawn in vain, one after the other, before the design is taken to be used up
_PATIENCE = 200


@dataclass(frozen=True)
class Permutation(OwnTable):
    """Shapley values as the mean marginal contribution over random orders, each with its reverse.

    Along an order every feature is added to those before it; the reverse order passes through the complements, so an order
    and its reverse are n − 1 pairs of coalitions (antithetic sampling: Mitchell, Cooper, Frank & Holmes, *Sampling
    Permutations for Shapley Value Estimation*, JMLR 2022, section 4.1). Orders share only ∅, full, and, when those are used
    up, coalitions of one feature and of all but one. 2ⁿ evaluations or more: exact. Needs 2 n; below four features, 2ⁿ.

    Nothing is assumed about the game: the standard errors are those of a mean of independent draws (central limit theorem),
    ``trust["dof"]`` = orders − 1; NaN after a single one. A table that other methods filled is of use only as far as its rows
    follow each other as an order's do.
    """

    name: ClassVar[str] = "permutation"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = (
        "Castro, Gómez & Tejada, Polynomial calculation of the Shapley value based on sampling, 2009; "
        "antithetic: Mitchell et al., Sampling Permutations for Shapley Value Estimation, JMLR 2022"
    )

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else as many whole orders with their reverses as it does."""
        n = check_features(self.name, features, table)
        needed = 2 * n if n > 3 else 2**n
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        rows = [without_known(ends(n), table.coalitions)]
        taken = set(row_keys(table.coalitions))
        room = budget - table.m - len(rows[0])
        failed = 0
        while failed < _PATIENCE:
            chain = _chain(rng.permutation(n))
            both = np.vstack([chain, ~chain])
            keys = row_keys(both)
            new = np.array([key not in taken for key in keys])
            if not new[_middle(len(chain))].all():
                failed += 1
                continue
            if new.sum() > room:
                break
            failed = 0
            rows.append(both[new])
            taken.update(keys)
            room -= int(new.sum())
        return np.vstack(rows)

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Raises :class:`ValueError` if ∅ or the full coalition is missing, or there is no complete order."""
        n = check_features(self.name, features, table)
        base, full = end_values(self.name, table)
        if is_complete(table):
            return explain_exactly(self.name, table, base, full)
        draws = np.array(list(_draws(table)))
        if not len(draws):
            raise ValueError(
                f"{self.name}: the table holds no complete order of the features; let the method ask, with at least "
                f"{2 * n} evaluations"
            )
        values = draws.mean(axis=0)
        k = len(draws)
        errors = draws.std(axis=0, ddof=1) / math.sqrt(k) if k > 1 else np.full(n, np.nan)
        return Explanation(
            method=self.name,
            values=values,
            std_errors=errors,
            base_value=base,
            full_value=full,
            evaluations=table.m,
            trust=figures(
                efficiency_gap=math.fsum(values) - (full - base),
                dof=float(k - 1) if k > 1 else math.nan,
                noise_share=noise_share(table),
            ),
            findings=(*small_budget(table.m, n), *constant(table), *noisy(table)),
        )


def _chain(order: Ints) -> Bools:
    """The coalitions of sizes 1 … n − 1 that an order passes through: (n − 1, n)."""
    n = len(order)
    position = np.empty(n, dtype=np.intp)
    position[order] = np.arange(n)
    rows: Bools = position[None, :] < np.arange(1, n)[:, None]
    return rows


def _middle(length: int) -> Ints:
    """Rows of a chain and its complements, stacked, that are neither of size 1 nor of size n − 1."""
    inner = np.arange(1, length - 1)
    return np.concatenate([inner, inner + length])


def _draws(table: CoalitionTable) -> Iterator[Floats]:
    """The marginal contributions (n,) of every order in the table, each averaged with its reverse's.

    An order is recognised by its coalitions of sizes 2 … n − 2, asked one after the other. Where it began and ended is told
    by which coalitions of one feature, and all but one, are there; if both that fit are, their mean is taken.
    """
    n = table.n
    index = {key: row for row, key in enumerate(row_keys(table.coalitions))}
    sizes = table.coalitions.sum(axis=1)
    used = np.zeros(table.m, dtype=bool)
    for start in np.flatnonzero(sizes == 2):
        if used[start]:
            continue
        rows = _ascending(table.coalitions, sizes, int(start))
        if rows is None:
            continue
        complements = [index.get(key, -1) for key in row_keys(~table.coalitions[rows])]
        if min(complements) < 0:
            continue
        used[rows] = used[complements] = True
        forward = _contributions(table, rows, index)
        backward = _contributions(table, np.array(complements[::-1]), index)
        if forward is not None and backward is not None and n > 3:
            yield (forward + backward) / 2


def _ascending(coalitions: Bools, sizes: Ints, start: int) -> Ints | None:
    """``start`` and the rows right after it, each one feature larger, up to size n − 2; ``None`` if they are not there."""
    n = coalitions.shape[1]
    rows = np.arange(start, start + n - 3)
    if rows[-1] >= len(coalitions) or not np.array_equal(sizes[rows], np.arange(2, n - 1)):
        return None
    steps = coalitions[rows]
    return rows if bool(np.all(steps[1:] >= steps[:-1])) else None


def _contributions(table: CoalitionTable, rows: Ints, index: Mapping[bytes, int]) -> Floats | None:
    """Marginal contributions (n,) along an order given by its ``rows`` of sizes 2 … n − 2; ``None`` if an end is missing."""
    n = table.n
    coalitions, values = table.coalitions[rows], table.values[rows]
    phi = np.zeros(n)
    for step in range(1, len(rows)):
        phi[coalitions[step] & ~coalitions[step - 1]] = values[step] - values[step - 1]
    empty, everything = np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
    for inner, outer_members, end in ((0, coalitions[0], empty), (-1, ~coalitions[-1], everything)):
        ways = []
        for member in np.flatnonzero(outer_members):
            between = end.copy()
            between[member] = not end[member]
            row = index.get(row_keys(between[None, :])[0])
            if row is not None:
                ways.append((int(member), float(table.values[row])))
        if not ways:
            return None
        end_value = float(table.values[index[row_keys(end[None, :])[0]]])
        for first, value in ways:
            (other,) = (int(j) for j in np.flatnonzero(outer_members) if j != first)
            near, far = value - end_value, values[inner] - value
            sign = 1.0 if inner == 0 else -1.0
            phi[first] += sign * near / len(ways)
            phi[other] += sign * far / len(ways)
    return phi
