"""The views whose features are single alterations: substituted words, and columns set to other values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapters import Scalar
from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import listed, mapped, whole
from probe.maskers.columns import Row, as_type_of, checked_row, column_kind, like
from probe.maskers.naming import nearest, unique_names
from probe.maskers.substitutions import LexiconLike, SubstituteLike, SubstitutionMasker

__all__ = ["AlterationMasker", "LexiconLike", "Range", "SubstituteLike", "SubstitutionMasker"]

#: ``{"from": low, "to": high}`` (both included), or a list of the values to try
Range: TypeAlias = Mapping[str, float] | Sequence[Scalar]


class AlterationMasker:
    """One feature per (column, other value); keeping it leaves the column as it is.

    ``reference``: rows that say which values occur. A numeric column gets at most ``points`` of them, at evenly spaced
    quantiles of the reference (lowest and highest included), any other column every value seen, the most frequent first;
    never the row's own value, never a missing one. ``ranges``: by column, in place of the reference's values: ``points``
    evenly spaced numbers from ``from`` to ``to``, or exactly the values listed. ``columns``: the ones to alter; by default
    all with a reference, else those with a range. Types are the row's: whole numbers stay whole. Where several values of
    one column are off together, the first is taken. Raises ``ValueError``, also if no column has another value.
    """

    kind: ClassVar[Kind] = "tabular"
    copies: ClassVar[int] = 1
    segments: ClassVar[NDArray[np.int32] | None] = None

    def __init__(
        self,
        row: Mapping[str, Scalar],
        *,
        reference: Sequence[Mapping[str, Scalar]] | None = None,
        ranges: Mapping[str, Range] | None = None,
        points: int = 10,
        columns: Sequence[str] | None = None,
    ) -> None:
        self._row = checked_row(row)
        self.instance: Mapping[str, Scalar] = dict(self._row)
        whole(points, "points", least=1)
        given = mapped(ranges or {}, "ranges")
        chosen = _chosen(self._row, reference is not None, given, columns)
        seen = {column: self._row[column] for column in chosen if column not in given}
        if seen and reference is None:
            raise ValueError(f"column {next(iter(seen))!r} needs reference rows or a range to be altered")
        rows = like(seen, reference, "reference") if seen and reference is not None else []
        values: dict[str, list[Scalar]] = {}
        for column in chosen:
            own = self._row[column]
            if column in given:
                values[column] = _in_range(column, given[column], own, points)
            else:
                values[column] = _from_reference([other[column] for other in rows], own, points)
        self._changes = [(column, value) for column in chosen for value in values[column]]
        if not self._changes:
            raise ValueError(
                f"no column of {', '.join(chosen)} has another value than the row's; give further reference rows"
            )
        names = unique_names(f"{column} = {_shown(value)}" for column, value in self._changes)
        self.features: tuple[Feature, ...] = tuple(
            Feature(name, {"columns": [column]}, column, {"value": value})
            for name, (column, value) in zip(names, self._changes, strict=True)
        )
        self.settings: Mapping[str, Any] = {
            "masker": "alterations",
            "ranges": {column: list(values[column]) for column in chosen if values[column]},
        }

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Row:
        kept = checked_coalition(coalition, self.n, copy)
        result = dict(self._row)
        for k in reversed(np.flatnonzero(~kept).tolist()):
            column, value = self._changes[k]
            result[column] = value
        return result


def _chosen(row: Row, has_reference: bool, ranges: Mapping[str, object], columns: object) -> list[str]:
    """The columns to alter, in the row's order."""
    named = None if columns is None else [str(column) for column in listed(columns, "columns")]
    for column in (*ranges, *(named or ())):
        if column not in row:
            raise ValueError(f"column {column!r} is to be altered, but the row does not have it{nearest(column, row)}")
    if named is None and not has_reference and not ranges:
        raise ValueError("altering columns needs reference rows or ranges: which other values should they take?")
    wanted = named if named is not None else row if has_reference else ranges
    return [column for column in row if column in wanted]


def _from_reference(seen: Sequence[Scalar], own: Scalar, points: int) -> list[Scalar]:
    others = [value for value in seen if value is not None and value != own]
    numbers = [value for value in others if isinstance(value, int | float)]
    if column_kind([own, *others]) in ("whole", "number"):
        return list(_quantiles(numbers, points))
    return [value for value, _ in Counter(others).most_common()]


def _quantiles(values: Sequence[float], points: int) -> list[float]:
    """At most ``points`` different ``values``, ascending: at evenly spaced quantiles, then evenly over what ties left out."""
    distinct = sorted(set(values))
    if len(distinct) <= points:
        return distinct
    chosen = set(_spaced(sorted(values), points))
    left = [value for value in distinct if value not in chosen]
    chosen.update(_spaced(left, points - len(chosen)))
    return sorted(chosen)


def _spaced(values: Sequence[float], count: int) -> Iterable[float]:
    if count == 1:
        return [values[(len(values) - 1) // 2]]
    return [values[k * (len(values) - 1) // (count - 1)] for k in range(count)]


def _in_range(column: str, given: object, own: Scalar, points: int) -> list[Scalar]:
    values: list[Scalar]
    if isinstance(given, Mapping):
        low, high = given.get("from"), given.get("to")
        numeric = all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in (low, high))
        if set(given) != {"from", "to"} or not numeric or low is None or high is None or not low < high:
            raise ValueError(
                f"range of column {column!r} is {dict(given)!r}; it must be {{from: low, to: high}}, low below high"
            )
        if own is not None and column_kind([own]) not in ("whole", "number"):
            raise ValueError(f"column {column!r} is {own!r} and cannot run from {low} to {high}; list its values")
        values = [float(value) for value in np.linspace(low, high, points)]
    else:
        where = f"range of column {column!r}, unless it is {{from: low, to: high}},"
        values = list(checked_row(dict(enumerate(listed(given, where))), f"range of column {column!r}").values())
    typed = [as_type_of(own, value, column) for value in values]
    return [value for value in dict.fromkeys(typed) if value != own and value is not None]


def _shown(value: Scalar) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
