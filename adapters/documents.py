"""The document that an answer is about: its body as JSON, or the data of the last event of a stream.

Streams are read as the HTML standard's "server-sent events" (section 9.2.6) has it, from a body that is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from adapters.errors import NotJson, ResponseError
from adapters.read_json import parse_json
from adapters.show import excerpt, shown
from adapters.spec_poll import Sse

_LINE: Final = re.compile(rb"\r\n|\n|\r")
_DONE: Final = b"[DONE]"  #: with which some language models end a stream; not a document


class Documents:
    """Finds the document in the answers of one endpoint. ``sse`` ``None``: the body is the document."""

    def __init__(self, endpoint: str, sse: Sse | None) -> None:
        self._endpoint = endpoint
        self._sse = sse

    def parse(self, body: bytes) -> Any:
        """The document. Raises :class:`ResponseError`."""
        if self._sse is None:
            return parse_json(body, self._endpoint)
        found: bytes | None = None
        names: list[str] = []
        for event in _events(body):
            names.append(event.name)
            if event.name == self._sse.error:
                raise ResponseError(f"endpoint {self._endpoint!r}: the stream reports an error: {excerpt(event.data)}")
            if event.data != _DONE and self._sse.event in (None, event.name):
                found = event.data
        if found is not None:
            return parse_json(found, self._endpoint)
        wanted = "an event" if self._sse.event is None else f"an event {self._sse.event!r}"
        seen = f"it has {shown(list(dict.fromkeys(names)))}" if names else f"it begins {excerpt(body)}"
        raise NotJson(
            f"endpoint {self._endpoint!r}: the stream ended without {wanted}; {seen}",
            kind="cut" if names or not body.strip() else "page",
        )

    def refusal(self, body: bytes) -> Any:
        """What a stream says went wrong, or ``None``."""
        for event in _events(body) if self._sse is not None else ():
            if self._sse is not None and event.name == self._sse.error:
                try:
                    return {event.name: parse_json(event.data, self._endpoint)}
                except ResponseError:
                    return {event.name: event.data.decode("utf-8", "replace")}
        return None


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    data: bytes


def _events(body: bytes) -> Iterator[_Event]:
    """The events that have data. One at the very end counts even if no blank line follows it."""
    name, data = b"", list[bytes]()
    for line in [*_LINE.split(body.removeprefix(b"\xef\xbb\xbf")), b""]:
        if not line:
            if data:
                yield _Event(name.decode("utf-8", "replace") or "message", b"\n".join(data))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
