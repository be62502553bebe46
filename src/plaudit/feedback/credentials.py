"""Invitations, links to a new password and API tokens as the store keeps them: by the hashes of what people hold.

All three are grants: what an admin makes so that somebody gets in. They end with the account that made them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from plaudit.feedback.audit import note
from plaudit.feedback.faults import stored_json
from plaudit.feedback.schema_people import INVITES, RESETS, TOKENS, USERS
from plaudit.feedback.store import Conflict, Store


@dataclass(frozen=True)
class Invite:
    """An invitation, as admins see it: ``id`` names it, and lets nobody in."""

    id: str
    role: str
    uses_left: int
    note: str
    created_by: str
    created_at: float
    expires_at: float


@dataclass(frozen=True)
class Token:
    """An API token, as admins see it."""

    name: str
    user: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    created_by: str


@dataclass(frozen=True)
class Reset:
    """A link to a new password, as admins see it."""

    user: str
    created_by: str
    created_at: float
    expires_at: float


def end_grants(connection: Connection, name: str, now: float) -> dict[str, int]:
    """End what ``name`` made, and its link to a new password, in the caller's transaction; the numbers by kind."""
    open_invites = (INVITES.c.created_by == name, *_valid_invite(now))
    open_tokens = (TOKENS.c.created_by == name, TOKENS.c.revoked_at.is_(None))
    resets = (RESETS.c.created_by == name) | (RESETS.c.user == name)
    statements = {
        "invitations ended": update(INVITES).where(*open_invites).values(revoked_at=now),
        "tokens ended": update(TOKENS).where(*open_tokens).values(revoked_at=now),
        "links ended": delete(RESETS).where(resets),
    }
    counts = {kind: connection.execute(statement).rowcount for kind, statement in statements.items()}
    return {kind: count for kind, count in counts.items() if count}


def public_id(hashed: str) -> str:
    """The first part of a hash: enough to name a row by, and useless to get in."""
    return hashed[:16]


# Invitations


def add_invite(store: Store, hashed: str, invite: Invite, days: float, replace: bool) -> None:
    """Store an invitation that is valid for ``days``; ``replace`` revokes those that the same author made before."""
    row = {"token": hashed, **vars(invite)}
    del row["id"]
    with store.database.write() as connection:
        if replace:
            older = (INVITES.c.created_by == invite.created_by, INVITES.c.revoked_at.is_(None))
            connection.execute(update(INVITES).where(*older).values(revoked_at=invite.created_at))
        connection.execute(insert(INVITES).values(**row))
        details = {"role": invite.role, "uses": invite.uses_left, "days": days, "note": invite.note}
        note(connection, invite.created_at, invite.created_by, "made an invitation", invite.id, details)


def use_invite(connection: Connection, hashed: str, now: float) -> str | None:
    """Take one use, in the caller's transaction; the role, None if the invitation is not valid."""
    decrement = (
        update(INVITES)
        .where(INVITES.c.token == hashed, *_valid_invite(now))
        .values(uses_left=INVITES.c.uses_left - 1)
        .returning(INVITES.c.role)
    )
    return connection.execute(decrement).scalar()


def load_invite_role(store: Store, hashed: str, now: float) -> str | None:
    """The role that an invitation gives, None if it is not valid."""
    statement = select(INVITES.c.role).where(INVITES.c.token == hashed, *_valid_invite(now))
    with store.database.read() as connection:
        return connection.execute(statement).scalar()


def list_invites(store: Store, now: float) -> list[Invite]:
    """The invitations that are valid, newest first."""
    statement = select(INVITES).where(*_valid_invite(now)).order_by(INVITES.c.created_at.desc())
    with store.database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        Invite(
            public_id(row.token),
            row.role,
            row.uses_left,
            row.note,
            row.created_by,
            row.created_at,
            row.expires_at,
        )
        for row in rows
    ]


def revoke_invite(store: Store, actor: str, identity: str, now: float) -> bool:
    """Revoke the invitation with this :func:`public_id`; False if there is none."""
    with store.database.write() as connection:
        rows = connection.execute(select(INVITES.c.token).where(INVITES.c.revoked_at.is_(None))).scalars().all()
        tokens = [token for token in rows if public_id(token) == identity]
        if not tokens:
            return False
        connection.execute(update(INVITES).where(INVITES.c.token.in_(tokens)).values(revoked_at=now))
        note(connection, now, actor, "revoked an invitation", identity)
    return True


