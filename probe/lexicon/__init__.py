"""Synonyms and antonyms of English words, offline.

Derived from WordNet 3.0 (see ``NOTICE``) by ``tools/build_lexicon.py``, which also says what was left out and why.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal, TypeAlias

from probe.lexicon.inflect import Form, Pos, Reading, inflect, readings

__all__ = ["Lexicon", "Relation", "Substitute"]

Relation: TypeAlias = Literal["synonym", "antonym"]


@dataclass(frozen=True, slots=True)
class Substitute:
    """A word that can stand in the place of another."""

    word: str  #: lower case, in the form (plural, past tense, …) of the word it replaces
    relation: Relation
    pos: Pos
    sense: str  #: the replaced word's lemma, part of speech and WordNet sense number: ``good.a.01``
    indirect: bool  #: reached through a similar adjective: big–(large)–small


@dataclass(frozen=True, slots=True)
class _Row:
    relation: Relation
    pos: Pos
    sense: int
    score: int  #: percent
    indirect: bool
    substitute: str


class Lexicon:
    """Looks up substitutes. Pure: the same word gives the same answer; :meth:`load` gives the one that ships."""

    def __init__(self, text: str) -> None:
        """``text``: the lines that ``tools/build_lexicon.py`` writes. Raises ``ValueError`` if a line is not one of them."""
        self._rows: dict[str, list[_Row]] = defaultdict(list)
        self._own: set[str] = set()
        self._irregular: dict[str, list[tuple[str, Pos]]] = defaultdict(list)
        forms: dict[tuple[str, Pos], list[str]] = defaultdict(list)
        for number, line in enumerate(text.splitlines(), 1):
            match line.split("\t"):
                case ["synonym" | "synonym~" | "antonym" | "antonym~" as kind, word, pos, sense, score, substitute]:
                    relation: Relation = "synonym" if kind.startswith("synonym") else "antonym"
                    row = _Row(relation, _pos(pos), int(sense), int(score), kind.endswith("~"), substitute)
                    self._rows[word].append(row)
                case ["own", word]:
                    self._own.add(word)
                case ["irregular", form, pos, lemma]:
                    self._irregular[form].append((lemma, _pos(pos)))
                    forms[lemma, _pos(pos)].append(form)
                case _:
                    raise ValueError(f"lexicon, line {number}: {line!r} is not a line of a lexicon; build it again")
        self._forms: Mapping[tuple[str, Pos], tuple[str, ...]] = {key: tuple(value) for key, value in forms.items()}

    @classmethod
    def load(cls) -> Lexicon:
        """The lexicon that ships with this package; read once per process."""
        return _shipped()

    def substitutes(self, word: str, relation: Relation, limit: int = 3) -> tuple[Substitute, ...]:
        """At most ``limit`` substitutes of ``word`` (any case), best first; empty if none is known or safe to inflect.

        Raises ``ValueError`` if ``limit`` is negative.
        """
        if limit < 0:
            raise ValueError(f"limit is {limit}; it must be 0 or more")
        word = word.lower()
        found = [
            (-row.score, row.pos, row.sense, row.substitute, row.indirect, reading)
            for reading in self._readings(word)
            for row in self._rows.get(reading.lemma, ())
            if row.relation == relation and row.pos == reading.pos
        ]
        chosen: dict[str, Substitute] = {}
        for _, pos, sense, substitute, indirect, reading in sorted(found, key=lambda item: item[:4]):
            form = inflect(substitute, pos, reading.form, self._forms)
            if form is not None and form != word and form not in chosen:
                chosen[form] = Substitute(form, relation, pos, f"{reading.lemma}.{pos}.{sense:02d}", indirect)
        return tuple(chosen.values())[:limit]

    def _readings(self, word: str) -> Iterator[Reading]:
        """As itself if it is a word of its own, else as an irregular form, else as a regular one."""
        if word in self._rows or word in self._own:
            yield from (Reading(word, pos, "base") for pos in _PARTS)
        elif word in self._irregular:
            yield from (Reading(lemma, pos, _irregular_form(word, pos)) for lemma, pos in self._irregular[word])
        else:
            yield from (reading for reading in readings(word) if reading.lemma in self._rows)


_PARTS: tuple[Pos, ...] = ("n", "v", "a", "r")


def _pos(letter: str) -> Pos:
    return next(pos for pos in _PARTS if pos == letter)


def _irregular_form(form: str, pos: Pos) -> Form:
    if pos == "n":
        return "s"
    if pos == "v":
        return "ing" if form.endswith("ing") else "ed"
    return "est" if form.endswith("st") else "er"


@lru_cache(maxsize=1)
def _shipped() -> Lexicon:
    data = files(__name__).joinpath("lexicon.tsv.gz").read_bytes()
    return Lexicon(gzip.decompress(data).decode())
