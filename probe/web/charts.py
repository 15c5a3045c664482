"""A figure over time, as coordinates for an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from probe.report.figures import Decimals, moment, ticks

WIDTH: Final = 640
HEIGHT: Final = 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 24


@dataclass(frozen=True, slots=True)
class Dot:
    """One value. ``low`` and ``high``: ends of its 95 % interval, equal where there is none."""

    x: str
    y: str
    low: str
    high: str
    title: str
    run: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Values in the order of their times, evenly spaced: runs come in bursts."""

    name: str
    path: str
    dots: tuple[Dot, ...]
    marks: tuple[tuple[str, str], ...]  #: y and label of round values
    zero: str  #: y of zero, empty if it is outside
    ends: tuple[str, str]  #: times of the first and the last value
    words: str


def lines_over_time(name: str, values: Sequence[tuple[datetime, float | None, float | None, str]]) -> Chart:
    """``values``: time, value, standard error and run of each point, oldest first; points without a value are left out."""
    known = [each for each in values if each[1] is not None and math.isfinite(each[1])]
    ends = [_ends(value, error) for _, value, error, _ in known]
    low, high = _range(ends)
    decimals = Decimals.for_values([low, high])

    def x(place: int) -> str:
        share = place / (len(known) - 1) if len(known) > 1 else 0.5
        return f"{_LEFT + share * (WIDTH - _LEFT - _RIGHT):.1f}"

    def y(value: float) -> str:
        return f"{_TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM):.1f}"

    dots = []
    for place, ((when, value, _, run), (bottom, top)) in enumerate(zip(known, ends, strict=True)):
        title = f"{moment(when)}: {decimals.plain(value)}, run {run}"
        dots.append(Dot(x(place), y(value or 0.0), y(bottom), y(top), title, run))
    first, last = (moment(known[0][0]), moment(known[-1][0])) if known else ("", "")
    words = (
        f"{len(known)} values from {first} to {last}, {decimals.plain(low)} to {decimals.plain(high)}"
        if known
        else "nothing"
    )
    return Chart(
        name=name,
        path="".join(f"{'L' if place else 'M'}{dot.x} {dot.y}" for place, dot in enumerate(dots)),
        dots=tuple(dots),
        marks=tuple((y(tick), decimals.plain(tick)) for tick in ticks(low, high, most=4)),
        zero=y(0.0) if low <= 0 <= high else "",
        ends=(first, last),
        words=words,
    )


def _ends(value: float | None, error: float | None) -> tuple[float, float]:
    middle = value or 0.0
    half = 1.96 * error if error is not None and math.isfinite(error) else 0.0
    return middle - half, middle + half


def _range(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    low = min((each[0] for each in ends), default=0.0)
    high = max((each[1] for each in ends), default=1.0)
    room = 0.08 * (high - low) or max(0.05 * abs(high), 1e-6)
    return low - room, high + room
