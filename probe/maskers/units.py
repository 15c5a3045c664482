"""The pieces of a text: words, sentences, and whatever a user's own pattern finds. Spans are in code points."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, TypeAlias

import regex

Span: TypeAlias = tuple[int, int]

PATTERN_SECONDS = 1.0  #: how long a user's pattern may search one text

_BOUNDARY: Final = regex.compile(r"(?wV1)\b")
_CONTENT: Final = regex.compile(r"[\p{L}\p{N}]")
#: UAX #29 leaves these to dictionaries and cuts them letter by letter; a run of them is kept whole
_UNSPACED: Final = regex.compile(r"[\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}][\p{M}\p{Cf}ー]*")

_STOP: Final = regex.compile(
    r"(?:[.!?…؟۔।॥]+|(?P<wide>[。！？｡]+))[\"'’”»\p{Pe}\p{Pf}]*(?P<gap>\s*)|(?P<blank>\n\s*\n\s*)"
)
_NEXT: Final = regex.compile(r"[\"'‘“«\p{Ps}\p{Pi}¿¡]*(?P<first>\S)")
_LAST_TOKEN: Final = regex.compile(r"[\p{L}\p{M}\p{N}.\-]+\Z")
#: written with a full stop in the middle of a sentence, before a capital letter or a number
_ABBREVIATIONS: Final = frozenset(
    "mr mrs ms mx dr prof rev hon gen maj lt sgt capt cmdr gov sen rep supt st mt ft sr jr messrs vs cf ca approx dept viz "
    "e.g i.e z.b d.h u.a bzw ggf evtl hr str mme mlle sra srta ud uds dott av avda".split()
)
#: the same, before a number: elsewhere some of them are ordinary last words
_BEFORE_NUMBERS: Final = frozenset("no nos nr núm vol fig figs eq sec ch art p pp ed abs op".split())


def words(text: str) -> list[Span]:
    """Words by Unicode UAX #29 that hold a letter or a digit; punctuation, white space and emoji are between them.

    Han is cut into characters, as the standard does. Runs of Hiragana, and of Thai, Lao, Khmer and Myanmar, which need a
    dictionary to be cut into words, stay whole: half a word in place of a word is not a text anyone would send. For real
    words of those, give the spans of a tokenizer or a pattern.
    """
    cuts = sorted({0, len(text), *(match.start() for match in _BOUNDARY.finditer(text))})
    spans: list[Span] = []
    for start, end in pairwise(cuts):
        if not _CONTENT.search(text, start, end):
            continue
        if spans and spans[-1][1] == start and _same_run(text, spans[-1], (start, end)):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _same_run(text: str, left: Span, right: Span) -> bool:
    """Whether both spans are of one script that is written without spaces and not cut by the standard."""
    if not (_UNSPACED.fullmatch(text, *right) and _UNSPACED.match(text, *left)):
        return False
    return (text[left[0]] < "\u3000") == (text[right[0]] < "\u3000")


def sentences(text: str) -> list[Span]:
    """Sentences that hold a letter or a digit, without the white space around them.

    A sentence ends at ``. ! ? …`` and their like (with closing quotes and brackets) before white space, at ``。！？``
    anywhere, and at a blank line; not after a title, an initial or another abbreviation, nor before a small letter. Line
    breaks inside a paragraph are white space.
    """
    spans: list[Span] = []
    start = 0
    for stop in _STOP.finditer(text):
        if not _ends_sentence(text, start, stop):
            continue
        spans += _trimmed(text, start, stop.end())
        start = stop.end()
    return spans + _trimmed(text, start, len(text))


def _ends_sentence(text: str, start: int, stop: regex.Match[str]) -> bool:
    if stop["blank"] or stop["wide"] or stop.end() == len(text):
        return True
    if not stop["gap"]:
        return False
    if regex.search(r"\n\s*\n", stop["gap"]):
        return True
    following = _NEXT.match(text, stop.end())
    if following and following["first"].islower():
        return False
    mark = stop[0].rstrip()
    if mark != ".":
        return True
    token = _LAST_TOKEN.search(text, start, stop.start())
    if token is None:
        return True
    word = token[0].lower()
    # "J. Smith", "U.S. Army"; but "… and I. Then" is rarer than an initial
    initials = regex.fullmatch(r"\p{L}|(?:\p{L}\.)+\p{L}", word) is not None
    numbered = word in _BEFORE_NUMBERS and following is not None and following["first"].isdigit()
    return not (initials or numbered or word in _ABBREVIATIONS)


def _trimmed(text: str, start: int, end: int) -> list[Span]:
    piece = text[start:end]
    if not _CONTENT.search(piece):
        return []
    return [(start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))]


def matches(text: str, pattern: str) -> list[Span]:
    """Every match of the regular expression ``pattern`` that is not empty.

    Raises ``ValueError`` if the pattern is no regular expression, matches nothing, or searches for longer than a second.
    """
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    try:
        found = [match.span() for match in compiled.finditer(text, timeout=PATTERN_SECONDS)]
    except TimeoutError as error:
        raise ValueError(
            f"pattern {pattern!r} searched a text of {len(text)} characters for more than {PATTERN_SECONDS:g} s; "
            "simplify it (a repetition inside a repetition is the usual cause)"
        ) from error
    spans = [(start, end) for start, end in found if end > start]
    if not spans:
        raise ValueError(
            f"pattern {pattern!r} matches nothing in the text {text[:40]!r}; there is no feature to switch off"
        )
    return spans
