"""A credit decision by a formula, so that every right answer about it is known.

What is planted: ``postcode`` weighs in, and stands in for ``protected_group``, which the formula never reads;
``guarantor`` takes most of the weight off ``late_payments`` (an interaction); ``protected_group``, ``device`` and
``weekday`` have no influence at all. Applicants are drawn by :func:`applicants`; nothing is trained and no data is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from probe.demo.models.base import InputError, Kind, as_number, as_row, score_each

COLUMNS = (
    "income",  # thousand a year
    "amount",  # thousand asked for
    "debt_ratio",  # share of income that goes into debts, 0 … 1
    "late_payments",  # in the last two years
    "years_employed",
    "guarantor",  # 0 or 1
    "postcode",
    "protected_group",
    "device",
    "weekday",
)
UNUSED = ("protected_group", "device", "weekday")
#: Log-odds that a postcode adds. Group "b" lives mostly in P3 and P4.
POSTCODES: Mapping[str, float] = MappingProxyType({"P1": 0.6, "P2": 0.4, "P3": -0.7, "P4": -0.9})
_SHARES = MappingProxyType({"a": (0.45, 0.40, 0.10, 0.05), "b": (0.05, 0.10, 0.40, 0.45)})

Scale = Literal["probability", "log-odds"]


def log_odds(row: Mapping[str, object]) -> float:
    """Log-odds of "approve". Raises :class:`InputError` for a postcode outside of :data:`POSTCODES` or a missing number."""
    postcode = row["postcode"]
    if not isinstance(postcode, str) or postcode not in POSTCODES:
        raise InputError(f"column 'postcode' is {postcode!r}: send one of {', '.join(POSTCODES)}")
    return (
        0.5
        + 0.030 * (as_number(row, "income") - 40)
        - 0.060 * (as_number(row, "amount") - 15)
        - 2.500 * (as_number(row, "debt_ratio") - 0.35)
        + 0.040 * (as_number(row, "years_employed") - 8)
        - 0.700 * as_number(row, "late_payments") * (1 - 0.8 * as_number(row, "guarantor"))
        + POSTCODES[postcode]
    )


@dataclass(frozen=True, slots=True)
class Credit:
    """Probabilities of "approve" and "decline" for a row with the columns :data:`COLUMNS`."""

    name: str = "credit"
    kind: Kind = "tabular"
    labels: tuple[str, ...] = ("approve", "decline")
    columns: tuple[str, ...] = COLUMNS

    def predict(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        return score_each(inputs, self._score, outputs=len(self.labels))

    def _score(self, item: object) -> tuple[float, float]:
        odds = log_odds(as_row(item, self.columns))
        return _sigmoid(odds), _sigmoid(-odds)


def _sigmoid(log_odds: float) -> float:
    if log_odds < 0:  # the other branch would overflow far below zero
        return math.exp(log_odds) / (1 + math.exp(log_odds))
    return 1 / (1 + math.exp(-log_odds))


def exact_shapley(
    row: Mapping[str, object], background: Sequence[Mapping[str, object]], *, scale: Scale = "probability"
) -> dict[str, float]:
    """Shapley value of each column for "approve", by definition: a sum over all 2^10 coalitions.

    The value of a coalition is the mean over the ``background`` rows of the score with the coalition's columns from
    ``row`` and the others from the background (interventional; Lundberg and Lee 2017). The values sum to the score of
    ``row`` minus the mean score of ``background``. Raises ``ValueError`` if ``background`` is empty.
    """
    if not background:
        raise ValueError("the background has no rows: pass at least one")
    n = len(COLUMNS)
    values = {
        frozenset(kept): _value(row, background, kept, scale)
        for size in range(n + 1)
        for kept in combinations(COLUMNS, size)
    }
    weights = [math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n) for size in range(n)]
    return {
        column: math.fsum(
            weights[len(kept)] * (values[kept | {column}] - value)
            for kept, value in values.items()
            if column not in kept
        )
        for column in COLUMNS
    }


def _value(
    row: Mapping[str, object], background: Sequence[Mapping[str, object]], kept: tuple[str, ...], scale: Scale
) -> float:
    own = {column: row[column] for column in kept}
    scores = (log_odds({**other, **own}) for other in background)
    return math.fsum(scores if scale == "log-odds" else map(_sigmoid, scores)) / len(background)


def applicants(n: int, *, seed: int = 0) -> list[dict[str, float | int | str]]:
    """``n`` made-up applicants; the two protected groups differ in where they live and in nothing else."""
    rng = np.random.default_rng(seed)
    return [_applicant(rng) for _ in range(n)]


def _applicant(rng: np.random.Generator) -> dict[str, float | int | str]:
    group = "a" if rng.random() < 0.6 else "b"
    return {
        "income": round(float(rng.gamma(8.0, 5.5)), 1),
        "amount": round(float(rng.uniform(2, 40)), 1),
        "debt_ratio": round(float(rng.beta(2.5, 4.5)), 2),
        "late_payments": int(rng.poisson(0.9)),
        "years_employed": int(rng.gamma(2.0, 4.0)),
        "guarantor": int(rng.random() < 0.3),
        "postcode": str(rng.choice(list(POSTCODES), p=_SHARES[group])),
        "protected_group": group,
        "device": str(rng.choice(["phone", "laptop", "tablet"])),
        "weekday": int(rng.integers(1, 8)),
    }
