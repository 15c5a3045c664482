"""From a URL to transactions whose failures are words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from storage.columns import serialized
from storage.errors import CannotOpen, Contended, DriverMissing, Locked
from storage.wording import translate

T = TypeVar("T")

_POSTGRES = {"postgresql", "postgres", "postgresql+psycopg"}


class Database:
    """One database, its connections and its transactions. Safe to share between threads."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self._url = _parsed(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        #: how messages call it: never with a password, never with options that might hold one
        self.shown = self._url.set(query={}).render_as_string(hide_password=True).replace("+psycopg", "")
        self.timeout = timeout
        self.engine = _sqlite(self._url, timeout) if self.is_sqlite else _postgres(self._url, timeout)
        self.driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        self._writers = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        self._singles = self._writers if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # several questions are about one moment; on SQLite they are anyway
        self._readers = (
            self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )
        # SQLite has one writer: our own threads queue here, which is fair and wakes at once, unlike its busy handler
        self._turn: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self._url.database or "") if self.is_sqlite else None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A consistent view for one or more questions. Raises :class:`StorageError`."""
        with self.worded(), self._readers.connect() as connection:
            yield connection

    def write(self, work: Callable[[sa.Connection], T], *, single: bool = False) -> T:
        """Run ``work`` in one transaction: all of it is stored when this returns, or nothing.

        ``work`` is run again if the database undid it in favour of someone else's. ``single``: on Postgres it executes one
        statement, which then commits by itself: no round trips while a row is locked. Raises :class:`StorageError`.
        """
        engine = self._singles if single else self._writers
        for attempt in Retrying(
            retry=retry_if_exception_type(Contended),
            stop=stop_after_attempt(6),
            wait=wait_exponential(multiplier=0.005, max=0.2),
            reraise=True,
        ):
            with attempt, self._turn, self.worded(), engine.begin() as connection:
                return work(connection)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def migrate(self, work: Callable[[sa.Connection], T]) -> T:
        """As :meth:`write`, with SQLite's foreign keys off, so that a table may be copied, dropped and put back."""
        if not self.is_sqlite:
            return self.write(work)
        with self._turn, self.worded(), self._writers.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 - for the type checker: an open connection has one
            driver.execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction, so before it
            try:
                with connection.begin():
                    return work(connection)
            finally:
                driver.execute("PRAGMA foreign_keys=ON")

    def prepare(self, *, create: bool) -> None:
        """See that a SQLite file is there and in WAL mode, in which readers and the writer work at the same time.

        Raises :class:`CannotOpen` for a missing file unless ``create``.
        """
        if self.path is None:
            return
        if not create and not self.path.exists():
            raise CannotOpen(f"{self.shown}: there is no such file; run a probe first, or check `storage:`")
        bare = self.engine.execution_options(begin="")
        for attempt in Retrying(  # the change of mode does not wait for other processes by itself
            retry=retry_if_exception_type(Locked),
            stop=stop_after_delay(self.timeout),
            wait=wait_fixed(0.02),
            reraise=True,
        ):
            with attempt, self.worded(), bare.connect() as connection:
                if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    @contextmanager
    def worded(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except SQLAlchemyError as error:
            raise translate(error, self.shown, path=self.path, timeout=self.timeout) from error
        except self.driver_error as error:  # while a connection was prepared, where SQLAlchemy passes it on as it is
            wrapped = OperationalError(None, None, error)
            raise translate(wrapped, self.shown, path=self.path, timeout=self.timeout) from error

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An ``INSERT`` that knows ``ON CONFLICT``."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def chunks(values: Sequence[T], size: int = 1_000) -> Iterator[Sequence[T]]:
    """``values`` in pieces fit for ``IN (…)``: SQLite allows 32,766 parameters in a statement, but their names take memory."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # the URL itself stays out of the message and of the traceback: it may hold a password
        raise CannotOpen(
            "the storage URL cannot be read; write sqlite:///probe.db or postgresql://user@host/database "
            "(special characters in a password %-encoded)"
        ) from None
    if parsed.drivername in _POSTGRES:
        if find_spec("psycopg") is None:
            raise DriverMissing(
                "storage is a Postgres URL, but the Postgres driver is not installed; "
                "install the extra: pip install 'blackbox-probe[postgres]'"
            )
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise CannotOpen(f"storage of kind {parsed.drivername!r} is not supported; use sqlite:/// or postgresql://")
    if parsed.database in (None, "", ":memory:"):
        raise CannotOpen("storage needs a file: write sqlite:///probe.db (three slashes, then the path)")
    return parsed


def _sqlite(url: sa.URL, timeout: float) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": timeout}, hide_parameters=True, json_serializer=serialized)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # a transaction that reads before it writes must own the write lock from the start, or it fails without waiting
        if statement := connection.get_execution_options().get("begin", "BEGIN"):
            connection.exec_driver_sql(statement)

    return engine


def _postgres(url: sa.URL, timeout: float) -> sa.Engine:
    given = {"connect_timeout": max(2, round(timeout)), "tcp_user_timeout": 30_000, "application_name": "probe"}
    engine = sa.create_engine(
        url,
        connect_args={name: value for name, value in given.items() if name not in url.query},
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=serialized,
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{max(1, round(timeout * 1000))}ms",))
            # "stored" means on disk, whatever the server's default is; a stricter default is kept
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()

    return engine
