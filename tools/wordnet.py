"""Reads the database files of WordNet 3.0 (wndb(5WN), cntlist(5WN)) into plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from probe.lexicon.inflect import Pos

#: file name ending and letter of each part of speech; satellite adjectives ("s", number 5) are adjectives
PARTS: tuple[tuple[str, Pos], ...] = (("noun", "n"), ("verb", "v"), ("adj", "a"), ("adv", "r"))
_NUMBERS: Mapping[str, Pos] = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
_MARKER = re.compile(r"\((a|p|ip)\)$")  # adjective position markers, as in "asleep(p)"


@dataclass(frozen=True, slots=True)
class Pointer:
    """A relation to another synset; ``source`` and ``target`` number words from 1, 0 is the whole synset."""

    symbol: str
    synset: tuple[Pos, str]
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Synset:
    """Words that share a meaning. ``words`` as written, with underscores and capitals."""

    words: tuple[str, ...]
    satellite: bool
    pointers: tuple[Pointer, ...]


@dataclass(frozen=True, slots=True)
class WordNet:
    """``senses``: synsets of each (lemma, part of speech), first sense first. ``tags``: how often each
    (lemma, part of speech, sense number from 1) was met in the semantic concordance. ``irregular``: (form, lemma) pairs."""

    synsets: Mapping[tuple[Pos, str], Synset]
    senses: Mapping[tuple[str, Pos], tuple[tuple[Pos, str], ...]]
    tags: Mapping[tuple[str, Pos, int], int]
    irregular: Mapping[Pos, tuple[tuple[str, str], ...]]


def read(directory: Path) -> WordNet:
    """The database in ``directory`` (WordNet's ``dict``). Raises ``OSError`` if a file is missing."""
    synsets: dict[tuple[Pos, str], Synset] = {}
    senses: dict[tuple[str, Pos], tuple[tuple[Pos, str], ...]] = {}
    irregular: dict[Pos, tuple[tuple[str, str], ...]] = {}
    for name, pos in PARTS:
        synsets |= {(pos, line.split(" ", 1)[0]): _synset(line) for line in _lines(directory / f"data.{name}")}
        for line in _lines(directory / f"index.{name}"):
            fields = line.split()
            senses[fields[0], pos] = tuple((pos, offset) for offset in fields[-int(fields[2]) :])
        pairs = (line.split() for line in _lines(directory / f"{name}.exc"))
        irregular[pos] = tuple((pair[0], lemma) for pair in pairs for lemma in pair[1:])
    return WordNet(synsets, senses, _tags(directory / "cntlist.rev"), irregular)


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.strip() and not line.startswith("  "):  # the licence at the top is indented
            yield line


def _synset(line: str) -> Synset:
    fields = line.split(" | ", 1)[0].split()
    count = int(fields[3], 16)
    words = tuple(_MARKER.sub("", fields[4 + 2 * i]) for i in range(count))
    rest = fields[4 + 2 * count :]
    pointers = tuple(
        Pointer(rest[i], (_letter(rest[i + 2]), rest[i + 1]), *divmod(int(rest[i + 3], 16), 256))
        for i in range(1, 1 + 4 * int(rest[0]), 4)
    )
    return Synset(words, fields[2] == "s", pointers)


def _letter(letter: str) -> Pos:
    return "a" if letter == "s" else next(pos for _, pos in PARTS if pos == letter)


def _tags(path: Path) -> dict[tuple[str, Pos, int], int]:
    tags: dict[tuple[str, Pos, int], int] = {}
    for line in _lines(path):
        key, number, count = line.split()
        lemma, _, rest = key.partition("%")
        tags[lemma, _NUMBERS[rest[0]], int(number)] = int(count)
    return tags
