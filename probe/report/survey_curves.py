"""The geometry of partial dependence and accumulated effects: a mean with its interval, over the curves of single rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from probe.report.charts import WIDE, Axis, units
from probe.report.clean import safe_text
from probe.report.curves import BOTTOM, LEFT, RIGHT, TOP, Dot, Mark
from probe.report.figures import Decimals, finite

_HALF: Final = 1.959964
_ROW: Final = 20.0
_CATEGORY_LEFT: Final = 96.0


@dataclass(frozen=True, slots=True)
class MeanCurve:
    """One column. For numbers ``path``, ``band`` and ``single`` are lines and an area; for categories each dot has the ends of
    its interval, and ``single`` are marks."""

    column: str
    words: str  #: the whole drawing in a sentence
    height: int
    numeric: bool
    path: str
    band: str
    single: str
    dots: tuple[Dot, ...]
    whiskers: str
    zero: str  #: where the effect is 0 (accumulated effects only): y for numbers, x for categories
    x_marks: tuple[Mark, ...]
    y_marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class _Points:
    column: str
    values: tuple[Any, ...]
    mean: tuple[float, ...]
    half: tuple[float, ...]
    single: tuple[tuple[float | None, ...], ...]
    numeric: bool

    @property
    def scores(self) -> list[float]:
        ends = [m + sign * h for m, h in zip(self.mean, self.half, strict=True) for sign in (-1, 1)]
        return ends + [score for line in self.single for score in line if score is not None]


def mean_curves(data: Mapping[str, Any], order: Sequence[str], *, most: int) -> tuple[list[MeanCurve], int]:
    """At most ``most`` drawings, columns in ``order`` first, all on one scale; and how many were left out."""
    place = {name: position for position, name in enumerate(order)}
    usable = [points for name, entry in data.items() if (points := _points(name, entry)) is not None]
    usable.sort(key=lambda points: place.get(points.column, len(place)))
    shown = usable[:most]
    centred = not any(points.single for points in shown)
    axis = Axis.around([score for points in shown for score in points.scores], zero=False)
    draw: Callable[[_Points, Axis, bool], MeanCurve]
    drawn = []
    for points in shown:
        draw = _numbers if points.numeric else _categories
        drawn.append(draw(points, axis, centred))
    return drawn, len(usable) - len(shown)


def _points(column: str, entry: object) -> _Points | None:
    if not isinstance(entry, Mapping):
        return None
    values, means = entry.get("values") or (), entry.get("mean") or ()
    kept = [k for k, mean in enumerate(means[: len(values)]) if finite(mean) is not None]
    if not kept:
        return None
    errors = entry.get("std_errors") or ()
    halves = [_HALF * (finite(errors[k]) or 0.0) if k < len(errors) else 0.0 for k in kept]
    lines = tuple(tuple(finite(line[k]) if k < len(line) else None for k in kept) for line in entry.get("ice") or ())
    chosen = tuple(values[k] for k in kept)
    numeric = bool(entry.get("numeric")) and all(finite(value) is not None for value in chosen)
    return _Points(column, chosen, tuple(float(means[k]) for k in kept), tuple(halves), lines, numeric)


def _numbers(points: _Points, axis: Axis, centred: bool) -> MeanCurve:
    places = [float(value) for value in points.values]
    across = Axis.around(places, zero=False)

    def x(value: float) -> str:
        return units(LEFT + (RIGHT - LEFT) * across.at(value) / WIDE)

    def y(score: float) -> str:
        return units(BOTTOM - (BOTTOM - TOP) * axis.at(score) / WIDE)

    upper = [f"{x(v)} {y(m + h)}" for v, m, h in zip(places, points.mean, points.half, strict=True)]
    lower = [f"{x(v)} {y(m - h)}" for v, m, h in zip(places, points.mean, points.half, strict=True)]
    single = "".join(
        "M" + "L".join(f"{x(v)} {y(score)}" for v, score in zip(places, line, strict=True) if score is not None)
        for line in points.single
        if sum(score is not None for score in line) > 1
    )
    scores, values = Decimals.for_values(points.mean), Decimals.for_values(places)
    dots = tuple(
        Dot(x(v), y(m), f"{values.plain(v)}: {scores.plain(m)}") for v, m in zip(places, points.mean, strict=True)
    )
    return MeanCurve(
        column=safe_text(points.column, one_line=True, limit=60),
        words=_words(points, [values.plain(v) for v in places], scores),
        height=int(BOTTOM) + 24,
        numeric=True,
        path="M" + "L".join(f"{dot.x} {dot.y}" for dot in dots),
        band="M" + "L".join([*upper, *reversed(lower)]) + "Z" if any(points.half) else "",
        single=single,
        dots=dots,
        whiskers="",
        zero=y(0.0) if centred else "",
        x_marks=tuple(
            Mark(units(LEFT + (RIGHT - LEFT) * t.share), t.label) for t in across.ticks(signed=False, most=5)
        ),
        y_marks=tuple(
            Mark(units(BOTTOM - (BOTTOM - TOP) * t.share), t.label) for t in axis.ticks(signed=False, most=5)
        ),
    )


def _categories(points: _Points, axis: Axis, centred: bool) -> MeanCurve:
    def x(score: float) -> str:
        return units(_CATEGORY_LEFT + (RIGHT - _CATEGORY_LEFT) * axis.at(score) / WIDE)

    def y(row: int) -> str:
        return units(TOP + 8 + _ROW * row)

    names = [safe_text(value, one_line=True) for value in points.values]
    scores = Decimals.for_values(points.mean)
    dots = tuple(
        Dot(x(mean), y(row), f"{name}: {scores.plain(mean)}", safe_text(name, limit=15))
        for row, (name, mean) in enumerate(zip(names, points.mean, strict=True))
    )
    whiskers = "".join(
        f"M{x(mean - half)} {y(row)}H{x(mean + half)}"
        for row, (mean, half) in enumerate(zip(points.mean, points.half, strict=True))
        if half
    )
    single = "".join(
        f"M{x(score)} {units(TOP + 4 + _ROW * row)}v8"
        for line in points.single
        for row, score in enumerate(line)
        if score is not None
    )
    bottom = TOP + _ROW * len(names) + 4
    return MeanCurve(
        column=safe_text(points.column, one_line=True, limit=60),
        words=_words(points, names, scores),
        height=int(bottom) + 24,
        numeric=False,
        path="",
        band="",
        single=single,
        dots=dots,
        whiskers=whiskers,
        zero=x(0.0) if centred else "",
        x_marks=tuple(
            Mark(units(_CATEGORY_LEFT + (RIGHT - _CATEGORY_LEFT) * t.share), t.label)
            for t in axis.ticks(signed=False, most=5)
        ),
        y_marks=(),
    )


def _words(points: _Points, names: Sequence[str], scores: Decimals) -> str:
    low = min(range(len(names)), key=lambda k: points.mean[k])
    high = max(range(len(names)), key=lambda k: points.mean[k])
    return (
        f"from {scores.plain(points.mean[low])} at {names[low]} to {scores.plain(points.mean[high])} at {names[high]}"
    )
