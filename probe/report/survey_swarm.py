"""The geometry of a beeswarm: one dot an explanation, placed by its share, coloured by the feature's own value."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from probe.report.charts import WIDE, Axis, units
from probe.report.clean import safe_text
from probe.report.curves import Mark
from probe.report.figures import Decimals, count, finite

LEFT: Final = 150.0
RIGHT: Final = 690.0
TOP: Final = 8.0
_ROW: Final = 30.0
_DOT: Final = 4.4  #: units across
_REACH: Final = 12.5  #: how far dots may stray from their row's middle
SHADES: Final = 5  #: from the lowest values to the highest


@dataclass(frozen=True, slots=True)
class SwarmRow:
    """One feature: its dots as one path a shade (``s0`` … ``s4``, or ``sn`` for values that have no order)."""

    name: str
    note: str
    y: str
    paths: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Swarm:
    """All features, strongest first. Units are drawing units of a picture 700 wide."""

    rows: tuple[SwarmRow, ...]
    height: int
    bottom: str
    zero: str
    x_marks: tuple[Mark, ...]
    ordered: bool  #: some feature has values that can be low and high
    left_out: int
    words: str


def swarm(data: Mapping[str, Any], *, most: int = 20) -> Swarm | None:
    """The drawing of ``details["swarm"]``, at most ``most`` features; ``None`` if there is no dot in it."""
    usable = [(name, points) for name, entry in data.items() if (points := _points(entry))]
    if not usable:
        return None
    shown = usable[:most]
    axis = Axis.around([phi for _, points in shown for phi, _ in points])
    rows = []
    for number, (name, points) in enumerate(shown):
        middle = TOP + _ROW * (number + 0.5)
        rows.append(
            SwarmRow(
                name=safe_text(name, one_line=True, limit=22),
                note=safe_text(f"{name}: {count(len(points))} dots", one_line=True, limit=100),
                y=units(middle),
                paths=_paths(points, axis, middle),
            )
        )
    bottom = TOP + _ROW * len(rows)
    return Swarm(
        rows=tuple(rows),
        height=int(bottom) + 24,
        bottom=units(bottom),
        zero=units(_x(axis, 0.0)),
        x_marks=tuple(Mark(units(LEFT + (RIGHT - LEFT) * t.share), t.label) for t in axis.ticks(signed=True)),
        ordered=any(path[0] != "sn" for row in rows for path in row.paths),
        left_out=len(usable) - len(shown),
        words=_words(shown),
    )


def _points(entry: object) -> list[tuple[float, Any]]:
    if not isinstance(entry, Mapping):
        return []
    found = [each for each in entry.get("points") or () if isinstance(each, (list, tuple)) and len(each) > 1]
    return [(phi, each[1]) for each in found if (phi := finite(each[0])) is not None]


def _x(axis: Axis, phi: float) -> float:
    return LEFT + (RIGHT - LEFT) * axis.at(phi) / WIDE


def _paths(points: Sequence[tuple[float, Any]], axis: Axis, middle: float) -> tuple[tuple[str, str], ...]:
    shades = _shades([value for _, value in points])
    columns: dict[int, list[int]] = {}
    for k in sorted(range(len(points)), key=lambda k: points[k][0]):
        columns.setdefault(round(_x(axis, points[k][0]) / _DOT), []).append(k)
    tallest = max(map(len, columns.values()))
    step = min(_DOT * 0.85, 2 * _REACH / max(tallest - 1, 1))
    paths: dict[str, list[str]] = {}
    for members in columns.values():
        for place, k in enumerate(members):
            aside = step * ((place + 1) // 2) * (1 if place % 2 else -1)
            paths.setdefault(shades[k], []).append(f"M{units(_x(axis, points[k][0]))} {units(middle + aside)}h0")
    return tuple((shade, "".join(paths[shade])) for shade in sorted(paths))


def _shades(values: Sequence[Any]) -> list[str]:
    """By rank among the numbers, in five equal parts; equal values get one shade."""
    numbers = sorted(float(value) for value in values if finite(value) is not None or isinstance(value, bool))
    if not numbers or numbers[0] == numbers[-1]:
        return ["sn"] * len(values)
    last = numbers[-1]

    def shade(value: Any) -> str:
        if finite(value) is None and not isinstance(value, bool):
            return "sn"
        below, through = bisect_left(numbers, float(value)), len(numbers)
        if float(value) == last:
            return f"s{SHADES - 1}"
        return f"s{min(SHADES - 1, SHADES * below // through)}"

    return [shade(value) for value in values]


def _words(shown: Sequence[tuple[str, list[tuple[float, Any]]]]) -> str:
    decimals = Decimals.for_values([phi for _, points in shown for phi, _ in points], digits=2)
    said = []
    for name, points in shown[:3]:
        phis = [phi for phi, _ in points]
        said.append(f"{safe_text(name, limit=40)} from {decimals.signed(min(phis))} to {decimals.signed(max(phis))}")
    return "; ".join(said)
