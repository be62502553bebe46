"""Forgetting somebody who leaves: the account goes, and what they judged stays under a pseudonym."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from plaudit.feedback import forget as facts
from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
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
from plaudit.feedback.store import Conflict
from plaudit.server.services import Services
from plaudit.types import PlauditError

OWN = (SESSIONS, TOKENS, RESETS, DRAFTS, CONSENTS, SURVEY)  # rows that go
# Actions whose subject is no person.
OF_PROJECTS = ("made a project", "changed a project", "wrote a guideline", "asked questions")
OF_TOKENS = ("made a token", "revoked a token")


def forget(services: Services, by: str, name: str, again: str) -> str:
    """Replace ``name`` by a pseudonym wherever it stands, and delete what there is about the person; the pseudonym.

    ``again`` is the name, typed a second time. It cannot be undone. Raises :class:`NotFound`; :class:`Conflict` for
    oneself, the last admin, and somebody who is forgotten already.
    """
    user = services.accounts.user(name)
    if again != name:
        raise PlauditError(f"the name typed is not {name!r}: type it exactly so, for this cannot be undone")
    if by == name:
        raise Conflict("you cannot forget yourself: another admin can")
    if user.forgotten_at is not None:
        raise Conflict(f"{name} is forgotten already")
    # Disabled first, in a transaction of its own: from here on nothing more comes in under the name.
    if user.disabled_at is None:
        services.accounts.change_user(by, name, {"disabled": True})
    with services.store.database.write() as connection:
        pseudonym = _pseudonym(connection)
        judgements = _replace(connection, name, pseudonym, services.clock())
        note(connection, services.clock(), by, "forgot a person", pseudonym, {"judgements": judgements})
    services.consents.forget(name)
    services.store.reread()
    return pseudonym


def _pseudonym(connection: Connection) -> str:
    """A name that nothing in the store has, and nothing leads to."""
    while True:
        drawn = f"forgotten-{secrets.token_hex(4)}"
        taken = connection.execute(select(USERS.c.name).where(USERS.c.name == drawn)).first()
        if taken is None and not facts.signed(connection, drawn):
            return drawn


def _replace(connection: Connection, name: str, pseudonym: str, now: float) -> int:
    """Everything in one transaction; the number of judgements."""
    with facts.changeable(connection, ("audit",)):
        columns = (USERS.c.role, USERS.c.pay, USERS.c.created_at)  # what costs and roles of old judgements rest on
        kept = connection.execute(select(*columns).where(USERS.c.name == name)).one()._asdict()
        connection.execute(insert(USERS).values(name=pseudonym, disabled_at=now, forgotten_at=now, **kept))
        tokens = connection.execute(select(TOKENS.c.name).where(TOKENS.c.user == name)).scalars().all()
        for table in OWN:
            connection.execute(delete(table).where(table.c.user == name))
        judgements = facts.rename(connection, name, pseudonym)
        for column in (GUIDELINES.c.author, INVITES.c.created_by):
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
        who = pseudonym if row.who == name else row.who
        if row.action in OF_TOKENS:
            about = row.subject in tokens
        else:
            about = row.subject == name and row.action not in OF_PROJECTS
        details = json.loads(row.details)
        mine = row.who == name or about
        fresh = {
            "who": who,
            "subject": pseudonym if about else row.subject,
            "details": to_json(_details(details, name, pseudonym, word, mine)),
        }
        if mine or fresh["details"] != to_json(details):
            changed.append({"of": row.event, **fresh})
    if changed:
        rows = update(AUDIT).where(AUDIT.c.event == bindparam("of"))
        connection.execute(rows, changed)


def _details(
    details: Mapping[str, Any], name: str, pseudonym: str, word: re.Pattern[str], mine: bool
) -> dict[str, Any]:
    fresh = {field: value for field, value in details.items() if not (mine and field == "address")}
    if fresh.get("user") == name:
        fresh["user"] = pseudonym
    if isinstance(fresh.get("note"), str):
        fresh["note"] = word.sub(pseudonym, fresh["note"])
    return fresh
