"""Table rows: columns, or groups of columns, replaced by a background's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from adapters import Scalar
from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import listed, mapped
from probe.maskers.columns import Row, checked_row, like, typical
from probe.maskers.naming import nearest, one_of

TabularFill: TypeAlias = Literal["rows", "median"]
TABULAR_FILLS: Final[tuple[str, ...]] = get_args(TabularFill)


class TabularMasker:
    """The columns of a row, single or in groups.

    ``background``: one or more rows with at least the columns of ``row``. ``fill``: ``rows`` puts in each background row in
    turn (``copies`` = their number, copy k takes row k; the mean score is the interventional expectation), ``median`` one
    row of each column's median (a value that occurs) or, for anything but numbers, mode. ``groups``: feature name → columns
    switched together; columns in no group are features of their own. Types are the row's: whole numbers stay whole, text
    stays text. Raises ``ValueError``.
    """

    kind: ClassVar[Kind] = "tabular"
    segments: ClassVar[NDArray[np.int32] | None] = None

    def __init__(
        self,
        row: Mapping[str, Scalar],
        *,
        background: Sequence[Mapping[str, Scalar]],
        fill: TabularFill = "median",
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._row = checked_row(row)
        self.instance: Mapping[str, Scalar] = dict(self._row)
        one_of(fill, TABULAR_FILLS, "fill")
        rows = like(self._row, background, "background")
        if fill == "median":
            rows = [{column: typical([other[column] for other in rows]) for column in self._row}]
        self._background = rows
        self.copies: int = len(rows)
        named = mapped(groups or {}, "groups")
        self._columns = _grouped(self._row, named)
        self.features: tuple[Feature, ...] = tuple(
            Feature(name, {"columns": list(columns)}, change=self._change(columns))
            for name, columns in self._columns.items()
        )
        self.settings: Mapping[str, Any] = {
            "masker": "tabular",
            "fill": fill,
            "background": [dict(other) for other in rows],
            "groups": {name: list(columns) for name, columns in self._columns.items() if name in named},
        }

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Row:
        kept = checked_coalition(coalition, self.n, copy, self.copies)
        other = self._background[copy]
        result = dict(self._row)
        for columns, keep in zip(self._columns.values(), kept.tolist(), strict=True):
            if not keep:
                result.update({column: other[column] for column in columns})
        return result

    def _change(self, columns: Sequence[str]) -> dict[str, Any]:
        """What replaces the feature, where that is one value."""
        if self.copies > 1 or len(columns) > 1:
            return {}
        return {"value": self._background[0][columns[0]]}


def _grouped(row: Row, groups: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Feature name → its columns, in the order of each one's first column in the row."""
    owner: dict[str, str] = {}
    for name, columns in groups.items():
        for column in map(str, listed(columns, f"group {name!r}")):
            if column not in row:
                raise ValueError(
                    f"group {name!r} names column {column!r}, which the row does not have{nearest(column, row)}"
                )
            if column in owner:
                raise ValueError(f"column {column!r} is in the groups {owner[column]!r} and {name!r}; leave it in one")
            owner[column] = name
    result: dict[str, tuple[str, ...]] = {}
    for column in row:
        if column in groups and owner.get(column) != column:
            raise ValueError(f"group {column!r} has the name of a column outside it; rename the group")
        name = owner.get(column, column)
        result[name] = (*result.get(name, ()), column)
    return result
