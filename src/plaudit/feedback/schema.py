"""The tables, in SQL that SQLite and PostgreSQL share. ``REVISION`` is the migration that leaves them like this.

Segments, questions and judgements are only ever inserted; ``forget`` alone changes names in them. ``open_questions``
and ``leases`` are the queue: small, mutable, and free of facts that the other tables do not imply (except who is at
work just now). The tables about the people who judge stand in ``schema_people``.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

REVISION = "0004"

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SEGMENTS = Table(
    "segments",  # and dialogues, told apart by their encoding
    METADATA,
    Column("id", Text, primary_key=True),  # Segment.id or Dialogue.id, the hash of the contents
    Column("encoding", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("source_rollout", Integer),  # all three NULL, or none
    Column("source_row", Integer),
    Column("source_start", Integer),
)

QUESTIONS = Table(
    "questions",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),  # order of insertion
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("guideline", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("wanted", Integer, CheckConstraint("wanted > 0", name="wanted"), nullable=False),
    Column("project", Text, nullable=False, server_default="default"),
    Column("options", Text, nullable=False, server_default="{}"),  # JSON
    # not what is asked but why, so no part of the question's id: training, a known answer, the same again to one person
    Column(
        "purpose",
        Text,
        CheckConstraint("purpose IN ('train', 'gold', 'repeat')", name="purpose"),
        nullable=False,
        server_default="train",
    ),
    Column("only_for", Text),  # the one annotator who may answer; NULL: anybody
    Index("ix_questions_project", "project", "number"),
    sqlite_autoincrement=True,
)

QUESTION_ITEMS = Table(
    "question_items",
    METADATA,
    Column("question", Integer, ForeignKey("questions.number"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("segment", Text, ForeignKey("segments.id"), nullable=False),
)

JUDGEMENTS = Table(
    "judgements",
    METADATA,
    Column("event", Integer, primary_key=True, autoincrement=True),  # order of arrival
    Column("id", Text, nullable=False, unique=True),
    Column("question", Integer, ForeignKey("questions.number"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("value", Text, nullable=False),  # JSON
    Column("shown_order", Text, nullable=False),  # JSON list
    Column("shown_at", Double, nullable=False),  # the three in seconds since the epoch, UTC
    Column("first_input_at", Double, nullable=False),
    Column("submitted_at", Double, nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status IN ('accepted', 'surplus', 'withdrawal')", name="status"),
        nullable=False,
    ),
    Column("rationale", Text),
    Column("supersedes", Text, ForeignKey("judgements.id"), unique=True),  # a judgement is replaced at most once
    Index("ix_judgements_question_annotator", "question", "annotator"),
    Index("ix_judgements_annotator", "annotator", "event"),
    sqlite_autoincrement=True,
)

OPEN_QUESTIONS = Table(
    "open_questions",
    METADATA,
    # no sequence: the number is the question's
    Column("question", Integer, ForeignKey("questions.number"), primary_key=True, autoincrement=False),
    Column("seats", Integer, CheckConstraint("seats > 0", name="seats"), nullable=False),  # effective ones still wanted
    # copies of the question's, so that finding work reads one table
    Column("project", Text, nullable=False, server_default="default"),
    Column("purpose", Text, nullable=False, server_default="train"),
    Column("only_for", Text),
    Index("ix_open_questions_project", "project", "purpose", "question"),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("question", Integer, ForeignKey("questions.number"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("expires_at", Double, nullable=False),  # seconds since the epoch, UTC
    Column("claimed_at", Double, nullable=False, server_default="0"),
    UniqueConstraint("question", "annotator"),
    Index("ix_leases_expires_at", "expires_at"),
    Index("ix_leases_claimed_at", "claimed_at"),
)
