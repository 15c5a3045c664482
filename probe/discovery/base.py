"""What the readers of published documents share: what is asked, what came back, and the draft of an endpoint.

A reader is a generator: it yields what it wants to know (:class:`Ask`), is sent what came back (:class:`Seen`), and returns
what it made of it (:class:`Found`). Whoever drives it does the asking (``probe/cli/asking.py``; the tests do without).
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeGuard
from urllib.parse import quote

from adapters.show import printable

if TYPE_CHECKING:
    from probe.maskers.base import Kind  # the package takes a second to load, which discovering does not need

MOST_DRAFTS: Final = 10  #: endpoints drafted of one server
MOST_LABELS: Final = 100  #: placeholders for labels that a document counts and does not name
BATCH: Final = 8  #: inputs in one request, where a document says that there may be several and not how many

_LONGEST_NAME = 200
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for something published. ``path``: from the server's URL on, beginning with a slash."""

    method: Literal["GET", "POST", "OPTIONS"]
    path: str
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back. ``data``: the body as JSON, ``None`` if it is none; ``text``: its beginning."""

    status: int
    data: Any = None
    text: str = ""

    @property
    def mapping(self) -> Mapping[str, Any]:
        """The body of a good answer if it is a JSON object, else nothing."""
        return self.data if self.status == 200 and isinstance(self.data, Mapping) else {}

    @property
    def rows(self) -> Sequence[Any]:
        """The body of a good answer if it is a JSON list, else nothing."""
        return self.data if self.status == 200 and isinstance(self.data, list) else ()


@dataclass(frozen=True, slots=True)
class Draft:
    """An endpoint as far as a document describes it.

    ``entry``: what goes under ``endpoints.<name>``. ``notes``: comments by the key of ``entry`` that they stand above; those
    of other keys stand at the end. ``example``: an input of ``kind`` for a first probe, ``None`` for pictures. ``complete``:
    nothing but labels is left open.
    """

    name: str
    entry: Mapping[str, Any]
    kind: Kind
    example: str | Mapping[str, Any] | None
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What one reader came to. ``remarks``: what it saw and could not use, and why."""

    drafts: tuple[Draft, ...] = ()
    remarks: tuple[str, ...] = ()


Reading: TypeAlias = Generator[Ask, Seen, Found]


def is_name(value: object) -> TypeGuard[str]:
    """Whether ``value`` can be the name of a model or a column: text, not empty, not endless."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and "\0" not in value


def in_url(name: str) -> str:
    """``name`` as one piece of a path."""
    return quote(name.encode("utf-8", "replace"), safe="")


def endpoint_name(text: str) -> str:
    """``text`` as a plain name for an endpoint in the config."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:60].strip("-._") or "endpoint"


def quoted(name: str) -> str:
    """``name`` as an identifier of JMESPath."""
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)


def literal(text: str) -> str:
    """``text`` as a raw string of JMESPath."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def place(name: str) -> str | None:
    """The place of the column ``name`` in a request tree; ``None`` if no expression can name it."""
    if _IDENTIFIER.fullmatch(name):
        return f"{{{{ x.{name} }}}}"
    if '"' in name or "{{" in name or "}}" in name or "|" in name or not name.isprintable():
        return None
    return f'{{{{ x["{name}"] }}}}'


def told(name: object) -> str:
    """A name from a document, to be shown in a remark or a comment."""
    return printable(name, 60)


def placeholders(count: int) -> list[str]:
    """Names of ``count`` labels that nobody has named."""
    return [str(number) for number in range(count)]
