"""Table rows: their columns' types, and values of one row put in place of another's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from adapters import Scalar
from probe.maskers.checks import listed
from probe.maskers.naming import nearest

Row: TypeAlias = dict[str, Scalar]
ColumnKind: TypeAlias = Literal["flag", "whole", "number", "text", "missing"]


def checked_row(row: object, what: str = "the row") -> Row:
    """``row`` as a dict of plain scalars (numpy's become Python's; NaN is missing, ``None``).

    Raises ``ValueError`` if it is no mapping of column names to scalars, or empty.
    """
    if not isinstance(row, Mapping) or not row:
        raise ValueError(
            f"{what} must map column names to values, at least one; it is {type(row).__name__} {str(row)[:40]}"
        )
    return {str(name): _scalar(value, f"{what}, column {name!r}") for name, value in row.items()}


def _scalar(value: object, where: str) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"{where} holds a {type(value).__name__}; a value must be text, a number, true/false or missing")


def column_kind(values: Sequence[Scalar]) -> ColumnKind:
    """What a column holds, missing values aside: whole and broken numbers mixed are numbers, anything with text is text."""
    kinds = {_kind(value) for value in values if value is not None}
    if not kinds:
        return "missing"
    if kinds == {"whole", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "text"


def _kind(value: Scalar) -> ColumnKind:
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int):
        return "whole"
    return "number" if isinstance(value, float) else "text"


def as_type_of(original: Scalar, value: Scalar, column: str) -> Scalar:
    """``value`` in the type of ``original``: whole numbers stay whole (rounded half to even), text stays text.

    A missing value stays missing, and takes any value's place. Raises ``ValueError`` for a number in a text column and the
    like.
    """
    if original is None or value is None or type(original) is type(value):
        return value
    if isinstance(original, bool) and value in (0, 1):
        return bool(value)
    if (
        isinstance(original, int)
        and not isinstance(original, bool)
        and isinstance(value, float)
        and math.isfinite(value)
    ):
        return round(value)
    if isinstance(original, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    raise ValueError(
        f"column {column!r} is {original!r} in the row but {value!r} in the background: "
        f"{type(original).__name__} and {type(value).__name__} cannot stand in for each other; convert one of them"
    )


def like(row: Row, others: object, what: str) -> list[Row]:
    """``others`` with exactly the columns of ``row``, in its order and types; further columns (labels, ids) are dropped.

    Raises ``ValueError`` if there is none, or one lacks a column.
    """
    result = []
    for index, other in enumerate(listed(others, what)):
        here = f"{what} row {index + 1}"
        plain = checked_row(other, here)
        for column in row:
            if column not in plain:
                raise ValueError(f"{here} has no column {column!r}{nearest(column, plain)}")
        result.append({column: as_type_of(row[column], plain[column], column) for column in row})
    return result


def typical(values: Sequence[Scalar]) -> Scalar:
    """The middle of a column: the lower median of numbers (a value that occurs), the mode of anything else.

    Of equally frequent values the first in order of appearance. Missing values count only if there is nothing else.
    """
    present = [value for value in values if value is not None]
    if not present:
        return None
    numbers = [value for value in present if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(present):
        return sorted(numbers)[(len(numbers) - 1) // 2]
    return Counter(present).most_common(1)[0][0]
