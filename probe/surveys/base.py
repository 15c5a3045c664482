"""What a survey is: a method that alters the rows of a set, and reads what a model does over all of them off the answers.

Pure, like the methods of single inputs: no I/O, no clock, and randomness only from a seed that is passed in. A design is
made before anything is asked; the same rows, settings and seed give the same queries, so a plan, a resumed run and reading
stored answers again are one code path. Queries of one or several methods that come to equal rows are asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapters import Prediction, Scalar
from probe.maskers.columns import Row, checked_row, column_kind
from probe.maskers.naming import nearest
from probe.methods.base import Finding

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

_MOST_DELETIONS = 200  #: a jackknife over more rows leaves out groups of them


class Query(NamedTuple):
    """One row of the set, as it is or with some of its columns set to other values."""

    row: int
    changes: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True)
class RowSet:
    """The rows of a table, all with the same columns in the same order."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Scalar]]) -> RowSet:
        """Raises ``ValueError``: no rows, a cell that is no scalar, or a row with other columns than the first."""
        if not rows:
            raise ValueError("a survey needs at least one row")
        checked = tuple(checked_row(row, f"row {number}") for number, row in enumerate(rows))
        columns = tuple(checked[0])
        for number, row in enumerate(checked):
            if tuple(row) != columns:
                other = next((name for name in (*row, *columns) if (name in row) != (name in columns)), None)
                said = "its columns are in another order" if other is None else f"column {other!r} is not in both"
                raise ValueError(f"row {number} does not have the columns of row 0: {said}")
        return cls(columns, checked)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def column(self, name: str) -> list[Scalar]:
        """The values of one column, in row order."""
        return [row[name] for row in self.rows]

    @cached_property
    def _kinds(self) -> Mapping[str, str]:
        return {name: column_kind(self.column(name)) for name in self.columns}

    def numeric(self, name: str) -> bool:
        """Whether the column holds numbers (and at most missing values besides)."""
        return self._kinds[name] in ("whole", "number")

    def numbers(self, name: str) -> Floats:
        """A numeric column as (n,) floats, NaN where a value is missing."""
        return np.array([np.nan if value is None else float(value) for value in self.column(name)], dtype=np.float64)

    def chosen(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        """``columns`` in the set's order, or all. Raises ``ValueError`` naming one that is not there."""
        for name in columns or ():
            if name not in self.columns:
                raise ValueError(f"there is no column {name!r}{nearest(name, self.columns)}")
        return self.columns if columns is None else tuple(name for name in self.columns if name in columns)

    def altered(self, row: int, column: str, value: Scalar) -> Query:
        """``row`` with ``column`` set to ``value``; the row as it is where that changes nothing."""
        own = self.rows[row][column]
        same = own == value and isinstance(own, bool) == isinstance(value, bool)
        return Query(row) if same else Query(row, ((column, value),))

    def unaltered(self) -> tuple[Query, ...]:
        """Every row as it is."""
        return tuple(Query(row) for row in range(self.n))

    def render(self, query: Query) -> Row:
        """The row that ``query`` asks about."""
        return {**self.rows[query.row], **dict(query.changes)}


@dataclass(frozen=True)
class Answers:
    """What came back, query by query.

    ``values``: (q,) the target's score, NaN where there is no answer. ``predictions``: the whole answers. ``truth``: (n,)
    the true label or number of each row, if it is known. ``target``: the labels whose scores add up to ``values``.
    """

    values: Floats
    predictions: Sequence[Prediction | None]
    target: tuple[str, ...] = ()
    truth: Sequence[Scalar] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure for each column (or word), and what is needed to draw and to trust it.

    ``values``, ``std_errors``: (k,), NaN where not known. ``full_value``: what the figures are about as it stands without
    changes: a model's metric, or the mean score of the set. ``details``: JSON-ready.
    """

    names: tuple[str, ...]
    values: Floats
    std_errors: Floats
    full_value: float = float("nan")
    trust: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class Design(Protocol):
    """Queries, and how to read their answers."""

    @property
    def queries(self) -> tuple[Query, ...]:
        """In the order in which :meth:`read` takes the answers; equal ones may come several times."""

    def read(self, answers: Answers) -> Reading:
        """Raises ``ValueError`` if the answers do not suffice, saying what is missing."""


class SurveyMethod(Protocol):
    """A way to survey a table. Instances hold settings only; their fields are what a config may set."""

    name: ClassVar[str]
    source: ClassVar[str]

    def design(self, rows: RowSet, seed: int) -> Design:
        """What to ask about ``rows``. Raises ``ValueError`` if they do not allow it."""


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for every ``names``: what is drawn for one column does not depend on which others are asked."""
    return np.random.default_rng([seed, *(len(names), *"\0".join(names).encode("utf-8", "surrogatepass"))])


def freedom(n: int) -> dict[str, float]:
    """The degrees of freedom that a jackknife over ``n`` rows leaves for its intervals, as a trust figure."""
    return {"dof": float(min(n, _MOST_DELETIONS) - 1)} if n > 1 else {}


def mean_known(values: Floats, axis: int | tuple[int, ...] = -1) -> Floats:
    """The mean over ``axis`` without the NaNs; NaN where nothing else is there."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: Floats = np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)
    return means


def jackknife(statistic: Callable[[Places], Floats], n: int, seed: int) -> Floats:
    """Standard errors of ``statistic`` (rows → (k,) values) over a set of ``n`` rows taken as a sample of rows like these.

    Leaves out one row at a time, of more than 200 rows one of 200 groups drawn with ``seed`` (Efron & Stein, The Jackknife
    Estimate of Variance, Annals of Statistics 1981). What differs from row to row is in it, an endpoint's noise and random
    donors included. NaN for a single row.
    """
    if n < 2:
        return np.full_like(statistic(np.arange(n)), np.nan)
    groups = min(n, _MOST_DELETIONS)
    place = generator(seed, "jackknife").permutation(n) % groups
    left = np.stack([statistic(np.flatnonzero(place != group)) for group in range(groups)])
    spread: Floats = ((left - left.mean(axis=0)) ** 2).sum(axis=0)
    errors: Floats = np.sqrt(spread * (groups - 1) / groups)
    return errors
