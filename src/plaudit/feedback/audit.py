"""The audit log: who did what and when. Rows are only ever added; no password and no token stands in one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from plaudit.feedback.codec import to_json
from plaudit.feedback.schema_people import AUDIT


@dataclass(frozen=True)
class Entry:
    """One row."""

    event: int
    at: float  # seconds since the epoch, UTC
    who: str
    action: str
    subject: str
    details: dict[str, Any]


def note(
    connection: Connection, at: float, who: str, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    """Add a row, in the transaction of what it tells of."""
    row = {"at": at, "who": who, "action": action, "subject": subject, "details": to_json(details or {})}
    connection.execute(insert(AUDIT).values(**row))


def entries(connection: Connection, before: int | None = None, limit: int = 100) -> list[Entry]:
    """Up to ``limit`` rows, newest first; those before event ``before`` where it is given."""
    statement = select(AUDIT).order_by(AUDIT.c.event.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AUDIT.c.event < before)
    return [
        Entry(row.event, row.at, row.who, row.action, row.subject, json.loads(row.details))
        for row in connection.execute(statement)
    ]
