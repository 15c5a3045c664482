"""Strings that came from outside, made harmless to show: model output, file names, error messages.

Escaping for HTML is the templates' job (autoescape); this takes out what escaping leaves in: terminal sequences, control
characters, characters that reorder the text around them, and code points no encoder accepts.
"""

from __future__ import annotations

import re
import sys

_TERMINAL_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement, clearing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, …: window titles, links
    r"|\x1b[ -/]*[0-~]"  # two-character sequences
)
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_OTHER_INVISIBLE = (0x2028, 0x2029, 0xFEFF, *range(0xFFF9, 0xFFFC))
_PLANE_ENDS = (plane + end for plane in range(0, sys.maxunicode, 0x10000) for end in (0xFFFE, 0xFFFF))
_NOT_CHARACTERS = (*range(0xFDD0, 0xFDF0), *_PLANE_ENDS)
_REPLACEMENTS: dict[int, str | None] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *_BIDI, *_OTHER_INVISIBLE, *_NOT_CHARACTERS), None),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
    ord("\t"): "\t",
    ord("\n"): "\n",
}


def safe_text(text: object, *, one_line: bool = False, limit: int | None = None) -> str:
    """``str(text)`` without terminal sequences, control, bidirectional and invisible characters.

    Tabs and line ends stay unless ``one_line``, which turns every run of white space into one space. Lone surrogates become
    U+FFFD. More than ``limit`` characters are cut, with an ellipsis as the last one.
    """
    cleaned = _TERMINAL_SEQUENCES.sub("", str(text)).translate(_REPLACEMENTS)
    if one_line:
        cleaned = " ".join(cleaned.split())
    if limit is not None and len(cleaned) > limit:
        cleaned = cleaned[: limit - 1] + "…"
    return cleaned
