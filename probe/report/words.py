"""Text shown with its words shaded in place, and tests by substitution in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from probe.report.charts import Axis, Bar, bar
from probe.report.clean import safe_text
from probe.report.figures import Decimals
from probe.report.palette import shade_name
from probe.report.shares import Share, largest

#: relation: heading, and what the group tells
RELATIONS: Final = {
    "synonym": ("Synonyms", "invariance: the score should not move"),
    "antonym": ("Antonyms", "direction: the score should move, and undo what the word did"),
    "pair": ("Paired words", "bias: the score should not depend on which word of the pair is used"),
    "deletion": ("Words deleted", "what each word contributes"),
    "neutral": ("Words made neutral", "what each word contributes, with the sentence left whole"),
}
#: relations that take a word's meaning away; the table of words sums them up
REMOVING: Final = ("deletion", "neutral")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text; ``tip`` is empty where no feature is."""

    text: str
    shade: str
    tip: str


@dataclass(frozen=True, slots=True)
class Substitution:
    """One substitution and what it did to the score."""

    original: str
    substitute: str
    change: str
    interval: str
    verdict: str  #: of a direction test, else empty
    bar: Bar


@dataclass(frozen=True, slots=True)
class Group:
    """The substitutions of one kind, largest change first."""

    title: str
    words: str
    intervals: bool
    folded: bool  #: already summed up in the table of words
    tests: tuple[Substitution, ...]
    rest: tuple[Substitution, ...]


def span_of(feature: Mapping[str, Any], length: int) -> tuple[int, int] | None:
    """The feature's [start, end) in a text of ``length`` code points, or ``None``."""
    span = (feature.get("place") or {}).get("span")
    if not isinstance(span, (list, tuple)) or len(span) != 2 or not all(isinstance(end, int) for end in span):
        return None
    start, end = span
    return (start, end) if 0 <= start < end <= length else None


def shaded(text: str, spans: Sequence[tuple[int, int] | None], shares: Sequence[Share]) -> tuple[Piece, ...]:
    """``text`` in pieces, each feature's stretch shaded by its value. Of overlapping stretches the first is shown."""
    limit, decimals = largest(shares), Decimals.for_values([share.value for share in shares])
    pieces: list[Piece] = []
    at = 0
    placed = ((span, index) for index, span in enumerate(spans) if span is not None)
    for (start, end), index in sorted(placed):
        if start < at:
            continue
        if start > at:
            pieces.append(Piece(text[at:start], "", ""))
        value = shares[index].value
        tip = f"{decimals.signed(value)} {decimals.interval(value, shares[index].half)}".strip()
        pieces.append(Piece(text[start:end], shade_name(value, limit), tip))
        at = end
    if at < len(text):
        pieces.append(Piece(text[at:], "", ""))
    return tuple(pieces)


def by_word(
    text: str, features: Sequence[Mapping[str, Any]], shares: Sequence[Share]
) -> tuple[list[tuple[int, int]], list[Share]]:
    """What each word contributes, from its deletion or neutral token: the spans of the words, and one share each.

    Where a word was both deleted and neutralised it is the mean of the two, with their errors taken as independent.
    """
    found: dict[tuple[int, int], list[Share]] = {}
    names: dict[tuple[int, int], str] = {}
    for feature, share in zip(features, shares, strict=True):
        span = span_of(feature, len(text))
        if span is not None and _relation(feature) in REMOVING and share.value is not None:
            found.setdefault(span, []).append(share)
            names[span] = str(feature.get("group") or text[slice(*span)])
    words = []
    for span, group in sorted(found.items()):
        halves = [share.half for share in group if share.half is not None]
        joint = sum(half * half for half in halves) ** 0.5 / len(group) if len(halves) == len(group) else None
        words.append(Share(names[span], sum(share.value or 0.0 for share in group) / len(group), joint))
    return sorted(found), words


@dataclass(frozen=True, slots=True)
class _Change:
    original: str
    substitute: str
    relation: str
    change: float
    half: float | None
    verdict: str


def grouped(
    text: str,
    features: Sequence[Mapping[str, Any]],
    shares: Sequence[Share],
    details: Mapping[str, Any],
    *,
    most: int = 12,
) -> list[Group]:
    """Substitutions by relation; the change is the substitute's score less that of the text as it is."""
    changes = _changes(text, features, shares, _verdicts(details))
    axis = Axis.around([c.change + sign * (c.half or 0.0) for c in changes for sign in (-1, 1)])
    decimals = Decimals.for_values([change.change for change in changes])
    present = {change.relation for change in changes}
    groups = []
    for relation in [*(name for name in RELATIONS if name in present), *sorted(present - set(RELATIONS))]:
        title, words = RELATIONS.get(relation, (safe_text(relation, one_line=True, limit=60), ""))
        tests = [
            Substitution(
                safe_text(one.original, one_line=True, limit=80),
                safe_text(one.substitute, one_line=True, limit=80),
                decimals.signed(one.change),
                decimals.interval(one.change, one.half),
                one.verdict,
                bar(axis, one.change, one.half),
            )
            for one in sorted(changes, key=lambda change: -abs(change.change))
            if one.relation == relation
        ]
        cut = most if len(tests) > most + 3 else len(tests)
        intervals, folded = any(test.interval for test in tests), relation in REMOVING
        groups.append(Group(title, words, intervals, folded, tuple(tests[:cut]), tuple(tests[cut:])))
    return groups


def _changes(
    text: str, features: Sequence[Mapping[str, Any]], shares: Sequence[Share], verdicts: Mapping[tuple[str, str], str]
) -> list[_Change]:
    found = []
    for feature, share in zip(features, shares, strict=True):
        change = feature.get("change") or {}
        if "substitute" not in change or share.value is None:
            continue
        word = str(feature.get("group") or share.name)
        span, substitute = span_of(feature, len(text)), str(change["substitute"])
        original = text[slice(*span)] if span else word
        relation = _relation(feature) or "other"
        verdict = verdicts.get((word, substitute), "") if relation == "antonym" else ""
        found.append(_Change(original, substitute, relation, -share.value, share.half, verdict))
    return found


def _relation(feature: Mapping[str, Any]) -> str:
    return str((feature.get("change") or {}).get("relation") or "")


def _verdicts(details: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Whether antonyms moved the score as expected, by (word, substitute), where the method says so."""
    entries = details.get("direction")
    found = {}
    for entry in entries if isinstance(entries, (list, tuple)) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("as_expected"), bool):
            verdict = "as expected" if entry["as_expected"] else "wrong way"
            found[str(entry.get("word")), str(entry.get("substitute"))] = verdict
    return found
