"""Replacing the name of a person who leaves by a pseudonym, everywhere in the store."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from plaudit.feedback import forget
from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.credentials import end_grants
from plaudit.feedback.faults import stored_json
from plaudit.feedback.schema_people import (
    AUDIT,
    CONSENTS,
    DRAFTS,
    GUIDELINES,
    INVITES,
    RESETS,
    SESSIONS,
    SURVEY,
    TOKENS,
    USERS,
)
from plaudit.feedback.store import Store

PERSONAL_TABLES = (SESSIONS, TOKENS, RESETS, DRAFTS, CONSENTS, SURVEY)  # rows that are deleted
# Actions whose subject is no person.
OF_PROJECTS = ("made a project", "changed a project", "wrote a guideline", "asked questions")
OF_TOKENS = ("made a token", "revoked a token")


def forget_person(store: Store, actor: str, name: str, now: float) -> str:
    """Replace ``name`` by a pseudonym everywhere and delete the rows about the person, in one transaction.

    Returns the pseudonym. Judgements stay; the account must be disabled before, so that no more come in.
    """
    with store.database.write() as connection:
        pseudonym = _pseudonym(connection)
        judgements = _replace(connection, name, pseudonym, now)
        note(connection, now, actor, "forgot a person", pseudonym, {"judgements": judgements})
    store.reread()
    return pseudonym


def _pseudonym(connection: Connection) -> str:
    """A random name that no account and no judgement has."""
    while True:
        pseudonym = f"forgotten-{secrets.token_hex(4)}"
        account = connection.execute(select(USERS.c.name).where(USERS.c.name == pseudonym)).first()
        if account is None and not forget.has_judged(connection, pseudonym):
            return pseudonym


def _replace(connection: Connection, name: str, pseudonym: str, now: float) -> int:
    """Rename and delete, in the caller's transaction; the number of judgements."""
    end_grants(connection, name, now)
    with forget.changeable(connection, ("audit",)):
        columns = (USERS.c.role, USERS.c.pay, USERS.c.created_at)  # the costs and roles of old judgements need them
        retained = connection.execute(select(*columns).where(USERS.c.name == name)).one()._asdict()
        connection.execute(insert(USERS).values(name=pseudonym, disabled_at=now, forgotten_at=now, **retained))
        tokens = connection.execute(select(TOKENS.c.name).where(TOKENS.c.user == name)).scalars().all()
        for table in PERSONAL_TABLES:
            connection.execute(delete(table).where(table.c.user == name))
        judgements = forget.rename(connection, name, pseudonym)
        for column in (GUIDELINES.c.author, INVITES.c.created_by, TOKENS.c.created_by):
            connection.execute(update(column.table).where(column == name).values({column.name: pseudonym}))
        _in_notes(connection, name, pseudonym)
        _in_audit(connection, name, pseudonym, tokens)
        connection.execute(delete(USERS).where(USERS.c.name == name))
    return judgements


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)


def _in_notes(connection: Connection, name: str, pseudonym: str) -> None:
    """Invitations' notes say whom they are for."""
    word = _word(name)
    for row in connection.execute(select(INVITES.c.token, INVITES.c.note)).all():
        fresh = word.sub(pseudonym, row.note)
        if fresh != row.note:
            connection.execute(update(INVITES).where(INVITES.c.token == row.token).values(note=fresh))


def _in_audit(connection: Connection, name: str, pseudonym: str, tokens: Collection[str]) -> None:
    """Rows stay, under the pseudonym, which also replaces what the person's ``tokens`` were called. Addresses go."""
    word, changed = _word(name), []
    for row in connection.execute(select(AUDIT)).all():
        actor = pseudonym if row.who == name else row.who
        if row.action in OF_TOKENS:
            is_subject = row.subject in tokens
        else:
            is_subject = row.subject == name and row.action not in OF_PROJECTS
        details = stored_json(row.details, f"details of audit entry {row.event}", dict)
        is_personal = row.who == name or is_subject
        fresh = {
            "who": actor,
            "subject": pseudonym if is_subject else row.subject,
            "details": to_json(_details(details, name, pseudonym, word, is_personal)),
        }
        if is_personal or fresh["details"] != to_json(details):
            changed.append({"of": row.event, **fresh})
    if changed:
        rows = update(AUDIT).where(AUDIT.c.event == bindparam("of"))
        connection.execute(rows, changed)


def _details(
    details: Mapping[str, Any], name: str, pseudonym: str, word: re.Pattern[str], is_personal: bool
) -> dict[str, Any]:
    fresh = {field: value for field, value in details.items() if not (is_personal and field == "address")}
    if fresh.get("user") == name:
        fresh["user"] = pseudonym
    if isinstance(fresh.get("note"), str):
        fresh["note"] = word.sub(pseudonym, fresh["note"])
    return fresh
