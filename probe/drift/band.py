"""Channel B: inputs that vary of themselves. Have the shares of their answers moved?

Judged by past days and confirmed on another day; before there are enough of them it says that it is not calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from probe.drift.answers import Reference, Seen
from probe.drift.daily import out_of_the_ordinary


@dataclass(frozen=True, slots=True)
class Band:
    """One day's figure. ``p``: ``None`` if it is not calibrated yet. ``suspect``: to be confirmed on another day."""

    figure: float
    points: int
    p: float | None
    suspect: bool

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def figure(references: Sequence[Reference], today: Sequence[Sequence[Seen]]) -> tuple[float, int]:
    """Σ (q₀−q₁)² / (q̄(1−q̄)(1/n₀+1/n₁)) over points, q the share of the usual answer, and how many points it is of.

    Chi-squared with a degree of freedom for each point if answers of different days were no more alike than those of one.
    Points without variation on either side, or without an answer, do not count.
    """
    total, points = 0.0, 0
    for reference, answers in zip(references, today, strict=True):
        n0, n1 = reference.n, len(answers)
        if not n0 or not n1:
            continue
        x0 = reference.labels.get(reference.usual, 0)
        x1 = sum(answer.label == reference.usual for answer in answers)
        mean = (x0 + x1) / (n0 + n1)
        if 0 < mean < 1:
            total += (x0 / n0 - x1 / n1) ** 2 / (mean * (1 - mean) * (1 / n0 + 1 / n1))
            points += 1
    return total, points


def judged(value: float, points: int, past: Sequence[float], *, level: float) -> Band:
    """``past``: figures of unchanged days. A day is suspect at √``level``, so that two in a row are as rare as ``level``."""
    once = math.sqrt(level)
    p = out_of_the_ordinary(value, past, freedom=points, level=once) if points else None
    return Band(value, points, p, p is not None and p <= once)
