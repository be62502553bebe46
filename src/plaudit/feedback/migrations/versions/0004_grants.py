"""Who made a token or a link to a new password, so that it ends with that account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# By the audit log, which has said so all the time; "" where it does not know.
MAKER = """UPDATE {table} SET created_by = coalesce((
    SELECT who FROM audit WHERE action = :action AND subject = {table}.{subject} ORDER BY event DESC LIMIT 1
), '')"""


def upgrade() -> None:
    for table, subject, action in (
        ("tokens", "name", "made a token"),
        ("resets", '"user"', "made a link to a new password"),
    ):
        op.add_column(table, sa.Column("created_by", sa.Text, nullable=False, server_default=""))
        op.execute(sa.text(MAKER.format(table=table, subject=subject)).bindparams(action=action))


def downgrade() -> None:
    for table in ("tokens", "resets"):
        op.drop_column(table, "created_by")
