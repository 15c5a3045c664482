"""Foreign text in our messages: quoted, cut, and with control characters escaped so that it cannot act on a terminal."""

from __future__ import annotations

import re
import reprlib
from typing import Any, Final

_MARKUP: Final = re.compile(r"<(style|script)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_LOOKED_AT: Final = 1 << 12  #: bytes of a long body


def _shortener() -> reprlib.Repr:
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 80
    short.maxlevel = 3
    short.maxdict = short.maxlist = 5
    return short


_SHORT = _shortener()


def shown(value: Any) -> str:
    """``value`` (parsed JSON) as one short line of printable characters."""
    return _SHORT.repr(value)


def excerpt(body: bytes, limit: int = 200) -> str:
    """The first ``limit`` bytes of ``body`` as one quoted line of printable characters."""
    text = body[:limit].decode("utf-8", "replace")
    return repr(text) + ("…" if len(body) > limit else "")


def gist(body: bytes, limit: int = 200) -> str:
    """What the body of a failure tells a person, as one quoted line: a page's text without its tags, the end of a Python
    traceback, else its beginning as it stands."""
    if body.lstrip()[:1] == b"<":
        text = " ".join(_MARKUP.sub(" ", body[:_LOOKED_AT].decode("utf-8", "replace")).split())
        return excerpt(text.encode(), limit) if text else excerpt(body, limit)
    if body.lstrip().startswith(b"Traceback (most recent call last)"):
        return excerpt(body.rstrip().rpartition(b"\n")[2].lstrip(), limit)
    return excerpt(body, limit)


def printable(text: object, limit: int = 200) -> str:
    """``text`` on one line, cut, with what is not printable escaped."""
    line = " ".join(str(text).split())
    cut = line[:limit] + ("…" if len(line) > limit else "")
    return cut if cut.isprintable() else repr(cut)[1:-1]
