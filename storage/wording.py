"""The databases' errors in one line each: what was seen, where, what to do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from storage.errors import (
    CannotOpen,
    ConnectionLost,
    Contended,
    Damaged,
    DiskFull,
    Locked,
    ReadOnly,
    StorageError,
    Unstorable,
)


def translate(error: SQLAlchemyError, shown: str, *, path: Path | None, timeout: float) -> StorageError:
    """Our error for ``error``, which came from the database shown as ``shown`` (``path``: its file, if it is one)."""
    if isinstance(error, DBAPIError):
        if isinstance(error.orig, sqlite3.Error) and path is not None:
            return _sqlite(error.orig, shown, path, timeout)
        return _postgres(error, shown, timeout)
    if isinstance(error, StatementError):  # a value was refused before it was sent
        return Unstorable(f"{shown}: {error.orig}")
    return StorageError(f"{shown}: {_first_line(error)}")


def _sqlite(error: sqlite3.Error, shown: str, path: Path, timeout: float) -> StorageError:
    seen = _first_line(error)
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Locked(
                f"{shown}: another process has been writing for more than {timeout:g} s; "
                "end it or wait for it, then run the same command again"
            )
        case sqlite3.SQLITE_FULL:
            return DiskFull(f"{shown}: the disk is full; free some space, then run the same command again")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return _read_only(shown, path)
        case sqlite3.SQLITE_CANTOPEN:
            return _cannot_open(shown, path, seen)
        case sqlite3.SQLITE_NOTADB:
            return CannotOpen(f"{shown}: the file is not a SQLite database; check `storage:` in the config")
        case sqlite3.SQLITE_CORRUPT:
            return Damaged(f"{shown}: the file is damaged ({seen}); restore a copy, or try `sqlite3 {path} .recover`")
        case sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_RANGE:
            return Unstorable(f"{shown}: {seen}")
    if isinstance(error, sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return Unstorable(f"{shown}: {seen}")
    return StorageError(f"{shown}: SQLite says: {seen}")


def _read_only(shown: str, path: Path) -> ReadOnly:
    return ReadOnly(
        f"{shown}: this account may not write there; make {path} and its directory writable, "
        "or name another file in `storage:`"
    )


def _cannot_open(shown: str, path: Path, seen: str) -> StorageError:
    directory = path.absolute().parent
    if not directory.is_dir():
        return CannotOpen(f"{shown}: the directory {directory} does not exist; create it, or change `storage:`")
    if path.is_dir():
        return CannotOpen(f"{shown}: {path} is a directory; name a file in it")
    # the directory counts too: SQLite keeps two more files beside the database while it is open
    if all(_writable(needed) for needed in (path, directory) if needed.exists()):
        return CannotOpen(f"{shown}: {seen}")
    return _read_only(shown, path)


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


_RETRY = "then run the same command again"
#: By SQLSTATE, the longest beginning that fits; see appendix A of the Postgres manual.
_STATES: dict[str, tuple[Callable[[str], StorageError], str]] = {
    "53100": (DiskFull, f"the server's disk is full; free some space, {_RETRY}"),
    "53": (StorageError, f"the server is out of resources: {{seen}}; wait a little, {_RETRY}"),
    "55P03": (Locked, f"someone else has held a lock for more than {{timeout:g}} s; wait for it, {_RETRY}"),
    "40P01": (Contended, f"other writers got in the way several times in a row; {_RETRY}"),
    "40001": (Contended, f"other writers got in the way several times in a row; {_RETRY}"),
    "25006": (ReadOnly, "the server accepts no writes (a replica, or read-only mode); name the primary in `storage:`"),
    "42501": (ReadOnly, "this account may not do that: {seen}; grant it, or name another account in `storage:`"),
    "28": (CannotOpen, "the server refused the login: {seen}; check user and password in `storage:`"),
    "3D000": (CannotOpen, "{seen}; create it (createdb), or change `storage:`"),
    "57P": (ConnectionLost, f"the server ended the connection: {{seen}}; see that it is up, {_RETRY}"),
    "08": (ConnectionLost, f"the connection broke: {{seen}}; see that the server is up, {_RETRY}"),
    "22": (Unstorable, "{seen}"),
    "23": (Unstorable, "{seen}"),
    "XX001": (Damaged, "the server found damaged data: {seen}; restore a backup"),
    "XX002": (Damaged, "the server found a damaged index: {seen}; see REINDEX in the Postgres manual"),
}


def _postgres(error: DBAPIError, shown: str, timeout: float) -> StorageError:
    seen = _first_line(error.orig)
    state = getattr(error.orig, "sqlstate", None) or ""
    for length in (5, 3, 2):
        if found := _STATES.get(state[:length]):
            make, words = found
            return make(f"{shown}: {words.format(seen=seen, timeout=timeout)}")
    if state:
        return StorageError(f"{shown}: the server says: {seen} (SQLSTATE {state})")
    if isinstance(
        error, DataError | ProgrammingError | NotSupportedError
    ):  # the driver refused it, the server never saw it
        return Unstorable(f"{shown}: {seen}")
    if error.connection_invalidated:
        return ConnectionLost(f"{shown}: the connection broke: {seen}; see that the server is up, {_RETRY}")
    if not isinstance(error, OperationalError):
        return StorageError(f"{shown}: {seen}")
    if "authentication" in seen or "password" in seen:  # psycopg reports a refused login without its SQLSTATE
        return CannotOpen(f"{shown}: the server refused the login; check user and password in `storage:` ({seen})")
    return CannotOpen(f"{shown}: cannot connect; see that the server is up and `storage:` is right ({seen})")


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0].strip() or type(error).__name__
