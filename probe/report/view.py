"""From stored records to what the templates draw: one :class:`View` an explanation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from probe.report.charts import BarTable, Waterfall, bar_table, waterfall
from probe.report.clean import safe_text
from probe.report.curves import Curve, curves
from probe.report.figures import MINUS, Decimals, figure, finite
from probe.report.model import Shown
from probe.report.pairs import Listing, pair_listing
from probe.report.palette import shade_name
from probe.report.pictures import Heat, Picture, heat_map
from probe.report.shares import Share, as_changes, largest, ranked, shares
from probe.report.survey_facts import survey_card
from probe.report.survey_view import SurveyParts, is_survey, survey_parts
from probe.report.trust import TrustCard
from probe.report.words import Group, Piece, by_word, grouped, shaded, span_of
from storage.records import Probe

Features: TypeAlias = Sequence[Mapping[str, Any]]

#: features listed at most; the stored explanation and its exports have all of them
MOST_ROWS = 100
#: curves drawn at most, those that move the score most
MOST_CURVES = 24


@dataclass(frozen=True, slots=True)
class View:
    """Everything one explanation shows. ``anchor`` and ``picture_name`` are made by us and safe in an attribute."""

    anchor: str
    shown: Shown
    score: str
    card: TrustCard
    settings: tuple[tuple[str, str], ...]
    lead: str = ""
    top: tuple[tuple[str, str, str], ...] = ()  #: name, value and shade of the strongest features
    table: BarTable | None = None
    caption: str = "Share of the score, strongest first"
    table_head: str = "Feature"
    note_head: str = ""
    value_head: str = "Share"
    left_out: int = 0
    picture: Picture | None = None
    picture_name: str = ""  #: id of the picture's symbol
    heat: Heat | None = None
    heat_ends: tuple[str, str] = ("", "")
    pieces: tuple[Piece, ...] = ()
    waterfall: Waterfall | None = None
    tests: tuple[Group, ...] = ()
    pairs: Listing | None = None  #: what pairs of features do together
    curves: tuple[Curve, ...] = ()
    curves_left_out: int = 0
    survey: SurveyParts | None = None  #: what there is to draw of a set of inputs


def view(shown: Shown, *, anchor: str, picture: Picture | None, picture_name: str, currency: str) -> View:
    """The view of ``shown``; ``picture`` is the instance's, if it is one that can be read."""
    probe = shown.probe
    found = shares(probe)
    features = features_of(probe)
    plain = View(
        anchor=anchor,
        shown=shown,
        score=figure(probe.full_value),
        card=TrustCard.of(probe, currency=currency),
        settings=tuple(_flat(probe.params)),
        picture=picture,
        picture_name=picture_name,
        pairs=pair_listing(probe),
    )
    if is_survey(probe):
        return _survey(plain, found, currency)
    if shown.instance.kind == "image":
        return _image(plain, features, found)
    if shown.instance.kind == "text":
        return _text(plain, features, found)
    return _row(plain, features, found)


def features_of(probe: Probe) -> Features:
    """One for each attribution; empty where an attribution was stored without its feature."""
    count = len(probe.attributions)
    return [*probe.features[:count], *({} for _ in range(count - len(probe.features)))]


def _survey(plain: View, found: list[Share], currency: str) -> View:
    parts = survey_parts(plain.shown, found)
    listed = _listed(plain, found, [""] * len(found), lead=parts.lead)
    return replace(
        listed,
        card=TrustCard.judged(plain.shown.probe, survey_card(plain.shown.probe, currency=currency)),
        survey=parts,
        caption=parts.caption,
        table_head=parts.table_head,
        value_head=parts.value_head,
    )


def _image(plain: View, features: Features, found: list[Share]) -> View:
    heat, ends = None, ("", "")
    if plain.picture is not None and found:
        values = np.array([np.nan if share.value is None else share.value for share in found])
        heat = heat_map(plain.picture, features, values, plain.shown.segments)
    if heat is not None:
        decimals = Decimals.for_values([heat.limit])
        ends = (decimals.signed(-heat.limit), decimals.signed(heat.limit))
    notes = [_where(feature, plain.shown) for feature in features]
    listed = _listed(plain, found, notes)
    return replace(listed, heat=heat, heat_ends=ends, table_head="Part", note_head="where")


def _where(feature: Mapping[str, Any], shown: Shown) -> str:
    place = feature.get("place") or {}
    box, segment = place.get("box"), place.get("segment")
    if isinstance(box, (list, tuple)) and len(box) == 4:
        top, left, bottom, right = box
        return safe_text(f"y {top}–{bottom}, x {left}–{right}")
    if isinstance(segment, int) and shown.segments is not None:
        return f"{100 * float(np.mean(shown.segments == segment)):.1f} % of area"
    return ""


def _text(plain: View, features: Features, found: list[Share]) -> View:
    text = plain.shown.instance.content.decode("utf-8", "replace")
    if "substitutions" not in plain.shown.probe.details:
        spans = [span_of(feature, len(text)) for feature in features]
        listed = _listed(plain, found, [""] * len(found))
        return replace(listed, pieces=shaded(text, spans, found), table_head="Word")
    groups = tuple(grouped(text, features, found, plain.shown.probe.details))
    places, words = by_word(text, features, found)
    listed = _listed(plain, words, [""] * len(words)) if words else replace(plain, top=_top(as_changes(found)))
    return replace(listed, pieces=shaded(text, places, words), tests=groups, table_head="Word")


