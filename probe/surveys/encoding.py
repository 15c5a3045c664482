"""Rows as the numbers that a surrogate is fitted to, and back to words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from adapters import Scalar
from probe.surveys.base import Floats, RowSet

_MOST_CATEGORIES = 20  #: of a column, the most frequent ones; the others are in none of them


@dataclass(frozen=True, slots=True)
class Cell:
    """One encoded feature: the number in a column, or whether the column has this value, or none at all."""

    column: str
    kind: Literal["number", "is", "missing"]
    value: Scalar = None  #: the category; of a number, what stands in for a missing one
    other: Scalar = None  #: the category it has otherwise, where there are only two

    def of(self, own: Scalar) -> float:
        """The feature of a row whose column holds ``own``."""
        if self.kind == "number":
            return float(self.value or 0.0) if own is None else float(own)
        return float(own is None) if self.kind == "missing" else float(own == self.value)

    def words(self, *, holds: bool = True) -> str:
        """A category or a gap as a condition, or its opposite."""
        if self.kind == "missing":
            return f"{self.column} is {'' if holds else 'not '}missing"
        if holds or self.other is None:
            return f"{self.column} is {'' if holds else 'not '}{self.value}"
        return f"{self.column} is {self.other}"


@dataclass(frozen=True, slots=True)
class Encoding:
    """Features made of a set's columns."""

    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, rows: RowSet, columns: Sequence[str]) -> Encoding:
        """Numbers as they are (a missing one is the median, and has a feature that says so), two categories as one feature,
        more as one feature each."""
        cells: list[Cell] = []
        for column in columns:
            values = rows.column(column)
            present = [value for value in values if value is not None]
            if rows.numeric(column):
                numbers = rows.numbers(column)
                cells.append(Cell(column, "number", float(np.median(numbers[~np.isnan(numbers)]))))
            else:
                categories = [value for value, _ in Counter(present).most_common(_MOST_CATEGORIES)]
                if len(categories) == 2:
                    one, other = sorted(categories, key=str, reverse=True)
                    cells.append(Cell(column, "is", one, other))
                else:
                    cells += [Cell(column, "is", value) for value in categories]
            if len(present) < len(values):
                cells.append(Cell(column, "missing"))
        return cls(tuple(cells))

    @property
    def columns(self) -> tuple[str, ...]:
        """The encoded columns, each once, in order."""
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    def encode(self, rows: Sequence[Mapping[str, Scalar]]) -> Floats:
        """(rows, features)."""
        return np.array([[cell.of(row[cell.column]) for cell in self.cells] for row in rows], dtype=np.float64)

    def by_column(self, figures: Floats) -> Floats:
        """Figures of features added up by column."""
        names = self.columns
        found = np.zeros(len(names))
        np.add.at(found, [names.index(cell.column) for cell in self.cells], figures)
        return found

    def terms(self, encoded: Floats, weights: Floats) -> Floats:
        """By column, the standard deviation over the rows of its features' weighted sum."""
        terms = encoded * weights
        return np.array(
            [terms[:, [cell.column == name for cell in self.cells]].sum(axis=1).std() for name in self.columns]
        )
