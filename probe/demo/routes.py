"""The demo server's wire formats: request bodies to items, scores to JSON. Pure.

    POST /v1/{model}/predict          {"inputs": [..]}  → {"model", "predictions": [{"scores": {label: p}}]}
    POST /v1/{model}/pairs            {"inputs": [..]}  → {"results": [{"labels": [{"name", "confidence"}]}]}, 0 … 100, sorted
    POST /v1/{model}/vector           {"inputs": [..]}  → {"labels": [..], "rows": [[p, ..]]}
    POST /v1/{model}/value?label=X    {"inputs": [..]}  → {"values": [p, ..]}
    POST /v1/{model}/raw              picture or text   → {label: p}
    POST /v1/{model}/multipart        field ``image``   → {label: p}

An input is a text, a base64 PNG or JPEG, or a row as an object or as a list in the order of the model's columns.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probe.demo.models.base import DemoModel
from probe.demo.strict import Strict

JSON_ROUTES = ("predict", "pairs", "vector", "value")
ROUTES = (*JSON_ROUTES, "raw", "multipart")

MAX_PIXELS = 25_000_000
_PICTURES = ("PNG", "JPEG")

Body = dict[str, Any]


class Refused(Exception):
    """The request is answered with ``status`` and an error object instead of scores."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Item:
    """One decoded input. ``wording``: its text, or its row as JSON; empty for a picture."""

    value: Any
    digest: bytes
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Scores (m, labels) of one model, about to be rendered."""

    model: DemoModel
    scores: NDArray[np.float64]
    label: str = ""  #: for ``value``


# --- reading


def read_json(model: DemoModel, body: bytes, *, label: str = "") -> list[Item]:
    """The items of ``{"inputs": [..]}``. Raises :class:`Refused` (400) naming the item."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(payload, dict) or not isinstance(inputs := payload.get("inputs"), list) or not inputs:
        raise Refused(400, 'the body must be {"inputs": [..]} with at least one input')
    return [_item(model, value, f"inputs[{k}]", label) for k, value in enumerate(inputs)]


def read_raw(model: DemoModel, body: bytes, *, where: str = "body") -> list[Item]:
    """The one item of a bare picture or text."""
    match model.kind:
        case "image":
            return [_picture_item(model, body, where, "")]
        case "text":
            try:
                return [_text_item(model, body.decode("utf-8"), "")]
            except UnicodeDecodeError as error:
                raise Refused(400, f"{where}: not UTF-8: {error}") from error
        case "tabular":
            raise Refused(400, f"{model.name} takes table rows; use {', '.join(JSON_ROUTES)}")


def request_digest(items: Sequence[Item]) -> bytes:
    """What identifies a request for faults: its items in order; of one item, the item's own digest."""
    if len(items) == 1:
        return items[0].digest
    return hashlib.sha256(b"".join(item.digest for item in items)).digest()


def _item(model: DemoModel, value: object, where: str, label: str) -> Item:
    match model.kind:
        case "image":
            return _picture_item(model, _base64(value, where), where, label)
        case "text":
            if not isinstance(value, str):
                raise Refused(400, f"{where}: expected a text, got {type(value).__name__}")
            return _text_item(model, value, label)
        case "tabular":
            row = _row(model, value, where)
            wording = json.dumps(row, ensure_ascii=False, sort_keys=True)
            return Item(row, _digest(model, label, wording.encode("utf-8", "surrogatepass")), wording)


def _text_item(model: DemoModel, text: str, label: str) -> Item:
    return Item(text, _digest(model, label, text.encode("utf-8", "surrogatepass")), text)


def _picture_item(model: DemoModel, data: bytes, where: str, label: str) -> Item:
    pixels = decode_picture(data, where)
    return Item(pixels, _digest(model, label, str(pixels.shape).encode() + pixels.tobytes()))


def _base64(value: object, where: str) -> bytes:
    if not isinstance(value, str):
        raise Refused(400, f"{where}: expected a base64 PNG or JPEG, got {type(value).__name__}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"{where}: not base64: {error}") from error


def decode_picture(data: bytes, where: str) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of a PNG or JPEG; alpha is dropped. The dimensions are checked before anything is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=_PICTURES) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise Refused(400, f"{where}: {width} × {height} pixels is too large; at most {MAX_PIXELS} pixels")
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except Image.DecompressionBombError as error:
        raise Refused(400, f"{where}: too large; at most {MAX_PIXELS} pixels") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's ways to say that a file is damaged
        raise Refused(400, f"{where}: not a readable PNG or JPEG") from error


