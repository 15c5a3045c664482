"""Text: words, sentences or a user's own pieces, deleted or replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import listed, mapped
from probe.maskers.naming import one_of, short_name, unique_names
from probe.maskers.splicing import Edit, match_case, splice
from probe.maskers.units import Span, matches, sentences, words

Unit: TypeAlias = Literal["word", "sentence", "regex", "spans"]
UNITS: Final[tuple[str, ...]] = get_args(Unit)
TextFill: TypeAlias = Literal["delete", "mask", "neutral", "substitute"]
TEXT_FILLS: Final[tuple[str, ...]] = get_args(TextFill)

MASK_TOKEN = "[MASK]"  # noqa: S105 - a model's placeholder, no secret
NEUTRAL = "_"  #: a token that means nothing in any language


class TextMasker:
    """The words, sentences or matches of a text.

    ``unit``: ``word`` (see :func:`probe.maskers.units.words`), ``sentence``, ``regex`` (every match of ``pattern``) or
    ``spans`` (``spans``: (start, end) in code points, from a tokenizer of your own). ``fill``: ``delete`` (white space left
    doubled by it is tidied), ``mask`` (``mask_token``), ``neutral`` (``neutral``) or ``substitute`` (``substitutes``: by
    piece as it stands or in any case, which is then kept; pieces without one are not features). Raises ``ValueError``, also
    if the text has no such piece.
    """

    kind: ClassVar[Kind] = "text"
    copies: ClassVar[int] = 1
    segments: ClassVar[NDArray[np.int32] | None] = None

    def __init__(
        self,
        text: str,
        *,
        unit: Unit = "word",
        pattern: str | None = None,
        spans: Sequence[Sequence[int]] | None = None,
        fill: TextFill = "delete",
        mask_token: str = MASK_TOKEN,
        neutral: str = NEUTRAL,
        substitutes: Mapping[str, str] | None = None,
    ) -> None:
        self.instance: str = checked_text(text)
        one_of(unit, UNITS, "unit")
        one_of(fill, TEXT_FILLS, "fill")
        _check_belongs(unit, "regex", pattern, "pattern", "unit")
        _check_belongs(unit, "spans", spans, "spans", "unit")
        _check_belongs(fill, "substitute", substitutes, "substitutes", "fill")
        checked_token(mask_token, "mask_token")
        checked_token(neutral, "neutral")
        pieces = _pieces(text, unit, pattern, spans)
        names = unique_names(short_name(text[start:end]) for start, end in pieces)
        tokens: dict[str, str | None] = {"delete": None, "mask": mask_token, "neutral": neutral}
        given = _checked_substitutes(substitutes or {})
        if fill == "substitute":
            edits = _substitutions(text, pieces, given)
        else:
            edits = [(start, end, tokens[fill]) for start, end in pieces]
        self._edits: list[Edit] = edits
        name_of = dict(zip(pieces, names, strict=True))
        self.features: tuple[Feature, ...] = tuple(
            Feature(name_of[start, end], {"span": [start, end]}, change={"substitute": new or ""})
            for start, end, new in edits
        )
        self.settings: Mapping[str, Any] = {
            "masker": "text",
            "unit": unit,
            **({"pattern": pattern} if unit == "regex" else {}),
            **({"spans": [list(piece) for piece in pieces]} if unit == "spans" else {}),
            "fill": fill,
            **({"mask_token": mask_token} if fill == "mask" else {}),
            **({"neutral": neutral} if fill == "neutral" else {}),
            **({"substitutes": given} if fill == "substitute" else {}),
        }

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> str:
        kept = checked_coalition(coalition, self.n, copy)
        return splice(self.instance, [self._edits[k] for k in np.flatnonzero(~kept).tolist()])


def checked_text(text: object) -> str:
    """``text`` if it is a string, else ``ValueError``."""
    if not isinstance(text, str):
        raise ValueError(f"a text must be a string, not {type(text).__name__}")  # noqa: TRY004 - input, not a programming error
    return text


def checked_token(token: object, name: str) -> str:
    """``token`` if it is a string that is not blank, else ``ValueError``."""
    if not isinstance(token, str) or not token.strip():
        raise ValueError(
            f"{name} is {token!r}; it must be a token to put in a word's place (to leave words out, delete them)"
        )
    return token


def _pieces(text: str, unit: Unit, pattern: object, spans: object) -> list[Span]:
    if unit == "regex":
        return matches(text, str(pattern))
    if unit == "spans":
        return _checked_spans(text, spans)
    pieces = words(text) if unit == "word" else sentences(text)
    if not pieces:
        raise ValueError(
            f"the text {text[:40]!r} has no {unit} with a letter or a digit; there is no feature to switch off"
        )
    return pieces


def _checked_spans(text: str, spans: object) -> list[Span]:
    result: list[Span] = []
    for span in listed(spans, "spans"):
        start, end = span if isinstance(span, list | tuple) and len(span) == 2 else (None, None)
        least = result[-1][1] if result else 0
        if not (isinstance(start, int) and isinstance(end, int) and least <= start < end <= len(text)):
            raise ValueError(
                f"span {span!r} is not [start, end] in code points, after the one before and inside the text of {len(text)}"
            )
        result.append((start, end))
    return result


def _checked_substitutes(substitutes: object) -> dict[str, str]:
    """``substitutes`` in the order of their words. Raises ``ValueError`` unless it maps words to words."""
    result = {}
    for word, new in sorted(mapped(substitutes, "substitutes").items()):
        result[word] = checked_token(new, f"the substitute of {word!r}")
    return result


def _substitutions(text: str, pieces: Sequence[Span], substitutes: Mapping[str, str]) -> list[Edit]:
    """The edits for the pieces that have a substitute: one given for the piece as it stands is taken as it is."""
    by_case = sorted(substitutes.items(), key=lambda item: item[0] == item[0].casefold())
    in_any_case = {key.casefold(): value for key, value in by_case}  # a small-letter key wins over "Good" and "GOOD"
    edits: list[Edit] = []
    for start, end in pieces:
        piece = text[start:end]
        if piece in substitutes:
            edits.append((start, end, substitutes[piece]))
        elif piece.casefold() in in_any_case:
            edits.append((start, end, match_case(piece, in_any_case[piece.casefold()])))
    if not edits:
        raise ValueError(f"none of the {len(substitutes)} substitutes is for a piece of the text {text[:40]!r}")
    return edits


def _check_belongs(chosen: str, owner: str, value: object, name: str, what: str) -> None:
    """``name`` is given exactly if ``what`` is ``owner``."""
    if chosen == owner and not value:
        raise ValueError(f"{what} {owner!r} needs {name}")
    if chosen != owner and value is not None:
        raise ValueError(f"{name} is only for {what} {owner!r}, but {what} is {chosen!r}; remove one of the two")
