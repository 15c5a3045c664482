"""Servers that describe themselves in OpenAPI: BentoML (``/docs.json``) and FastAPI (``/openapi.json``).

What the document types can be drafted: one property of a body that holds text, a row, rows or a picture, and an answer in
which the scores can be found. ``servers`` of the document are left aside: nothing is sent anywhere but to the given URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from adapters.show import printable
from probe.discovery.base import (
    BATCH,
    MOST_DRAFTS,
    Ask,
    Draft,
    Found,
    Reading,
    endpoint_name,
    is_name,
    place,
    told,
)
from probe.discovery.schemas import Schemas, Wanted, example_of

_MOST_PATHS: Final = 200
_PLACES: Final[Mapping[str, str]] = {
    "text": "{{ x }}",
    "row": "{{ x | list }}",
    "base64": "{{ x | png | b64 }}",
    "picture": "{{ x | png }}",
}


class _Unusable(Exception):
    """Why an operation cannot be drafted."""


def openapi(path: str) -> Callable[[str, str | None], Reading]:
    """A reader of the document at ``path``."""

    def reading(base: str, model: str | None) -> Reading:
        ask = Ask("GET", path)
        return document((yield ask).mapping, base, model, by=str(ask))

    return reading


def document(data: Mapping[str, Any], base: str, model: str | None, *, by: str) -> Found:
    """Drafts for the operations of an OpenAPI document. ``model``: only this path."""
    paths = data.get("paths")
    if not isinstance(paths, Mapping) or not isinstance(data.get("openapi"), str):
        return Found()
    drafts: list[Draft] = []
    remarks: list[str] = []
    for path, operations in list(paths.items())[:_MOST_PATHS]:
        operation = operations.get("post") if isinstance(operations, Mapping) else None
        if not is_name(path) or not path.startswith("/") or not isinstance(operation, Mapping):
            continue
        if model not in {None, path, path.strip("/"), endpoint_name(path)}:
            continue
        try:
            drafts.append(_draft(Schemas(data), base, path, operation, by))
        except _Unusable as reason:
            remarks.append(f"POST {told(path)}: {reason}")
    if len(drafts) > MOST_DRAFTS:
        remarks.append(f"{len(drafts)} operations could be drafted; the first {MOST_DRAFTS} are")
    return Found(tuple(drafts[:MOST_DRAFTS]), tuple(remarks[: 2 * MOST_DRAFTS]))


def _draft(schemas: Schemas, base: str, path: str, operation: Mapping[str, Any], by: str) -> Draft:
    if "{" in path:
        raise _Unusable("its path has a part to be filled in; write the endpoint by hand")
    if not re.fullmatch(r"[A-Za-z0-9/._~!$&'()*+,;=:@%-]+", path):
        raise _Unusable("its path is none")
    _no_parameters(operation)
    body = operation.get("requestBody")
    media = body.get("content") if isinstance(body, Mapping) else None
    request, wanted = _request(schemas, media if isinstance(media, Mapping) else {})
    many = wanted.many
    entry: dict[str, Any] = {"url": f"{base}{path}", **request}
    notes: dict[str, tuple[str, ...]] = {"url": (f"found by {by}, which says POST {told(path)}",)}
    reading = schemas.reading(_answer(operation), many=many)
    if reading is None:
        notes["scores"] = (
            "TODO scores: the answer is not typed; `probe check-endpoint` shows what comes, then say where they are",
        )
        entry |= {"scores": {"map": "@"}}
    else:
        entry |= reading
        if "vector" in reading["scores"]:
            notes["labels"] = ("TODO labels: [first, second, …]; without, they are 0, 1, …",)
    if many:
        entry["batch"] = BATCH
        notes["batch"] = ("how many it takes at once, the document does not say",)
    kind, example = _example(wanted)
    return Draft(endpoint_name(path.strip("/")), entry, kind, example, notes, complete=reading is not None)


def _no_parameters(operation: Mapping[str, Any]) -> None:
    parameters = operation.get("parameters")
    for each in parameters if isinstance(parameters, list) else ():
        if isinstance(each, Mapping) and each.get("required") is True:
            place_ = printable(each.get("in", "?"), 20)
            raise _Unusable(
                f"it needs the {place_} parameter {told(each.get('name', '?'))}; write the endpoint by hand"
            )


def _request(schemas: Schemas, media: Mapping[str, Any]) -> tuple[dict[str, Any], Wanted]:
    """The request part of an entry, for the first kind of body that can be used."""
    if not media:
        raise _Unusable("its body is not typed, so nothing says where an input goes")
    reason = ""
    for kind, about in list(media.items())[:8]:
        schema = about.get("schema") if isinstance(about, Mapping) else None
        if kind == "application/json":
            found = _json(schemas, schema)
        elif kind == "multipart/form-data":
            found = _multipart(schemas, schema)
        else:
            found = _raw(str(kind))
        if not isinstance(found, str):
            return found
        reason = reason or found
    raise _Unusable(reason)


def _json(schemas: Schemas, schema: Any) -> tuple[dict[str, Any], Wanted] | str:
    found = schemas.of_body(schema)
    if isinstance(found, str):
        return found
    name, wanted, others = found
    if wanted.what == "picture":
        return "a picture in JSON needs an encoding that the document does not name; write json by hand"
    value = _value(wanted)
    if value is None:
        return "a column has a name that no expression can hold"
    value = [{"$each": value}] if wanted.many else value
    return {"json": {name: value, **others} if name else value}, wanted


def _value(wanted: Wanted) -> Any:
    """The place of one input in a tree; ``None`` if a column's name does not go into one."""
    if wanted.what != "record":
        return _PLACES[wanted.what]
    columns = {name: place(name) for name, _ in wanted.columns}
    return None if None in columns.values() else columns


