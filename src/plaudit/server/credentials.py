"""Invitations, links to a new password and API tokens: made by admins, kept as hashes, shown once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, delete, insert, select, update

from plaudit.feedback.audit import note
from plaudit.feedback.schema_people import INVITES, RESETS, ROLES, TOKENS, USERS
from plaudit.feedback.store import Conflict, Store
from plaudit.server.faults import NotFound
from plaudit.server.names import clean_name
from plaudit.server.passwords import digest, new_token
from plaudit.types import PlauditError

Scope = Literal["judge", "ask", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("judge", "ask", "read", "admin")
PREFIX = "plt_"
FIRST = "(first run)"  # who made the link that the command line prints
DAY = 86400.0
USED_UP = "this invitation is used up, expired or revoked: ask for another"
REPLACED = "this link is used up, expired or replaced: ask an admin for another"


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


class Invites:
    """Links by which people make accounts."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def make(self, by: str, role: str, uses: int = 1, days: float = 7.0, words: str = "") -> str:
        """A new invitation's token, for a link; ``words`` remind of whom it was for."""
        if role not in ROLES or not 1 <= uses <= 10_000 or not 0 < days <= 365 or len(words) > 500:
            raise PlauditError(
                f"an invitation has a role ({', '.join(ROLES)}), 1 to 10,000 uses, up to 365 days and a short note"
            )
        token, now = new_token(), self._clock()
        row = {
            "token": digest(token),
            "role": role,
            "uses_left": uses,
            "note": words,
            "created_by": by,
            "created_at": now,
            "expires_at": now + days * DAY,
        }
        with self._store.database.write() as connection:
            if by == FIRST:  # the link printed last is the one that holds
                older = (INVITES.c.created_by == FIRST, INVITES.c.revoked_at.is_(None))
                connection.execute(update(INVITES).where(*older).values(revoked_at=now))
            connection.execute(insert(INVITES).values(**row))
            details = {"role": role, "uses": uses, "days": days, "note": words}
            note(connection, now, by, "made an invitation", _public(row["token"]), details)
        return token

    def use(self, connection: Connection, token: str) -> str:
        """Take one use, in the caller's transaction; the role. Raises :class:`NotFound` when none is left."""
        taken = (
            update(INVITES)
            .where(*self._live(token))
            .values(uses_left=INVITES.c.uses_left - 1)
            .returning(INVITES.c.role)
        )
        role = connection.execute(taken).scalar()
        if role is None:
            raise NotFound(USED_UP)
        return str(role)

    def check(self, token: str) -> None:
        """Raise :class:`NotFound` where it does not hold, before anything that takes long is done for a stranger."""
        if self.role(token) is None:
            raise NotFound(USED_UP)

    def role(self, token: str) -> str | None:
        """What role the invitation gives; None where it does not hold."""
        with self._store.database.read() as connection:
            return connection.execute(select(INVITES.c.role).where(*self._live(token))).scalar()

    def _live(self, token: str) -> tuple[Any, ...]:
        return (
            INVITES.c.token == digest(token),
            INVITES.c.uses_left > 0,
            INVITES.c.revoked_at.is_(None),
            INVITES.c.expires_at > self._clock(),
        )

    def open(self) -> list[Invite]:
        """Those that still hold, newest first."""
        live = (INVITES.c.uses_left > 0, INVITES.c.revoked_at.is_(None), INVITES.c.expires_at > self._clock())
        with self._store.database.read() as connection:
            rows = connection.execute(select(INVITES).where(*live).order_by(INVITES.c.created_at.desc())).all()
        return [
            Invite(_public(r.token), r.role, r.uses_left, r.note, r.created_by, r.created_at, r.expires_at)
            for r in rows
        ]

    def revoke(self, by: str, identity: str) -> None:
        """Let nobody in by it any more; raises :class:`NotFound`."""
        with self._store.database.write() as connection:
            rows = connection.execute(select(INVITES.c.token).where(INVITES.c.revoked_at.is_(None))).scalars().all()
            found = [each for each in rows if _public(each) == identity]
            if not found:
                raise NotFound(f"there is no invitation {identity[:32]!r}")
            connection.execute(update(INVITES).where(INVITES.c.token.in_(found)).values(revoked_at=self._clock()))
            note(connection, self._clock(), by, "revoked an invitation", identity)


