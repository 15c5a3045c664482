"""First tables: runs, endpoints, instances, probes, attributions, the ledger, bodies and usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create them in an empty database."""
    op.create_table(
        "body",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("encoding IN ('raw', 'zlib')", name=op.f("ck_body_encoding")),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_body_sha256")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_body")),
    )
    op.create_table(
        "endpoint",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint")),
    )
    op.create_table(
        "feature",
        sa.Column("id", _COUNT, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature")),
        sa.UniqueConstraint("key", name=op.f("uq_feature_key")),
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN ('image', 'text', 'tabular')", name=op.f("ck_instance_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config_sha", sa.LargeBinary(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.Column("totals", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "status IN ('running', 'finished', 'partial', 'failed', 'interrupted')", name=op.f("ck_run_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "usage_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "provider", "model", name=op.f("pk_usage_day")),
    )
    op.create_table(
        "evaluation",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("maybe_billed", sa.Integer(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        sa.Column("elapsed", sa.Double(), nullable=False),
        sa.Column("scores", sa.JSON()),
        sa.Column("floor", sa.Double()),
        sa.Column("censored", sa.Boolean(), nullable=False),
        sa.Column("parser", sa.Text(), nullable=False),
        sa.Column("body_sha", sa.LargeBinary()),
        sa.Column("http_status", sa.Integer()),
        sa.Column("content_type", sa.Text()),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("state IN ('intended', 'answered', 'rejected', 'failed')", name=op.f("ck_evaluation_state")),
        sa.CheckConstraint("length(key) = 32", name=op.f("ck_evaluation_key")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_evaluation_endpoint_id_endpoint")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_evaluation_run_id_run")),
        sa.PrimaryKeyConstraint("key", "generation", name=op.f("pk_evaluation")),
    )
    op.create_table(
        "probe",
        sa.Column("number", _COUNT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("params_hash", sa.LargeBinary(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evaluations", sa.BigInteger(), nullable=False),
        sa.Column("from_ledger", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        sa.Column("base_value", sa.Double()),
        sa.Column("full_value", sa.Double()),
        sa.Column("exact", sa.Boolean(), nullable=False),
        sa.Column("top_feature", sa.Text()),
        sa.Column("trust", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("segments_sha", sa.LargeBinary()),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("status IN ('finished', 'partial', 'failed')", name=op.f("ck_probe_status")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_probe_endpoint_id_endpoint")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_probe_instance_id_instance")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_probe_run_id_run")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_probe")),
        sa.UniqueConstraint("id", name=op.f("uq_probe_id")),
        sa.UniqueConstraint(
            "run_id", "name", "instance_id", "endpoint_id", "method", "params_hash", name=op.f("uq_probe_run_id")
        ),
    )
    op.create_table(
        "attribution",
        sa.Column("feature_id", _COUNT, nullable=False),
        sa.Column("probe_number", _COUNT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("std_error", sa.Double()),
        sa.ForeignKeyConstraint(["feature_id"], ["feature.id"], name=op.f("fk_attribution_feature_id_feature")),
        sa.ForeignKeyConstraint(
            ["probe_number"], ["probe.number"], name=op.f("fk_attribution_probe_number_probe"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feature_id", "probe_number", name=op.f("pk_attribution")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_attribution_probe_number"), "attribution", ["probe_number", "position"], unique=False)
