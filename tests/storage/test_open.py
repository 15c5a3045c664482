from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage import CannotOpen, DriverMissing, Journal, Locked, ReadOnly, StorageError, Store
from tests.storage import builders

SECRET = "hunter2-canary"


def test_a_fresh_database_is_made_on_opening_and_found_again(storage_url: str) -> None:
    with Store.open(storage_url) as store:
        builders.furnish(store)
    with Store.open(storage_url, create=False) as store:
        assert [run.id for run in store.runs()] == ["7f3a0001"]


def test_nothing_is_made_when_not_asked_to(storage_url: str, tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="run a probe first"):
        Store.open(storage_url, create=False)
    assert not (tmp_path / "probe.db").exists()


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    (tmp_path / "probe.db").touch()
    with pytest.raises(CannotOpen, match="nothing is stored here yet"):
        Store.open(f"sqlite:///{tmp_path}/probe.db", create=False)
    with Store.open(f"sqlite:///{tmp_path}/probe.db") as store:
        assert store.runs() == []


def test_many_processes_may_make_the_same_database_at_once(storage_url: str) -> None:
    script = "import sys; from storage import Store; print(len(Store.open(sys.argv[1], timeout=30).runs()))"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, storage_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60) for process in processes] == [(b"0\n", b"")] * 3


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://root@localhost/db", "'mysql' is not supported"),
        ("probe.db", "cannot be read"),
        (f"postgresql://user:{SECRET}@host:port/db", "cannot be read"),
        (f"postgresql//user:{SECRET}@host/db", "cannot be read"),
    ],
)
def test_a_wrong_url_is_explained_without_being_repeated(url: str, words: str) -> None:
    with pytest.raises(CannotOpen, match=words) as caught:
        Store.open(url)
    assert SECRET not in told(caught.value)


def told(error: BaseException) -> str:
    """Everything that could be printed of ``error``."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match=f"the directory {tmp_path}/no/such does not exist; create it"):
        Store.open(f"sqlite:///{tmp_path}/no/such/probe.db")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_and_a_foreign_file_are_not_databases(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="is a directory"):
        Store.open(f"sqlite:///{tmp_path}")
    (tmp_path / "notes.txt").write_text("dear diary, " * 100)
    with pytest.raises(CannotOpen, match="not a SQLite database"):
        Store.open(f"sqlite:///{tmp_path}/notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "dear diary, " * 100


def test_somebody_elses_tables_are_left_alone(storage_url: str) -> None:
    url = storage_url.replace("postgresql:", "postgresql+psycopg:")
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("CREATE TABLE run (distance INTEGER)"))
    with pytest.raises(CannotOpen, match=r"tables of something else \(run\)"):
        Store.open(storage_url)


@contextmanager
def no_special_rights() -> Iterator[None]:
    """Root may write anywhere, so be somebody else for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_file_is_said_to_be_one() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        url = f"sqlite:///{directory}/probe.db"
        Store.open(url).close()
        (directory / "probe.db").chmod(0o444)
        directory.chmod(0o555)
        try:
            with no_special_rights(), pytest.raises(ReadOnly, match="may not write there"):
                Store.open(url)
            with no_special_rights(), pytest.raises(ReadOnly, match="may not write there"):
                Store.open(f"sqlite:///{directory}/new.db")
        finally:
            directory.chmod(0o755)


def test_a_file_that_becomes_read_only_stops_the_writer() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        Store.open(f"sqlite:///{directory}/probe.db").close()
        (directory / "probe.db").chmod(0o444)
        with no_special_rights(), pytest.raises(ReadOnly):
            Store.open(f"sqlite:///{directory}/probe.db").put_body(b"x")


def test_a_locked_file_is_waited_for_and_then_said_to_be_locked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/probe.db"
    holder = sqlite3.connect(tmp_path / "probe.db", isolation_level=None)
    holder.execute("CREATE TABLE other (x)")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Locked, match=r"another process has been writing for more than 0\.2 s"):
        Store.open(url, timeout=0.2)
    holder.execute("COMMIT")
    holder.close()
    Store.open(url, timeout=0.2).close()


def test_a_lock_held_too_long_stops_the_journal(storage_url: str) -> None:
    with Store.open(storage_url) as holder, Store.open(storage_url, timeout=0.2) as store, Journal(store) as journal:
        builders.furnish(holder)

        def hold(connection: sa.Connection) -> list[BaseException | None]:
            if not store.database.is_sqlite:
                connection.execute(sa.text("LOCK TABLE evaluation"))
            return [journal.intend([builders.intended(number)]).exception(20) for number in range(2)]

        first, later = holder.database.write(hold)
        assert isinstance(first, Locked)
        assert "for more than 0.2 s" in str(first)
        assert later is first
        assert store.lookup([builders.key(0)]) == {}


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.connect.find_spec", lambda name: None)
    with pytest.raises(DriverMissing, match=r"blackbox-probe\[postgres\]"):
        Store.open("postgresql://localhost/db")


def test_an_unreachable_server_is_named_without_the_password(tmp_path: Path) -> None:
    url = f"postgresql://me:{SECRET}@/db?host={tmp_path}&password={SECRET}"
    with pytest.raises(CannotOpen, match="cannot connect; see that the server is up") as caught:
        Store.open(url, timeout=2)
    assert SECRET not in told(caught.value)


def test_a_database_that_does_not_exist_is_named(postgres_url: str) -> None:
    with pytest.raises(CannotOpen, match='database "nowhere" does not exist'):
        Store.open(sa.make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False))


def test_the_password_is_never_shown(postgres_url: str) -> None:
    with Store.open(sa.make_url(postgres_url).set(password=SECRET).render_as_string(hide_password=False)) as store:
        assert store.url.startswith("postgresql://postgres:***@")
        with pytest.raises(StorageError) as caught:
            store.run("nope")
        assert SECRET not in told(caught.value) + repr(store.database.engine) + repr(store)
