"""How much an explanation hangs on what stands in for the parts that are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from probe.maskers.base import Feature
from probe.methods.base import CoalitionTable, Finding, Floats
from probe.methods.design import find_rows

MATTERS: Final = 0.5  #: spread over the backgrounds, as a share of the values' size, from which it is worth saying


@dataclass(frozen=True, slots=True)
class BackgroundSpread:
    """Single changes with each background alone.

    ``changes``: (c, n), NaN where there is no answer; (0, n) where the table has one background only. ``share``: the
    root mean square over the backgrounds of their distance from the mean change, over the size of the mean changes; NaN
    with one background.
    """

    changes: Floats
    share: float
    findings: tuple[Finding, ...]

    @property
    def spread(self) -> Floats:
        """(n,) standard deviation of each change over the backgrounds, in score units."""
        return np.asarray(np.std(self.changes, axis=0))


def background_spread(features: tuple[Feature, ...], table: CoalitionTable) -> BackgroundSpread:
    """From the rows of ``table`` that have one feature replaced.

    P222 for pictures whose values hang on the fill: another one would have told another story. Background rows of a table
    are meant to differ, as the mean over them is what is asked for.
    """
    rows = find_rows(table.coalitions, ~np.eye(table.n, dtype=bool))
    full = int(find_rows(table.coalitions, np.ones((1, table.n), dtype=bool))[0])
    if table.copies is None or table.copies.shape[1] < 2 or full < 0:
        return BackgroundSpread(np.zeros((0, len(rows))), math.nan, ())
    changes = np.where(rows >= 0, table.copies[full][:, None] - table.copies[rows].T, np.nan)
    answered = changes[:, rows >= 0]
    mean = answered.mean(axis=0)
    size = float(np.linalg.norm(mean))
    apart = float(np.linalg.norm(answered - mean)) / math.sqrt(len(answered))
    share = apart / size if size > 0 else math.nan
    picture = all("box" in feature.place or "segment" in feature.place for feature in features)
    if not (picture and share >= MATTERS):
        return BackgroundSpread(changes, share, ())
    words = f"the values differ by {share:.0%} of their size between the {len(changes)} fills"
    return BackgroundSpread(
        changes, share, (Finding("P222", f"{words}: what stands in for the removed parts matters here"),)
    )


def nullable(values: Floats) -> list[list[float | None]]:
    """JSON-ready: ``None`` for NaN."""
    return [[None if math.isnan(value) else value for value in row] for row in values.tolist()]
