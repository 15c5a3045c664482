"""Several methods, one set of evaluations: what a table that they share holds, and whose design fills it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probe.maskers.base import Feature
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Method, Selective
from probe.methods.design import ends, find_rows, without_known

#: lead before others: their designs reach every size of coalition
LEADS = ("shapley", "kernelshap")
#: designs the whole table: its sizes are spread evenly, and its model makes use of any row
SOLE = "shapley"


def lead_of(methods: Sequence[Method]) -> int:
    """Index of the method that designs the shared table: one of :data:`LEADS`, else the first with a design to share."""

    def rank(index: int) -> tuple[bool, int, int]:
        method = methods[index]
        place = LEADS.index(method.name) if method.name in LEADS else len(LEADS)
        return not _designs(method), place, index

    return min(range(len(methods)), key=rank)


def essential_rows(methods: Sequence[Method], features: tuple[Feature, ...]) -> Bools:
    """(k, n) distinct coalitions without which one of ``methods`` has nothing to explain; the full coalition first."""
    n = len(features)
    rows = np.ones((1, n), dtype=bool)
    for method in methods:
        wanted = method.essential(features) if isinstance(method, Selective) else ends(n)
        rows = np.vstack([rows, without_known(wanted, rows)])
    return rows


def first_rows(
    methods: Sequence[Method], features: tuple[Feature, ...], budget: int, rng: np.random.Generator
) -> Bools:
    """(k, n) coalitions with which a shared table begins, k ≤ ``budget``.

    The essential rows of the methods that do not lead; then equal parts for the designs of all methods that have one, unless
    :data:`SOLE` leads; the lead's has what is left. A design cut short is a smaller one of its kind. For a single method this
    is what it asks. Raises :class:`BudgetTooSmall`, also if one of the methods could not have asked with that budget alone.
    """
    lead = methods[lead_of(methods)]
    others = [method for method in methods if method is not lead]
    nothing = CoalitionTable.empty(len(features))
    design = lead.ask(features, nothing, budget, rng)
    if not others:
        return design
    designs = [method.ask(features, nothing, budget, rng) for method in others]
    rows = _affordable(methods, features, essential_rows(others, features), budget)
    shared = [] if lead.name == SOLE else [each for each, by in zip(designs, others, strict=True) if _designs(by)]
    part = (budget - len(rows)) // (len(shared) + 1) // 2 * 2  # whole pairs
    for each in shared:
        rows = np.vstack([rows, without_known(each, rows)[:part]])
    return np.vstack([rows, without_known(design, rows)[: budget - len(rows)]])


def _designs(method: Method) -> bool:
    return not isinstance(method, Selective)


def rows_from(
    methods: Sequence[Method], features: tuple[Feature, ...], known: Bools, budget: int, *, fresh: Bools
) -> Bools:
    """(k, n) coalitions with which a shared table begins where ``known`` (m, n) are answered already, k ≤ ``budget``.

    The essential rows of all methods, then the known ones in their order. ``fresh`` (l, n): what it would begin with if
    nothing were known; of what is essential, only rows that are in it are added. Raises :class:`BudgetTooSmall`.
    """
    wanted = essential_rows(methods, features)
    essential = _affordable(methods, features, wanted[find_rows(fresh, wanted) >= 0], budget)
    return np.vstack([essential, without_known(known, essential)[: budget - len(essential)]])


def _affordable(methods: Sequence[Method], features: tuple[Feature, ...], essential: Bools, budget: int) -> Bools:
    if len(essential) > budget:
        names = ", ".join(dict.fromkeys(method.name for method in methods))
        raise BudgetTooSmall(names, budget, len(essential), len(features))
    return essential
