"""The view of a text in which every feature is one possible substitution for one word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias, get_args

import numpy as np
import regex
from numpy.typing import NDArray

from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import listed, whole
from probe.maskers.naming import one_of, short_name, unique_names
from probe.maskers.splicing import Edit, match_case, splice
from probe.maskers.text import NEUTRAL, checked_text, checked_token
from probe.maskers.units import Span, words

LexicalRelation: TypeAlias = Literal["synonym", "antonym"]
#: ``deletion`` and ``neutral`` (a token that means nothing) attribute, ``synonym`` tests invariance, ``antonym`` direction,
#: ``pair`` (the user's own) bias.
Relation: TypeAlias = Literal["deletion", "neutral", "synonym", "antonym", "pair"]
RELATIONS: Final[tuple[str, ...]] = get_args(Relation)


class SubstituteLike(Protocol):
    """A word that a lexicon offers in the place of another."""

    @property
    def word(self) -> str: ...
    @property
    def relation(self) -> str: ...
    @property
    def pos(self) -> str:
        """Part of speech."""

    @property
    def sense(self) -> str:
        """Which meaning of the replaced word the substitute is for."""


class LexiconLike(Protocol):
    """Where substitutes come from. The same word must always give the same ones."""

    def substitutes(self, word: str, relation: LexicalRelation, limit: int) -> Sequence[SubstituteLike]:
        """At most ``limit`` substitutes of ``word`` (as it stands in the text, in any case), best first."""


#: a place in the text, the word to put there ("" deletes it), and where it comes from
_Choice: TypeAlias = tuple[Span, str, Mapping[str, str]]


class SubstitutionMasker:
    """One feature per possible substitution; keeping it leaves the word as it is.

    ``relations``: which kinds of substitution; by default ``deletion`` and ``neutral``, with a lexicon ``synonym`` and
    ``antonym``, with pairs ``pair``. ``per_word``: most synonyms and most antonyms for each word. ``pairs``: each side is
    replaced by the other wherever it stands as whole words, in any case. ``neutral``: the token for ``neutral``. The case of
    the replaced word is kept (Title, CAPITALS), unless a pair names the word exactly as it stands; articles before it are
    not adapted (a/an). Where several substitutions of one place are off together, the first is made. Raises ``ValueError``,
    also if nothing in the text can be substituted.
    """

    kind: ClassVar[Kind] = "text"
    copies: ClassVar[int] = 1
    segments: ClassVar[NDArray[np.int32] | None] = None

    def __init__(
        self,
        text: str,
        *,
        lexicon: LexiconLike | None = None,
        relations: Sequence[Relation] | None = None,
        per_word: int = 3,
        pairs: Sequence[Sequence[str]] = (),
        neutral: str = NEUTRAL,
    ) -> None:
        self.instance: str = checked_text(text)
        both = _checked_pairs(pairs)
        chosen = _checked_relations(relations, lexicon is not None, both)
        whole(per_word, "per_word", least=0)
        checked_token(neutral, "neutral")
        places = words(text)
        choices: list[_Choice] = []
        for relation in chosen:
            if relation == "pair":
                choices += _paired(text, both)
            elif relation in ("synonym", "antonym"):
                choices += _looked_up(text, places, lexicon, relation, per_word)
            else:
                token = "" if relation == "deletion" else neutral
                choices += [(place, token, {"relation": relation}) for place in places]
        choices = _distinct(text, choices)
        if not choices:
            raise ValueError(f"nothing in the text {text[:40]!r} can be substituted by {', '.join(chosen)}")
        self._edits: list[Edit] = [(start, end, new or None) for (start, end), new, _ in choices]
        self.features: tuple[Feature, ...] = _features(text, places, choices)
        self.settings: Mapping[str, Any] = {
            "masker": "substitutions",
            "relations": list(chosen),
            # what a lexicon offered, by content: another release of it makes another game
            "substitutions": [[start, end, new, origin["relation"]] for (start, end), new, origin in choices],
        }

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> str:
        kept = checked_coalition(coalition, self.n, copy)
        return splice(self.instance, [self._edits[k] for k in np.flatnonzero(~kept).tolist()])


def _checked_pairs(pairs: object) -> list[tuple[str, str]]:
    """``pairs`` in both directions."""
    both: list[tuple[str, str]] = []
    for pair in listed(pairs, "pairs") if pairs else ():
        sides = [str(side).strip() for side in pair] if isinstance(pair, list | tuple) else []
        if len(sides) != 2 or not all(sides) or sides[0] == sides[1]:
            raise ValueError(f"pair {pair!r} is not two different words, such as [he, she]")
        both += [(sides[0], sides[1]), (sides[1], sides[0])]
    return both


def _checked_relations(relations: object, has_lexicon: bool, pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    if relations is None:
        lexical = ("synonym", "antonym") if has_lexicon else ()
        return ("deletion", "neutral", *lexical, *(("pair",) if pairs else ()))
    wanted = listed(relations, "relations")
    chosen = tuple(dict.fromkeys(one_of(relation, RELATIONS, "relation") for relation in wanted))
    if not has_lexicon and {"synonym", "antonym"} & set(chosen):
        raise ValueError("synonym and antonym need a lexicon; give one or leave them out of relations")
    if "pair" in chosen and not pairs:
        raise ValueError("relation 'pair' needs pairs, such as pairs: [[he, she]]")
    return chosen


def _looked_up(
    text: str, places: Iterable[Span], lexicon: LexiconLike | None, relation: str, limit: int
) -> Iterable[_Choice]:
    wanted: LexicalRelation = "synonym" if relation == "synonym" else "antonym"
    for start, end in places:
        word = text[start:end]
        for found in lexicon.substitutes(word, wanted, limit) if lexicon else ():
            origin = {"relation": relation, "pos": found.pos, "sense": found.sense}
            yield (start, end), match_case(word, found.word), origin


def _paired(text: str, both: Sequence[tuple[str, str]]) -> Iterable[_Choice]:
    for side, other in both:
        pattern = rf"(?wV1)\b{regex.escape(side, special_only=True)}\b"
        for match in regex.finditer(pattern, text, flags=regex.IGNORECASE):
            new = other if match[0] == side else match_case(match[0], other)
            yield match.span(), new, {"relation": "pair"}


def _distinct(text: str, choices: Iterable[_Choice]) -> list[_Choice]:
    """In the order of the places; each substitute once a place, and never the word itself."""
    seen: set[tuple[Span, str]] = set()
    result = []
    for place, new, origin in sorted(choices, key=lambda choice: choice[0]):
        if (place, new) not in seen and new != text[place[0] : place[1]]:
            seen.add((place, new))
            result.append((place, new, origin))
    return result


def _features(text: str, places: Sequence[Span], choices: Sequence[_Choice]) -> tuple[Feature, ...]:
    """Grouped by word; a phrase of the user's pairs is a group of its own."""
    phrases = sorted({place for place, _, _ in choices} - set(places))
    spans = [*places, *phrases]
    group = dict(zip(spans, unique_names(short_name(text[start:end]) for start, end in spans), strict=True))
    names = unique_names(f"{group[place]} → {short_name(new) or '(deleted)'}" for place, new, _ in choices)
    return tuple(
        Feature(name, {"span": list(place)}, group[place], {"substitute": new, **origin})
        for name, (place, new, origin) in zip(names, choices, strict=True)
    )
