"""The checks of a baseline over time, as SVG: how many probes were off, what is ordinary, and the e-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from probe.report.clean import safe_text
from storage import Baseline, CheckRecord

_WIDTH, _HIGH, _LOW = 760, 180, 110  # of the drawing, of its upper and its lower part
_LEFT, _RIGHT, _GAP, _TOP = 56, 16, 44, 40
_COLOURS = {"no change found": "#2166ac", "alarm": "#b35806", "inconclusive": "#8a8f98"}
_MARKS = {"no change found": "circle", "alarm": "square", "inconclusive": "cross"}


def history_svg(baseline: Baseline, checks: Sequence[CheckRecord], *, limit: float) -> str:
    """``checks``, oldest first, evenly spaced. ``limit``: the e-value at which the guard raises an alarm."""
    height = _TOP + _HIGH + _GAP + _LOW + 40
    title = f"{safe_text(baseline.name, one_line=True, limit=60)}: checks since {baseline.started:%Y-%m-%d}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12">'
    )
    parts = [
        head,
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="600" fill="#1b1f24">{escape(title)}</text>',
        *_off(checks),
        *_wealth(checks, limit),
        *_dates(checks, height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(place: int, count: int) -> float:
    room = _WIDTH - _LEFT - _RIGHT
    return round(_LEFT + room * (place + 0.5) / max(1, count), 1)


def _off(checks: Sequence[CheckRecord]) -> list[str]:
    """Off first answers in each check over the band of what is ordinary."""
    most = max([1.0, *(max(_share(each, "off"), _share(each, "ordinary")) for each in checks)])

    def y(share: float) -> float:
        return round(_TOP + _HIGH * (1 - share / most), 1)

    upper = [f"{_x(place, len(checks))},{y(_share(each, 'ordinary'))}" for place, each in enumerate(checks)]
    lower = [f"{_x(place, len(checks))},{y(0)}" for place in reversed(range(len(checks)))]
    parts = [f'<polygon points="{" ".join([*upper, *lower])}" fill="#d1e5f0"/>'] if checks else []
    parts += _axis(_TOP, _HIGH, [(y(0), "0"), (y(most), f"{most:.0f} %")], "probes off")
    for place, each in enumerate(checks):
        parts.append(_mark(_x(place, len(checks)), y(_share(each, "off")), each))
    return parts


def _share(check: CheckRecord, name: str) -> float:
    """In percent of the probes that were answered."""
    probes = check.result.get("probes") or 0
    return 100 * check.result.get(name, 0) / probes if probes else 0.0


def _wealth(checks: Sequence[CheckRecord], limit: float) -> list[str]:
    """The e-value on a logarithmic scale, with the line at which it is an alarm."""
    values = [(place, (each.result.get("guard") or {}).get("value")) for place, each in enumerate(checks)]
    known = [(place, math.log10(value)) for place, value in values if value]
    top = max([math.log10(limit) * 1.1, *(value for _, value in known)])
    bottom = min([-1.0, *(value for _, value in known)])
    start = _TOP + _HIGH + _GAP

    def y(value: float) -> float:
        return round(start + _LOW * (top - value) / (top - bottom), 1)

    points = " ".join(f"{_x(place, len(checks))},{y(value)}" for place, value in known)
    at = y(math.log10(limit))
    return [
        *_axis(start, _LOW, [(y(0), "1"), (at, f"{limit:g}")], "e-value"),
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}" stroke="#b35806" stroke-dasharray="4 3"/>',
        f'<polyline points="{points}" fill="none" stroke="#2166ac" stroke-width="1.5"/>',
    ]


def _axis(top: float, height: float, ticks: Sequence[tuple[float, str]], name: str) -> list[str]:
    parts = [
        f'<line x1="{_LEFT}" x2="{_LEFT}" y1="{top}" y2="{top + height}" stroke="#8a8f98"/>',
        f'<text x="{_LEFT}" y="{top - 6}" fill="#57606a">{name}</text>',
    ]
    parts += [
        f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end" fill="#57606a">{label}</text>' for y, label in ticks
    ]
    return parts


def _mark(x: float, y: float, check: CheckRecord) -> str:
    verdict = check.verdict or "inconclusive"
    colour = _COLOURS[verdict]
    told = f"<title>{check.started:%Y-%m-%d %H:%M} · {verdict} · {check.id}</title>"
    if _MARKS[verdict] == "circle":
        return f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}">{told}</circle>'
    if _MARKS[verdict] == "square":
        return f'<rect x="{x - 5}" y="{y - 5}" width="10" height="10" fill="{colour}">{told}</rect>'
    cross = f"M{x - 4} {y - 4}L{x + 4} {y + 4}M{x - 4} {y + 4}L{x + 4} {y - 4}"
    return f'<path d="{cross}" stroke="{colour}" stroke-width="2">{told}</path>'


def _dates(checks: Sequence[CheckRecord], height: float) -> list[str]:
    if not checks:
        return [f'<text x="{_LEFT}" y="{_TOP + _HIGH / 2}" fill="#57606a">no checks yet</text>']
    every = max(1, math.ceil(len(checks) / 8))
    return [
        f'<text x="{_x(place, len(checks))}" y="{height - 12}" text-anchor="middle" fill="#57606a">'
        f"{checks[place].started:%m-%d}</text>"
        for place in range(0, len(checks), every)
    ]
