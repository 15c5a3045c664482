from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probe.maskers import Masker, TextMasker
from probe.maskers.splicing import match_case, splice
from probe.maskers.units import sentences, words


def without(text: str, *off: int, **options: Any) -> str:
    masker = TextMasker(text, **options)
    kept = np.ones(masker.n, dtype=bool)
    kept[list(off)] = False
    return masker.render(kept)


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't, won't pay 3.14 (or 1,000)!", ["I", "can't", "won't", "pay", "3.14", "or", "1,000"]),
        ("e-mail don’t naïve", ["e", "mail", "don’t", "naïve"]),
        ("cafe\u0301 n\u0303o", ["cafe\u0301", "n\u0303o"]),
        ("我爱北京。", ["我", "爱", "北", "京"]),
        ("漢字とひらがな、カタカナ", ["漢", "字", "とひらがな", "カタカナ"]),
        ("食べるのが好きです", ["食", "べるのが", "好", "きです"]),
        ("ภาษาไทย สวัสดีครับ ok", ["ภาษาไทย", "สวัสดีครับ", "ok"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("👩‍👩‍👧 fam 🇫🇷🇩🇪 👍🏽ok", ["fam", "ok"]),
        ("שלום עולם مرحبا بالعالم", ["שלום", "עולם", "مرحبا", "بالعالم"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("... !? —", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert pieces(text, words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It works. Does it? Yes! Fine", ["It works.", "Does it?", "Yes!", "Fine"]),
        ("Dr. Smith met J. K. Rowling. He left.", ["Dr. Smith met J. K. Rowling.", "He left."]),
        (
            "It cost 3.5 dollars, e.g. at www.shop.org now. Dear!",
            ["It cost 3.5 dollars, e.g. at www.shop.org now.", "Dear!"],
        ),
        ("He said no. Then he saw no. 5 twice.", ["He said no.", "Then he saw no. 5 twice."]),
        ('"Really?" she asked. (I think so.) Good.', ['"Really?" she asked.', "(I think so.)", "Good."]),
        ("Wait... what? No way... Then it ended.", ["Wait... what?", "No way...", "Then it ended."]),
        ("A title\n\nA line\nbroken in two. Next.", ["A title", "A line\nbroken in two.", "Next."]),
        ("今天天气很好。我们去公园吧！好", ["今天天气很好。", "我们去公园吧！", "好"]),
        ("यह अच्छा है। वह नहीं।", ["यह अच्छा है।", "वह नहीं।"]),
        ("5 men left. 7 stayed.", ["5 men left.", "7 stayed."]),
        ("  Spaces around.  ", ["Spaces around."]),
        ("?! ...", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert pieces(text, sentences(text)) == expected


@pytest.mark.parametrize(
    ("text", "off", "expected"),
    [
        ("a very good film", [1], "a good film"),
        ("a very good film", [1, 2], "a film"),
        ("a very good film", [0], "very good film"),
        ("a very good film", [3], "a very good"),
        ("Oh, very good.", [2], "Oh, very."),
        ("Oh, very good.", [0], ", very good."),
        ("It is (very good) indeed", [2], "It is (good) indeed"),
        ('He said "great film" twice', [2], 'He said "film" twice'),
        ("one\ntwo three", [1], "one\nthree"),
        ("one two\nthree", [1], "one\nthree"),
        ("well-known fact", [1], "well- fact"),
        ("très bien !", [1], "très !"),
        ("  two  spaces  stay here ", [3], "  two  spaces  stay "),
        ("我爱北京。", [1], "我北京。"),
        ("alone", [0], ""),
    ],
)
def test_deletion_leaves_a_tidy_text(text: str, off: list[int], expected: str) -> None:
    assert without(text, *off) == expected


def test_fills() -> None:
    text = "Good film, GOOD day"
    assert without(text, 0, 1, fill="mask") == "[MASK] [MASK], GOOD day"
    assert without(text, 1, fill="mask", mask_token="<mask>") == "Good <mask>, GOOD day"
    assert without(text, 1, fill="neutral") == "Good _, GOOD day"
    assert without(text, 1, fill="neutral", neutral="thing") == "Good thing, GOOD day"
    assert without(text, 0, 1, fill="substitute", substitutes={"good": "bad"}) == "Bad film, BAD day"
    assert without(text, 0, 1, fill="substitute", substitutes={"good": "bad", "Good": "iffy"}) == "iffy film, BAD day"


def test_names_tell_repeated_words_apart() -> None:
    masker = TextMasker("so good, so so good")
    assert [feature.name for feature in masker.features] == ["so", "good", "so (2)", "so (3)", "good (2)"]
    assert masker.features[1].place == {"span": [3, 7]}
    long = TextMasker("word " * 30 + "end.", unit="sentence").features[0].name
    assert len(long) <= 60
    assert long.endswith("…")


def test_a_name_that_looks_numbered_does_not_clash() -> None:
    masker = TextMasker("x|x|x (2)|x", unit="regex", pattern=r"[^|]+")
    assert [feature.name for feature in masker.features] == ["x", "x (2)", "x (2) (2)", "x (3)"]


def test_pieces_by_pattern_and_by_spans() -> None:
    assert without("#a b #c", 1, unit="regex", pattern=r"#\w") == "#a b"
    assert without("ภาษาไทย", 1, unit="spans", spans=[[0, 4], [4, 7]]) == "ภาษา"
    masker = TextMasker("id=7; id=8", unit="regex", pattern=r"(?<=id=)\d|x*")
    assert [feature.place["span"] for feature in masker.features] == [[3, 4], [9, 10]]


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("!!!", {}, "has no word with a letter"),
        ("", {"unit": "sentence"}, "has no sentence"),
        ("abc", {"unit": "regex", "pattern": "z"}, "matches nothing"),
        ("abc", {"unit": "regex", "pattern": "("}, "is not a regular expression"),
        ("abc", {"unit": "regex"}, "needs pattern"),
        ("abc", {"pattern": "a"}, "pattern is only for unit 'regex'"),
        ("abc", {"unit": "wrods"}, "Known: word, sentence"),
        ("abc", {"fill": "deleet"}, "did you mean 'delete'"),
        ("abc", {"fill": "substitute"}, "needs substitutes"),
        ("abc", {"fill": "substitute", "substitutes": {"z": "y"}}, "none of the 1 substitutes"),
        ("abc", {"unit": "spans", "spans": [[0, 9]]}, r"span \[0, 9\]"),
        ("abc", {"unit": "spans", "spans": [[0, 2], [1, 3]]}, r"span \[1, 3\]"),
        ("abc", {"unit": "spans", "spans": [3]}, "span 3 is not"),
        ("abc", {"fill": "substitute", "substitutes": {"abc": 5}}, "substitute of 'abc' is 5"),
        ("abc", {"fill": "substitute", "substitutes": ["abc"]}, "must map names"),
        ("abc", {"mask_token": ""}, "mask_token is ''"),
        (7, {}, "must be a string, not int"),
    ],
)
def test_what_is_refused(text: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TextMasker(text, **options)


def test_a_pattern_that_never_ends_is_stopped() -> None:
    with pytest.raises(ValueError, match="more than 1 s"):
        TextMasker("a" * 40, unit="regex", pattern=r"(?:a|a|aa)+b")


@given(st.text(max_size=80))
@settings(deadline=None)
def test_keeping_everything_is_the_text(text: str) -> None:
    for unit in ("word", "sentence"):
        if (words if unit == "word" else sentences)(text):
            masker = TextMasker(text, unit=unit)
            assert isinstance(masker, Masker)
            assert masker.render(np.ones(masker.n, dtype=bool)) == text


@given(st.text(max_size=80))
@settings(deadline=None)
def test_pieces_are_in_order_apart_and_hold_every_letter(text: str) -> None:
    for spans in (words(text), sentences(text)):
        edges = [edge for span in spans for edge in span]
        assert edges == sorted(edges)
        assert all(start < end for start, end in spans)
        inside = {k for start, end in spans for k in range(start, end)}
        assert all(k in inside for k, character in enumerate(text) if character.isalpha())


english = st.lists(
    st.sampled_from(["the", "film", "Good", "don't", "3.5", "x", ",", ".", "(", ")", "\n", "!"]), min_size=1
)


@given(english, st.data())
@settings(deadline=None)
def test_deletion_leaves_the_kept_words_and_the_marks_and_no_doubled_space(
    tokens: list[str], data: st.DataObject
) -> None:
    text = " ".join(tokens)
    spans = words(text)
    if not spans:
        return
    masker = TextMasker(text)
    kept = data.draw(arrays(np.bool_, len(spans)))
    shown = masker.render(kept)
    assert pieces(shown, words(shown)) == [word for word, keep in zip(pieces(text, spans), kept, strict=True) if keep]
    marks = [character for character in shown if character in ",()!\n"]
    assert "".join(marks).replace("\n", "") == "".join(c for c in text if c in ",()!")
    assert "  " not in shown
    assert shown == masker.render(kept)


@given(st.text(max_size=60), st.data())
@settings(deadline=None)
def test_a_token_in_place_changes_only_the_words_that_are_off(text: str, data: st.DataObject) -> None:
    spans = words(text)
    if not spans:
        return
    kept = data.draw(arrays(np.bool_, len(spans)))
    expected, position = "", 0
    for (start, end), keep in zip(spans, kept, strict=True):
        expected += text[position:start] + (text[start:end] if keep else "[MASK]")
        position = end
    assert TextMasker(text, fill="mask").render(kept) == expected + text[position:]


def test_overlapping_edits_keep_the_first_given() -> None:
    assert splice("New York is big", [(0, 8, "Paris"), (4, 8, "Jersey"), (12, 15, "old")]) == "Paris is old"
    assert splice("New York is big", [(4, 8, "Jersey"), (0, 8, "Paris")]) == "New Jersey is big"
    assert splice("New York", []) == "New York"


def test_letter_case_is_carried_over() -> None:
    assert match_case("GOOD", "bad") == "BAD"
    assert match_case("Good", "bad") == "Bad"
    assert match_case("good", "bad") == "bad"
    assert match_case("A", "one") == "One"
    assert match_case("good", "Paris") == "Paris"
