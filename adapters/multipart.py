"""``multipart/form-data`` bodies (RFC 7578) that are the same bytes for the same input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.base import Instance
from adapters.checks import nearest
from adapters.errors import SpecError
from adapters.template import Binary, Template, as_body

_KEYS = ("content", "filename", "type")


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    content: Template
    where: str
    filename: str | None = None
    media_type: str | None = None

    def head(self, content: Binary) -> bytes:
        lines = f'Content-Disposition: form-data; name="{_escape(self.name)}"'
        filename = self.filename
        if filename is None and content.media_type.startswith(
            "image/"
        ):  # servers take a part without one for a plain field
            filename = f"{self.name}.{content.media_type.removeprefix('image/')}"
        if filename is not None:
            lines += f'; filename="{_escape(filename)}"'
        media_type = self.media_type or (content.media_type if filename is not None else None)
        return (lines + (f"\r\nContent-Type: {media_type}" if media_type else "") + "\r\n\r\n").encode()


class Multipart:
    """Parts by name: a template for a plain field, or ``{content, filename, type}`` for a file."""

    each = False

    def __init__(self, parts: Mapping[str, Any], where: str) -> None:
        self._parts = [_part(name, value, f"{where}.{name}") for name, value in parts.items()]
        if any(part.content.each for part in self._parts):
            raise SpecError(f"{where}: $each does not go with multipart, which carries one input")

    @property
    def uses_input(self) -> bool:
        return any(part.content.uses_input for part in self._parts)

    def render(self, batch: Sequence[Instance]) -> Binary:
        """The body and its content type."""
        contents = [as_body(part.content.render(batch), part.where) for part in self._parts]
        pieces = [part.head(content) + content.content for part, content in zip(self._parts, contents, strict=True)]
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(len(piece).to_bytes(8, "big") + piece)
        # derived from the content: the same input is the same request, and no part can hold it
        boundary = digest.hexdigest()
        lines = [f"--{boundary}\r\n".encode() + piece + b"\r\n" for piece in pieces]
        return Binary(b"".join(lines) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def _part(name: str, value: Any, where: str) -> _Part:
    if not (isinstance(value, Mapping) and "content" in value):
        return _Part(name, Template(value, where), where)
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        raise SpecError(f"{where}: unknown key {str(unknown[0])!r}{nearest(str(unknown[0]), _KEYS)}")
    for key in ("filename", "type"):
        text = value.get(key)
        if text is not None and not (isinstance(text, str) and text.isprintable() and "{{" not in text):
            raise SpecError(f"{where}.{key}: must be fixed text without control characters")
    return _Part(name, Template(value["content"], where), where, value.get("filename"), value.get("type"))


def _escape(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
