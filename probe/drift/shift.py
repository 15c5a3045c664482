"""Channel C: have scores moved further than repeats of one input differ?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import scipy.special

from probe.drift.answers import Reference, Seen
from probe.drift.daily import FEWEST_DAYS, out_of_the_ordinary
from probe.drift.noise import spread


@dataclass(frozen=True, slots=True)
class Shift:
    """One day's change of scores against repeats. ``figure``: Fisher's F; ``size``: root mean square change.

    ``certain``: judged by past days, so that one day is enough; else a ``suspect`` day is to be confirmed on another.
    """

    figure: float
    points: int
    p: float | None
    size: float
    suspect: bool
    certain: bool

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def judged(
    references: Sequence[Reference], today: Sequence[Seen | None], past: Sequence[float], *, level: float
) -> Shift | None:
    """F of the paired changes: mean of d²/(1+1/n) over the pooled variance of repeats; ``None`` where there are no scores or
    they never vary (then every change shows in the raw text).

    ``past``: figures of unchanged days, by which it is calibrated as soon as there are enough.
    """
    variance, freedom = spread([reference.values for reference in references])
    if not variance > 0:
        return None
    terms = []
    for reference, answer in zip(references, today, strict=True):
        known = [value for value in reference.values if math.isfinite(value)]
        if answer is None or not known:
            continue
        moved = answer.value_of(reference.usual) - sum(known) / len(known)
        if math.isfinite(moved):
            terms.append((moved**2, moved**2 / (1 + 1 / len(known))))
    if not terms:
        return None
    points = len(terms)
    value = sum(scaled for _, scaled in terms) / points / variance
    size = math.sqrt(sum(square for square, _ in terms) / points)
    if len(past) >= FEWEST_DAYS:
        p = out_of_the_ordinary(value, past, freedom=points, level=level)
        certain = True
    else:
        p = float(scipy.special.fdtrc(points, freedom, value))
        certain = False
    return Shift(value, points, p, size, p is not None and p <= level, certain)
