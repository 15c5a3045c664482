"""The shipped lexicon says what people would say, and its builder is a pure function of WordNet's files."""

from __future__ import annotations

import gzip
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from probe.lexicon import Lexicon, Relation, Substitute
from probe.lexicon.inflect import Form, Pos, inflect
from tools.build_lexicon import compress, derive, same_stem
from tools.wordnet import read

ROOT = Path(__file__).parents[2]

#: A WordNet of four nouns, four adjectives: "loan" has a rare second sense, "fast" is a satellite of "quick".
FIXTURE = {
    "data.noun": """\
  1 The licence is indented and is not data.
00000001 10 n 02 movie 0 film 0 000 | a motion picture
00000002 21 n 01 loan 0 000 | money lent
00000003 10 n 02 loan 1 loanword 0 000 | a word borrowed from another language
00000004 21 n 02 film 1 colour 0 000 | a thin coating
""",
    "index.noun": """\
film n 2 0 2 2 00000001 00000004
colour n 1 0 1 1 00000004
loan n 2 0 2 1 00000002 00000003
loanword n 1 0 1 0 00000003
movie n 1 0 1 1 00000001
""",
    "data.adj": """\
00000010 00 a 01 quick 0 002 ! 00000011 a 0101 & 00000012 a 0000 | with speed
00000011 00 a 01 slow(p) 0 001 ! 00000010 a 0101 | without speed
00000012 00 s 01 rapid 0 001 & 00000010 a 0000 | done quickly
""",
    "index.adj": """\
quick a 1 2 ! & 1 1 00000010
rapid a 1 1 & 1 1 00000012
slow a 1 1 ! 1 1 00000011
""",
    "data.verb": "",
    "index.verb": "",
    "data.adv": "",
    "index.adv": "",
    "noun.exc": "",
    "verb.exc": "",
    "adj.exc": "slowlier slow\n",
    "adv.exc": "",
    "cntlist.rev": """\
colour%1:21:00:: 1 1
film%1:10:00:: 1 30
film%1:21:01:: 2 2
loan%1:21:00:: 1 19
movie%1:10:00:: 1 20
quick%3:00:00:: 1 20
rapid%5:00:00:quick:00 1 20
slow%3:00:00:: 1 20
""",
}


def words(word: str, relation: Relation, limit: int = 5) -> list[str]:
    return [substitute.word for substitute in Lexicon.load().substitutes(word, relation, limit)]


@pytest.mark.parametrize(
    ("word", "synonym"),
    [
        ("movie", "film"),
        ("film", "movie"),
        ("doctor", "physician"),
        ("buy", "purchase"),
        ("terrible", "dreadful"),
        ("terrible", "awful"),
        ("awful", "terrible"),
        ("quick", "speedy"),
        ("big", "large"),
        ("stupid", "dumb"),
        ("help", "assist"),
        ("quickly", "rapidly"),
        ("completely", "totally"),
        ("expensive", "costly"),
    ],
)
def test_everyday_synonyms(word: str, synonym: str) -> None:
    assert synonym in words(word, "synonym")


@pytest.mark.parametrize(
    ("word", "antonym"),
    [
        ("good", "bad"),
        ("bad", "good"),
        ("happy", "unhappy"),
        ("slow", "fast"),
        ("cheap", "expensive"),
        ("buy", "sell"),
        ("love", "hate"),
        ("clean", "dirty"),
        ("dangerous", "safe"),
        ("quickly", "slowly"),
    ],
)
def test_everyday_antonyms(word: str, antonym: str) -> None:
    assert antonym in words(word, "antonym")


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("loan", "loanword"),
        ("refund", "repayment"),
        ("doctor", "doc"),
        ("quick", "quickly"),
        ("complaint", "ailment"),
        ("food", "nutrient"),
        ("buy", "bribe"),
        ("good", "commodity"),
        ("funny", "queer"),
        ("great", "little"),
        ("nurse", "harbor"),
    ],
)
def test_no_wrong_sense_stem_or_hurtful_word(word: str, wrong: str) -> None:
    assert wrong not in words(word, "synonym", 99) + words(word, "antonym", 99)


@pytest.mark.parametrize("word", ["the", "is", "not", "i", "loan", "zzgy", "", "don't", "naïve", "42"])
def test_nothing_is_offered_where_nothing_is_sound(word: str) -> None:
    assert words(word, "synonym") == []


@pytest.mark.parametrize(
    ("word", "relation", "expected"),
    [
        ("movies", "synonym", "films"),
        ("bought", "synonym", "purchased"),
        ("purchased", "synonym", "bought"),
        ("buying", "antonym", "selling"),
        ("buys", "antonym", "sells"),
        ("stopped", "synonym", "quit"),
        ("biggest", "synonym", "largest"),
        ("worst", "antonym", "best"),
        ("happier", "antonym", "unhappier"),
        ("women", "antonym", "men"),
        ("Doctors", "synonym", "physicians"),
        ("children", "synonym", "kids"),
        ("used", "synonym", "employed"),
    ],
)
def test_forms_are_resolved_and_made_again(word: str, relation: Relation, expected: str) -> None:
    assert expected in words(word, relation)


