"""Stored attributions as rows, with their intervals and whether they can be told from 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.analysis.intervals import p_values, quantile
from storage.questions import Share

COLUMNS = (
    *("run", "finished", "probe", "instance", "endpoint", "provider", "model", "method", "target"),
    *("feature", "value", "low", "high", "p"),
)
#: What a terminal has room for.
SHORT = ("finished", "run", "endpoint", "method", "instance", "target", "feature", "value", "low", "high", "p")


@dataclass(frozen=True, slots=True)
class Found:
    """A share with its 95 % interval and the p-value of "it is 0" (NaN where no error is known)."""

    share: Share
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, share: Share) -> Found:
        value = math.nan if share.value is None else share.value
        error = 0.0 if share.exact else math.nan if share.std_error is None else share.std_error
        dof = share.trust.get("dof")
        width = quantile(dof) * error
        p = float(p_values(np.array([value]), np.array([error]), dof=dof)[0])
        return cls(share, value - width, value + width, p)

    def cells(self, columns: Sequence[str] = COLUMNS) -> list[Any]:
        """Its values, in the order of ``columns``."""
        return [getattr(self, name) if name in {"low", "high", "p"} else getattr(self.share, name) for name in columns]


def significant(found: Sequence[Found], alpha: float) -> list[Found]:
    """Those that differ from 0 at the level ``alpha``; one whose error is not known does not."""
    return [each for each in found if each.p < alpha]
