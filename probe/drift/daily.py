"""Is a day's figure out of the ordinary among those of past days on which nothing changed?

Answers of one day have something in common (a machine, a release of a library, a load), so single answers must not be
shuffled between days: what is compared are days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import scipy.special

FEWEST_DAYS = 5  #: unchanged days before anything is said


def out_of_the_ordinary(figure: float, past: Sequence[float], *, freedom: int, level: float) -> float | None:
    """A p-value of ``figure`` among ``past`` ones that are large when days differ; ``None`` before five days.

    With enough days for ``level`` it is the rank. Until then ``figure`` over their mean is compared with Fisher's F: a
    day's figure is taken as a multiple of a chi-squared one whose degrees of freedom are found from mean and variance of
    the past ones (Satterthwaite), halved for being found from few, at least 1 and at most ``freedom``.
    """
    days = len(past)
    if days < FEWEST_DAYS:
        return None
    if (days + 1) * level >= 1:
        return (1 + sum(each >= figure for each in past)) / (days + 1)
    mean = sum(past) / days
    if mean <= 0:
        return 1.0 if figure <= 0 else 0.0
    variance = sum((each - mean) ** 2 for each in past) / (days - 1)
    found = 2 * mean**2 / variance / 2 if variance > 0 else math.inf
    within = min(max(found, 1.0), float(freedom))
    return float(scipy.special.fdtrc(within, within * days, figure / mean))
