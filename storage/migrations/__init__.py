"""Which schema a database has, and bringing it to the newest one.

Alembic does the work and is driven from here: users need no ``alembic.ini``. It is imported only when there is something
to migrate, because opening a database is on the way of every command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.connect import Database
from storage.errors import CannotOpen, SchemaTooNew, SchemaTooOld
from storage.schema import REVISION, VERSION_TABLE, metadata

#: Any number will do, as long as every process that migrates takes the same one.
_POSTGRES_LOCK = 0x70726F6265


def ensure(database: Database, *, create: bool) -> None:
    """See that ``database`` has the newest schema; an empty one is given it if ``create``.

    Raises :class:`SchemaTooOld`, :class:`SchemaTooNew`, :class:`CannotOpen`.
    """
    with database.reading() as connection:
        found = revision(connection)
        if found is None and not create:
            raise CannotOpen(f"{database.shown}: nothing is stored here yet; run a probe first, or check `storage:`")
    if found is None:
        bring_up(database, only_if_empty=True)
    else:
        _check(found, database.shown)


def bring_up(database: Database, *, only_if_empty: bool = False) -> tuple[str | None, str]:
    """Migrate ``database`` to the newest schema in one transaction; return the revisions before and after.

    Raises :class:`SchemaTooNew`, :class:`CannotOpen`.
    """

    def work(connection: sa.Connection) -> tuple[str | None, str]:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
        found = revision(connection)  # again: another process may have been quicker
        if found is None:
            _refuse_strangers(connection, database.shown)
        elif only_if_empty or found >= REVISION:
            _check(found, database.shown)
            return found, found
        _migrate(connection, found, database.shown)
        if database.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise CannotOpen(
                f"{database.shown}: rows of {broken[0]} refer to missing rows of {broken[2]}; not upgraded"
            )
        return found, REVISION

    return database.migrate(work)


def revision(connection: sa.Connection) -> str | None:
    """The revision that the database says it has, ``None`` if it says nothing."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE)))
    return found


def settings() -> Any:
    """Alembic's configuration; the connection goes in as ``attributes["connection"]``, the URL never does."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _migrate(connection: sa.Connection, found: str | None, shown: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    config = settings()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, REVISION)
    except CommandError as error:
        raise CannotOpen(
            f"{shown}: has schema {found}, which no release had; restore a copy of it ({error})"
        ) from error


def _check(found: str, shown: str) -> None:
    if found < REVISION:
        raise SchemaTooOld(
            f"{shown}: made by an earlier version (schema {found}, needed {REVISION}); run `probe db upgrade`"
        )
    if found > REVISION:
        raise SchemaTooNew(
            f"{shown}: made by a later version (schema {found}, this one knows {REVISION}); "
            "update this program, or name another database in `storage:`"
        )


def _refuse_strangers(connection: sa.Connection, shown: str) -> None:
    taken = sorted(set(sa.inspect(connection).get_table_names()) & set(metadata.tables))
    if taken:
        raise CannotOpen(
            f"{shown}: holds tables of something else ({', '.join(taken)}); give probe a database or schema of its own"
        )
