"""Accounts: names, roles, passwords, sessions. Who is asking is looked up here, by hashes of what they hold."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.forget import signed
from plaudit.feedback.schema_people import SESSIONS, TOKENS, USERS
from plaudit.feedback.store import Conflict, Store
from plaudit.server.credentials import Invites, Resets, Scope, Tokens
from plaudit.server.faults import NotFound, NotSignedIn, TooMany
from plaudit.server.names import clean_name, key
from plaudit.server.passwords import Passwords, digest, new_token
from plaudit.server.remembered import Recent
from plaudit.server.throttle import Throttle
from plaudit.types import PlauditError

__all__ = ["Accounts", "Known", "Role", "Scope", "Session", "User"]

Role = Literal["admin", "reviewer", "annotator", "red-team"]
Held = Literal["session", "token"]  # what somebody shows
PREFERENCES = 20_000  # characters of JSON
REMEMBERED = 2.0  # seconds that who is asking is not looked up again; what this process revokes holds at once
KEPT = 30 * 86400.0  # seconds that an ended session stays listed


# Made once: building a statement takes longer than running it.
SESSION = select(USERS.c.name, USERS.c.role, SESSIONS.c.name.label("session"), SESSIONS.c.expires_at).where(
    USERS.c.name == SESSIONS.c.user,
    SESSIONS.c.token == bindparam("hashed"),
    SESSIONS.c.revoked_at.is_(None),
    USERS.c.disabled_at.is_(None),
)
TOKEN = select(USERS.c.name, USERS.c.role, TOKENS.c.scopes, TOKENS.c.expires_at).where(
    USERS.c.name == TOKENS.c.user,
    TOKENS.c.token == bindparam("hashed"),
    TOKENS.c.revoked_at.is_(None),
    USERS.c.disabled_at.is_(None),
)


@dataclass(frozen=True)
class User:
    """An account, as admins see it."""

    name: str
    role: Role
    pay: float | None  # an hour
    created_at: float
    disabled_at: float | None
    forgotten_at: float | None = None  # then the name is a pseudonym


@dataclass(frozen=True)
class Known:
    """Whom a session or token belongs to. ``scopes`` is None for a session: whatever the role may."""

    name: str
    role: Role
    session: str | None
    scopes: frozenset[Scope] | None


@dataclass(frozen=True)
class Session:
    """One browser that is signed in."""

    name: str
    agent: str  # the browser's own words
    created_at: float
    expires_at: float


class Accounts:
    """The people of one store. ``clock`` in seconds since the epoch, UTC; ``seconds`` is a monotonic one."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        passwords: Passwords,
        session_days: int = 30,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._session_seconds = session_days * 86400.0
        self._by_name = Throttle(free=5, longest=60.0, seconds=seconds)
        self._by_address = Throttle(free=50, longest=60.0, seconds=seconds)  # a whole class may sit behind one
        self.invites, self.resets = Invites(store, clock), Resets(store, clock)
        # By what sort it is, and its hash: whose it is, and until when.
        self._seen: Recent[tuple[Held, str], tuple[Known, float]] = Recent(REMEMBERED)
        self.tokens = Tokens(store, clock, self._seen.forget)

    # Who is asking

    def by_session(self, token: str) -> Known | None:
        """Whose live session this is."""
        hashed = digest(token)

        def read() -> tuple[Known, float] | None:
            with self._store.database.look() as connection:
                row = connection.execute(SESSION, {"hashed": hashed}).first()
            return None if row is None else (Known(row.name, row.role, row.session, None), row.expires_at)

        return self._live(self._seen.look_up(("session", hashed), read))

    def by_token(self, token: str) -> Known | None:
        """Whose live API token this is, and what it may."""
        hashed = digest(token)

        def read() -> tuple[Known, float] | None:
            with self._store.database.look() as connection:
                row = connection.execute(TOKEN, {"hashed": hashed}).first()
            if row is None:
                return None
            end = math.inf if row.expires_at is None else row.expires_at
            return Known(row.name, row.role, None, frozenset(json.loads(row.scopes))), end

        return self._live(self._seen.look_up(("token", hashed), read))

    def seen(self, sort: Held, token: str) -> Known | None:
        """Whose this is, as far as that is known without asking the store."""
        return self._live(self._seen.get((sort, digest(token))))

    def _live(self, found: tuple[Known, float] | None) -> Known | None:
        return found[0] if found is not None and found[1] > self._clock() else None

    # Signing in and out

    def sign_in(self, name: str, password: str, address: str, agent: str) -> str:
        """A new session's token. Raises :class:`NotSignedIn`, or :class:`TooMany` after many failures.

        ``address`` is the client's, ``agent`` the browser's own words.
        """
        by_name, by_address = key(name)[:256], address
        row = self._find(name)
        wait = self._by_address.wait(by_address) or self._by_name.attempt(by_name)
        if wait > 0:
            raise TooMany(f"too many wrong passwords: try again in {wait:.0f} s", wait)
        live = row is not None and row.disabled_at is None
        right = self._passwords.verify(row.password if live and row is not None else None, password)
        if not right or row is None:
            self._by_address.failed(by_address)
            # An unknown name may be a password typed into the wrong field: it is not written down.
            subject = "(unknown name)" if row is None else row.name
            with self._store.database.write() as connection:
                note(connection, self._clock(), subject, "failed sign-in", subject, {"address": address})
            raise NotSignedIn("name or password is wrong")
        self._by_name.succeeded(by_name)
        rehashed = self._passwords.hash(password) if self._passwords.outdated(row.password) else None
        with self._store.database.write() as connection:
            if rehashed is not None:
                connection.execute(update(USERS).where(USERS.c.name == row.name).values(password=rehashed))
            return self._begin(connection, row.name, address, agent)

    def join(self, token: str, name: str, password: str, address: str, agent: str) -> str:
        """Make an account by invitation and sign in; the session's token.

        Raises :class:`NotFound` for an invitation that does not hold, :class:`Conflict` for a name that is taken.
        """
        name = clean_name(name)
        self.invites.check(token)
        hashed = self._passwords.hash(password)
        with self._store.database.write() as connection:
            role = self.invites.use(connection, token)
            self._check_free(connection, name)
            now = self._clock()
            connection.execute(insert(USERS).values(name=name, role=role, password=hashed, created_at=now))
            note(connection, now, name, "joined", name, {"role": role})
            return self._begin(connection, name, address, agent)

    def _check_free(self, connection: Connection, name: str) -> None:
        if any(key(each) == key(name) for each in connection.execute(select(USERS.c.name)).scalars()):
            raise Conflict(f"the name {name!r} is taken: choose another")
        if signed(connection, name):
            raise Conflict(f"judgements in this store are signed {name!r} already: choose another name")

    def _begin(self, connection: Connection, name: str, address: str, agent: str) -> str:
        now, token = self._clock(), new_token()
        connection.execute(delete(SESSIONS).where(SESSIONS.c.expires_at < now - KEPT))
        row = {
            "token": digest(token),
            "name": secrets.token_hex(8),
            "user": name,
            "agent": agent[:300],
            "created_at": now,
            "expires_at": now + self._session_seconds,
        }
        connection.execute(insert(SESSIONS).values(**row))
        note(connection, now, name, "signed in", name, {"address": address, "session": row["name"]})
        return token

    def sessions(self, name: str) -> list[Session]:
        """The live sessions of ``name``, newest first."""
        where = (SESSIONS.c.user == name, SESSIONS.c.expires_at > self._clock(), SESSIONS.c.revoked_at.is_(None))
        columns = (SESSIONS.c.name, SESSIONS.c.agent, SESSIONS.c.created_at, SESSIONS.c.expires_at)
        with self._store.database.read() as connection:
            found = connection.execute(select(*columns).where(*where).order_by(SESSIONS.c.created_at.desc())).all()
        return [Session(*row) for row in found]

    def end_session(self, name: str, session: str) -> None:
        """End one session of ``name``; raises :class:`NotFound` when there is none."""
        where = (SESSIONS.c.user == name, SESSIONS.c.name == session, SESSIONS.c.revoked_at.is_(None))
        with self._store.database.write() as connection:
            ended = connection.execute(update(SESSIONS).where(*where).values(revoked_at=self._clock())).rowcount
            if not ended:
                raise NotFound(f"there is no session {session[:32]!r} of yours")
            note(connection, self._clock(), name, "ended a session", session)
        self._seen.forget()

    def end_sessions(self, name: str, except_for: str | None = None, by: str | None = None) -> int:
        """End all sessions of ``name`` but one; how many there were."""
        with self._store.database.write() as connection:
            ended = self._end_all(connection, name, except_for)
            note(connection, self._clock(), by or name, "ended all sessions", name, {"sessions": ended})
        self._seen.forget()
        return ended

    def _end_all(self, connection: Connection, name: str, except_for: str | None = None) -> int:
        where = [SESSIONS.c.user == name, SESSIONS.c.revoked_at.is_(None)]
        if except_for is not None:
            where.append(SESSIONS.c.name != except_for)
        return connection.execute(update(SESSIONS).where(*where).values(revoked_at=self._clock())).rowcount

    def set_password(self, name: str, old: str, new: str, session: str | None) -> None:
        """Change a password and end every other session. Raises :class:`PlauditError` when ``old`` is wrong."""
        row = self._find(name)
        wait = self._by_name.attempt(key(name))
        if wait > 0:
            raise TooMany(f"too many wrong passwords: try again in {wait:.0f} s", wait)
        if row is None or not self._passwords.verify(row.password, old):
            raise PlauditError("the old password is wrong")
        self._by_name.succeeded(key(name))
        hashed = self._passwords.hash(new)
        with self._store.database.write() as connection:
            connection.execute(update(USERS).where(USERS.c.name == name).values(password=hashed))
            self.resets.drop(connection, name)
            ended = self._end_all(connection, name, session)
            note(connection, self._clock(), name, "changed their password", name, {"sessions ended": ended})
        self._seen.forget()

    def reset(self, token: str, password: str, address: str, agent: str) -> str:
        """Set a new password by a link, end every session, and sign in; the new session's token.

        Raises :class:`NotFound` for a link that does not hold.
        """
        self.resets.check(token)
        hashed = self._passwords.hash(password)
        with self._store.database.write() as connection:
            name = self.resets.use(connection, token)
            connection.execute(update(USERS).where(USERS.c.name == name).values(password=hashed))
            ended = self._end_all(connection, name)
            note(connection, self._clock(), name, "set a new password", name, {"sessions ended": ended})
            session = self._begin(connection, name, address, agent)
        self._by_name.succeeded(key(name))
        self._seen.forget()
        return session

    # People

    def any(self) -> bool:
        """Whether there is any account."""
        with self._store.database.read() as connection:
            return connection.execute(select(USERS.c.name).limit(1)).first() is not None

    def users(self) -> list[User]:
        """Everybody, in the order of joining."""
        shown = ("name", "role", "pay", "created_at", "disabled_at", "forgotten_at")
        columns = [USERS.c[each] for each in shown]
        with self._store.database.read() as connection:
            return [User(*row) for row in connection.execute(select(*columns).order_by(USERS.c.created_at))]

    def user(self, name: str) -> User:
        """One account; raises :class:`NotFound`."""
        found = next((each for each in self.users() if each.name == name), None)
        if found is None:
            raise NotFound(f"nobody is called {name[:80]!r}")
        return found

    def change_user(self, by: str, name: str, changes: Mapping[str, Any]) -> User:
        """Set ``role``, ``pay`` or ``disabled``, which ends their sessions.

        Raises :class:`Conflict` for the last admin, and for somebody who is forgotten.
        """
        if self.user(name).forgotten_at is not None:
            raise Conflict(f"{name} is forgotten: nobody signs in under that name again")
        values = {field: changes[field] for field in ("role", "pay") if field in changes}
        if "disabled" in changes:
            values["disabled_at"] = self._clock() if changes["disabled"] else None
        with self._store.database.write() as connection:
            if values:
                connection.execute(update(USERS).where(USERS.c.name == name).values(**values))
            if changes.get("disabled"):
                self._end_all(connection, name)
            admins = select(func.count()).where(USERS.c.role == "admin", USERS.c.disabled_at.is_(None))
            if connection.execute(admins.select_from(USERS)).scalar_one() == 0:
                raise Conflict(f"{name} is the last admin: make somebody else one first")
            note(connection, self._clock(), by, "changed a person", name, dict(changes))
        self._seen.forget()
        return self.user(name)

    def preferences(self, name: str) -> dict[str, Any]:
        """What the pages remember for ``name``: keys, theme, speed."""
        with self._store.database.read() as connection:
            found = connection.execute(select(USERS.c.preferences).where(USERS.c.name == name)).scalar()
        return {} if found is None else json.loads(found)

    def set_preferences(self, name: str, preferences: Mapping[str, Any]) -> dict[str, Any]:
        """Change some preferences (null removes one); all of them."""
        merged = self.preferences(name) | dict(preferences)
        kept = {field: value for field, value in merged.items() if value is not None}
        text = to_json(kept)
        if len(text) > PREFERENCES:
            raise PlauditError(f"preferences hold at most {PREFERENCES:,} characters of JSON")
        with self._store.database.write() as connection:
            connection.execute(update(USERS).where(USERS.c.name == name).values(preferences=text))
        return kept

    def _find(self, name: str) -> Any | None:
        """The row of an account, by its name as people type it: case does not matter."""
        columns = (USERS.c.name, USERS.c.password, USERS.c.disabled_at)
        with self._store.database.read() as connection:
            rows = connection.execute(select(*columns)).all()
        return next((row for row in rows if key(row.name) == key(name.strip())), None)
