"""Derives ``probe/lexicon/lexicon.tsv.gz`` from the WordNet 3.0 database: ``python tools/build_lexicon.py DICT [OUT]``.

Raw WordNet offers a loanword for a loan. What is kept here is likely to be read as the same: a substitute's score is the
chance, by the tag counts of the semantic concordance, that the word *and* its substitute are used in the sense they share
(tag count + smoothing, over all senses of the word; over the senses of its part of speech for the substitute), summed over
the senses they share. The output is the same, byte for byte, for the same input.
"""

from __future__ import annotations

import gzip
import sys
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from probe.lexicon.inflect import Pos, readings
from tools.wordnet import PARTS, Synset, WordNet, read

Relation: TypeAlias = Literal["synonym", "antonym"]

SMOOTHING = 2.0  #: added to every total, so that a word met once proves little
INDIRECT = 0.5  #: weight of what is reached through a similar adjective or a shared synset
#: (least score, least tag count of the substitute as its part of speech): below it the two are seldom used in the sense
#: they share, or the substitute is too rare a word to stand in for anything
CUTS: dict[tuple[Relation, bool], tuple[float, int]] = {
    ("synonym", False): (0.10, 3),
    ("synonym", True): (0.20, 4),
    ("antonym", False): (0.10, 3),
    ("antonym", True): (0.15, 8),
}
KEEP = 5  #: substitutes kept of each word and relation
SHARE_OF_A_FORM = 0.25  #: of a lemma's uses, the part that one inflected form may take
LEAST_LETTERS = 3
#: usage notes (synsets of these words) whose members never serve as substitutes
UNWANTED = frozenset(
    {
        "archaism",
        "slang",
        "disparagement",
        "ethnic_slur",
        "obscenity",
        "dialect",
        "combining_form",
        "trade_name",
        "comparative",
        "superlative",
    }
)
#: words whose work is grammar: WordNet lists rare homonyms of them, or senses that do not survive substitution
CLOSED = frozenset(
    "a about after all also am an and any are as at back be been before being both but by can could did do does done down "
    "each either else even ever every few for from get go had has have he her here him his how i if in into is it its just "
    "least less let like many may me might mine more most much must my need neither no none nor not now of off on one only "
    "or other our out over own per same shall she should since so some still such than that the their them then there these "
    "they this those through thus to too two under until up us very was we were what when where which while who whom whose "
    "why will with would yet you your".split()
)


