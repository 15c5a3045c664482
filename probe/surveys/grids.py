"""Values a column is set to: numbers that occur, at even quantiles; or every category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from adapters import Scalar
from probe.surveys.base import Floats, RowSet


def grid(rows: RowSet, column: str, points: int) -> list[Scalar]:
    """The values of ``column`` to try, at least one.

    Numbers: every value if there are at most ``points``, else those at ``points`` evenly spaced quantiles (the lowest and
    the highest among them), ascending. They occur in the set, so whole numbers stay whole. Anything else: the ``points``
    most frequent values, in the order of their frequency. Missing values are left out.
    """
    present = [value for value in rows.column(column) if value is not None]
    if not rows.numeric(column):
        return [value for value, _ in Counter(present).most_common(points)]
    distinct = sorted(set(present))
    if len(distinct) <= points:
        return list(distinct)
    ordered = sorted(present)
    places = np.linspace(0, len(ordered) - 1, points).round().astype(int)
    return sorted({ordered[place] for place in places.tolist()})


def as_numbers(values: Sequence[Scalar]) -> Floats:
    """A numeric grid as floats."""
    return np.array([float(value) for value in values if value is not None], dtype=np.float64)
