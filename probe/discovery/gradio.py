"""Gradio applications: they publish every function with its components, and an example of each input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from probe.discovery.base import (
    MOST_DRAFTS,
    Ask,
    Draft,
    Found,
    Reading,
    endpoint_name,
    in_url,
    is_name,
    literal,
    place,
    told,
)
from probe.discovery.schemas import example_of

_INFO = Ask("GET", "/gradio_api/info")
_PICTURE = {"url": "{{ x | png | data_url }}", "meta": {"_type": "gradio.FileData"}}


class _Unusable(Exception):
    """Why a function cannot be drafted."""


def gradio(base: str, model: str | None) -> Reading:
    """``/gradio_api/info``: the functions that have a name."""
    functions = (yield _INFO).mapping.get("named_endpoints")
    drafts: list[Draft] = []
    remarks: list[str] = []
    for name, about in list(functions.items())[:200] if isinstance(functions, Mapping) else ():
        if not is_name(name) or not isinstance(about, Mapping) or model not in {None, name, name.strip("/")}:
            continue
        try:
            drafts.append(_draft(base, name.strip("/"), about))
        except _Unusable as reason:
            remarks.append(f"Gradio {told(name)}: {reason}")
    return Found(tuple(drafts[:MOST_DRAFTS]), tuple(remarks[:MOST_DRAFTS]))


def _draft(base: str, name: str, about: Mapping[str, Any]) -> Draft:
    data, kind, example = _inputs(_parts(about.get("parameters")))
    scores, notes = _outputs(_parts(about.get("returns")))
    entry = {
        "url": f"{base}/gradio_api/call/{in_url(name)}",
        "json": {"data": data},
        "poll": {"url": f"join('/', [{literal(in_url(name))}, event_id])"},
        "sse": {"event": "complete"},
        **scores,
    }
    notes["url"] = (f"found by {_INFO}",)
    notes["poll"] = ("a call is put in the queue; its result is the last event of the stream that is asked next",)
    return Draft(endpoint_name(name), entry, kind, example, notes)


def _parts(value: Any) -> list[Mapping[str, Any]]:
    return [part for part in value[:100] if isinstance(part, Mapping)] if isinstance(value, list) else []


def _inputs(parts: Sequence[Mapping[str, Any]]) -> tuple[list[Any], Any, Any]:
    """The list of values, the kind of what goes in, and an example of it."""
    needed = [part for part in parts if part.get("parameter_has_default") is not True]
    pictures = [part for part in needed if part.get("component") == "Image"]
    texts = [part for part in needed if part.get("component") == "Textbox"]
    if len(pictures) == 1 and len(needed) == 1:
        return _around(parts, pictures[0], _PICTURE), "image", None
    if len(texts) == 1 and len(needed) == 1:
        return _around(parts, texts[0], "{{ x }}"), "text", _text(texts[0].get("example_input"))
    if not parts or any(_kind(part) not in {"string", "number", "integer", "boolean"} for part in parts):
        seen = ", ".join(told(part.get("component", "?")) for part in parts[:6]) or "nothing"
        raise _Unusable(f"it takes {seen}: neither one text, one picture nor the columns of a row")
    columns = {_name(part, number): part for number, part in enumerate(parts)}
    places = [place(name) for name in columns]
    if None in places or len(columns) != len(parts):
        raise _Unusable("the names of its inputs do not make columns")
    return list(places), "tabular", {name: _example(part) for name, part in columns.items()}


def _around(parts: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any], value: Any) -> list[Any]:
    return [value if part is chosen else part.get("parameter_default") for part in parts]


def _outputs(parts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Where the scores are: in a Label, else in a number."""
    for number, part in enumerate(parts):
        if part.get("component") == "Label":
            pairs = {"at": f"[{number}].confidences", "label": "label", "score": "confidence"}
            note = "a Label may show only its best classes (num_top_classes): those left out count as censored"
            return {"scores": {"pairs": pairs}, "missing": "censored"}, {"missing": (note,)}
    for number, part in enumerate(parts):
        if _kind(part) in {"number", "integer"}:
            return {"scores": {"value": f"[{number}]"}}, {}
    for number, part in enumerate(parts):
        if part.get("component") == "JSON":
            note = "TODO scores: the answer is JSON of any shape; `probe check-endpoint` shows what comes"
            return {"scores": {"map": f"[{number}]"}}, {"scores": (note,)}
    seen = ", ".join(told(part.get("component", "?")) for part in parts[:6]) or "nothing"
    raise _Unusable(f"it returns {seen}: neither a Label, a number nor JSON")


def _kind(part: Mapping[str, Any]) -> str:
    schema = part.get("type")
    return str(schema.get("type", "")) if isinstance(schema, Mapping) else ""


def _name(part: Mapping[str, Any], number: int) -> str:
    for key in ("parameter_name", "label"):
        value = part.get(key)
        if is_name(value):
            return str(value)
    return f"x{number}"


def _text(value: Any) -> str:
    return value[:1000] if isinstance(value, str) and value.strip() else "This is an example."


def _example(part: Mapping[str, Any]) -> str | int | float | bool:
    value = part.get("example_input")
    return value if isinstance(value, str | int | float) else example_of({"type": _kind(part)})
