"""Links that let people set a new password, and people who are forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("forgotten_at", sa.Double))
    op.create_table(
        "resets",
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_resets"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name="fk_resets_user"),
    )
    op.create_index("ix_resets_user", "resets", ["user"])


def downgrade() -> None:
    op.drop_table("resets")
    op.drop_column("users", "forgotten_at")