def test_a_form_that_cannot_be_made_safely_is_left_out() -> None:
    assert "expensive" in words("cheap", "antonym")
    assert words("cheapest", "antonym") == []


@pytest.mark.parametrize(
    ("lemma", "pos", "form", "expected"),
    [
        ("box", "n", "s", "boxes"),
        ("city", "n", "s", "cities"),
        ("policeman", "n", "s", "policemen"),
        ("human", "n", "s", "humans"),
        ("glass", "n", "s", "glasses"),
        ("hero", "n", "s", None),
        ("try", "v", "ed", "tried"),
        ("cut", "v", "ed", "cut"),
        ("make", "v", "ing", "making"),
        ("lie", "v", "ing", "lying"),
        ("agree", "v", "ing", "agreeing"),
        ("pay", "v", "s", "pays"),
        ("jog", "v", "ed", None),
        ("speak", "v", "ed", None),
        ("simple", "a", "er", "simpler"),
        ("tidy", "a", "est", "tidiest"),
        ("beautiful", "a", "er", None),
        ("slow", "a", "er", "slower"),
    ],
)
def test_regular_rules(lemma: str, pos: Pos, form: Form, expected: str | None) -> None:
    assert inflect(lemma, pos, form, {("speak", "v"): ("spoke", "spoken")}) == expected


def test_indirect_substitutes_are_marked_and_senses_readable() -> None:
    substitutes = Lexicon.load().substitutes("big", "antonym", 2)
    assert substitutes == (
        Substitute("little", "antonym", "a", "big.a.01", indirect=False),
        Substitute("small", "antonym", "a", "big.a.01", indirect=True),
    )


def test_limit_and_order() -> None:
    lexicon = Lexicon.load()
    for word in ("terrible", "big", "completely"):
        everything = lexicon.substitutes(word, "synonym", 99)
        assert lexicon.substitutes(word, "synonym", 2) == everything[:2]
        assert len(set(everything)) == len(everything) > 1
    assert lexicon.substitutes("big", "synonym", 0) == ()
    with pytest.raises(ValueError, match="limit is -1"):
        lexicon.substitutes("big", "synonym", -1)


def test_every_word_has_sound_substitutes() -> None:
    """No phrase, no capital, never the word itself, every sense readable."""
    lexicon = Lexicon.load()
    lines = gzip.decompress(files("probe.lexicon").joinpath("lexicon.tsv.gz").read_bytes()).decode().splitlines()
    lemmas = {line.split("\t")[1] for line in lines if line.startswith(("synonym", "antonym"))}
    assert len(lemmas) > 3000
    for lemma in lemmas:
        for relation in ("synonym", "antonym"):
            for substitute in lexicon.substitutes(lemma, relation, 99):
                assert substitute.word.isalpha()
                assert substitute.word.islower()
                assert substitute.word != lemma
                assert substitute.sense.startswith(f"{lemma}.{substitute.pos}.")


def test_the_lexicon_is_read_once_and_small_and_carries_its_licence() -> None:
    assert Lexicon.load() is Lexicon.load()
    directory = files("probe.lexicon")
    assert len(directory.joinpath("lexicon.tsv.gz").read_bytes()) < 200_000
    notice = directory.joinpath("NOTICE").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in notice
    assert "Permission to use, copy, modify and distribute" in notice


def test_a_broken_lexicon_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 2: 'nonsense' is not a line of a lexicon"):
        Lexicon("own\tbuilding\nnonsense\n")


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    directory = tmp_path / "dict"
    directory.mkdir()
    for name, text in FIXTURE.items():
        (directory / name).write_text(text, encoding="latin-1")
    return directory


def test_builder_keeps_the_likely_and_drops_the_rest(wordnet: Path) -> None:
    assert derive(read(wordnet)) == [
        "synonym\tfilm\tn\t1\t80\tmovie",
        "synonym\tmovie\tn\t1\t80\tfilm",
        "antonym\tquick\ta\t1\t83\tslow",
        "synonym~\tquick\ta\t1\t41\trapid",
        "antonym~\trapid\ta\t1\t41\tslow",
        "synonym~\trapid\ta\t1\t41\tquick",
        "antonym\tslow\ta\t1\t83\tquick",
        "irregular\tslowlier\ta\tslow",
    ]


def test_builder_writes_the_same_bytes_each_time(wordnet: Path, tmp_path: Path) -> None:
    outputs = []
    for seed in ("1", "2"):
        out = tmp_path / f"lexicon-{seed}.gz"
        command = [sys.executable, "-m", "tools.build_lexicon", str(wordnet), str(out)]
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1] == compress(derive(read(wordnet)))
    assert Lexicon(gzip.decompress(outputs[0]).decode()).substitutes("movies", "synonym")[0].word == "films"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("colour", "color", True),
        ("grey", "gray", True),
        ("doctor", "doc", True),
        ("repay", "refund", False),
        ("big", "bag", True),
    ],
)
def test_same_stem(one: str, other: str, *, same: bool) -> None:
    assert same_stem(one, other) is same
