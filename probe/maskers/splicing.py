"""Cutting and replacing pieces of a text so that it still reads like one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

import regex

#: (start, end, replacement) in code points; ``None`` deletes the piece and tidies the white space it leaves.
Edit: TypeAlias = tuple[int, int, str | None]

#: closing punctuation takes no white space before it; an opening bracket or quote takes none after it
_CLOSING: Final = regex.compile(r"\A(?:[,.;:!?…%，。；：！？、]|\p{Pe}|\p{Pf})")
_OPENING: Final = regex.compile(r"(?:\p{Ps}|\p{Pi}|[¿¡]|(?:\A|\s)[\"'])\Z")


def splice(text: str, edits: Sequence[Edit]) -> str:
    """``text`` with ``edits`` made. No edits give ``text`` itself.

    An edit that overlaps an earlier one (in the given order) is left out.
    """
    taken: list[Edit] = []  # in the order of their places, so that only the two neighbours can overlap
    for edit in edits:
        at = bisect_right(taken, edit[0], key=_start)
        if (at == 0 or taken[at - 1][1] <= edit[0]) and (at == len(taken) or edit[1] <= taken[at][0]):
            taken.insert(at, edit)
    result, position, cut = "", 0, False
    for start, end, replacement in taken:
        result = _join(result, text[position:start], cut=cut) + (replacement or "")
        position, cut = end, replacement is None
    if cut and position == len(text):
        return result.rstrip()
    return _join(result, text[position:], cut=cut)


def _start(edit: Edit) -> int:
    return edit[0]


def _join(left: str, right: str, *, cut: bool) -> str:
    """``left + right``; after a cut between them with one side's white space where both have some, and none where it
    would stand at the text's start, before closing punctuation or after an opening bracket or quote."""
    if not cut:
        return left + right
    body, rest = left.rstrip(), right.lstrip()
    before, after = left[len(body) :], right[: len(right) - len(rest)]
    if before and after:
        keep = after if "\n" in after and "\n" not in before else before  # a line break stays
        return body + keep + rest
    if before and _CLOSING.match(rest):
        return body + rest
    if after and (not left or _OPENING.search(left[-2:])):
        return left + rest
    return left + right


def match_case(original: str, substitute: str) -> str:
    """``substitute`` in the letter case of ``original``: ALL CAPITALS, or a capital first, or as it is."""
    if len(original) > 1 and original.isupper():
        return substitute.upper()
    if original[:1].isupper() or original[:1].istitle():
        return substitute[:1].upper() + substitute[1:]
    return substitute
