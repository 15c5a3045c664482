"""Limits and budgets that several processes share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them; nothing that is there changes."""
    op.create_table(
        "limiter",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_slot", sa.Double(), nullable=False),
        sa.Column("held_until", sa.Double(), nullable=False),
        sa.Column("as_of", sa.Double(), nullable=False),
        sa.Column("gap", sa.Double()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_limiter")),
    )
    op.create_table(
        "budget",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("micro", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("requests >= 0", name=op.f("ck_budget_requests")),
        sa.CheckConstraint("micro >= 0", name=op.f("ck_budget_micro")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budget")),
    )
