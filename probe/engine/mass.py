"""How much of a language model's probability is on answers that mean a label: what its scores are shares of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from probe.methods.base import Finding

_LOW_MEAN = 0.9  #: on average, below which scores are shares of too little
_LOW_MASS = 0.5  #: … of a single answer


def label_mass(masses: Sequence[float]) -> dict[str, float]:
    """The mean, under the name it has in the trust card; nothing if there are none."""
    return {"label_mass": math.fsum(masses) / len(masses)} if masses else {}


def low_mass(masses: Sequence[float]) -> list[Finding]:
    """A warning if much of the probability goes to answers that mean no label: the scores are shares of the rest."""
    mean = label_mass(masses).get("label_mass", 1.0)
    lowest = min(masses, default=1.0)
    if mean >= _LOW_MEAN and lowest >= _LOW_MASS:
        return []
    message = f"answers that mean a label have {mean:.2f} of the probability on average and {lowest:.2g} at least"
    return [Finding("P104", message)]
