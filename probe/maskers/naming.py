"""Names: unique ones for features, and the nearest known one for what a user mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_LONGEST = 60  # characters of a feature's name: a line in a terminal, with room for its value


def unique_names(names: Iterable[str]) -> list[str]:
    """``names`` in order, repeated ones numbered: ``good``, ``good (2)``."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name} ({count})"
        taken.add(candidate)
        result.append(candidate)
    return result


def short_name(text: str) -> str:
    """``text`` on one line, cut to 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


def one_of(name: object, known: Sequence[str], what: str) -> str:
    """``name`` if it is in ``known``, else ``ValueError`` with the nearest known one."""
    if isinstance(name, str) and name in known:
        return name
    raise ValueError(f"{what} {name!r} is unknown{nearest(name, known)}. Known: {', '.join(known)}")


def nearest(name: object, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the entry of ``known`` nearest to ``name``, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
