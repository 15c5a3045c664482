"""The tables. Every change here needs a migration in ``migrations/versions``; a test compares the two.

Legible by hand in ``sqlite3``, ``psql`` and ``datasette``: times are UTC, enums are words, settings and scores are JSON,
money is integer micro-units. Hashes and ledger keys are 32-byte binaries (``hex(key)``, ``encode(key, 'hex')``). What is over
is folded into packs, compressed columns that FORMAT.md shows how to read.
"""

from __future__ import annotations

from typing import Any, get_args

import sqlalchemy as sa

from storage.columns import Count, Figure, Json, Moment, Words
from storage.records import EntryState, InstanceKind, ProbeStatus, RunStatus

#: Newest revision in ``migrations/versions``. Revisions are numbers, so older and newer can be told without Alembic.
REVISION = "0006"
VERSION_TABLE = "probe_schema"

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def one_of(column: str, literal: Any) -> sa.CheckConstraint:
    """That ``column`` holds one of the words of ``literal``."""
    words = ", ".join(f"'{word}'" for word in get_args(literal))
    return sa.CheckConstraint(f"{column} IN ({words})", name=column)


def _digest(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"length({column}) = 32", name=column)


run = sa.Table(
    "run",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("name", Words, nullable=False),
    sa.Column("config_sha", sa.LargeBinary, nullable=False),
    sa.Column("config", Words, nullable=False),
    sa.Column("code_version", Words, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("status", Words, nullable=False),
    sa.Column("finished", Moment),
    sa.Column("totals", Json, nullable=False),
    one_of("status", RunStatus),
)

endpoint = sa.Table(
    "endpoint",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("name", Words, nullable=False),
    sa.Column("provider", Words, nullable=False),
    sa.Column("url", Words, nullable=False),
    sa.Column("model", Words, nullable=False),
    sa.Column("identity", Words, nullable=False),
)

instance = sa.Table(
    "instance",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    one_of("kind", InstanceKind),
)

feature = sa.Table(
    "feature",
    metadata,
    sa.Column("id", Count, primary_key=True),
    sa.Column("key", Words, nullable=False),
    sa.UniqueConstraint("key"),
)

probe = sa.Table(
    "probe",
    metadata,
    # short, for the attributions to refer to; also the order in which probes were first saved
    sa.Column("number", Count, primary_key=True),
    sa.Column("id", Words, nullable=False),
    sa.Column("run_id", Words, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("instance_id", Words, sa.ForeignKey("instance.id"), nullable=False),
    sa.Column("endpoint_id", Words, sa.ForeignKey("endpoint.id"), nullable=False),
    sa.Column("method", Words, nullable=False),
    sa.Column("params", Json, nullable=False),
    sa.Column("params_hash", sa.LargeBinary, nullable=False),
    sa.Column("target", Words, nullable=False),
    sa.Column("status", Words, nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("finished", Moment, nullable=False),
    sa.Column("evaluations", sa.BigInteger, nullable=False),
    sa.Column("from_ledger", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("cost_micro", sa.BigInteger, nullable=False),
    sa.Column("base_value", Figure),
    sa.Column("full_value", Figure),
    sa.Column("exact", sa.Boolean, nullable=False),
    sa.Column("top_feature", Words),
    sa.Column("trust", Json, nullable=False),
    sa.Column("findings", Json, nullable=False),
    sa.Column("details", Json, nullable=False),
    sa.Column("features", Json, nullable=False),
    # bodies may be pruned while the numbers stay, so this refers to one without being a foreign key
    sa.Column("segments_sha", sa.LargeBinary),
    sa.Column("asked", sa.LargeBinary, nullable=False),  # the coalitions, or the SHA-256 of a row of ``coalitions``
    sa.Column("error", Words),
    sa.UniqueConstraint("id"),
    sa.UniqueConstraint("run_id", "name", "instance_id", "endpoint_id", "method", "params_hash"),
    sa.Index(None, "instance_id", "endpoint_id", "method"),  # one probe over time
    sa.Index(
        None,
        "segments_sha",
        sqlite_where=sa.text("segments_sha IS NOT NULL"),
        postgresql_where=sa.text("segments_sha IS NOT NULL"),
    ),
    one_of("status", ProbeStatus),
)

attribution = sa.Table(
    "attribution",
    metadata,
    # in this order, so that one feature over time is one index range
    sa.Column("feature_id", Count, sa.ForeignKey("feature.id"), primary_key=True),
    sa.Column("probe_number", Count, sa.ForeignKey("probe.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("value", Figure),
    sa.Column("std_error", Figure),
    sa.Index(None, "probe_number", "position"),
    sqlite_with_rowid=False,
)

evaluation = sa.Table(
    "evaluation",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("state", Words, nullable=False),
    sa.Column("endpoint_id", Words, sa.ForeignKey("endpoint.id"), nullable=False),
    sa.Column("run_id", Words, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("sent_at", Moment, nullable=False),
    sa.Column("answered_at", Moment),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("maybe_billed", sa.Integer, nullable=False),
    sa.Column("cost_micro", sa.BigInteger, nullable=False),
    sa.Column("elapsed", Figure, nullable=False),
    sa.Column("scores", Json),
    sa.Column("floor", Figure),
    sa.Column("censored", sa.Boolean, nullable=False),
    sa.Column("parser", Words, nullable=False),
    sa.Column("body_sha", sa.LargeBinary),  # not a foreign key: bodies may be pruned while the numbers stay
    sa.Column("http_status", sa.Integer),
    sa.Column("content_type", Words),
    sa.Column("item", sa.Integer, nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("error", Words),
    _digest("key"),
    one_of("state", EntryState),
    sa.Index(None, "body_sha"),
)

# Evaluations that are over, many in a blob of columns (pack.py); until then they are rows of ``evaluation``.
pack = sa.Table(
    "pack",
    metadata,
    sa.Column("number", Count, primary_key=True),
    sa.Column("run_id", Words, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("endpoint_id", Words, sa.ForeignKey("endpoint.id"), nullable=False),
    sa.Column("evaluations", sa.BigInteger, nullable=False),
    sa.Column("answered", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("cost_micro", sa.BigInteger, nullable=False),
    sa.Column("first_sent", Moment, nullable=False),
    sa.Column("last_sent", Moment, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),  # of the hashes of the evaluations (evidence.py)
    sa.Column("body_count", sa.BigInteger, nullable=False),  # bodies that are kept
    sa.Column("bodies", sa.LargeBinary),  # response bodies, compressed together
    sa.Column("bodies_root", sa.LargeBinary),  # of the hashes of the bodies; stays when they are dropped
    sa.Index(None, "run_id"),
    _digest("root"),
    _digest("bodies_root"),
)

# What probes asked, and where in the packs the answers are (asked.py): often the same for several methods.
coalitions = sa.Table(
    "coalitions",
    metadata,
    sa.Column("sha256", sa.LargeBinary, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    _digest("sha256"),
)

# Where in the packs a key is (index.py).
index_sheaf = sa.Table(
    "index_sheaf",
    metadata,
    sa.Column("number", Count, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("bits", sa.Integer, nullable=False),
)

index_page = sa.Table(
    "index_page",
    metadata,
    sa.Column("sheaf", Count, sa.ForeignKey("index_sheaf.number"), primary_key=True),
    sa.Column("page", sa.Integer, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

# What was there when: each link holds the one before (evidence.py). Rows are added, never changed.
chain = sa.Table(
    "chain",
    metadata,
    sa.Column("seq", Count, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("what", Words, nullable=False),
    sa.Column("run_id", Words),  # not a foreign key: the chain outlives what it is about
    sa.Column("note", Words, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("previous", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("what IN ('run', 'prune')", name="what"),
    _digest("hash"),
)

body = sa.Table(
    "body",
    metadata,
    sa.Column("sha256", sa.LargeBinary, primary_key=True),
    sa.Column("encoding", Words, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes before compression
    sa.Column("content", sa.LargeBinary, nullable=False),
    _digest("sha256"),
    sa.CheckConstraint("encoding IN ('raw', 'zlib')", name="encoding"),
)

usage_day = sa.Table(
    "usage_day",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("provider", Words, primary_key=True),
    sa.Column("model", Words, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("cost_micro", sa.BigInteger, nullable=False),
)

# Times are seconds on the database's clock: Unix time by Postgres's, time since boot for SQLite (see limits.py).
limiter = sa.Table(
    "limiter",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("next_slot", Figure, nullable=False),  # the first that nobody has taken
    sa.Column("held_until", Figure, nullable=False),
    sa.Column("as_of", Figure, nullable=False),  # when the row was last changed, to notice a clock that went back
    sa.Column("gap", Figure),  # seconds between slots in the last lease
)

budget = sa.Table(
    "budget",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),  # spent so far
    sa.Column("micro", sa.BigInteger, nullable=False),
    sa.CheckConstraint("requests >= 0", name="requests"),
    sa.CheckConstraint("micro >= 0", name="micro"),
)

# Keys to the service (tokens.py) and the runs that it was asked for (jobs.py).
token = sa.Table(
    "token",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("name", Words, nullable=False),
    sa.Column("scope", Words, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("scope IN ('read', 'run', 'admin')", name="scope"),
    _digest("digest"),
)

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("config", Words, nullable=False),
    sa.Column("options", Json, nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("submitted", Moment, nullable=False),
    sa.Column("status", Words, nullable=False),
    sa.Column("run_id", Words),  # not a foreign key: a job knows its run before the run is stored
    sa.Column("started", Moment),
    sa.Column("finished", Moment),
    sa.Column("exit_code", sa.Integer),
    sa.Column("error", Words),
    sa.Column("owner", Words),
    sa.Column("beat", Moment),
    sa.CheckConstraint("status IN ('queued', 'running', 'finished', 'failed', 'cancelled')", name="status"),
    sa.Index(None, "run_id"),
)
