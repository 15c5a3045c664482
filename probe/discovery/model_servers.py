"""Servers that say who they are and little of what they take: MLflow and TorchServe."""

from __future__ import annotations

import re
from typing import Any

from probe.discovery.base import BATCH, Ask, Draft, Found, Reading, endpoint_name, in_url

_VERSION = re.compile(r"\d+\.\d+[\w.+-]{0,30}", re.ASCII)
_PREDICTIONS = "/predictions/{model_name}"


def mlflow(base: str, model: str | None) -> Reading:
    """``/ping`` and ``/version``: together they are MLflow's; the columns are not published."""
    if (yield Ask("GET", "/ping")).status != 200:
        return Found()
    version = yield Ask("GET", "/version")
    if version.status != 200 or not _VERSION.fullmatch(version.text.strip()):
        return Found()
    entry: dict[str, Any] = {
        "url": f"{base}/invocations",
        "json": {"dataframe_records": [{"$each": "{{ x }}"}]},
        "items": "predictions",
        "scores": {"vector": "@"},
        "batch": BATCH,
    }
    notes = {
        "url": (f"found by GET /ping and GET /version: MLflow {version.text.strip()}",),
        "json": ("rows by column name; a model without named columns takes instances: [{$each: …}] instead",),
        "scores": ('a list of scores for each row; a model that predicts one number needs {value: "@"}',),
        "labels": ("TODO labels: [first, second, …]; without, they are 0, 1, …",),
    }
    example = {"x0": 1.0, "x1": 1.0}
    return Found((Draft(endpoint_name(model or "mlflow"), entry, "tabular", example, notes),))


def torchserve(base: str, model: str | None) -> Reading:
    """``OPTIONS /`` or ``/api-description``: the API, not the models, which its management port lists."""
    for ask in (Ask("OPTIONS", "/"), Ask("GET", "/api-description")):
        paths = (yield ask).mapping.get("paths")
        if not isinstance(paths, dict) or _PREDICTIONS not in paths:
            continue
        if model is None:
            return Found(remarks=("TorchServe does not say here which models it has: name one with --model",))
        entry = {
            "url": f"{base}/predictions/{in_url(model)}",
            "headers": {"content-type": "text/plain; charset=utf-8"},
            "body": "{{ x }}",
            "scores": {"map": "@"},
            "missing": "censored",
        }
        notes = {
            "url": (f"found by {ask}: TorchServe",),
            "body": ('for pictures: headers: {content-type: image/png}, body: "{{ x | png }}"',),
            "scores": ("{label: score}, as its image and text classifiers answer",),
            "missing": ("they return the best few classes only",),
        }
        return Found((Draft(endpoint_name(model), entry, "text", "This is an example.", notes),))
    return Found()