class Resets:
    """Links by which people who forgot their password set a new one: used once, within a day."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def make(self, by: str, user: str) -> str:
        """A link's token for ``user``; the one made before holds no more.

        Raises :class:`NotFound`, and :class:`Conflict` for an account that is disabled.
        """
        token, now = new_token(), self._clock()
        row = {"token": digest(token), "user": user, "created_at": now, "expires_at": now + DAY}
        with self._store.database.write() as connection:
            found = connection.execute(select(USERS.c.disabled_at).where(USERS.c.name == user)).first()
            if found is None:
                raise NotFound(f"nobody is called {user[:80]!r}")
            if found.disabled_at is not None:
                raise Conflict(f"{user} is disabled: enable the account first")
            self.drop(connection, user)
            connection.execute(insert(RESETS).values(**row))
            note(connection, now, by, "made a link to a new password", user)
        return token

    def use(self, connection: Connection, token: str) -> str:
        """Take it, in the caller's transaction; whose it is. Raises :class:`NotFound` where it does not hold."""
        user = connection.execute(self._whose(token)).scalar()
        if user is None:
            raise NotFound(REPLACED)
        self.drop(connection, str(user))
        return str(user)

    def check(self, token: str) -> None:
        """Raise :class:`NotFound` where it does not hold, before anything that takes long is done for a stranger."""
        if self.whose(token) is None:
            raise NotFound(REPLACED)

    def whose(self, token: str) -> str | None:
        """Who may set a new password by it; None where it does not hold."""
        with self._store.database.read() as connection:
            return connection.execute(self._whose(token)).scalar()

    def drop(self, connection: Connection, user: str) -> None:
        """Let no link of ``user`` hold any more."""
        connection.execute(delete(RESETS).where(RESETS.c.user == user))

    def _whose(self, token: str) -> Select[Any]:
        live = (RESETS.c.token == digest(token), RESETS.c.expires_at > self._clock(), USERS.c.disabled_at.is_(None))
        return select(USERS.c.name).where(USERS.c.name == RESETS.c.user, *live)


class Tokens:
    """What programs hold in place of a session. ``revoked`` is called when one has been revoked."""

    def __init__(self, store: Store, clock: Callable[[], float], revoked: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._revoked = revoked

    def make(self, by: str, name: str, user: str, scopes: Sequence[str], days: float | None = None) -> str:
        """A new token, shown this once. Raises :class:`Conflict` for a name that is taken, :class:`NotFound`."""
        name = clean_name(name)
        wanted = [each for each in SCOPES if each in scopes]
        if not wanted or set(scopes) - set(SCOPES):
            raise PlauditError(f"a token needs scopes out of {', '.join(SCOPES)}, got {list(scopes)[:9]}")
        if days is not None and not 0 < days <= 3650:
            raise PlauditError(f"a token lasts up to 3650 days, got {days}")
        token, now = new_token(PREFIX), self._clock()
        row = {
            "token": digest(token),
            "name": name,
            "user": user,
            "scopes": json.dumps(wanted),
            "created_at": now,
            "expires_at": None if days is None else now + days * DAY,
        }
        with self._store.database.write() as connection:
            if connection.execute(select(USERS.c.name).where(USERS.c.name == user)).first() is None:
                raise NotFound(f"nobody is called {user[:80]!r}")
            if connection.execute(select(TOKENS.c.name).where(TOKENS.c.name == name)).first() is not None:
                raise Conflict(f"a token called {name!r} was made before: choose another name")
            connection.execute(insert(TOKENS).values(**row))
            note(connection, now, by, "made a token", name, {"user": user, "scopes": wanted})
        return token

    def all(self) -> list[Token]:
        """Those that are not revoked, newest first."""
        columns = (TOKENS.c.name, TOKENS.c.user, TOKENS.c.scopes, TOKENS.c.created_at, TOKENS.c.expires_at)
        found = select(*columns).where(TOKENS.c.revoked_at.is_(None)).order_by(TOKENS.c.created_at.desc())
        with self._store.database.read() as connection:
            rows = connection.execute(found).all()
        return [Token(r.name, r.user, tuple(json.loads(r.scopes)), r.created_at, r.expires_at) for r in rows]

    def revoke(self, by: str, name: str) -> None:
        """Let it open nothing any more; raises :class:`NotFound`."""
        live = (TOKENS.c.name == name, TOKENS.c.revoked_at.is_(None))
        with self._store.database.write() as connection:
            if not connection.execute(update(TOKENS).where(*live).values(revoked_at=self._clock())).rowcount:
                raise NotFound(f"there is no token {name[:80]!r}")
            note(connection, self._clock(), by, "revoked a token", name)
        self._revoked()


def _public(token: str) -> str:
    """The first part of a hash: enough to name a row by, and of no use to get in."""
    return token[:16]
