"""Alembic's entry point; the connection is handed over by ``storage.migrations``."""

from __future__ import annotations

from alembic import context

from storage.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite cannot alter a table: copy and swap it
    transactional_ddl=True,  # both can: our own BEGIN covers everything
)
with context.begin_transaction():
    context.run_migrations()
