"""How much answers differ although nothing changed: double calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from probe.drift.answers import Seen
from probe.drift.exact import upper_bound


class NoRepeats(ValueError):
    """Nothing was asked twice, so nothing can tell noise from change."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What double calls showed.

    ``pairs``: inputs that were asked twice. ``unequal``: of those, the ones with two labels. ``unequal_raw``: with two raw
    texts. ``deviation``: standard deviation of one answer's score, on the logit scale; ``None`` without scores.
    """

    pairs: int
    unequal: int
    unequal_raw: int
    deviation: float | None = None

    @property
    def rate(self) -> float:
        """How often two calls disagree."""
        return self.unequal / self.pairs if self.pairs else 0.0

    def most(self, level: float = 0.05) -> float:
        """An upper bound on that rate, too low with probability ``level``. Raises :class:`NoRepeats`."""
        if not self.pairs:
            raise NoRepeats("no input was asked twice, so noise and change cannot be told apart")
        return upper_bound(self.unequal, self.pairs, level)

    @property
    def is_silent(self) -> bool:
        """Whether no label ever differed."""
        return self.unequal == 0

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`."""
        return cls(**data)


def measured(doubles: Iterable[tuple[Seen | None, Seen | None]]) -> Noise:
    """The noise of double calls; those without two answers do not count."""
    pairs = [(one, other) for one, other in doubles if one is not None and other is not None]
    gaps = [_gap(one, other) for one, other in pairs]
    known = [gap for gap in gaps if math.isfinite(gap)]
    return Noise(
        len(pairs),
        sum(one.label != other.label for one, other in pairs),
        sum(one.raw != other.raw for one, other in pairs),
        math.sqrt(sum(gap**2 for gap in known) / (2 * len(known))) if known else None,
    )


def _gap(one: Seen, other: Seen) -> float:
    return other.value_of(one.label) - one.value_of(one.label)


def spread(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Pooled variance of repeats within groups, and its degrees of freedom; NaNs are left out."""
    total, freedom = 0.0, 0
    for group in groups:
        known = [value for value in group if math.isfinite(value)]
        if len(known) > 1 and min(known) < max(known):  # of equal values the mean is not always one of them
            mean = sum(known) / len(known)
            total += sum((value - mean) ** 2 for value in known)
        freedom += max(0, len(known) - 1)
    return (total / freedom if freedom else math.nan), freedom