def _row(plain: View, features: Features, found: list[Share]) -> View:
    probe = plain.shown.probe
    row = row_of(plain.shown.instance.content)
    base, full = finite(probe.base_value), finite(probe.full_value)
    lines = probe.details.get("curves")
    if isinstance(lines, Mapping) and lines:
        changes = as_changes(found)
        listed = _listed(
            plain, changes, [_alteration(feature, row) for feature in features], lead=_change_lead(changes)
        )
        drawn = curves(lines, row, full)
        return replace(
            listed,
            curves=tuple(drawn[:MOST_CURVES]),
            curves_left_out=max(0, len(drawn) - MOST_CURVES),
            caption="Single changes, largest effect first",
            table_head="Changed",
            note_head="from → to",
            value_head="Score change",
        )
    notes = [_column_values(feature, row) for feature in features]
    steps = None
    if "shap" in probe.method and base is not None and full is not None:
        steps = waterfall(found, notes, base=base, full=full)
    return replace(_listed(plain, found, notes), waterfall=steps, table_head="Column", note_head="in this row")


def _listed(plain: View, found: Sequence[Share], notes: Sequence[str], *, lead: str | None = None) -> View:
    """``plain`` with the table, the overview's line and the sentence about ``found``."""
    kept = ranked(found)[:MOST_ROWS]
    limit = largest(found)
    return replace(
        plain,
        lead=_lead(found, plain.shown.probe.target) if lead is None else lead,
        top=_top(found),
        table=bar_table(
            [found[i] for i in kept], [notes[i] for i in kept], [shade_name(found[i].value, limit) for i in kept]
        ),
        left_out=len(found) - len(kept),
    )


def row_of(content: bytes) -> Mapping[str, Any]:
    """The table row stored as JSON in ``content``; empty if it is not an object."""
    try:
        row = json.loads(content)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _column_values(feature: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    columns = (feature.get("place") or {}).get("columns")
    if not isinstance(columns, (list, tuple)):
        return ""
    known = [(str(column), row[str(column)]) for column in columns if str(column) in row]
    if len(known) == 1:
        return _cell(known[0][1])
    shown = ", ".join(f"{safe_text(column, limit=30)} = {_cell(value)}" for column, value in known[:3])
    return shown + (f", … ({len(known)} columns)" if len(known) > 3 else "")


def _alteration(feature: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    change = feature.get("change") or {}
    return f"{_column_values(feature, row)} → {_cell(change['value'])}" if "value" in change else ""


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", MINUS)
    return "empty" if value is None or value == "" else safe_text(value, one_line=True, limit=60)


def _top(found: Sequence[Share], most: int = 3) -> tuple[tuple[str, str, str], ...]:
    decimals, limit = Decimals.for_values([share.value for share in found], digits=2), largest(found)
    strongest = [found[i] for i in ranked(found)[:most] if found[i].value]
    return tuple(
        (_name(share.name, 40), decimals.signed(share.value), shade_name(share.value, limit)) for share in strongest
    )


def _name(text: str, limit: int = 60) -> str:
    return safe_text(text, one_line=True, limit=limit)


def _lead(found: Sequence[Share], target: str) -> str:
    """Attributions in one sentence."""
    up, down, decimals = _extremes(found)
    said = []
    if up:
        said.append(f"“{_name(up[1])}” speaks most for “{_name(target)}” ({decimals.signed(up[0])})")
    if down:
        whom = "against it" if up else f"against “{_name(target)}”"
        said.append(f"“{_name(down[1])}” {'' if up else 'speaks '}most {whom} ({decimals.signed(down[0])})")
    return ", ".join(said) + "." if said else ""


def _change_lead(found: Sequence[Share]) -> str:
    """Changes of the score in one sentence."""
    up, down, decimals = _extremes(found)
    said = []
    if up:
        said.append(f"“{_name(up[1])}” raises the score most ({decimals.signed(up[0])})")
    if down:
        said.append(f"“{_name(down[1])}” lowers {'it' if up else 'the score'} most ({decimals.signed(down[0])})")
    return ", ".join(said) + "." if said else ""


def _extremes(found: Sequence[Share]) -> tuple[tuple[float, str] | None, tuple[float, str] | None, Decimals]:
    """The largest value above zero, the lowest below zero, and how to write them."""
    values = [(share.value, share.name) for share in found if share.value]
    up, down = max(values, default=None), min(values, default=None)
    decimals = Decimals.for_values([value for value, _ in values], digits=2)
    return (up if up and up[0] > 0 else None), (down if down and down[0] < 0 else None), decimals


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value) lines."""
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            lines.append((safe_text(f"{prefix}{name}", limit=100), safe_text(text, one_line=True, limit=300)))
    return lines


def headline(shown: Shown) -> list[Share]:
    """What a summary lists of ``shown``: words rather than their substitutes, changes of the score for altered columns."""
    found, probe = shares(shown.probe), shown.probe
    if is_survey(probe):
        return found
    if "curves" in probe.details:
        return as_changes(found)
    if "substitutions" in probe.details:
        text = shown.instance.content.decode("utf-8", "replace")
        return by_word(text, features_of(probe), found)[1] or as_changes(found)
    return found
