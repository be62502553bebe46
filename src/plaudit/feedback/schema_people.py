"""The tables about people: accounts, sessions, invitations, projects, guidelines, drafts, consent, the audit log.

They are kept apart from what people judged: a judgement holds an annotator's name, and nothing here is needed to
train. Secrets are stored as hashes. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Double, ForeignKey, Index, Integer, Table, Text

from plaudit.feedback.schema import METADATA

ROLES = ("admin", "reviewer", "annotator", "red-team")

USERS = Table(
    "users",
    METADATA,
    Column("name", Text, primary_key=True),  # Judgement.annotator
    Column("role", Text, CheckConstraint("role IN ('admin', 'reviewer', 'annotator', 'red-team')", name="role")),
    Column("password", Text),  # argon2; NULL: signs in by link or token only
    Column("preferences", Text, nullable=False, server_default="{}"),  # JSON: keys, theme, speed
    Column("pay", Double),  # an hour, in whatever currency the team thinks in
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("forgotten_at", Double),  # then the name is a pseudonym, and nothing leads from it to a person
)

INVITES = Table(
    "invites",
    METADATA,
    Column("token", Text, primary_key=True),  # hash
    Column("role", Text, nullable=False),
    Column("uses_left", Integer, CheckConstraint("uses_left >= 0", name="uses_left"), nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("token", Text, primary_key=True),  # hash
    Column("name", Text, nullable=False, unique=True),  # public, to list and revoke it by
    Column("user", Text, ForeignKey("users.name"), nullable=False),
    Column("agent", Text, nullable=False),  # the browser's own words
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
    Index("ix_sessions_user", "user"),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token", Text, primary_key=True),  # hash
    Column("name", Text, nullable=False, unique=True),
    Column("user", Text, ForeignKey("users.name"), nullable=False),
    Column("scopes", Text, nullable=False),  # JSON list: judge, ask, read, admin
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("created_by", Text, nullable=False, server_default=""),
    Index("ix_tokens_user", "user"),
)

RESETS = Table(
    "resets",  # links that let somebody set a new password; the row goes when it is used
    METADATA,
    Column("token", Text, primary_key=True),  # hash
    Column("user", Text, ForeignKey("users.name"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("created_by", Text, nullable=False, server_default=""),
    Index("ix_resets_user", "user"),
)

PROJECTS = Table(
    "projects",
    METADATA,
    Column("name", Text, primary_key=True),  # Question.project
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("options", Text, nullable=False, server_default="{}"),  # JSON: Question.options of new questions
    Column("settings", Text, nullable=False, server_default="{}"),  # JSON: shares of repeats and gold, endpoint, ...
    Column("created_at", Double, nullable=False),
    Column("closed_at", Double),
)

GUIDELINES = Table(
    "guidelines",
    METADATA,
    Column("project", Text, ForeignKey("projects.name"), primary_key=True),
    Column("version", Text, primary_key=True),  # Question.guideline
    Column("text", Text, nullable=False),  # Markdown
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

GOLD = Table(
    "gold",
    METADATA,
    Column("question", Text, ForeignKey("questions.id"), primary_key=True),
    Column("value", Text, nullable=False),  # JSON: the answer that is known to be right
    Column("note", Text, nullable=False, server_default=""),
)

REPEATS = Table(
    "repeats",
    METADATA,
    Column("question", Text, ForeignKey("questions.id"), primary_key=True),
    Column("original", Text, ForeignKey("questions.id"), nullable=False),  # the same items, the other way round
)

DRAFTS = Table(
    "drafts",
    METADATA,
    Column("user", Text, ForeignKey("users.name"), primary_key=True),
    Column("question", Text, primary_key=True),
    Column("body", Text, nullable=False),  # JSON, as the page sent it
    Column("saved_at", Double, nullable=False),
)

CONSENTS = Table(
    "consents",
    METADATA,
    Column("user", Text, ForeignKey("users.name"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("given_at", Double, nullable=False),
)

SURVEY = Table(
    "survey",
    METADATA,
    Column("user", Text, ForeignKey("users.name"), primary_key=True),
    Column("answers", Text, nullable=False),  # JSON
    Column("given_at", Double, nullable=False),
)

SETTINGS = Table(
    "settings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("event", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False, server_default="{}"),  # JSON
    sqlite_autoincrement=True,
)
