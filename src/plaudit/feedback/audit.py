"""The audit log: who did what and when. Rows are only ever added; no password and no token stands in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from plaudit.feedback.codec import to_json
from plaudit.feedback.faults import stored_json
from plaudit.feedback.schema_people import AUDIT
from plaudit.feedback.store import Store


@dataclass(frozen=True)
class Entry:
    """One row."""

    event: int
    logged_at: float  # seconds since the epoch, UTC
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


def note(
    connection: Connection,
    moment: float,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add a row, in the transaction of the change that it records."""
    row = {"at": moment, "who": actor, "action": action, "subject": subject, "details": to_json(details or {})}
    connection.execute(insert(AUDIT).values(**row))


def add_entry(store: Store, moment: float, actor: str, action: str, subject: str, details: Mapping[str, Any]) -> None:
    """Add a row about an action that does not change the store."""
    with store.database.write() as connection:
        note(connection, moment, actor, action, subject, details)


def list_entries(store: Store, before: int | None = None, limit: int = 100) -> list[Entry]:
    """Up to ``limit`` rows, newest first; ``before`` leaves out event ``before`` and later ones."""
    statement = select(AUDIT).order_by(AUDIT.c.event.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AUDIT.c.event < before)
    with store.database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        Entry(
            row.event,
            row.at,
            row.who,
            row.action,
            row.subject,
            stored_json(row.details, f"details of audit entry {row.event}", dict),
        )
        for row in rows
    ]
