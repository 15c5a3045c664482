"""The views whose features are small steps up and down: numeric columns of a row, and the brightness of parts of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from adapters import Scalar
from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import listed, mapped, whole
from probe.maskers.columns import Row, checked_row, column_kind, like
from probe.maskers.fills import Image
from probe.maskers.image import SuperpixelMasker
from probe.maskers.naming import nearest, unique_names

#: a column's step, as a part of its standard deviation in the reference
STEP = 0.1
#: an image's step, in intensities of 0 … 255: small, yet more than rounding and a lossy format change
SHIFT = 8


class StepMasker:
    """Two features per numeric column: one step up and one step down; keeping a feature leaves that step out.

    ``steps``: by column, in the column's own units. A column without one takes ``step`` times its standard deviation in the
    ``reference`` rows. ``columns``: the ones to move; by default all numeric ones with a step. Whole numbers move by whole
    steps, at least 1. Steps in both directions at once cancel. A feature's ``change`` has the new ``value`` and ``by`` how
    much it was moved. Raises ``ValueError``, also if no column can be moved.
    """

    kind: ClassVar[Kind] = "tabular"
    copies: ClassVar[int] = 1
    segments: ClassVar[NDArray[np.int32] | None] = None

    def __init__(
        self,
        row: Mapping[str, Scalar],
        *,
        reference: Sequence[Mapping[str, Scalar]] | None = None,
        step: float = STEP,
        steps: Mapping[str, float] | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self._row = checked_row(row)
        self.instance: Mapping[str, Scalar] = dict(self._row)
        share = _positive(step, "step")
        given = {
            name: _positive(value, f"step of column {name!r}") for name, value in mapped(steps or {}, "steps").items()
        }
        named = None if columns is None else [str(column) for column in listed(columns, "columns")]
        for column in (*given, *(named or ())):
            if column not in self._row:
                raise ValueError(
                    f"column {column!r} is to be moved, but the row does not have it{nearest(column, row)}"
                )
            if not _is_numeric(self._row[column]):
                raise ValueError(f"column {column!r} is {self._row[column]!r} and cannot be moved by a step")
        movable = [column for column in self._row if _is_numeric(self._row[column]) and column in (named or self._row)]
        missing = [column for column in movable if column not in given]
        if missing and reference is None and (named is not None or not given):
            raise ValueError(f"column {missing[0]!r} needs a step, or reference rows that say how much it varies")
        spread = _deviations({column: self._row[column] for column in missing}, reference) if reference else {}
        self._steps: dict[str, int | float] = {}
        for column in movable:
            size = given.get(column, share * spread.get(column, 0.0))
            if size > 0:
                self._steps[column] = max(1, round(size)) if isinstance(self._row[column], int) else size
        if not self._steps:
            raise ValueError("no numeric column varies in the reference rows; give steps")
        self._moves = [(column, sign * size) for column, size in self._steps.items() for sign in (1, -1)]
        self.features: tuple[Feature, ...] = tuple(
            Feature(f"{column} {by:+.6g}", {"columns": [column]}, column, {"value": self._moved(column, by), "by": by})
            for column, by in self._moves
        )
        self.settings: Mapping[str, Any] = {"masker": "steps", "steps": dict(self._steps)}

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Row:
        kept = checked_coalition(coalition, self.n, copy)
        result = dict(self._row)
        for index, column in enumerate(self._steps):
            up, down = kept[2 * index], kept[2 * index + 1]
            if up != down:
                result[column] = self._moved(column, self._moves[2 * index + bool(up)][1])
        return result

    def _moved(self, column: str, by: float) -> int | float:
        own = self._row[column]
        assert isinstance(own, int | float)  # noqa: S101 - only numeric columns have steps
        return own + by


class ShiftMasker:
    """Two features per superpixel of an image: ``shift`` intensities brighter, and as much darker.

    Superpixels as of :class:`SuperpixelMasker` (``algorithm``, ``segments``). Values stay within 0 … 255; ``by`` is the mean
    shift that remains of it, ``value`` the mean intensity reached. Raises ``ValueError``.
    """

    kind: ClassVar[Kind] = "image"
    copies: ClassVar[int] = 1

    def __init__(self, image: Image, *, shift: int = SHIFT, **superpixels: Any) -> None:
        parts = SuperpixelMasker(image, **superpixels)
        if whole(shift, "shift", least=1) > 255:
            raise ValueError(f"shift is {shift}; it must be at most 255 intensities")
        self.instance: Image = parts.instance
        self.segments: NDArray[np.int32] = parts.segments
        self._by_direction = tuple(
            np.clip(self.instance.astype(np.int16) + by, 0, 255).astype(np.uint8) for by in (shift, -shift)
        )
        features = []
        names = unique_names(f"{part.name} {sign}" for part in parts.features for sign in "+-")
        for index, part in enumerate(parts.features):
            inside = self.segments == part.place["segment"]
            own = float(self.instance[inside].mean())
            for sign, moved in enumerate(self._by_direction):
                reached = float(moved[inside].mean())
                change = {"value": reached, "by": reached - own}
                features.append(Feature(names[2 * index + sign], dict(part.place), part.name, change))
        self._ids = self.segments.astype(np.intp)
        self.features: tuple[Feature, ...] = tuple(features)
        self.settings: Mapping[str, Any] = {
            "masker": "shifts",
            "shift": shift,
            "algorithm": parts.settings["algorithm"],
            "map": parts.settings["map"],
        }

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Image:
        kept = checked_coalition(coalition, self.n, copy)
        result = self.instance.copy()
        up, down = kept[::2], kept[1::2]
        for moved, wanted in zip(self._by_direction, (~up & down, up & ~down), strict=True):
            inside = wanted[self._ids]
            result[inside] = moved[inside]
        return result


def _positive(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}; it must be a number above 0")
    return float(value)


def _is_numeric(value: Scalar) -> bool:
    return column_kind([value]) in ("whole", "number")


def _deviations(row: Row, reference: object) -> dict[str, float]:
    """Standard deviation of each column of ``row`` in the reference, missing values aside; 0 with fewer than two."""
    rows = like(row, reference, "reference") if row else []
    found = {}
    for column in row:
        values = [float(value) for other in rows if isinstance(value := other[column], int | float)]
        found[column] = float(np.std(values)) if len(values) > 1 else 0.0
    return found
