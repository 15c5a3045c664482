"""The geometry of bars and waterfalls; the templates draw it as SVG.

Both are one small drawing a table row, 1000 units wide whatever the page gives them, so that numbers stay
text in a real table and rows line up under one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from probe.report.clean import safe_text
from probe.report.figures import Decimals, ticks
from probe.report.shares import Share, ranked

WIDE: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    share: float  #: of the axis' length, from its lower end
    label: str
    minor: bool  #: left out where there is little room


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from ``low`` to ``high`` with room at both ends."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], *, zero: bool = True) -> Axis:
        """Spans ``values`` (and zero), 4 % wider at either end; never empty."""
        low = min([*values, 0.0] if zero else values, default=0.0)
        high = max([*values, 0.0] if zero else values, default=1.0)
        room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.04
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Where ``value`` is, in units of a drawing ``WIDE`` wide."""
        return WIDE * (value - self.low) / (self.high - self.low)

    def ticks(self, *, signed: bool, most: int = 6) -> list[Tick]:
        """Round places on the axis."""
        places = ticks(self.low, self.high, most=most)
        step = places[1] - places[0] if len(places) > 1 else 1.0
        decimals = Decimals.for_values([step], digits=1)
        write = decimals.signed if signed else decimals.plain
        return [Tick(self.at(place) / WIDE, write(place), minor=round(place / step) % 2 == 1) for place in places]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from zero, with the ends of its 95 % interval if it has one."""

    zero: str
    x: str
    width: str
    side: str  #: ``pos`` or ``neg``
    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One feature of a table of attributions."""

    rank: int
    name: str
    note: str  #: what the feature is in this instance, or empty
    value: str
    interval: str
    shade: str
    separable: bool | None  #: the interval leaves zero out; ``None`` without an interval
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class BarTable:
    """Attributions, strongest first."""

    rows: tuple[Row, ...]
    rest: tuple[Row, ...]  #: shown on demand
    ticks: tuple[Tick, ...]
    intervals: bool
    notes: bool


def units(value: float) -> str:
    """A length or place in drawing units, as written into an attribute."""
    return f"{value:.1f}"


def bar(axis: Axis, value: float, half: float | None) -> Bar:
    """The bar of ``value`` ± ``half`` on ``axis``."""
    zero, end = axis.at(0.0), axis.at(value)
    low, high = (None, None) if half is None else (units(axis.at(value - half)), units(axis.at(value + half)))
    return Bar(units(zero), units(min(zero, end)), units(abs(end - zero)), "neg" if value < 0 else "pos", low, high)


def bar_table(shares: Sequence[Share], notes: Sequence[str], shades: Sequence[str], *, most: int = 12) -> BarTable:
    """``shares`` with a note and a shade each, strongest first, all but ``most`` of them put aside."""
    axis = Axis.around([s.value + sign * (s.half or 0.0) for s in shares if s.value is not None for sign in (-1, 1)])
    decimals = Decimals.for_values([share.value for share in shares])
    rows = [
        Row(
            rank=rank,
            name=safe_text(shares[index].name, limit=120),
            note=notes[index],
            value=decimals.signed(value := shares[index].value),
            interval=decimals.interval(value, shares[index].half),
            shade=shades[index],
            separable=shares[index].separable,
            bar=None if value is None else bar(axis, value, shares[index].half),
        )
        for rank, index in enumerate(ranked(shares), start=1)
    ]
    cut = most if len(rows) > most + 3 else len(rows)
    return BarTable(
        rows=tuple(rows[:cut]),
        rest=tuple(rows[cut:]),
        ticks=tuple(axis.ticks(signed=True)),
        intervals=any(share.half is not None for share in shares),
        notes=any(notes),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a waterfall: a bar between two running sums. ``side`` is empty for the two totals."""

    name: str
    note: str
    value: str
    x: str
    width: str
    end: str  #: where the next row goes on
    side: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From the background's score to the instance's, one feature at a time."""

    steps: tuple[Step, ...]
    ticks: tuple[Tick, ...]


def waterfall(
    shares: Sequence[Share], notes: Sequence[str], *, base: float, full: float, most: int = 10
) -> Waterfall | None:
    """``None`` if a share is not known. What the shares leave over is a step of its own."""
    values = [share.value for share in shares if share.value is not None]
    if not values or len(values) < len(shares):
        return None
    order = ranked(shares)
    head = order[:most] if len(order) > most + 1 else order
    moves = [(safe_text(shares[i].name, limit=120), notes[i], values[i]) for i in head]
    tail = [values[i] for i in order[len(head) :]]
    if tail:
        moves.append((f"{len(tail)} other features", "", sum(tail)))
    left_over = full - base - sum(move for _, _, move in moves)
    if abs(left_over) > 1e-3 * max(abs(full - base), *(abs(move) for _, _, move in moves), 1e-12):
        moves.append(("not attributed", "", left_over))

    sums = [base]
    for _, _, move in moves:
        sums.append(sums[-1] + move)
    axis = Axis.around([*sums, full], zero=False)
    decimals = Decimals.for_values([base, full, *(move for _, _, move in moves)])
    start, end = units(axis.at(base)), units(axis.at(full))
    steps = [Step("background", "", decimals.plain(base), start, "0", start, "")]
    for (name, note, move), before, after in zip(moves, sums[:-1], sums[1:], strict=True):
        x, to = axis.at(before), axis.at(after)
        side = "neg" if move < 0 else "pos"
        steps.append(Step(name, note, decimals.signed(move), units(min(x, to)), units(abs(to - x)), units(to), side))
    steps.append(Step("this input", "", decimals.plain(full), end, "0", end, ""))
    return Waterfall(tuple(steps), tuple(axis.ticks(signed=False)))
