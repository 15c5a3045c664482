"""The database fails while it is in use."""

from __future__ import annotations

import random
from concurrent.futures import wait
from typing import Any

import pytest
import sqlalchemy as sa

from storage import ConnectionLost, Contended, DiskFull, Journal, ReadOnly, StorageError, Store, Unstorable
from storage.schema import VERSION_TABLE, metadata
from tests.storage import builders
from tests.storage.builders import answered, intended

WAIT = 20


def out_of_space(store: Store) -> None:
    """From now on there is no room for anything new."""
    if store.database.is_sqlite:

        @sa.event.listens_for(store.database.engine, "connect")
        def limit(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA max_page_count = 1")  # is raised to what is in use

        store.database.close()  # connect again
    else:
        refuse_in_server(store, "53100")


def refuse_in_server(store: Store, state: str, *, table: str = "usage_day") -> None:
    """Let Postgres fail with SQLSTATE ``state`` whenever ``table`` is written."""
    raising = f"BEGIN RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'; END"

    def work(connection: sa.Connection) -> None:
        connection.execute(sa.text(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {raising} $$"))
        connection.execute(
            sa.text(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
        )

    store.database.write(work)


def test_a_full_disk_stops_the_journal_and_leaves_nothing_half_written(store: Store) -> None:
    with Journal(store) as journal:
        journal.record([answered("before")], [b"before"]).result(WAIT)
        out_of_space(store)
        large = [random.Random(number).randbytes(20_000) for number in range(8)]  # zlib cannot make them smaller
        waiting = [journal.record([answered(number)], [large[number]]) for number in range(8)]
        wait(waiting, WAIT)
        errors = {future.exception() for future in waiting}
        assert len(errors) == 1
        (error,) = errors
        assert isinstance(error, DiskFull)
        assert "free some space" in str(error)
        # from now on at once, with the same error
        assert journal.intend([intended("later")]).exception(0) is error
        assert journal.record([answered("later")]).exception(0) is error
    counts = store.counts()
    assert (counts["evaluations"], counts["bodies"]) == (1, 1)
    assert store.usage()[0].requests == 1


def test_a_full_disk_is_named_when_a_probe_is_saved(store: Store) -> None:
    if store.database.is_sqlite:
        out_of_space(store)
    else:
        refuse_in_server(store, "53100", table="attribution")
    with pytest.raises(DiskFull):
        store.save_probe(builders.probe(table=bytes(100_000)))
    assert store.probes("7f3a0001") == []


def terminate_others(store: Store, postgres_server: sa.URL) -> None:
    """End every connection of ``store``, as a server that is shut down does."""
    with store.database.reading() as connection:
        schema = connection.scalar(sa.text("SELECT current_schema()"))
    engine = sa.create_engine(postgres_server, poolclass=sa.NullPool)
    name = f"test-{schema}"
    with engine.connect() as connection:
        ended = connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"),
            {"name": name},
        ).all()
    assert ended


def named(url: str) -> str:
    """``url`` with an application name by which the server knows its connections."""
    parsed = sa.make_url(url)
    schema = str(parsed.query["options"]).split("=")[1]
    return parsed.update_query_dict({"application_name": f"test-{schema}"}).render_as_string(hide_password=False)


def test_a_server_that_goes_away_stops_the_journal(postgres_url: str, postgres_server: sa.URL) -> None:
    with Store.open(named(postgres_url)) as store, Journal(store) as journal:
        builders.furnish(store)
        journal.record([answered(1)]).result(WAIT)

        def gone(connection: sa.Connection) -> None:
            connection.execute(sa.text("SELECT 1"))
            terminate_others(store, postgres_server)
            connection.execute(sa.text("SELECT 1"))

        with pytest.raises(ConnectionLost, match="see that"):
            store.database.write(gone)
        # the next question finds a new connection by itself
        assert store.counts()["answered"] == 1
        journal.record([answered(2)]).result(WAIT)


def test_a_connection_lost_in_a_commit_stops_the_journal(postgres_url: str) -> None:
    with Store.open(postgres_url) as store, Journal(store) as journal:
        builders.furnish(store)
        kill = "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END"

        def arm(connection: sa.Connection) -> None:
            connection.execute(sa.text(f"CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS $$ {kill} $$"))
            connection.execute(
                sa.text("CREATE TRIGGER vanish BEFORE INSERT ON usage_day FOR EACH ROW EXECUTE FUNCTION vanish()")
            )

        store.database.write(arm)
        error = journal.record([answered(1)], [b"body"]).exception(WAIT)
        assert isinstance(error, ConnectionLost)
        assert journal.intend([intended(2)]).exception(0) is error
        assert store.counts()["evaluations"] == store.counts()["bodies"] == 0


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53300", StorageError),
        ("25006", ReadOnly),
        ("42501", ReadOnly),
        ("40P01", Contended),
        ("23514", Unstorable),
        ("22003", Unstorable),
        ("P0001", StorageError),
    ],
)
def test_what_the_server_says_is_understood(postgres_url: str, state: str, expected: type[StorageError]) -> None:
    with Store.open(postgres_url) as store:
        refuse_in_server(store, state, table="body")
        with pytest.raises(StorageError) as caught:
            store.put_body(b"x")
        assert type(caught.value) is expected
        assert str(caught.value).startswith("postgresql://postgres:***@/postgres: ")
        assert "\n" not in str(caught.value)


def test_a_transaction_that_gave_way_is_repeated(store: Store) -> None:
    tries = []

    def work(connection: sa.Connection) -> int:
        tries.append(connection.scalar(sa.text("SELECT 1")))
        if len(tries) < 3:
            raise Contended("as a deadlock is reported")
        return len(tries)

    assert store.database.write(work) == 3
    assert tries == [1, 1, 1]


def test_a_bug_in_the_writer_fails_its_callers_instead_of_hanging_them(store: Store) -> None:
    journal = Journal(store)
    broken: Any = [answered(1).but(sent_at="yesterday")]
    error = journal.record(broken).exception(WAIT)
    assert isinstance(error, StorageError)
    assert journal.intend([intended(2)]).exception(WAIT) is error
    journal.close()


def test_nothing_is_stored_but_what_was_given(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "sk-canary-4711"
    monkeypatch.setenv("VENDOR_A_KEY", canary)
    url = sa.make_url(storage_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(password=canary)
    with Store.open(url.render_as_string(hide_password=False)) as store, Journal(store) as journal:
        builders.furnish(store)
        store.save_probe(builders.probe())
        journal.intend([intended(1)]).result(WAIT)
        journal.record([answered(1)], [b"body"]).result(WAIT)
        with store.database.reading() as connection:
            stored = [
                repr(row)
                for name in [*metadata.tables, VERSION_TABLE]
                for row in connection.execute(sa.text(f"SELECT * FROM {name}"))
            ]
    assert len(stored) == 12
    assert not [row for row in stored if canary in row]