def _valid_invite(now: float) -> tuple[Any, ...]:
    return (INVITES.c.uses_left > 0, INVITES.c.revoked_at.is_(None), INVITES.c.expires_at > now)


# Links to a new password


def add_reset(store: Store, actor: str, user: str, hashed: str, created_at: float, expires_at: float) -> bool:
    """Store a link for ``user`` in place of earlier ones; False if there is no such user.

    Raises :class:`Conflict` for an account that is disabled.
    """
    with store.database.write() as connection:
        account = connection.execute(select(USERS.c.disabled_at).where(USERS.c.name == user)).first()
        if account is None:
            return False
        if account.disabled_at is not None:
            raise Conflict(f"{user} is disabled: enable the account first")
        drop_resets(connection, user)
        row = {
            "token": hashed,
            "user": user,
            "created_at": created_at,
            "expires_at": expires_at,
            "created_by": actor,
        }
        connection.execute(insert(RESETS).values(**row))
        note(connection, created_at, actor, "made a link to a new password", user)
    return True


def use_reset(connection: Connection, hashed: str, now: float) -> str | None:
    """Use a link up, in the caller's transaction; its owner, None if it is not valid."""
    user = connection.execute(_reset_owner(hashed, now)).scalar()
    if user is not None:
        drop_resets(connection, user)
    return user


def load_reset_owner(store: Store, hashed: str, now: float) -> str | None:
    """The person who may set a new password by a link, None if it is not valid."""
    with store.database.read() as connection:
        return connection.execute(_reset_owner(hashed, now)).scalar()


def list_resets(store: Store, now: float) -> list[Reset]:
    """The links that are valid, newest first."""
    columns = (RESETS.c.user, RESETS.c.created_by, RESETS.c.created_at, RESETS.c.expires_at)
    statement = select(*columns).where(RESETS.c.expires_at > now).order_by(RESETS.c.created_at.desc())
    with store.database.read() as connection:
        return [Reset(*row) for row in connection.execute(statement)]


def revoke_resets(store: Store, actor: str, user: str, now: float) -> bool:
    """Delete the link of ``user``; False if there is none."""
    with store.database.write() as connection:
        if not drop_resets(connection, user):
            return False
        note(connection, now, actor, "revoked a link to a new password", user)
    return True


def drop_resets(connection: Connection, user: str) -> int:
    """Delete every link of ``user``, in the caller's transaction; how many there were."""
    return connection.execute(delete(RESETS).where(RESETS.c.user == user)).rowcount


def _reset_owner(hashed: str, now: float) -> Select[Any]:
    valid = (RESETS.c.token == hashed, RESETS.c.expires_at > now, USERS.c.disabled_at.is_(None))
    return select(USERS.c.name).where(USERS.c.name == RESETS.c.user, *valid)


# API tokens


def add_token(store: Store, actor: str, hashed: str, token: Token) -> bool:
    """Store a token; False if its user has no account. Raises :class:`Conflict` for a name that is taken."""
    scopes = list(token.scopes)
    row = {"token": hashed, **vars(token), "scopes": json.dumps(scopes)}
    with store.database.write() as connection:
        if connection.execute(select(USERS.c.name).where(USERS.c.name == token.user)).first() is None:
            return False
        if connection.execute(select(TOKENS.c.name).where(TOKENS.c.name == token.name)).first() is not None:
            raise Conflict(f"a token called {token.name!r} was made before: choose another name")
        connection.execute(insert(TOKENS).values(**row))
        details = {"user": token.user, "scopes": scopes}
        note(connection, token.created_at, actor, "made a token", token.name, details)
    return True


def list_tokens(store: Store) -> list[Token]:
    """The tokens that are not revoked, newest first."""
    statement = select(TOKENS).where(TOKENS.c.revoked_at.is_(None)).order_by(TOKENS.c.created_at.desc())
    with store.database.read() as connection:
        rows = connection.execute(statement).all()
    return [
        Token(
            row.name,
            row.user,
            tuple(_scopes(row.scopes)),
            row.created_at,
            row.expires_at,
            row.created_by,
        )
        for row in rows
    ]


def revoke_token(store: Store, actor: str, name: str, now: float) -> bool:
    """Revoke a token; False if there is none."""
    valid = (TOKENS.c.name == name, TOKENS.c.revoked_at.is_(None))
    with store.database.write() as connection:
        if not connection.execute(update(TOKENS).where(*valid).values(revoked_at=now)).rowcount:
            return False
        note(connection, now, actor, "revoked a token", name)
    return True


def _scopes(text: str) -> list[str]:
    return stored_json(text, "scopes of a token", list)
