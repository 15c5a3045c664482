"""Somebody's own SQL, which can read and nothing else, for so long and so many rows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from storage.connect import Database
from storage.errors import Refused

_STEPS = 10_000  #: of SQLite's machine between two looks at the clock
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


@dataclass(frozen=True, slots=True)
class Answer:
    """``more``: there are more rows than were asked for."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool


def select(database: Database, statement: str, *, limit: int = 1000, seconds: float = 30.0) -> Answer:
    """The rows of one ``SELECT``, on a connection of its own that cannot write. Raises :class:`Refused`.

    SQLite: the file is opened to be read, ``query_only`` is on, and an authorizer lets nothing pass but reading. Postgres: a
    read-only transaction and the extended protocol, which takes one statement, inside of another ``SELECT``.
    """
    text = statement.strip().rstrip(";").strip()
    if not text:
        raise Refused("--sql: there is no statement; write one SELECT")
    if database.is_sqlite:
        return _sqlite(database, text, limit, seconds)
    return _postgres(database, text, limit, seconds)


def _sqlite(database: Database, text: str, limit: int, seconds: float) -> Answer:
    end = time.monotonic() + seconds
    uri = f"file:{quote(str(database.path))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=database.timeout)) as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            cursor = connection.execute(text)
            rows = cursor.fetchmany(limit + 1)
            columns = tuple(each[0] for each in cursor.description or ())
    except (sqlite3.Error, sqlite3.Warning) as error:
        said = "takes longer than it may" if "interrupted" in str(error) else str(error)
        raise Refused(f"--sql: {_words(said, seconds)}") from error
    return _answer(columns, rows, limit)


def _postgres(database: Database, text: str, limit: int, seconds: float) -> Answer:
    with database.worded(), database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.rollback()
        driver.read_only = True  # of transactions that begin from now on
        try:
            with driver.cursor() as cursor:
                allowed = f"{max(1, round(seconds * 1000))}ms"
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", (allowed,))
                inside = f"SELECT * FROM ({text}\n) AS asked LIMIT {limit + 1}"  # noqa: S608 - it is theirs, and cannot write
                cursor.execute(inside, binary=True)
                rows = cursor.fetchall()
                columns = tuple(each.name for each in cursor.description or ())
        except database.driver_error as error:
            raise Refused(f"--sql: {_words(str(error), seconds)}") from error
        finally:
            driver.rollback()
            driver.read_only = None
    return _answer(columns, rows, limit)


def _answer(columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], limit: int) -> Answer:
    return Answer(columns, [tuple(row) for row in rows[:limit]], len(rows) > limit)


def _words(said: str, seconds: float) -> str:
    if "longer than" in said or "statement timeout" in said:
        return f"the statement took longer than {seconds:g} s; ask for less, or allow more with --timeout"
    if "not authorized" in said or "prohibited" in said or "read-only" in said:
        return f"only reading is allowed ({said}); write one SELECT"
    if "one statement at a time" in said:
        return "only one statement is allowed; write one SELECT"
    return f"{said.splitlines()[0]}"
