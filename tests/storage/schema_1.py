"""A database as schema 1 had it, with rows in every table. Written down as it was: later schemas do not change it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from alembic import command

from storage import migrations
from storage.connect import Database

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY, BODY, CONFIG = b"\x01" * 32, hashlib.sha256(b"{}").digest(), b"\x03" * 32

_ENTRY: dict[str, Any] = {
    "generation": 0,
    "endpoint_id": "e" * 64,
    "run_id": "7f3a0001",
    "sent_at": NOON,
    "attempts": 3,
    "maybe_billed": 1,
    "cost_micro": 2**53 + 1,
    "elapsed": 0.1 + 0.2,
    "censored": True,
    "parser": "pairs-1",
    "item": 1,
    "items": 16,
}
_PROBE: dict[str, Any] = {
    "run_id": "7f3a0001",
    "name": "reviews",
    "instance_id": "1" * 64,
    "endpoint_id": "e" * 64,
    "method": "shapley",
    "params": {"budget": 400, "fill": "[MASK]"},
    "target": "positive",
    "status": "finished",
    "started": NOON,
    "finished": NOON,
    "evaluations": 128,
    "from_ledger": 12,
    "requests": 116,
    "cost_micro": 232_000,
    "base_value": 0.1 + 0.2,
    "full_value": 1e-300,
    "exact": True,
    "top_feature": "zurück",
    "trust": {"r2": 0.98},
    "findings": [{"code": "P102"}],
    "details": {"curve": [[0.0, 1.0]]},
    "features": [{"name": "zurück"}],
    "asked": b"\x00\xff",
}
#: In an order in which foreign keys hold.
ROWS: dict[str, list[dict[str, Any]]] = {
    "run": [
        {
            "id": "7f3a0001",
            "name": "probe.yaml",
            "config_sha": CONFIG,
            "config": "storage: sqlite:///probe.db\n",
            "code_version": "0.1.0",
            "seed": 2**40,
            "started": NOON,
            "status": "partial",
            "finished": NOON,
            "totals": {"sent": 193},
        }
    ],
    "endpoint": [
        {
            "id": "e" * 64,
            "name": "vendor-a",
            "provider": "http",
            "url": "https://api.vendor.example/v1",
            "model": "sentiment-2",
            "identity": "POST … sentiment-2",
        }
    ],
    "instance": [{"id": "1" * 64, "kind": "text", "name": "1.txt", "content": "返金".encode()}],
    "feature": [{"id": 1, "key": "zurück"}, {"id": 2, "key": "Bitte"}],
    "body": [{"sha256": BODY, "encoding": "raw", "size": 2, "content": b"{}"}],
    "evaluation": [
        _ENTRY
        | {
            "key": KEY,
            "state": "answered",
            "answered_at": NOON,
            "scores": {"positive": 0.1 + 0.2, "negative": 1e-300},
            "floor": 0.0,
            "body_sha": BODY,
            "http_status": 200,
            "content_type": "application/json",
        },
        _ENTRY | {"key": KEY, "generation": 1, "state": "intended"},
        _ENTRY | {"key": BODY, "state": "failed", "error": "no answer"},
    ],
    "probe": [
        _PROBE | {"number": 1, "id": "p1", "params_hash": KEY, "segments_sha": BODY},
        _PROBE | {"number": 2, "id": "p2", "params_hash": BODY, "status": "failed", "error": "budget"},
    ],
    "attribution": [
        {"feature_id": 1, "probe_number": 1, "position": 1, "value": 0.1 + 0.2, "std_error": 1e-9},
        {"feature_id": 2, "probe_number": 1, "position": 0, "value": -0.0625},
    ],
    "usage_day": [
        {
            "day": date(2026, 3, 1),
            "provider": "http",
            "model": "sentiment-2",
            "requests": 2**40,
            "errors": 1,
            "cost_micro": 2**53 + 1,
        }
    ],
}


def create(
    url: str, *, revision: str = "0001", more: Mapping[str, list[dict[str, Any]]] = MappingProxyType({})
) -> None:
    """Make it in an empty database, by the migrations that made it then; ``more``: rows of tables that came later."""
    database = Database(url, timeout=5)
    database.prepare(create=True)

    def work(connection: sa.Connection) -> None:
        settings = migrations.settings()
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
        tables = sa.MetaData()
        tables.reflect(connection)
        for name, rows in {**ROWS, **more}.items():
            for row in rows:
                connection.execute(tables.tables[name].insert().values(_bindable(row, connection)))

    database.write(work)
    database.close()


def contents(
    url: str, more: Mapping[str, list[dict[str, Any]]] = MappingProxyType({})
) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables of schema 1 and of ``more``, as the driver gives it (columns that were added later are left
    out)."""
    database = Database(url, timeout=5)
    found: dict[str, list[tuple[Any, ...]]] = {}
    with database.reading() as connection:
        for name, rows in {**ROWS, **more}.items():
            columns = sorted(set().union(*rows))
            question = sa.select(sa.table(name, *(sa.column(column) for column in columns)))
            found[name] = sorted((tuple(row) for row in connection.execute(question)), key=str)
    database.close()
    return found


def _bindable(row: dict[str, Any], connection: sa.Connection) -> dict[str, Any]:
    """SQLite's times are UTC and say so by saying nothing."""
    if connection.dialect.name != "sqlite":
        return row
    return {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()}
