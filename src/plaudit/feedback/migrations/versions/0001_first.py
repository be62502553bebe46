"""Segments, questions, judgements and the queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("segments", "questions", "question_items", "judgements")


def upgrade() -> None:
    _contents()
    _judgements()
    _queue()
    if op.get_context().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )


def downgrade() -> None:
    for table in ("leases", "open_questions", "judgements", "question_items", "questions", "segments"):
        op.drop_table(table)


def _contents() -> None:
    op.create_table(
        "segments",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("encoding", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("source_rollout", sa.Integer),
        sa.Column("source_row", sa.Integer),
        sa.Column("source_start", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
    )
    op.create_table(
        "questions",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("wording", sa.Text, nullable=False),
        sa.Column("guideline", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.CheckConstraint("wanted > 0", name="ck_questions_wanted"),
        sa.PrimaryKeyConstraint("number", name="pk_questions"),
        sa.UniqueConstraint("id", name="uq_questions_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "question_items",
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("question", "position", name="pk_question_items"),
        sa.ForeignKeyConstraint(["question"], ["questions.number"], name="fk_question_items_question"),
        sa.ForeignKeyConstraint(["segment"], ["segments.id"], name="fk_question_items_segment"),
    )


def _judgements() -> None:
    op.create_table(
        "judgements",
        sa.Column("event", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("shown_order", sa.Text, nullable=False),
        sa.Column("shown_at", sa.Double, nullable=False),
        sa.Column("first_input_at", sa.Double, nullable=False),
        sa.Column("submitted_at", sa.Double, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("rationale", sa.Text),
        sa.Column("supersedes", sa.Text),
        sa.CheckConstraint("status IN ('accepted', 'surplus', 'withdrawal')", name="ck_judgements_status"),
        sa.PrimaryKeyConstraint("event", name="pk_judgements"),
        sa.UniqueConstraint("id", name="uq_judgements_id"),
        sa.UniqueConstraint("supersedes", name="uq_judgements_supersedes"),
        sa.ForeignKeyConstraint(["question"], ["questions.number"], name="fk_judgements_question"),
        sa.ForeignKeyConstraint(["supersedes"], ["judgements.id"], name="fk_judgements_supersedes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_judgements_question_annotator", "judgements", ["question", "annotator"])


def _queue() -> None:
    op.create_table(
        "open_questions",
        sa.Column("question", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seats", sa.Integer, nullable=False),
        sa.CheckConstraint("seats > 0", name="ck_open_questions_seats"),
        sa.PrimaryKeyConstraint("question", name="pk_open_questions"),
        sa.ForeignKeyConstraint(["question"], ["questions.number"], name="fk_open_questions_question"),
    )
    op.create_table(
        "leases",
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_leases"),
        sa.UniqueConstraint("question", "annotator", name="uq_leases_question_annotator"),
        sa.ForeignKeyConstraint(["question"], ["questions.number"], name="fk_leases_question"),
    )
    op.create_index("ix_leases_expires_at", "leases", ["expires_at"])
