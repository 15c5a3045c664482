"""Partial dependence, and the individual curves that it is the mean of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from adapters import Scalar
from probe.maskers.checks import whole
from probe.surveys.base import (
    Answers,
    Floats,
    Places,
    Query,
    Reading,
    RowSet,
    freedom,
    generator,
    jackknife,
    mean_known,
)
from probe.surveys.grids import grid


@dataclass(frozen=True)
class PartialDependence:
    """Every row gets every value of a column's grid in turn: each row's scores are its individual conditional expectation
    (ICE), their mean is the partial dependence (Friedman, Annals of Statistics 2001, section 8.2).

    A column's figure is how far its curve is from flat: the standard deviation of the partial dependence over the grid, for
    categories a quarter of its range (Greenwell, Boehmke & McCarthy, arXiv 1805.04755). ``points``: most values of a column.
    ``curves``: most individual curves kept to be drawn; the figures are of all rows.
    """

    name: ClassVar[str] = "pdp"
    source: ClassVar[str] = "Friedman 2001; Goldstein et al., Peeking Inside the Black Box, JCGS 2015"

    points: int = 20
    curves: int = 50
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        whole(self.points, "points", least=2)
        whole(self.curves, "curves", least=0)

    def design(self, rows: RowSet, seed: int) -> PdpDesign:
        """Raises ``ValueError`` if no column has two values."""
        grids = {column: grid(rows, column, self.points) for column in rows.chosen(self.columns)}
        grids = {column: values for column, values in grids.items() if len(values) > 1}
        if not grids:
            raise ValueError("pdp: no column has two values or more")
        shown = np.sort(generator(seed, "curves").permutation(rows.n)[: self.curves])
        return PdpDesign(rows, grids, tuple(shown.tolist()), seed)


@dataclass(frozen=True)
class PdpDesign:
    """Each column's grid, value by value over all rows."""

    rows: RowSet
    grids: Mapping[str, list[Scalar]]
    shown: tuple[int, ...]  #: rows whose curves are kept
    seed: int

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        return tuple(
            self.rows.altered(row, column, value)
            for column, values in self.grids.items()
            for value in values
            for row in range(self.rows.n)
        )

    def read(self, answers: Answers) -> Reading:
        """``details["curves"]``: by column ``values``, ``numeric``, ``mean`` and ``std_errors`` (of the mean, over rows),
        ``ice`` (one list a shown row), ``ice_rows`` (their numbers) and ``spread`` (the mean standard deviation of the
        centred individual curves: 0 if the column acts alike in every row). A value without any answer is null."""
        curves = self._curves(answers.values)
        flatness = np.array([_flatness(mean_known(each), self.rows.numeric(name)) for name, each in curves.items()])

        def statistic(chosen: Places) -> Floats:
            return np.array(
                [_flatness(mean_known(each[:, chosen]), self.rows.numeric(name)) for name, each in curves.items()]
            )

        return Reading(
            names=tuple(curves),
            values=flatness,
            std_errors=jackknife(statistic, self.rows.n, self.seed),
            trust=freedom(self.rows.n),
            details={"curves": {name: self._shown(name, each) for name, each in curves.items()}},
        )

    def _curves(self, values: Floats) -> dict[str, Floats]:
        """By column, (grid, n) scores."""
        ends = np.cumsum([len(each) * self.rows.n for each in self.grids.values()])
        parts = np.split(values, ends[:-1])
        return {name: part.reshape(-1, self.rows.n) for name, part in zip(self.grids, parts, strict=True)}

    def _shown(self, name: str, scores: Floats) -> dict[str, Any]:
        known = (~np.isnan(scores)).sum(axis=1)
        mean = mean_known(scores)
        with np.errstate(invalid="ignore", divide="ignore"):
            variances = mean_known((scores - mean[:, None]) ** 2) * known / (known - 1)
            errors = np.sqrt(variances / known)
        centred = scores - mean_known(scores, axis=0)
        around = mean_known((centred - mean_known(centred)[:, None]) ** 2)
        return {
            "values": list(self.grids[name]),
            "numeric": self.rows.numeric(name),
            "mean": mean.tolist(),
            "std_errors": errors.tolist(),
            "ice": scores[:, list(self.shown)].T.tolist(),
            "ice_rows": list(self.shown),
            "spread": float(mean_known(np.sqrt(around))),
        }


def _flatness(mean: Floats, numeric: bool) -> float:
    known = mean[~np.isnan(mean)]
    if len(known) < 2:
        return float("nan")
    return float(known.std(ddof=1)) if numeric else float(np.ptp(known)) / 4