#: see the file; (word, substitute) or (substitute,)
EXCLUDED = frozenset(
    tuple(line.split())
    for line in Path(__file__).with_name("lexicon_exclusions.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


@dataclass(frozen=True, slots=True)
class Row:
    """One substitute of one word."""

    word: str
    relation: Relation
    pos: Pos
    sense: int
    score: float
    indirect: bool
    substitute: str


class Deriver:
    """Scores WordNet's relations between words."""

    def __init__(self, wordnet: WordNet) -> None:
        self.wordnet = wordnet
        self.in_pos: Counter[tuple[str, Pos]] = Counter()
        self.overall: Counter[str] = Counter()
        for (lemma, pos, _), count in wordnet.tags.items():
            self.in_pos[lemma, pos] += count
            self.overall[lemma] += count
        self.number = {
            (lemma, synset): i for (lemma, _), synsets in wordnet.senses.items() for i, synset in enumerate(synsets, 1)
        }

    def tag(self, lemma: str, synset: tuple[Pos, str]) -> int:
        return self.wordnet.tags.get((lemma, synset[0], self.number.get((lemma, synset), 0)), 0)

    def rows(self, word: str, pos: Pos) -> list[Row]:
        """The best substitutes of ``word`` as ``pos``, at most :data:`KEEP` of each relation, best first."""
        found: dict[tuple[Relation, str], list[Row]] = defaultdict(list)
        for synset in self.wordnet.senses[word, pos]:
            share = self.tag(word, synset) / (self.overall[word] + SMOOTHING)
            if share:
                sense = self.number[word, synset]
                for relation, substitute, where, weight in self._related(word, synset):
                    score = share * weight * self.tag(substitute, where) / (self.in_pos[substitute, pos] + SMOOTHING)
                    if score and self._usable(word, substitute, relation):
                        row = Row(word, relation, pos, sense, score, weight < 1, substitute)
                        found[relation, substitute].append(row)
        merged = [_merge(rows) for rows in found.values()]
        kept = sorted((row for row in merged if self._good_enough(row)), key=_order)
        return [
            row for relation in ("synonym", "antonym") for row in [r for r in kept if r.relation == relation][:KEEP]
        ]

    def _good_enough(self, row: Row) -> bool:
        score, count = CUTS[row.relation, row.indirect]
        return row.score >= score and self.in_pos[row.substitute, row.pos] >= count

    def _related(self, word: str, key: tuple[Pos, str]) -> Iterator[tuple[Relation, str, tuple[Pos, str], float]]:
        """(relation, lemma, its synset, weight) of everything the synset of ``word`` points at."""
        synset = self.wordnet.synsets[key]
        place = _place(synset, word)
        for other in self._members(synset):
            yield "synonym", other, key, 1.0
        for pointer in synset.pointers:
            target = self.wordnet.synsets[pointer.synset]
            if pointer.symbol == "!":
                direct = pointer.source in (0, place)
                yield "antonym", target.words[pointer.target - 1].lower(), pointer.synset, 1.0 if direct else INDIRECT
            elif pointer.symbol == "&":
                for other in self._members(target):
                    yield "synonym", other, pointer.synset, INDIRECT
                if synset.satellite:
                    yield from self._antonyms_of_head(target)

    def _antonyms_of_head(self, head: Synset) -> Iterator[tuple[Relation, str, tuple[Pos, str], float]]:
        for pointer in head.pointers:
            if pointer.symbol == "!":
                opposite = self.wordnet.synsets[pointer.synset].words[pointer.target - 1].lower()
                yield "antonym", opposite, pointer.synset, INDIRECT

    def _members(self, synset: Synset) -> list[str]:
        """Lemmas of a synset that may be written in a neutral text: no names, no marked usage."""
        marked = {
            pointer.source for pointer in synset.pointers if pointer.symbol == ";u" and self._unwanted(pointer.synset)
        }
        if 0 in marked:
            return []
        return [word for i, word in enumerate(synset.words, 1) if i not in marked and word.islower()]

    def _unwanted(self, synset: tuple[Pos, str]) -> bool:
        return not UNWANTED.isdisjoint(self.wordnet.synsets[synset].words)

    def _usable(self, word: str, substitute: str, relation: Relation) -> bool:
        plain = substitute.isalpha() and substitute.isascii() and len(substitute) >= LEAST_LETTERS
        if not plain or substitute in CLOSED or substitute == word:
            return False
        if (substitute,) in EXCLUDED or (word, substitute) in EXCLUDED:
            return False
        return relation == "antonym" or not same_stem(word, substitute)


def same_stem(one: str, other: str) -> bool:
    """Whether the two look like spellings or derivations of one word (colour/color, quick/quickly, doctor/doc)."""
    shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    if shared >= max(3, -(-3 * min(len(one), len(other)) // 5)):
        return True
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1


def derive(wordnet: WordNet) -> list[str]:
    """The lines of the lexicon: substitutes, irregular forms of the words in it, and base forms that hide a reading."""
    deriver = Deriver(wordnet)
    totals = deriver.in_pos
    forms = _irregular_readings(wordnet)
    words = sorted({lemma for lemma, _ in totals if _is_source(lemma)})
    rows: dict[str, list[Row]] = {}
    for word in words:
        if not _is_rather_a_form(word, totals, forms):
            found = [row for _, pos in PARTS if (word, pos) in wordnet.senses for row in deriver.rows(word, pos)]
            if found:
                rows[word] = found
    lines = [_substitute_line(row) for word in rows for row in sorted(rows[word], key=_order)]
    known = {(row.word, row.pos) for found in rows.values() for row in found}
    lines += _own_lines(words, rows.keys(), known, totals, forms)
    known |= {(row.substitute, row.pos) for found in rows.values() for row in found}
    lines += sorted(
        {
            f"irregular\t{form}\t{pos}\t{lemma}"
            for pos, pairs in wordnet.irregular.items()
            for form, lemma in pairs
            if (lemma, pos) in known and form.isalpha() and form.isascii() and form != lemma
        }
    )
    return lines


def _is_source(lemma: str) -> bool:
    comparative = lemma.endswith("er") and (lemma,) in EXCLUDED
    return lemma.isalpha() and lemma.isascii() and len(lemma) > 1 and lemma not in CLOSED and not comparative


def _irregular_readings(wordnet: WordNet) -> dict[str, set[tuple[str, Pos]]]:
    forms: dict[str, set[tuple[str, Pos]]] = defaultdict(set)
    for pos, pairs in wordnet.irregular.items():
        for form, lemma in pairs:
            forms[form].add((lemma, pos))
    return forms


def _readings(word: str, forms: dict[str, set[tuple[str, Pos]]]) -> set[tuple[str, Pos]]:
    regular = {(reading.lemma, reading.pos) for reading in readings(word)}
    return {(lemma, pos) for lemma, pos in regular | forms.get(word, set()) if lemma != word}


def _is_rather_a_form(word: str, totals: Counter[tuple[str, Pos]], forms: dict[str, set[tuple[str, Pos]]]) -> bool:
    """Whether ``word`` is met more often as a form of another lemma ("found", "used") than as a lemma."""
    own = sum(totals[word, pos] for _, pos in PARTS)
    return any(SHARE_OF_A_FORM * totals[reading] > own for reading in _readings(word, forms))


def _own_lines(
    words: list[str],
    with_rows: Container[str],
    known: set[tuple[str, Pos]],
    totals: Counter[tuple[str, Pos]],
    forms: dict[str, set[tuple[str, Pos]]],
) -> list[str]:
    return [
        f"own\t{word}"
        for word in words
        if word not in with_rows
        and not _is_rather_a_form(word, totals, forms)
        and not known.isdisjoint(_readings(word, forms))
    ]


def _place(synset: Synset, word: str) -> int:
    return next(i for i, member in enumerate(synset.words, 1) if member.lower() == word)


def _merge(rows: list[Row]) -> Row:
    best = max(rows, key=lambda row: (row.score, -row.sense))
    return Row(
        best.word, best.relation, best.pos, best.sense, sum(row.score for row in rows), best.indirect, best.substitute
    )


def _order(row: Row) -> tuple[str, float, str, str]:
    return row.relation, -row.score, row.pos, row.substitute


def _substitute_line(row: Row) -> str:
    kind = row.relation + ("~" if row.indirect else "")
    return f"{kind}\t{row.word}\t{row.pos}\t{row.sense}\t{round(100 * row.score)}\t{row.substitute}"


def compress(lines: list[str]) -> bytes:
    """The file's bytes: UTF-8 text, gzip without name or time."""
    return gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=9, mtime=0)


def main(arguments: list[str]) -> int:
    """``DICT [OUT]``; returns the exit code."""
    if not arguments:
        print("usage: python tools/build_lexicon.py WORDNET_DICT_DIRECTORY [OUT]", file=sys.stderr)
        return 2
    out = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).parent.parent / "probe/lexicon/lexicon.tsv.gz"
    lines = derive(read(Path(arguments[0])))
    out.write_bytes(compress(lines))
    print(f"{len(lines)} lines, {out.stat().st_size} bytes: {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
