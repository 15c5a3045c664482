"""Accumulated local effects: a column's effect from small steps of its own value, so that no row gets a value far from it.

Apley & Zhu, Visualizing the Effects of Predictor Variables in Black Box Supervised Learning Models, JRSS B 2020. At most
two evaluations a row and column; on an additive model the curve is the column's term, centred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from adapters import Scalar
from probe.maskers.checks import whole
from probe.surveys.base import Answers, Floats, Places, Query, Reading, RowSet, freedom, jackknife
from probe.surveys.grids import as_numbers, grid


@dataclass(frozen=True)
class AccumulatedLocalEffects:
    """A column's figure is the standard deviation of its accumulated effect over the set.

    Numbers: the edges of the bins are the values that ``pdp`` with as many ``points`` tries, so that after it these answers
    are there. Categories are put in the order in which the other columns change least from one to the next (the paper's
    appendix); each row moves to its neighbours only.
    """

    name: ClassVar[str] = "ale"
    source: ClassVar[str] = "Apley & Zhu, Visualizing the Effects of Predictor Variables, JRSS B 2020"

    points: int = 20
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        whole(self.points, "points", least=2)

    def design(self, rows: RowSet, seed: int) -> AleDesign:
        """Raises ``ValueError`` if no column has two values."""
        grids = {column: grid(rows, column, self.points) for column in rows.chosen(self.columns)}
        steps = [
            _numeric_steps(rows, column, places) if rows.numeric(column) else _category_steps(rows, column, places)
            for column, places in grids.items()
            if len(places) > 1
        ]
        if not steps:
            raise ValueError("ale: no column has two values or more")
        return AleDesign(rows, tuple(steps), seed)


@dataclass(frozen=True)
class Steps:
    """One column: its places in order, and which row goes from which place to the next.

    ``rows``, ``bins``: (s,) row ``rows`` makes the step from place ``bins`` to the next. ``home``: (n, places) where each row
    is; a number between two places is half at either. Rows with a missing or a rarer value are nowhere and make no step.
    """

    column: str
    numeric: bool
    places: tuple[Scalar, ...]
    rows: Places
    bins: Places
    home: Floats

    def curve(self, changes: Floats, chosen: Places) -> Floats:
        """The centred effect (places,) of the ``chosen`` rows' steps, which change the score by ``changes`` (s,). A bin that
        nobody answered counts as flat."""
        weight = np.zeros(len(self.home))
        weight[chosen] = 1.0
        mine = np.where(np.isnan(changes), 0.0, weight[self.rows])
        count = np.bincount(self.bins, mine, minlength=len(self.places) - 1)
        total = np.bincount(self.bins, mine * np.nan_to_num(changes), minlength=len(self.places) - 1)
        effect = np.concatenate([[0.0], np.cumsum(total / np.maximum(count, 1.0))])
        result: Floats = effect - self.share(chosen) @ effect
        return result

    def share(self, chosen: Places) -> Floats:
        """How the ``chosen`` rows are spread over the places, (places,), adding up to 1."""
        found = self.home[chosen].sum(axis=0)
        result: Floats = found / max(found.sum(), 1e-300)
        return result


@dataclass(frozen=True)
class AleDesign:
    """Each column's steps: first the rows at the lower place of their step, then the same rows at the upper one."""

    rows: RowSet
    steps: tuple[Steps, ...]
    seed: int

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        return tuple(
            self.rows.altered(row, each.column, each.places[place + upper])
            for each in self.steps
            for upper in (0, 1)
            for row, place in zip(each.rows.tolist(), each.bins.tolist(), strict=True)
        )

    def read(self, answers: Answers) -> Reading:
        """``details["curves"]``: by column ``values``, ``numeric``, ``mean`` (the centred effect at each), ``std_errors`` and
        ``share`` (of the rows there)."""
        ends = np.cumsum([2 * len(each.rows) for each in self.steps])
        changes = []
        for part in np.split(answers.values, ends[:-1]):
            lower, upper = part.reshape(2, -1)
            changes.append(upper - lower)

        def statistic(chosen: Places) -> Floats:
            curves = [each.curve(change, chosen) for each, change in zip(self.steps, changes, strict=True)]
            sizes = [_size(curve, each.share(chosen)) for each, curve in zip(self.steps, curves, strict=True)]
            return np.concatenate([sizes, *curves])

        everybody = np.arange(self.rows.n)
        found, errors = statistic(everybody), jackknife(statistic, self.rows.n, self.seed)
        cuts = np.cumsum([len(self.steps), *(len(each.places) for each in self.steps)])[:-1]
        sizes, *curves = np.split(found, cuts)
        size_errors, *curve_errors = np.split(errors, cuts)
        return Reading(
            names=tuple(each.column for each in self.steps),
            values=sizes,
            std_errors=size_errors,
            trust=freedom(self.rows.n),
            details={
                "curves": {
                    each.column: _shown(each, curve, error, each.share(everybody))
                    for each, curve, error in zip(self.steps, curves, curve_errors, strict=True)
                }
            },
        )


