"""Request bodies as trees with places for the input.

A string that is exactly ``{{ expr }}`` becomes the value itself (a list stays a list, bytes stay bytes); inside a longer
string it becomes text. ``{$each: T}`` in a list stands for one ``T`` per input of the batch. What has been put in is never
looked at again, so an input that contains ``{{ x }}`` arrives as it is.

    expr = name access? ("|" pipe)*
    name = x (the input) | i (its position in the request, from 0) | n (number of inputs in the request)
    access = .column | ["column"] | [position]          of a table row
    pipe = b64 | data_url | png | jpeg(quality) | json | list | str
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapters.base import Instance
from adapters.checks import REFERENCE, nearest
from adapters.errors import SpecError
from adapters.show import shown

PIPES: Final = ("b64", "data_url", "png", "jpeg(q)", "json", "list", "str")
NAMES: Final = ("x", "i", "n")

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_HEAD = re.compile(r"""([A-Za-z_]\w*)\s*(\.[A-Za-z_]\w*|\[\s*\d+\s*\]|\[\s*"[^"]*"\s*\]|\[\s*'[^']*'\s*\])?""")
_JPEG = re.compile(r"jpeg(?:\(\s*(\d+)\s*\))?")


@dataclass(frozen=True, slots=True)
class Binary:
    """Encoded bytes and what they are."""

    content: bytes
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Scope:
    """The values of the names at one place of the tree."""

    x: Any
    i: int
    n: int


Node: TypeAlias = Callable[[Scope], Any]


class Template:
    """A parsed tree. ``where`` is the path of its key, for messages. Raises :class:`SpecError`.

    ``each``: the tree has a ``$each``, so it can carry more than one input. ``uses_input``: it has an ``{{ x }}``.
    """

    def __init__(self, tree: Any, where: str) -> None:
        self.each = False
        self.uses_input = False
        self._outside: list[str] = []  # where x or i stand outside of any $each
        self._node = self._compile(tree, where, inside=False)
        if self.each and self._outside:
            raise SpecError(f"{self._outside[0]}: the input is used outside of the $each that the request has")

    def render(self, batch: Sequence[Instance]) -> Any:
        """The tree for ``batch``. Raises :class:`SpecError` if an input does not fit its place."""
        return self._node(Scope(batch[0] if len(batch) == 1 else _Rows(batch), 0, len(batch)))

    def _compile(self, tree: Any, where: str, *, inside: bool) -> Node:
        if isinstance(tree, str):
            return self._text(tree, where, inside=inside)
        if isinstance(tree, Mapping):
            return self._object(tree, where, inside=inside)
        if isinstance(tree, list | tuple):
            return self._list(tree, where, inside=inside)
        if isinstance(tree, float) and not np.isfinite(tree):
            raise SpecError(f"{where}: JSON has no {tree}")
        if tree is None or isinstance(tree, bool | int | float):
            return lambda _: tree
        hint = "; put it in quotes" if isinstance(tree, date) else ""
        raise SpecError(f"{where}: {shown(tree)} cannot be written as JSON{hint}")

    def _object(self, tree: Mapping[Any, Any], where: str, *, inside: bool) -> Node:
        if "$each" in tree:
            raise SpecError(f"{where}: {{$each: …}} stands alone in an object, and directly in a list")
        nodes: dict[str, Node] = {}
        for key, value in tree.items():
            if not isinstance(key, str):
                raise SpecError(f"{where}: the key {key!r} is not text; put it in quotes")
            if "{{" in key:
                raise SpecError(f"{where}: keys are fixed, {{{{ … }}}} is only for values; got {key!r}")
            nodes[key] = self._compile(value, f"{where}.{key}", inside=inside)
        return lambda scope: {key: node(scope) for key, node in nodes.items()}

    def _list(self, tree: Sequence[Any], where: str, *, inside: bool) -> Node:
        parts: list[tuple[Node, bool]] = []
        for position, value in enumerate(tree):
            place = f"{where}[{position}]"
            if isinstance(value, Mapping) and set(value) == {"$each"}:
                if inside:
                    raise SpecError(f"{place}: a $each cannot stand inside another one")
                self.each = True
                parts.append((self._compile(value["$each"], f"{place}.$each", inside=True), True))
            else:
                parts.append((self._compile(value, place, inside=inside), False))

        def render(scope: Scope) -> list[Any]:
            out: list[Any] = []
            for node, each in parts:
                if each:
                    rows = scope.x if isinstance(scope.x, _Rows) else _Rows((scope.x,))
                    out.extend(node(Scope(x, i, scope.n)) for i, x in enumerate(rows.batch))
                else:
                    out.append(node(scope))
            return out

        return render

    def _text(self, text: str, where: str, *, inside: bool) -> Node:
        if REFERENCE.search(text):
            raise SpecError(f"{where}: ${{NAME}} is only for auth, headers and query, never for what is stored")
        pieces = _PLACE.split(text)
        if any("{{" in piece for piece in pieces[::2]):
            raise SpecError(f"{where}: {{{{ without }}}} in {shown(text)}")
        if len(pieces) == 1:
            return lambda _: text
        for expression in pieces[1::2]:
            name = re.match(r"\s*([xi])\b", expression)
            if name and not inside:
                self._outside.append(where)
            self.uses_input |= bool(name and name[1] == "x")
        nodes = [_expression(piece, where) for piece in pieces[1::2]]
        if not pieces[0] and not pieces[-1] and len(pieces) == 3:
            return nodes[0]

        def render(scope: Scope) -> str:
            out = [pieces[0]]
            for node, after in zip(nodes, pieces[2::2], strict=True):
                out += (_as_text(node(scope), where), after)
            return "".join(out)

        return render


