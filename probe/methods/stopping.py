"""When enough is known: an early-stopping rule whose intervals keep their coverage.

Looking at intervals while evaluations come in, and stopping as soon as they please, makes them cover less than they say. The
rule therefore looks at a schedule fixed in advance, and divides the error probability by the number of looks (Bonferroni;
Jennison & Turnbull, *Group Sequential Methods*, 2000, chapter 9, repeated confidence intervals).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from probe.analysis.intervals import half_widths, quantile
from probe.methods.base import Explanation, Floats

#: evaluations per feature at the first look, and how much further apart each next one is
_FIRST_LOOK = 2
_GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop when every interval's half-width is at most ``half_width``, or when the order of the ``top_k`` strongest features
    is settled; whichever comes first if both are given.

    How it is driven: for each of :meth:`looks`, ask and evaluate with that many evaluations as the budget, explain, and stop if
    :meth:`reason` gives one. Report :meth:`corrected` of the last explanation, whether it stopped early or not.

    ``half_width`` is in score units. ``level`` is the coverage that the intervals keep, over all looks together.
    Raises :class:`ValueError` if a setting is out of range or no criterion is given.
    """

    half_width: float | None = None
    top_k: int | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.half_width is None and self.top_k is None:
            raise ValueError("stop: give half_width, top_k or both")
        if self.half_width is not None and not (self.half_width > 0 and math.isfinite(self.half_width)):
            raise ValueError(f"stop: half_width is a positive number in score units, not {self.half_width!r}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"stop: top_k is at least 1, not {self.top_k!r}")
        if not 0 < self.level < 1:
            raise ValueError(f"stop: level lies between 0 and 1, not {self.level!r}")

    def looks(self, n: int, budget: int) -> tuple[int, ...]:
        """Evaluations at which to look: 2n, 3n, 4.5n, … and ``budget``; they depend on nothing else."""
        found = {budget}
        at = float(_FIRST_LOOK * n)
        while max(n + 2, math.ceil(at)) < budget:
            found.add(max(n + 2, math.ceil(at)))
            at *= _GROWTH
        return tuple(sorted(found))

    def corrected_level(self, n: int, budget: int) -> float:
        """The level of each single look's intervals."""
        return 1 - (1 - self.level) / len(self.looks(n, budget))

    def half_widths(self, explanation: Explanation, budget: int) -> Floats:
        """Half-widths (n,) at the corrected level; NaN where the explanation has no standard error."""
        level = self.corrected_level(len(explanation.values), budget)
        return half_widths(explanation.std_errors, dof=explanation.trust.get("dof"), level=level)

    def reason(self, explanation: Explanation, budget: int) -> str | None:
        """Why to stop now, in words for the report, or ``None`` to go on. ``budget`` is the most that may be spent."""
        widths = self.half_widths(explanation, budget)
        if np.isnan(widths).any() or np.isnan(explanation.values).any():
            return None
        widest = float(widths.max(initial=0.0))
        if self.half_width is not None and widest <= self.half_width:
            return f"the widest interval is ±{widest:.3g}, within ±{self.half_width:g}"
        if self.top_k is not None and _order_is_settled(np.abs(explanation.values), widths, self.top_k):
            return f"the order of the {min(self.top_k, len(widths))} strongest features is settled"
        return None

    def corrected(self, explanation: Explanation, budget: int) -> Explanation:
        """The explanation with standard errors widened so that intervals at ``level`` drawn from them hold over all looks.

        ``details["stop"]`` says how many looks were planned, and the reason if there is one.
        """
        dof = explanation.trust.get("dof")
        n = len(explanation.values)
        factor = quantile(dof, level=self.corrected_level(n, budget)) / quantile(dof, level=self.level)
        stop = {"looks": len(self.looks(n, budget)), "reason": self.reason(explanation, budget)}
        return dataclasses.replace(
            explanation,
            std_errors=explanation.std_errors * factor,
            details={**explanation.details, "stop": stop},
        )


def _order_is_settled(sizes: Floats, widths: Floats, top_k: int) -> bool:
    """Whether the intervals of the ``top_k`` largest of ``sizes`` (n,) overlap with those of no smaller one."""
    order = np.argsort(-sizes, kind="stable")
    low, high = (sizes - widths)[order], (sizes + widths)[order]
    highest_after = np.maximum.accumulate(high[::-1])[::-1]
    ranked = min(top_k, len(sizes) - 1)
    return bool(np.all(low[:ranked] > highest_after[1 : ranked + 1]))
