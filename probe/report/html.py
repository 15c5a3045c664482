"""The HTML report, and the fragment a notebook shows: one file, no JavaScript, nothing loaded from anywhere.

Every string passes through :func:`~probe.report.clean.safe_text` and then through Jinja's autoescape; links go to
anchors made here, never to anything found in data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from probe.report import curves, figures, palette
from probe.report.clean import safe_text
from probe.report.gathered import gathered
from probe.report.model import Shown, Unexplained
from probe.report.pictures import Picture, read_picture
from probe.report.totals import run_totals
from probe.report.view import View, view
from storage.records import Run


@dataclass(frozen=True, slots=True)
class Section:
    """The explanations of one probe of the config."""

    anchor: str
    name: str
    views: tuple[View, ...]


def render_report(
    run: Run, shown: Sequence[Shown], *, unexplained: Sequence[Unexplained] = (), currency: str = "USD"
) -> str:
    """The report of ``run`` as an HTML5 document, the same bytes for the same input.

    ``shown``: explanations in the order they are to appear; failed ones are listed with their error. ``unexplained``:
    what never became a probe. ``currency``: what the micro-units of the costs are of (ISO 4217).
    """
    explained = [one for one in shown if one.probe.attributions]
    failed = [
        Unexplained(_what(one), one.probe.error or "no reason was stored")
        for one in shown
        if not one.probe.attributions
    ]
    explained = [*gathered(explained), *explained]
    pictures = _pictures(one for one in explained)
    views = [
        view(
            one,
            anchor=f"e{number}",
            picture=pictures.get(one.instance.id, ("", None))[1],
            picture_name=pictures.get(one.instance.id, ("", None))[0],
            currency=currency,
        )
        for number, one in enumerate(explained, start=1)
    ]
    template = environment().get_template("report.html.j2")
    return template.render(
        run=run,
        totals=run_totals(run, currency=currency),
        sections=_sections(views),
        views=views,
        pictures=[(name, picture) for name, picture in pictures.values() if picture is not None],
        failed=[*failed, *unexplained],
        currency=currency,
    )


def explanation_fragment(shown: Shown, *, currency: str = "USD") -> str:
    """One explanation as HTML that brings its own style: what a notebook shows for it (``_repr_html_``)."""
    digest = hashlib.sha256(f"{shown.probe.id}\0{shown.instance.id}".encode("utf-8", "replace")).hexdigest()[:12]
    picture = read_picture(shown.instance.content) if shown.instance.kind == "image" else None
    drawn = view(shown, anchor=f"px-{digest}", picture=picture, picture_name=f"px-{digest}-i", currency=currency)
    return environment().get_template("fragment.html.j2").render(view=drawn, currency=currency)


def _what(shown: Shown) -> str:
    probe = shown.probe
    return f"{probe.name} · {shown.instance.name} · {probe.method} · {shown.endpoint.name}"


def _pictures(shown: Iterable[Shown]) -> dict[str, tuple[str, Picture | None]]:
    """Symbol name and picture by instance id: each picture is in the file once, however many explanations show it."""
    found: dict[str, tuple[str, Picture | None]] = {}
    for one in shown:
        if one.instance.kind == "image" and one.instance.id not in found:
            found[one.instance.id] = (f"i{len(found) + 1}", read_picture(one.instance.content))
    return found


def _sections(views: Sequence[View]) -> list[Section]:
    grouped: dict[str, list[View]] = {}
    for one in views:
        grouped.setdefault(one.shown.probe.name, []).append(one)
    return [Section(f"p{number}", name, tuple(group)) for number, (name, group) in enumerate(grouped.items(), start=1)]


def _finalize(value: Any) -> Any:
    """Applied by Jinja to everything a template prints, before escaping."""
    return safe_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache(maxsize=4)
def environment(*folders: Path) -> Environment:
    """The templates of reports and, before them, those in ``folders``, which may use them."""
    found = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters.update(moment=figures.moment, duration=figures.duration, figure=figures.figure, count=figures.count)
    found.filters["money"] = figures.money
    found.filters["short"] = lambda text, limit=80: safe_text(text, one_line=True, limit=limit)
    found.globals.update(
        light_shades=palette.shades(dark=False),
        dark_shades=palette.shades(dark=True),
        gradient=palette.gradient(),
        curve=curves,
    )
    return found
