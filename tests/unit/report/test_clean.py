from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.report import safe_text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1b(0box", "box"),
        ("cut off \x1b[3", "cut off 3"),
        ("open \x1b]0;title and no end", "open 0;title and no end"),
        ("bell\x07 back\x08 nul\x00 del\x7f", "bell back nul del"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("\u2066isolated\u2069 \u200fmark", "isolated mark"),
        ("\ud800 alone", "� alone"),
        ("\ufeffbom\ufffe\U0001ffff", "bom"),
        ("line\u2028end", "lineend"),
    ],
)
def test_what_escaping_leaves_in_is_taken_out(hostile: str, shown: str) -> None:
    assert safe_text(hostile) == shown


def test_writing_that_needs_invisible_joiners_stays_whole() -> None:
    for text in ("می\u200cخواهم", "👩\u200d💻", "naïve", "東京\n\t大阪"):
        assert safe_text(text) == text


def test_one_line_and_limit() -> None:
    assert safe_text(" a\r\n\t b ", one_line=True) == "a b"
    assert safe_text("abcdef", limit=4) == "abc…"
    assert safe_text("abcd", limit=4) == "abcd"
    assert safe_text(3.5) == "3.5"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_moves_the_cursor_survives(text: str) -> None:
    cleaned = safe_text(text)
    cleaned.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\n\t" for c in cleaned)
    assert not any(0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069 for c in cleaned)
    assert safe_text(cleaned) == cleaned