def _multipart(schemas: Schemas, schema: Any) -> tuple[dict[str, Any], Wanted] | str:
    found = schemas.of_body(schema)
    if isinstance(found, str):
        return found
    name, wanted, others = found
    if not name or wanted.many:
        return "its form is more than one file or text; write multipart by hand"
    part: Any = _PLACES[wanted.what]
    if wanted.what == "picture":
        part = {"content": part, "filename": "input.png", "type": "image/png"}
    return {"multipart": {name: part, **{key: str(value) for key, value in others.items()}}}, wanted


def _raw(kind: str) -> tuple[dict[str, Any], Wanted] | str:
    """A body that is the input itself."""
    if kind in {"image/*", "image/png", "application/octet-stream"}:
        return {"headers": {"content-type": "image/png"}, "body": "{{ x | png }}"}, Wanted("picture")
    if kind in {"image/jpeg", "image/jpg"}:
        return {"headers": {"content-type": "image/jpeg"}, "body": "{{ x | jpeg(95) }}"}, Wanted("picture")
    if kind == "text/plain":
        return {"headers": {"content-type": "text/plain; charset=utf-8"}, "body": "{{ x }}"}, Wanted("text")
    return f"its body is {printable(kind, 60)}, which is neither JSON, a form, a text nor a picture"


def _answer(operation: Mapping[str, Any]) -> Any:
    """The schema of a good answer in JSON."""
    answers = operation.get("responses")
    for status in ("200", "201", "2XX", "default"):
        answer = answers.get(status) if isinstance(answers, Mapping) else None
        media = answer.get("content") if isinstance(answer, Mapping) else None
        about = media.get("application/json") if isinstance(media, Mapping) else None
        if isinstance(about, Mapping):
            return about.get("schema")
    return None


def _example(wanted: Wanted) -> tuple[Any, Any]:
    """The kind of input, and one for a first probe."""
    match wanted.what:
        case "text":
            return "text", "This is an example."
        case "record":
            return "tabular", {name: example_of(schema) for name, schema in wanted.columns}
        case "row":
            return "tabular", {"x0": 1.0, "x1": 1.0}
        case _:
            return "image", None
