"""Fields of answers that are never stored, printed or parsed: they are gone before anything else sees the response."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from adapters import HttpResponse, Request, Secrets, Transport
from probe.errors import ConfigError

REDACTED: Final = "[redacted]"
_SHORTEST = 4  #: characters of a value that is looked for elsewhere in the same answer


class RedactingTransport:
    """A transport whose JSON answers come without the fields of ``paths``.

    A path is keys with dots between them: ``user.email``, ``items[].ssn`` (of every entry of a list), ``*.token`` (of every
    key). What stood there is also replaced where it appears elsewhere in the answer, in an error message for example. An
    answer that is not JSON is replaced as a whole, because nobody can tell where the field is.
    """

    def __init__(self, inner: Transport, paths: Sequence[str]) -> None:
        self._inner = inner
        self._paths = [parsed(path) for path in paths]
        self.secrets: Secrets = getattr(inner, "secrets", Secrets())

    async def send(self, request: Request) -> HttpResponse:
        """As the transport inside."""
        response = await self._inner.send(request)
        return replace(response, body=redacted(response.body, self._paths))

    async def aclose(self) -> None:
        await self._inner.aclose()


def parsed(path: str) -> tuple[str, ...]:
    """``items[].ssn`` as its steps. Raises :class:`ConfigError`."""
    steps = tuple(step for part in path.split(".") for step in (part.replace("[]", ".[]").split(".")) if step)
    if not steps or any("[" in step and step != "[]" for step in steps):
        raise ConfigError(f"redact: {path!r} is no path; write keys like user.email, items[].ssn or *.token")
    return steps


def redacted(body: bytes, paths: Sequence[tuple[str, ...]]) -> bytes:
    """``body`` without what is at ``paths``; as it is if nothing is there."""
    if not body:
        return body
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return REDACTED.encode()
    taken = [value for path in paths for value in _take(content, path)]
    if not taken:
        return body
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for value in taken:
        if isinstance(value, str) and len(value) >= _SHORTEST:
            text = text.replace(json.dumps(value, ensure_ascii=False)[1:-1], REDACTED)
    return text.encode("utf-8", "surrogatepass")


def _take(content: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Replace what is at ``path``; yield the texts and numbers that were there."""
    step, rest = path[0], path[1:]
    if step == "[]":
        places: list[Any] = list(range(len(content))) if isinstance(content, list) else []
    elif isinstance(content, dict):
        places = list(content) if step == "*" else [step] if step in content else []
    else:
        places = []
    for place in places:
        if rest:
            yield from _take(content[place], rest)
        else:
            yield from _leaves(content[place])
            content[place] = REDACTED


def _leaves(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        for value in content.values():
            yield from _leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)
    else:
        yield content