def _row(model: DemoModel, value: object, where: str) -> dict[str, Any]:
    columns = model.columns
    if isinstance(value, list):
        if len(value) != len(columns):
            raise Refused(400, f"{where}: {len(value)} values for {len(columns)} columns ({', '.join(columns)})")
        value = dict(zip(columns, value, strict=True))
    if not isinstance(value, dict):
        raise Refused(400, f"{where}: expected an object or a list, got {type(value).__name__}")
    for column in columns:
        if column not in value:
            raise Refused(400, f"{where}: missing column {column!r}; expected {', '.join(columns)}")
    for column in value:
        if column not in columns:
            raise Refused(400, f"{where}: unknown column {column!r}; expected {', '.join(columns)}")
    return {column: value[column] for column in columns}


def _digest(model: DemoModel, label: str, content: bytes) -> bytes:
    return hashlib.sha256(json.dumps([model.name, model.kind, label]).encode() + content).digest()


# --- writing


def render(route: str, answer: Answer, strict: Strict) -> Body:
    """The response body of ``route``. ``fewer_rows`` and ``nan`` of ``strict.faults`` are applied here."""
    scores = answer.scores
    batch = route in JSON_ROUTES
    if strict.faults.fewer_rows and batch:
        scores = scores[:-1]
    rows = [_Row(answer.model.labels, row, strict, broken=strict.faults.nan and k == 0) for k, row in enumerate(scores)]
    match route:
        case "predict":
            return {"model": answer.model.name, "predictions": [row.as_prediction() for row in rows]}
        case "pairs":
            return {"results": [{"labels": row.as_pairs()} for row in rows]}
        case "vector":
            return _vector(answer.model.labels, rows, strict)
        case "value":
            return {"values": [row.value(answer.label) for row in rows]}
        case _:
            return rows[0].as_map()


def check_label(model: DemoModel, label: str, strict: Strict) -> None:
    """Raises :class:`Refused` (400) unless the ``value`` route can answer for ``label``."""
    known = [name for name in model.labels if name != strict.drop_label]
    if label not in known:
        seen = f"unknown label {label!r}" if label else "no ?label= given"
        raise Refused(400, f"{seen}; {model.name} knows {', '.join(known[:20])}{', …' if len(known) > 20 else ''}")


class _Row:
    """One item's scores on their way out: dropped label, order, cut and rounding."""

    def __init__(self, labels: Sequence[str], scores: NDArray[np.float64], strict: Strict, *, broken: bool) -> None:
        self._strict = strict
        self._scores = {name: float(p) for name, p in zip(labels, scores, strict=True) if name != strict.drop_label}
        self._ranked = sorted(self._scores, key=lambda name: -self._scores[name])
        if broken and self._ranked:
            self._scores[self._ranked[0]] = float("nan")

    def _shown(self, score: float) -> float:
        return score if self._strict.rounding is None else round(score, self._strict.rounding)

    def _top(self) -> list[str]:
        return self._ranked[: self._strict.top_k]

    def best(self) -> str:
        return self._ranked[0] if self._ranked else ""

    def as_map(self) -> Body:
        if self._strict.labels_only:
            return {"label": self.best()}
        return {name: self._shown(self._scores[name]) for name in self._top()}

    def as_prediction(self) -> Body:
        return self.as_map() if self._strict.labels_only else {"scores": self.as_map()}

    def as_pairs(self) -> list[Body]:
        if self._strict.labels_only:
            return [{"name": self.best()}]
        return [{"name": name, "confidence": self._shown(100 * self._scores[name])} for name in self._top()]

    def as_vector(self) -> list[float]:
        return [self._shown(score) for score in self._scores.values()]

    def value(self, label: str) -> float | bool:
        return self.best() == label if self._strict.labels_only else self._shown(self._scores[label])


def _vector(labels: Sequence[str], rows: Sequence[_Row], strict: Strict) -> Body:
    """Rows in the order of ``labels``; ``top_k`` does not apply. Labels only: the best label's name per row."""
    if strict.labels_only:
        return {"classes": [row.best() for row in rows]}
    return {"labels": [name for name in labels if name != strict.drop_label], "rows": [row.as_vector() for row in rows]}