@dataclass(frozen=True, slots=True)
class _Rows:
    """The whole batch, as seen from outside of ``$each``."""

    batch: Sequence[Any]


def _expression(source: str, where: str) -> Node:
    """One ``name access? (| pipe)*``, parsed."""
    head, *names = (part.strip() for part in source.split("|"))
    found = _HEAD.fullmatch(head)
    if not found:
        raise SpecError(
            f"{where}: cannot read {{{{{source}}}}}; write {{{{ x }}}}, {{{{ x.column }}}} or {{{{ x | pipe }}}}"
        )
    if found[1] not in NAMES:
        raise SpecError(f"{where}: unknown name {found[1]!r}{nearest(found[1], NAMES)}")
    if found[2] and found[1] != "x":
        raise SpecError(f"{where}: {found[1]} is a number, {found[2]} does not apply to it")
    name, access = found[1], _access(found[2], where) if found[2] else None
    pipes = [_pipe(pipe, where) for pipe in names]

    def node(scope: Scope) -> Any:
        value = getattr(scope, name)
        if access:
            value = access(value)
        for pipe in pipes:
            value = pipe(value)
        return value

    return node


def _access(text: str, where: str) -> Callable[[Any], Any]:
    key: str | int
    if text.startswith("."):
        key = text[1:]
    else:
        inner = text[1:-1].strip()
        key = int(inner) if inner.isdigit() else inner[1:-1]

    def get(row: Any) -> Any:
        fits = isinstance(row, Mapping) if isinstance(key, str) else _is_list(row)
        try:
            return row[key] if fits else _misfit(row, f"x{text}", where)
        except LookupError:
            known = ", ".join(map(str, row)) if isinstance(row, Mapping) else f"{len(row)} values"
            raise SpecError(f"{where}: the input has no {key!r}; it has {known}") from None

    return get


def _pipe(name: str, where: str) -> Callable[[Any], Any]:
    jpeg = _JPEG.fullmatch(name)
    if jpeg:
        quality = int(jpeg[1] or 90)
        if not 1 <= quality <= 100:
            raise SpecError(f"{where}: jpeg quality is 1 to 100, got {quality}")
        return lambda value: _picture(value, where, "JPEG", quality=quality)
    if name == "png":
        return lambda value: _picture(value, where, "PNG", compress_level=1)
    if name == "b64":
        return lambda value: base64.b64encode(_binary(value, where).content).decode("ascii")
    if name == "data_url":
        return lambda value: _data_url(_binary(value, where))
    if name == "json":
        return lambda value: dump_json(value, where)
    if name == "list":
        return lambda value: _as_list(value, where)
    if name == "str":
        return lambda value: _as_text(value, where)
    raise SpecError(f"{where}: unknown pipe {name!r}{nearest(name.split('(')[0], PIPES)}")


def _data_url(value: Binary) -> str:
    return f"data:{value.media_type};base64,{base64.b64encode(value.content).decode('ascii')}"


def _binary(value: Any, where: str) -> Binary:
    if isinstance(value, str):
        return Binary(_utf8(value, where), "text/plain;charset=utf-8")
    if isinstance(value, np.ndarray):
        return _picture(value, where, "PNG", compress_level=1)
    return value if isinstance(value, Binary) else _misfit(value, "b64 and data_url", where)


def _picture(value: Any, where: str, kind: str, **options: int) -> Binary:
    if not isinstance(value, np.ndarray):
        _misfit(value, "png and jpeg", where)
    array: NDArray[Any] = value
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not shape_fits or not array.size:
        raise SpecError(f"{where}: a picture is (H, W) or (H, W, 3) uint8, got {array.shape} {array.dtype}")
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return Binary(out.getvalue(), f"image/{kind.lower()}")


def _as_list(value: Any, where: str) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, np.ndarray):
        rows: list[Any] = value.tolist()
        return rows
    return list(value) if _is_list(value) else _misfit(value, "list", where)


def _as_text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray | Binary):
        _misfit(value, "text", where)
    return dump_json(value, where)


def as_body(value: Any, where: str) -> Binary:
    """``value`` as the bytes of a whole body or of one part of a multipart body."""
    if isinstance(value, str | np.ndarray | Binary):
        return _binary(value, where)
    return Binary(dump_json(value, where).encode(), "application/json")


def size_of(x: Instance) -> int:
    """The bytes of an input: a text in UTF-8, a row as JSON; 0 of a picture, which depends on its encoding."""
    if isinstance(x, np.ndarray):
        return 0
    return len((x if isinstance(x, str) else dump_json(x, "the input")).encode("utf-8", "surrogatepass"))


def dump_json(value: Any, where: str) -> str:
    """``value`` as compact JSON that can always be encoded. Raises :class:`SpecError` for what JSON cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:
        raise SpecError(f"{where}: the input holds NaN or infinity, which JSON cannot carry; use null") from None
    except TypeError as error:
        raise SpecError(f"{where}: {error}") from None
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)  # lone surrogates only as escapes


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, np.ndarray | Binary):
        raise TypeError("a picture cannot go into JSON as it is; write {{ x | b64 }} or {{ x | list }}")
    if isinstance(value, _Rows):
        raise TypeError("several inputs, but no {$each: …} in the request")
    raise TypeError(f"{shown(value)} cannot be written as JSON")


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SpecError(f"{where}: the input holds half a surrogate pair, which is not text") from None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _misfit(value: Any, use: str, where: str) -> Any:
    kinds = {str: "text", Binary: "encoded bytes", _Rows: "several inputs"}
    kind = kinds.get(type(value)) or ("a picture" if isinstance(value, np.ndarray) else None)
    kind = kind or ("a table row" if isinstance(value, Mapping) or _is_list(value) else shown(value))
    raise SpecError(f"{where}: {use} does not apply to {kind}")
