"""Evaluations that are over in packs, the index of their keys, and the chain of evidence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add them; nothing that is there changes. Rows are folded into packs afterwards, by ``storage.upkeep``."""
    op.create_index(op.f("ix_evaluation_body_sha"), "evaluation", ["body_sha"], unique=False)
    some = sa.text("segments_sha IS NOT NULL")
    op.create_index(
        op.f("ix_probe_segments_sha"),
        "probe",
        ["segments_sha"],
        unique=False,
        sqlite_where=some,
        postgresql_where=some,
    )
    op.create_table(
        "pack",
        sa.Column("number", _COUNT, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("evaluations", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        sa.Column("first_sent", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_sent", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("body_count", sa.BigInteger(), nullable=False),
        sa.Column("bodies", sa.LargeBinary()),
        sa.Column("bodies_root", sa.LargeBinary()),
        sa.CheckConstraint("length(root) = 32", name=op.f("ck_pack_root")),
        sa.CheckConstraint("length(bodies_root) = 32", name=op.f("ck_pack_bodies_root")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_pack_endpoint_id_endpoint")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_pack_run_id_run")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_pack")),
    )
    op.create_index(op.f("ix_pack_run_id"), "pack", ["run_id"], unique=False)
    op.create_table(
        "coalitions",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_coalitions_sha256")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_coalitions")),
    )
    op.create_table(
        "index_sheaf",
        sa.Column("number", _COUNT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_index_sheaf")),
    )
    op.create_table(
        "index_page",
        sa.Column("sheaf", _COUNT, nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["sheaf"], ["index_sheaf.number"], name=op.f("fk_index_page_sheaf_index_sheaf")),
        sa.PrimaryKeyConstraint("sheaf", "page", name=op.f("pk_index_page")),
    )
    op.create_table(
        "chain",
        sa.Column("seq", _COUNT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("what IN ('run', 'prune')", name=op.f("ck_chain_what")),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_chain_hash")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_chain")),
    )
