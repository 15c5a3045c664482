"""English inflection by the regular rules: what a form may be a form of, and a lemma's form where the rules are safe.

Irregular forms are data and are passed in. No rule guesses: a form that cannot be made safely is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

#: WordNet's letters: noun, verb, adjective (satellites included), adverb.
Pos: TypeAlias = Literal["n", "v", "a", "r"]
#: ``s``: plural or third person; ``ed``: past tense and past participle; ``ing``; ``er``/``est``: the degrees.
Form: TypeAlias = Literal["base", "s", "ed", "ing", "er", "est"]

_VOWELS = "aeiou"
#: Verbs whose past is the lemma itself; lists of irregular forms leave them out.
_UNCHANGED = frozenset(
    "beset bet bid broadcast burst bust cast cost cut forecast hit hurt knit let put quit read rid set shed shut slit split "
    "spread thrust upset wed".split()
)
#: Nouns in -man that are not men.
_MANS = frozenset("ataman caiman cayman german hetman human norman ottoman roman shaman talisman toman".split())
_MIN_STEM = 2  #: letters
_TWO = 2  #: syllables


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a word: it is ``form`` of ``lemma``."""

    lemma: str
    pos: Pos
    form: Form


def readings(word: str) -> Iterator[Reading]:
    """What ``word`` (lower case) may be a regular form of, likelier stems first; the lemmas need not exist."""
    yield from _s_readings(word)
    for pos, form, ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
            for lemma in _stems(word[: -len(ending)]):
                yield Reading(lemma, pos, form)


_ENDINGS: tuple[tuple[Pos, Form, str], ...] = (
    ("v", "ed", "ed"),
    ("v", "ing", "ing"),
    ("a", "er", "er"),
    ("a", "est", "est"),
)


def _s_readings(word: str) -> Iterator[Reading]:
    if word.endswith("men") and len(word) > len("omen"):
        yield Reading(word[:-3] + "man", "n", "s")
    if not word.endswith("s") or word.endswith("ss") or len(word) <= _MIN_STEM:
        return
    stems = [word[:-1]]
    if word.endswith("ies") and len(word) > len("ties"):
        stems.append(word[:-3] + "y")
    elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        stems.append(word[:-2])
    for stem in stems:
        yield Reading(stem, "n", "s")
        yield Reading(stem, "v", "s")


def _stems(stem: str) -> list[str]:
    """Lemmas that a stem left by -ed, -ing, -er or -est can come from."""
    stems = [stem, stem + "e"]
    if stem.endswith("i"):
        stems.append(stem[:-1] + "y")
    if _doubled(stem):
        stems.append(stem[:-1])
    return stems


def _doubled(stem: str) -> bool:
    return len(stem) > _MIN_STEM and stem[-1] == stem[-2] and stem[-1] not in _VOWELS + "hwxy"


def inflect(lemma: str, pos: Pos, form: Form, irregular: Mapping[tuple[str, Pos], tuple[str, ...]]) -> str | None:
    """``form`` of ``lemma``, or ``None`` if neither the irregular forms nor the regular rules say it safely.

    ``irregular``: forms by (lemma, part of speech), of every kind at once, as WordNet lists them.
    """
    if form == "base":
        return lemma
    known = irregular.get((lemma, pos), ())
    if form == "s":
        return _plural(lemma, known) if pos == "n" else _third_person(lemma)
    if form == "ing":
        return next((word for word in known if word.endswith("ing")), _ing(lemma))
    if form == "ed":
        return _past(lemma, tuple(word for word in known if not word.endswith("ing")))
    ending = "st" if form == "est" else "r"
    degrees = tuple(word for word in known if word.endswith(ending) or (form == "er" and not word.endswith("st")))
    return degrees[0] if degrees else _degree(lemma, form, bool(known))


def _plural(lemma: str, known: tuple[str, ...]) -> str | None:
    if known:
        return known[0] if len(known) == 1 else None
    if lemma.endswith("man") and lemma not in _MANS:
        return lemma[:-3] + "men"
    if lemma.endswith("s"):
        return lemma + "es" if lemma.endswith("ss") else None
    if lemma.endswith("o") and lemma[-2:-1] not in _VOWELS:
        return None
    return _with_s(lemma)


def _third_person(lemma: str) -> str | None:
    return lemma + "es" if lemma.endswith("o") else _with_s(lemma)


def _with_s(lemma: str) -> str | None:
    if lemma.endswith(("s", "x", "z", "ch", "sh")):
        return lemma + "es" if not lemma.endswith(("is", "us", "as")) else None
    if _consonant_y(lemma):
        return lemma[:-1] + "ies"
    return lemma + "s"


def _past(lemma: str, known: tuple[str, ...]) -> str | None:
    if lemma in _UNCHANGED:
        return lemma
    if known:
        return known[0] if len(known) == 1 else None
    if lemma.endswith("e"):
        return lemma + "d"
    if _consonant_y(lemma):
        return lemma[:-1] + "ied"
    return None if _might_double(lemma) else lemma + "ed"


def _ing(lemma: str) -> str | None:
    if lemma.endswith("ie"):
        return lemma[:-2] + "ying"
    if lemma.endswith("e") and not lemma.endswith(("ee", "oe", "ye")):
        return lemma[:-1] + "ing"
    return None if _might_double(lemma) else lemma + "ing"


def _degree(lemma: str, form: Literal["er", "est"], irregular: bool) -> str | None:
    short = _vowel_groups(lemma) == 1
    if irregular or not (short or (lemma.endswith(("y", "le")) and _vowel_groups(lemma) == _TWO)):
        return None
    if lemma.endswith("e"):
        return lemma + form[1:]
    if _consonant_y(lemma):
        return lemma[:-1] + "i" + form
    return None if _might_double(lemma) or lemma.endswith(("ed", "ing")) else lemma + form


def _consonant_y(lemma: str) -> bool:
    return lemma.endswith("y") and lemma[-2:-1] not in _VOWELS


def _might_double(lemma: str) -> bool:
    """One syllable that ends in one vowel and one consonant: the rule doubles it, and the lists hold those that do."""
    return (
        len(lemma) > _MIN_STEM
        and _vowel_groups(lemma) == 1
        and lemma[-1] not in _VOWELS + "hwxy"
        and lemma[-2] in _VOWELS
        and lemma[-3] not in _VOWELS
    )


def _vowel_groups(lemma: str) -> int:
    """Syllables, roughly: runs of vowels, a silent final e not counted."""
    groups, before = 0, False
    for letter in lemma:
        vowel = letter in _VOWELS + "y"
        groups += vowel and not before
        before = vowel
    silent = lemma.endswith("e") and not lemma.endswith(("le", "ee", "ie")) and groups > 1
    return groups - silent
