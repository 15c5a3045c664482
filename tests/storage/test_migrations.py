from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from storage import (
    CannotOpen,
    Purse,
    Reservations,
    SchemaTooNew,
    SchemaTooOld,
    StorageError,
    Store,
    migrations,
    upgrade,
)
from storage.schema import REVISION, VERSION_TABLE, metadata
from storage.upkeep import compact
from tests.storage import builders, schema_1


def test_the_migrations_lead_in_one_line_to_the_revision_the_schema_names() -> None:
    script = ScriptDirectory.from_config(migrations.settings())
    assert script.get_heads() == [REVISION]
    assert [found.revision for found in script.walk_revisions()] == [f"{n:04}" for n in range(int(REVISION), 0, -1)]


def test_a_migrated_database_has_exactly_the_tables_of_the_schema(storage_url: str) -> None:
    assert upgrade(storage_url) == (None, REVISION)
    with Store.open(storage_url, create=False) as store, store.database.reading() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        migrated = rules(connection)

    # what Alembic does not compare: checks, rules of foreign keys, tables without row ids
    def remake(connection: sa.Connection) -> dict[str, Any]:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        return rules(connection)

    with Store.open(storage_url) as store:
        assert store.database.migrate(remake) == migrated


def rules(connection: sa.Connection) -> dict[str, Any]:
    inspector = sa.inspect(connection)
    tables = sorted(metadata.tables)
    found: dict[str, Any] = {
        table: (
            sorted((check["name"] or "", check["sqltext"]) for check in inspector.get_check_constraints(table)),
            sorted((key["name"] or "", str(key["options"])) for key in inspector.get_foreign_keys(table)),
            inspector.get_pk_constraint(table),
            sorted(inspector.get_unique_constraints(table), key=str),
            sorted((str(each["name"]), each["column_names"], _where(each)) for each in inspector.get_indexes(table)),
        )
        for table in tables
    }
    if connection.dialect.name == "sqlite":
        texts = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        found["without row ids"] = sorted(name for name, text in texts if re.search(r"WITHOUT ROWID$", text))
    return found


def _where(index: Any) -> list[str]:
    """Which rows a partial index covers."""
    return sorted(str(value) for value in index.get("dialect_options", {}).values())


def test_upgrading_what_is_newest_keeps_what_is_stored(storage_url: str) -> None:
    with Store.open(storage_url) as store:
        builders.furnish(store)
        store.save_probe(builders.probe())
    assert upgrade(storage_url) == (REVISION, REVISION)
    with Store.open(storage_url) as store:
        assert store.probes("7f3a0001") == [builders.probe()]


def test_a_database_of_schema_1_keeps_every_number(storage_url: str) -> None:
    schema_1.create(storage_url)
    before = schema_1.contents(storage_url)
    assert {name: len(rows) for name, rows in before.items()} == {n: len(rows) for n, rows in schema_1.ROWS.items()}
    with pytest.raises(SchemaTooOld, match=r"schema 0001, .* run `probe db upgrade`"):
        Store.open(storage_url)
    assert upgrade(storage_url) == ("0001", REVISION)
    assert schema_1.contents(storage_url) == before
    with Store.open(storage_url, create=False) as store:
        answered, intended = store.entries([schema_1.KEY])
        assert answered.scores == {"positive": 0.1 + 0.2, "negative": 1e-300}
        assert (answered.cost_micro, intended.attempts, answered.sent_at) == (2**53 + 1, 3, schema_1.NOON)
        assert [probe.cost_micro for probe in store.probes("7f3a0001")] == [232_000, 232_000]
        assert [(usage.requests, usage.cost_micro) for usage in store.usage()] == [(2**40, 2**53 + 1)]
        # and it can do what is new
        assert Reservations(store).lease("vendor-a", count=1, gap=1).starts_in < 1
        assert Purse(store).take("run", requests=1, micro=1, most_requests=1, most_micro=1)


#: What schema 2 added to schema 1.
SCHEMA_2: dict[str, list[dict[str, Any]]] = {
    "limiter": [{"name": "vendor-a", "next_slot": 0.1 + 0.2, "held_until": 1e9, "as_of": 1e9 + 0.1, "gap": 0.2}],
    "budget": [{"name": "run 7f3a0001", "requests": 2**40, "micro": 2**53 + 1}],
}


def test_a_database_of_schema_2_keeps_every_number_and_is_folded(storage_url: str) -> None:
    schema_1.create(storage_url, revision="0002", more=SCHEMA_2)
    before = schema_1.contents(storage_url, SCHEMA_2)
    assert {name: len(before[name]) for name in SCHEMA_2} == {"limiter": 1, "budget": 1}
    assert upgrade(storage_url) == ("0002", REVISION)
    assert schema_1.contents(storage_url, SCHEMA_2) == before
    with Store.open(storage_url, create=False) as store:
        entries = store.entries([schema_1.KEY, schema_1.BODY])
        counts, spent, usage, probes = store.counts(), store.spent("7f3a0001"), store.usage(), store.probes("7f3a0001")
        bodies = store.bodies_of(entries)
        assert compact(store) == 0, "the run was not finished"
        store.finish_run("7f3a0001", "finished", schema_1.NOON, {"sent": 193})
        assert compact(store) == 0, "finishing folds"
        assert [entry.pack for entry in store.entries([schema_1.KEY, schema_1.BODY])] == [1, None, None]
        assert store.entries([schema_1.KEY, schema_1.BODY]) == entries
        # the body is a picture's map as well, so it is in both places now
        assert store.counts() == counts | {"bodies": 2}
        assert (store.spent("7f3a0001"), store.usage()) == (spent, usage)
        assert (store.probes("7f3a0001"), store.bodies_of(entries)) == (probes, bodies)


def pretend(url: str, revision: str) -> None:
    with Store.open(url) as store:
        change = sa.text(f"UPDATE {VERSION_TABLE} SET version_num = :revision")
        store.database.write(lambda connection: connection.execute(change, {"revision": revision}))


def test_an_older_database_is_told_what_to_do(storage_url: str) -> None:
    pretend(storage_url, "0000")
    with pytest.raises(SchemaTooOld, match=r"schema 0000, needed \d{4}\); run `probe db upgrade`"):
        Store.open(storage_url)
    with pytest.raises(CannotOpen, match="schema 0000, which no release had"):
        upgrade(storage_url)


def test_a_newer_database_is_left_alone(storage_url: str) -> None:
    pretend(storage_url, "9999")
    for use in (Store.open, upgrade):
        with pytest.raises(SchemaTooNew, match="made by a later version"):
            use(storage_url)


def test_a_migration_that_fails_leaves_nothing_behind(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(storage_url) as store:
        store.database.migrate(lambda connection: metadata.drop_all(connection))
        store.database.migrate(lambda connection: connection.execute(sa.text(f"DROP TABLE {VERSION_TABLE}")))
    # the tables are made, then the version is noted: let that be refused
    monkeypatch.setattr(migrations, "VERSION_TABLE", "feature")
    monkeypatch.setattr("storage.schema.VERSION_TABLE", "feature")
    with pytest.raises(StorageError, match="feature"):
        upgrade(storage_url)
    monkeypatch.undo()
    assert upgrade(storage_url) == (None, REVISION)
