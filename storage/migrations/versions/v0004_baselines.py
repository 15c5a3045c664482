"""Baselines, their probes, and the checks against them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add them; nothing that is there changes."""
    op.create_table(
        "baseline",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("noise", sa.JSON(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True)),
        sa.Column("accepted_check", sa.Text()),
        sa.Column("note", sa.Text()),
        sa.CheckConstraint("status IN ('building', 'ready', 'accepted', 'replaced')", name=op.f("ck_baseline_status")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_baseline_endpoint_id_endpoint")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_baseline_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baseline")),
    )
    op.create_index(op.f("ix_baseline_name"), "baseline", ["name", "started"], unique=False)
    op.create_table(
        "baseline_probe",
        sa.Column("baseline_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.id"], name=op.f("fk_baseline_probe_baseline_id_baseline"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_baseline_probe_instance_id_instance")),
        sa.PrimaryKeyConstraint("baseline_id", "position", name=op.f("pk_baseline_probe")),
    )
    op.create_table(
        "baseline_check",
        sa.Column("number", _COUNT, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("baseline_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.Column("verdict", sa.Text()),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('alarm', 'no change found', 'inconclusive')", name=op.f("ck_baseline_check_verdict")
        ),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.id"], name=op.f("fk_baseline_check_baseline_id_baseline"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_baseline_check_run_id_run")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_baseline_check")),
        sa.UniqueConstraint("id", name=op.f("uq_baseline_check_id")),
    )
    op.create_index(op.f("ix_baseline_check_baseline_id"), "baseline_check", ["baseline_id", "number"], unique=False)
