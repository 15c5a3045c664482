"""What real servers publish, as it was seen: the documents that the readers are tried on, and a way to answer with them."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from probe.discovery.base import Ask, Seen

DATA = Path(__file__).parents[2] / "data" / "published"
T = TypeVar("T")

Documents = Mapping[str, Any]

MLSERVER: Documents = {
    "GET /v2": {"name": "mlserver", "version": "1.7.1", "extensions": []},
    "POST /v2/repository/index": [
        {"name": "iris", "state": "READY", "reason": ""},
        {"name": "text", "state": "READY", "reason": ""},
        {"name": "broken", "state": "UNAVAILABLE", "reason": "no"},
    ],
    "GET /v2/models/iris": {
        "name": "iris",
        "versions": [],
        "platform": "",
        "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}],
        "outputs": [
            {"name": "predict", "datatype": "INT64", "shape": [-1]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
        ],
        "parameters": {},
    },
    "GET /v2/models/text": {
        "name": "text",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}],
    },
}
KSERVE: Documents = {
    "GET /v2": {"name": "kserve", "version": "0.21.0", "extensions": ["model_repository_extension"]},
    "GET /v2/models": {"models": ["iris"]},
    "GET /v2/models/iris": {"name": "iris", "versions": None, "platform": "", "inputs": [], "outputs": []},
    "GET /v1/models": {"models": ["iris"]},
}
LLAMA: Documents = {
    "GET /v1/models": {
        "models": [{"name": "tiny.gguf", "model": "tiny.gguf"}],
        "object": "list",
        "data": [{"id": "org/tiny", "object": "model", "owned_by": "llamacpp"}, {"id": "other", "object": "model"}],
    }
}
MLFLOW: Documents = {
    "GET /ping": "\n",
    "GET /version": "3.17.2",
    "GET /openapi.json": {"openapi": "3.1.0", "paths": {}},
}
TORCHSERVE: Documents = {
    "OPTIONS /": {
        "openapi": "3.0.1",
        "info": {"title": "TorchServe APIs", "version": "0.12.0"},
        "paths": {"/predictions/{model_name}": {"post": {}}, "/ping": {"get": {}}},
    },
    "GET /ping": {"status": "Healthy"},
}
BENTOML: Documents = {"GET /docs.json": json.loads((DATA / "bentoml.json").read_text(encoding="utf-8"))}
FASTAPI: Documents = {"GET /openapi.json": json.loads((DATA / "fastapi.json").read_text(encoding="utf-8"))}
GRADIO: Documents = {"GET /gradio_api/info": json.loads((DATA / "gradio.json").read_text(encoding="utf-8"))}


def answered(steps: Generator[Ask, Seen, T], documents: Documents) -> tuple[T, list[str]]:
    """What ``steps`` come to when ``documents`` are all that is published (404 else), and what was asked."""
    asked: list[str] = []
    try:
        ask = next(steps)
        while True:
            asked.append(str(ask))
            ask = steps.send(seen(documents.get(str(ask))))
    except StopIteration as end:
        result: T = end.value
        return result, asked


def seen(document: Any) -> Seen:
    """``document`` as an answer; ``None`` is a 404, a text one that is not JSON."""
    if document is None:
        return Seen(404)
    if isinstance(document, str):
        return Seen(200, None, document)
    return Seen(200, document, json.dumps(document)[:200])
