"""Channel D: an e-process over all checks, which notices a small change that no single check proves.

Each check adds how many of its probes were off at the first answer. Against a rate of at most ``most`` (the bound that the
baseline's repeats put on noise) each alternative rate bets; the bets are averaged over alternatives and over the check with
which the change began, so that a long quiet time does not eat up what a late change wins. The average stays below 1/α for
ever with probability ≥ 1−α (Ville), however often it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

_FACTORS = (1.5, 2.0, 4.0, 8.0, 16.0)  #: alternatives: times the bound on noise …
_SHARES = (0.25, 0.5, 0.75)  #: … and shares of all probes
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Guard:
    """The process after ``checks`` checks. ``wealth``: of each alternative, over all beginnings so far."""

    most: float
    wealth: tuple[float, ...]
    checks: int = 0

    @classmethod
    def new(cls, most: float) -> Self:
        """Before the first check. ``most``: a bound on how often an unchanged probe is off, in (0, 1)."""
        most = min(max(most, 1e-6), 0.999)
        return cls(most, (0.0,) * len(_alternatives(most)))

    @property
    def value(self) -> float:
        """The e-value: how many times over the bets have won."""
        rest = 1 / (self.checks + 1)
        alternatives = max(1, len(self.wealth))
        return min(_LARGEST, sum(self.wealth) / alternatives + rest)

    def after(self, off: int, asked: int, *, dispersion: float = 1.0) -> Guard:
        """With one more check, in which ``off`` of ``asked`` first answers were not the usual ones.

        ``dispersion``: how much more days differ than single answers do; the bets are smaller by this power, which keeps
        them fair (Jensen) and unmoved by a bad day. The beginning at check t weighs 1/(t(t+1)).
        """
        if not asked:
            return self
        checks = self.checks + 1
        start = 1 / (checks * (checks + 1))
        wealth = []
        for rate, had in zip(_alternatives(self.most), self.wealth, strict=True):
            won = off * math.log(rate / self.most) + (asked - off) * math.log((1 - rate) / (1 - self.most))
            wealth.append(min(_LARGEST, (had + start) * math.exp(min(won / max(1.0, dispersion), 600.0))))
        return replace(self, wealth=tuple(wealth), checks=checks)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"most": self.most, "wealth": list(self.wealth), "checks": self.checks}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`."""
        return cls(data["most"], tuple(data["wealth"]), data["checks"])


def _alternatives(most: float) -> list[float]:
    rates = [most * factor for factor in _FACTORS if most * factor < _SHARES[0]]
    return [*rates, *(share for share in _SHARES if share > most)]
