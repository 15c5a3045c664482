"""The geometry of score-over-value curves, one small drawing a column; the templates draw it as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from probe.report.charts import WIDE, Axis, units
from probe.report.clean import safe_text
from probe.report.figures import Decimals, finite


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a curve, with its words for a tooltip."""

    x: str
    y: str
    title: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled place beside an axis of a curve."""

    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """Score over one column's values: a line for numbers, a row of dots for categories. Units are drawing units."""

    column: str
    current: str
    words: str  #: the whole drawing in a sentence
    height: int
    path: str  #: empty for categories
    dots: tuple[Dot, ...]
    now: Dot | None
    level: str  #: where the score of the unaltered instance is: y for numbers, x for categories
    x_marks: tuple[Mark, ...]
    y_marks: tuple[Mark, ...]
    numeric: bool


LEFT: Final = 44.0
RIGHT: Final = 252.0
TOP: Final = 10.0
BOTTOM: Final = 120.0
_ROW: Final = 20.0
_CATEGORY_LEFT: Final = 96.0


def curves(data: Mapping[str, Any], row: Mapping[str, Any], full: float | None) -> list[Curve]:
    """One drawing a column of ``data`` (``{column: {"values": […], "scores": […]}}``), all on one scale of scores.

    ``row`` holds the instance's own values and ``full`` its score. The column that moves the score most comes first;
    entries that do not have this form are left out.
    """
    usable = [(column, points) for column, points in ((c, _points(p)) for c, p in data.items()) if points]
    usable.sort(key=lambda entry: -_range(entry[1], full))
    scores = [score for _, points in usable for _, score in points] + ([full] if full is not None else [])
    axis = Axis.around(scores, zero=False)
    drawn = []
    for column, points in usable:
        current = row.get(column)
        numeric = all(finite(value) is not None for value, _ in points) and (
            current is None or finite(current) is not None
        )
        draw = _number_curve if numeric else _category_curve
        drawn.append(draw(column, points, current, full, axis))
    return drawn


def _range(points: list[tuple[Any, float]], full: float | None) -> float:
    scores = [score for _, score in points] + ([full] if full is not None else [])
    return max(scores) - min(scores)


def _points(entry: object) -> list[tuple[Any, float]]:
    if not isinstance(entry, Mapping):
        return []
    pairs = zip(entry.get("values") or (), entry.get("scores") or (), strict=False)
    return [(value, number) for value, score in pairs if (number := finite(score)) is not None]


def _number_curve(column: str, points: list[tuple[Any, float]], current: Any, full: float | None, axis: Axis) -> Curve:
    points = sorted(((float(value), score) for value, score in points), key=lambda point: point[0])
    now = finite(current)
    across = Axis.around([x for x, _ in points] + ([] if now is None else [now]), zero=False)

    def x(value: float) -> str:
        return units(LEFT + (RIGHT - LEFT) * across.at(value) / WIDE)

    def y(score: float) -> str:
        return units(BOTTOM - (BOTTOM - TOP) * axis.at(score) / WIDE)

    score_text, value_text = Decimals.for_values([s for _, s in points]), Decimals.for_values([v for v, _ in points])
    dots = tuple(Dot(x(v), y(s), f"{value_text.plain(v)}: {score_text.plain(s)}") for v, s in points)
    low, high = min(points, key=lambda p: p[1]), max(points, key=lambda p: p[1])
    return Curve(
        column=safe_text(column, one_line=True, limit=60),
        current=value_text.plain(now) if now is not None else "",
        words=(
            f"score from {score_text.plain(low[1])} at {value_text.plain(low[0])} "
            f"to {score_text.plain(high[1])} at {value_text.plain(high[0])}"
        ),
        height=int(BOTTOM) + 24,
        path="M" + "L".join(f"{dot.x} {dot.y}" for dot in dots),
        dots=dots,
        now=None if now is None or full is None else Dot(x(now), y(full), f"this input: {score_text.plain(full)}"),
        level="" if full is None else y(full),
        x_marks=tuple(
            Mark(units(LEFT + (RIGHT - LEFT) * t.share), t.label) for t in across.ticks(signed=False, most=5)
        ),
        y_marks=tuple(
            Mark(units(BOTTOM - (BOTTOM - TOP) * t.share), t.label) for t in axis.ticks(signed=False, most=5)
        ),
        numeric=True,
    )


def _category_curve(
    column: str, points: list[tuple[Any, float]], current: Any, full: float | None, axis: Axis
) -> Curve:
    names = [safe_text(value, one_line=True) for value, _ in points]
    now_name = safe_text(current, one_line=True)
    rows = list(zip(names, (score for _, score in points), strict=True))
    if full is not None and current is not None and now_name not in names:
        rows.insert(0, (now_name, full))
    rows.sort(key=lambda row: -row[1])

    def x(score: float) -> str:
        return units(_CATEGORY_LEFT + (RIGHT - _CATEGORY_LEFT) * axis.at(score) / WIDE)

    decimals = Decimals.for_values([score for _, score in rows])
    dots = tuple(
        Dot(x(score), units(TOP + 8 + _ROW * i), f"{name}: {decimals.plain(score)}", safe_text(name, limit=15))
        for i, (name, score) in enumerate(rows)
    )
    bottom = TOP + _ROW * len(rows) + 4
    now = next((dot for dot, (name, _) in zip(dots, rows, strict=True) if name == now_name), None)
    return Curve(
        column=safe_text(column, one_line=True, limit=60),
        current=safe_text(now_name, limit=40) if current is not None else "",
        words=f"score from {decimals.plain(rows[-1][1])} for {rows[-1][0]} to {decimals.plain(rows[0][1])} for {rows[0][0]}",
        height=int(bottom) + 24,
        path="",
        dots=dots,
        now=now,
        level="" if full is None else x(full),
        x_marks=tuple(
            Mark(units(_CATEGORY_LEFT + (RIGHT - _CATEGORY_LEFT) * t.share), t.label)
            for t in axis.ticks(signed=False, most=5)
        ),
        y_marks=(),
        numeric=False,
    )
