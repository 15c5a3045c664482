"""One change at a time: what occlusion, word substitution and altered columns share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probe.maskers.base import Feature
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Finding, Floats
from probe.methods.design import find_rows, leave_one_out, without_known
from probe.methods.findings import constant, noise_share, noisy, saturated, unanswered


def check_features(method: str, features: tuple[Feature, ...], table: CoalitionTable) -> int:
    """Number of features. Raises :class:`ValueError` if there are none or the table is about another number."""
    if not features:
        raise ValueError(f"{method}: the input has no feature to replace; use another input or masker setting")
    if table.n != len(features):
        raise ValueError(f"{method}: the table is about {table.n} features, the masker has {len(features)}")
    return len(features)


def value_of(table: CoalitionTable, coalition: Bools) -> tuple[float, float]:
    """Value and noise variance of one coalition (n,); NaN and 0 if it is not in the table."""
    row = int(find_rows(table.coalitions, coalition[None, :])[0])
    return (float(table.values[row]), float(table.noise[row])) if row >= 0 else (math.nan, 0.0)


def full_value(method: str, table: CoalitionTable) -> tuple[float, float]:
    """Value and noise variance of the unchanged instance. Raises :class:`ValueError` if it is not in the table."""
    value, noise = value_of(table, np.ones(table.n, dtype=bool))
    if math.isnan(value):
        raise ValueError(f"{method}: the score of the unchanged input is missing; evaluate the full coalition first")
    return value, noise


def base_value(table: CoalitionTable) -> tuple[float, float]:
    """Value and noise variance with every feature replaced; NaN and 0 if it was not asked."""
    return value_of(table, np.zeros(table.n, dtype=bool))


def end_values(method: str, table: CoalitionTable) -> tuple[float, float]:
    """Values of ∅ and of the unchanged instance. Raises :class:`ValueError` if one of them is not in the table."""
    full, _ = full_value(method, table)
    base, _ = base_value(table)
    if math.isnan(base):
        raise ValueError(f"{method}: the score with every feature replaced is missing; evaluate the empty coalition")
    return base, full


@dataclass(frozen=True, slots=True)
class SingleChanges:
    """Scores without each feature, and what that took away.

    ``scores``, ``changes`` = full − scores, ``std_errors``: (n,), NaN where the change has no answer. The errors come from
    repeats and are NaN where every value was asked once, because one look cannot tell how much the endpoint varies.
    """

    full: float
    base: float
    scores: Floats
    changes: Floats
    std_errors: Floats
    trust: dict[str, float]
    findings: tuple[Finding, ...]


def ask_single_changes(method: str, features: tuple[Feature, ...], table: CoalitionTable, budget: int) -> Bools:
    """The rows of the leave-one-out design that ``table`` lacks. Raises :class:`BudgetTooSmall`."""
    n = check_features(method, features, table)
    rows = without_known(leave_one_out(n), table.coalitions)
    if table.m + len(rows) > budget:
        raise BudgetTooSmall(method, budget, table.m + len(rows), n)
    return rows


def single_changes(method: str, features: tuple[Feature, ...], table: CoalitionTable) -> SingleChanges:
    """Read the leave-one-out rows off ``table``. Raises :class:`ValueError` if the full one or all others are missing."""
    n = check_features(method, features, table)
    full, full_noise = full_value(method, table)
    base, _ = base_value(table)
    rows = find_rows(table.coalitions, ~np.eye(n, dtype=bool))
    known = rows >= 0
    if not known.any():
        raise ValueError(f"{method}: none of the {n} single changes has an answer; raise the budget")
    scores = np.where(known, table.values[rows], np.nan)
    variance = np.where(known, full_noise + table.noise[rows], 0.0)
    changes = full - scores
    share = noise_share(table)
    return SingleChanges(
        full=full,
        base=base,
        scores=scores,
        changes=changes,
        std_errors=np.where(variance > 0, np.sqrt(variance), np.nan),
        trust={} if math.isnan(share) else {"noise_share": share},
        findings=(
            *unanswered([feature.name for feature, has in zip(features, known, strict=True) if not has], n),
            *(constant(table) or saturated(full, changes[known], base)),
            *noisy(table),
        ),
    )
