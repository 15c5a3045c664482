"""From one input to another of the same kind in many small steps, so that somewhere in between the answer changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from adapters import Instance, Scalar

_GOLDEN = (5**0.5 - 1) / 2


class Path(Protocol):
    """Inputs from ``a`` (t = 0) to ``b`` (t = 1).

    ``steps``: how many different points there are at most along it, where they can be counted.
    """

    @property
    def steps(self) -> int | None: ...

    def at(self, t: float) -> Instance:
        """The input at ``t`` in [0, 1]."""


@dataclass(frozen=True, slots=True)
class RowPath:
    """Numbers move in proportion (whole ones stay whole); whatever else differs changes column by column, evenly spaced."""

    a: Mapping[str, Scalar]
    b: Mapping[str, Scalar]

    @property
    def steps(self) -> int | None:
        return None

    def at(self, t: float) -> dict[str, Scalar]:
        """The row at ``t``. Columns are those of ``a``."""
        moved: dict[str, Scalar] = {}
        jumps = [name for name in self.a if not _numbers(self.a[name], self.b.get(name))]
        jumps = [name for name in jumps if self.a[name] != self.b.get(name)]
        for name, value in self.a.items():
            other = self.b.get(name)
            if name in jumps:
                moved[name] = other if t >= (jumps.index(name) + 0.5) / len(jumps) else value
            elif _numbers(value, other):
                moved[name] = _between(value, other, t)
            else:
                moved[name] = value
        return moved


def _numbers(one: Any, other: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))


def _between(one: Any, other: Any, t: float) -> int | float:
    if t <= 0 or t >= 1:
        value: int | float = one if t <= 0 else other
        return value
    mixed = float((1 - t) * one + t * other)
    return round(mixed) if isinstance(one, int) and isinstance(other, int) else mixed


@dataclass(frozen=True, slots=True)
class ImagePath:
    """Alpha blending, rounded to whole levels. ``a`` and ``b`` have one shape.

    Each pixel has a rounding threshold of its own (multiples of the golden ratio), so that pixels of equal levels do not all
    change at once: the steps along the path are as small as pictures allow.
    """

    a: NDArray[np.uint8]
    b: NDArray[np.uint8]

    @property
    def steps(self) -> int | None:
        return None

    def at(self, t: float) -> NDArray[np.uint8]:
        """The picture at ``t``."""
        mixed = (1 - t) * self.a.astype(np.float64) + t * self.b.astype(np.float64)
        thresholds = (np.arange(mixed.size) * _GOLDEN % 1.0).reshape(mixed.shape)
        return np.floor(mixed + thresholds).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class TextPath:
    """The words of ``a`` are replaced by those of ``b`` one at a time, from the beginning; where ``b`` is longer its further
    words follow one by one, and where it is shorter those of ``a`` go. Texts without spaces change by the character."""

    a: str
    b: str

    @property
    def steps(self) -> int:
        one, other, _ = self._parts()
        return max(len(one), len(other))

    def at(self, t: float) -> str:
        """The text at ``t``."""
        one, other, between = self._parts()
        done = round(t * max(len(one), len(other)))
        if done <= 0:
            return self.a
        if done >= max(len(one), len(other)):
            return self.b
        return between.join([*other[:done], *one[done:]])

    def _parts(self) -> tuple[Sequence[str], Sequence[str], str]:
        one, other = self.a.split(), self.b.split()
        if len(one) < 2 and len(other) < 2:
            return self.a, self.b, ""
        return one, other, " "


def path_between(a: Instance, b: Instance) -> Path:
    """The path for the kind of ``a`` and ``b``.

    Raises:
        ValueError: they are not of one kind, or two pictures differ in shape.
    """
    if isinstance(a, str) and isinstance(b, str):
        return TextPath(a, b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            raise ValueError(f"pictures of {a.shape} and {b.shape} cannot be blended")
        return ImagePath(a, b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return RowPath(a, b)
    raise ValueError(f"there is no path from {type(a).__name__} to {type(b).__name__}")


def same(one: Instance, other: Instance) -> bool:
    """Whether two inputs are equal."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(np.asarray(one), np.asarray(other)))
    return one == other