def _shown(steps: Steps, curve: Floats, errors: Floats, share: Floats) -> Mapping[str, Any]:
    return {
        "values": list(steps.places),
        "numeric": steps.numeric,
        "mean": curve.tolist(),
        "std_errors": errors.tolist(),
        "share": share.tolist(),
    }


def _size(curve: Floats, share: Floats) -> float:
    return float(np.sqrt(share @ curve**2))


def _numeric_steps(rows: RowSet, column: str, places: Sequence[Scalar]) -> Steps:
    """A row's step is the bin (z_k, z_k+1] that it lies in; the first bin has its lower edge too."""
    edges = as_numbers(places)
    own = rows.numbers(column)
    there = np.flatnonzero(~np.isnan(own))
    bins = np.clip(np.searchsorted(edges, own[there], side="left") - 1, 0, len(edges) - 2)
    home = np.zeros((rows.n, len(edges)))
    home[there, bins] = home[there, bins + 1] = 0.5
    return Steps(column, True, tuple(places), there, bins, home)


def _category_steps(rows: RowSet, column: str, places: Sequence[Scalar]) -> Steps:
    """A row steps up to the next category and down to the one before."""
    ordered = in_order(rows, column, places)
    position = {value: place for place, value in enumerate(ordered)}
    at = np.array([position.get(value, -1) for value in rows.column(column)], dtype=np.intp)
    up, down = np.flatnonzero((at >= 0) & (at < len(ordered) - 1)), np.flatnonzero(at > 0)
    there = np.flatnonzero(at >= 0)
    home = np.zeros((rows.n, len(ordered)))
    home[there, at[there]] = 1.0
    return Steps(
        column, False, tuple(ordered), np.concatenate([up, down]), np.concatenate([at[up], at[down] - 1]), home
    )


def in_order(rows: RowSet, column: str, places: Sequence[Scalar]) -> list[Scalar]:
    """Categories so that neighbours are alike in the other columns: the first axis of classical scaling of their distances.

    A distance is the sum over the other columns of Kolmogorov and Smirnov's (numbers) or half the summed differences of
    frequencies (anything else). Two categories are put in the order of their names.
    """
    if len(places) < 3:
        return sorted(places, key=str)
    own = rows.column(column)
    members = [[row for row, value in enumerate(own) if value == place] for place in places]
    distance = np.zeros((len(places), len(places)))
    for other in rows.columns:
        if other != column:
            shapes = _shapes(rows, other, members)
            apart = np.abs(shapes[:, None] - shapes[None])
            distance += apart.max(axis=2) if rows.numeric(other) else apart.sum(axis=2) / 2
    centre = np.eye(len(places)) - 1 / len(places)
    axis = np.linalg.eigh(-centre @ distance**2 @ centre / 2)[1][:, -1]
    # an eigenvector has no sign of its own: the most frequent category comes first of the two ends
    placed = np.round(axis * (-1 if axis[0] > 0 else 1), 9)
    return [places[place] for place in np.argsort(placed, kind="stable")]


def _shapes(rows: RowSet, column: str, members: Sequence[Sequence[int]]) -> Floats:
    """How ``column`` is distributed in each group of rows: cumulative at its values for numbers, else frequencies."""
    if rows.numeric(column):
        values = rows.numbers(column)
        at = np.unique(values[~np.isnan(values)])
        groups = [np.sort(values[list(group)][~np.isnan(values[list(group)])]) for group in members]
        return np.stack([np.searchsorted(group, at, side="right") / max(len(group), 1) for group in groups])
    cells = rows.column(column)
    seen = list(dict.fromkeys(cells))
    return np.array([[sum(cells[row] == value for row in group) / len(group) for value in seen] for group in members])
