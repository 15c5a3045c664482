"""Ready-made values; every field can be overridden."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from storage import Attribution, Endpoint, Entry, Instance, Probe, Run, Store

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ENDPOINT = Endpoint("e" * 64, "vendor-a", "http", "https://api.vendor.example/v1", "sentiment-2", "POST … sentiment-2")
INSTANCE = Instance("1" * 64, "text", "reviews/1.txt", "Bitte zurück — 返金してください".encode())
ANSWER = {"positive": 0.1 + 0.2, "negative": 1e-300}


def key(number: int | str) -> bytes:
    return hashlib.sha256(f"key {number}".encode()).digest()


def run(run_id: str = "7f3a0001", **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "name": "probe.yaml",
        "config_sha": hashlib.sha256(b"config").digest(),
        "config": "storage: sqlite:///probe.db\n",
        "code_version": "0.1.0",
        "seed": 1,
        "started": NOON,
    }
    return Run(run_id, **(fields | changes))


def furnish(store: Store, run_id: str = "7f3a0001") -> None:
    store.start_run(run(run_id))
    store.put_endpoint(ENDPOINT)
    store.put_instance(INSTANCE)


def intended(number: int | str, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "generation": 0,
        "state": "intended",
        "endpoint_id": ENDPOINT.id,
        "run_id": "7f3a0001",
        "sent_at": NOON,
        "attempts": 1,
    }
    return Entry(key(number), **(fields | changes))


def answered(number: int | str, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "state": "answered",
        "answered_at": NOON + timedelta(milliseconds=80),
        "cost_micro": 2000,
        "elapsed": 0.08,
        "scores": ANSWER,
        "parser": "pairs-1",
        "http_status": 200,
        "content_type": "application/json",
    }
    return intended(number, **(fields | changes))


def probe(probe_id: str = "p1", **changes: Any) -> Probe:
    fields: dict[str, Any] = {
        "run_id": "7f3a0001",
        "name": "reviews",
        "instance_id": INSTANCE.id,
        "endpoint_id": ENDPOINT.id,
        "method": "shapley",
        "params": {"budget": 400, "fill": "[MASK]", "nested": {"p": 0.1 + 0.2}},
        "params_hash": hashlib.sha256(b"params").digest(),
        "target": "positive",
        "status": "finished",
        "started": NOON,
        "finished": NOON + timedelta(seconds=26),
        "evaluations": 128,
        "from_ledger": 12,
        "requests": 116,
        "cost_micro": 232_000,
        "base_value": 0.1 + 0.2,
        "full_value": 1e-300,
        "top_feature": "zurück",
        "trust": {"r2": 0.98, "efficiency_gap": 0.0},
        "findings": ({"code": "P102", "message": "not separable from 0"},),
        "details": {"curve": [[0.0, 1.0], [0.5, 0.25]]},
        "features": ({"name": "Bitte", "place": {"span": [0, 5]}}, {"name": "zurück", "place": {"span": [6, 12]}}),
        "attributions": (Attribution("Bitte", -0.0625, None), Attribution("zurück", 0.1 + 0.2, 1e-9)),
        "segments_sha": b"\x01" * 32,
        "table": b"\x00\xff table",
    }
    return Probe(probe_id, **(fields | changes))
