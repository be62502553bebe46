"""Accounts and sessions as the store keeps them: by name, and by the hashes of what their owners hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from plaudit.feedback.audit import note
from plaudit.feedback.credentials import drop_resets, end_grants, use_invite, use_reset
from plaudit.feedback.faults import stored_json
from plaudit.feedback.forget import has_judged
from plaudit.feedback.schema_people import SESSIONS, TOKENS, USERS
from plaudit.feedback.store import Conflict, Store

Role = Literal["admin", "reviewer", "annotator", "red-team"]
NEWEST_SESSIONS = 50  # of each person, which are kept for longer
SESSION_RETENTION = 30 * 86400.0  # seconds for which the row of an expired session is kept

# Built once, because building a statement takes longer than running it.
_SESSION = select(USERS.c.name, USERS.c.role, SESSIONS.c.name.label("session"), SESSIONS.c.expires_at).where(
    USERS.c.name == SESSIONS.c.user,
    SESSIONS.c.token == bindparam("hashed"),
    SESSIONS.c.revoked_at.is_(None),
    USERS.c.disabled_at.is_(None),
)
_TOKEN = select(USERS.c.name, USERS.c.role, TOKENS.c.scopes, TOKENS.c.expires_at).where(
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
class Session:
    """One browser that is signed in."""

    name: str
    agent: str  # the browser's own words
    created_at: float
    expires_at: float


@dataclass(frozen=True)
class NewSession:
    """A session that begins. ``hashed`` is the hash of its token, ``address`` that of the client, for the audit log."""

    hashed: str
    session: Session
    address: str


def name_key(name: str) -> str:
    """The same text for names that differ in case or form alone."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


# Who is asking


def load_session_owner(store: Store, hashed: str) -> Any | None:
    """The row (name, role, session, expires_at) of a session that was not ended, None if there is none."""
    with store.database.look() as connection:
        return connection.execute(_SESSION, {"hashed": hashed}).first()


def load_token_owner(store: Store, hashed: str) -> Any | None:
    """The row (name, role, scopes, expires_at) of an API token that was not revoked, None if there is none."""
    with store.database.look() as connection:
        return connection.execute(_TOKEN, {"hashed": hashed}).first()


def find(store: Store, name: str) -> Any | None:
    """The row (name, password, disabled_at) of an account, by its name as people type it: case does not matter."""
    columns = (USERS.c.name, USERS.c.password, USERS.c.disabled_at)
    with store.database.read() as connection:
        rows = connection.execute(select(*columns)).all()
    return next((row for row in rows if name_key(row.name) == name_key(name.strip())), None)


# Sessions


def sign_in(store: Store, name: str, new: NewSession, rehashed: str | None) -> None:
    """Begin a session of ``name``; ``rehashed`` is the password's new hash, None to keep the old one."""
    with store.database.write() as connection:
        if rehashed is not None:
            connection.execute(update(USERS).where(USERS.c.name == name).values(password=rehashed))
        _begin(connection, name, new)


def log_failed_sign_in(store: Store, name: str, address: str, now: float) -> None:
    """Note in the audit log that a password for ``name`` was wrong."""
    with store.database.write() as connection:
        note(connection, now, name, "failed sign-in", name, {"address": address})


def join(store: Store, invite: str, name: str, password: str, new: NewSession) -> str | None:
    """Make an account by the invitation with the hash ``invite``, and begin its first session; the role.

    None for an invitation that is no longer valid. Raises :class:`Conflict` for a name that is taken.
    """
    now = new.session.created_at
    with store.database.write() as connection:
        role = use_invite(connection, invite, now)
        if role is None:
            return None
        if any(name_key(user) == name_key(name) for user in connection.execute(select(USERS.c.name)).scalars()):
            raise Conflict(f"the name {name!r} is taken: choose another")
        if has_judged(connection, name):
            raise Conflict(f"judgements in this store are signed {name!r} already: choose another name")
        connection.execute(insert(USERS).values(name=name, role=role, password=password, created_at=now))
        note(connection, now, name, "joined", name, {"role": role})
        _begin(connection, name, new)
    return role


def _begin(connection: Connection, name: str, new: NewSession) -> None:
    session = new.session
    _delete_old_sessions(connection, name, session.created_at)
    connection.execute(insert(SESSIONS).values(token=new.hashed, user=name, **vars(session)))
    note(connection, session.created_at, name, "signed in", name, {"address": new.address, "session": session.name})


def _delete_old_sessions(connection: Connection, name: str, now: float) -> None:
    """Delete the person's sessions that expired long ago, except the newest ones.

    These stay whatever the clock says: if it was wrong and has been set back, they are valid again.
    """
    of_person = SESSIONS.c.user == name
    newest = select(SESSIONS.c.token).where(of_person).order_by(SESSIONS.c.created_at.desc()).limit(NEWEST_SESSIONS)
    old = SESSIONS.c.expires_at < now - SESSION_RETENTION
    connection.execute(delete(SESSIONS).where(of_person, old, SESSIONS.c.token.not_in(newest)))


def list_sessions(store: Store, name: str, now: float) -> list[Session]:
    """The live sessions of ``name``, newest first."""
    live = (SESSIONS.c.user == name, SESSIONS.c.expires_at > now, SESSIONS.c.revoked_at.is_(None))
    columns = (SESSIONS.c.name, SESSIONS.c.agent, SESSIONS.c.created_at, SESSIONS.c.expires_at)
    with store.database.read() as connection:
        rows = connection.execute(select(*columns).where(*live).order_by(SESSIONS.c.created_at.desc())).all()
    return [Session(*row) for row in rows]


def end_session(store: Store, name: str, session: str, now: float) -> bool:
    """End one session of ``name``; False if there is none."""
    live = (SESSIONS.c.user == name, SESSIONS.c.name == session, SESSIONS.c.revoked_at.is_(None))
    with store.database.write() as connection:
        if not connection.execute(update(SESSIONS).where(*live).values(revoked_at=now)).rowcount:
            return False
        note(connection, now, name, "ended a session", session)
    return True


def end_sessions(store: Store, actor: str, name: str, except_for: str | None, now: float) -> int:
    """End all sessions of ``name`` but one; how many there were."""
    with store.database.write() as connection:
        count = _end_all(connection, name, now, except_for)
        note(connection, now, actor, "ended all sessions", name, {"sessions": count})
    return count


def _end_all(connection: Connection, name: str, now: float, except_for: str | None = None) -> int:
    live = [SESSIONS.c.user == name, SESSIONS.c.revoked_at.is_(None)]
    if except_for is not None:
        live.append(SESSIONS.c.name != except_for)
    return connection.execute(update(SESSIONS).where(*live).values(revoked_at=now)).rowcount


# Passwords


def set_password(store: Store, name: str, password: str, except_for: str | None, now: float) -> None:
    """Store the hash of a changed password, drop links to a new one, and end every session but one."""
    with store.database.write() as connection:
        connection.execute(update(USERS).where(USERS.c.name == name).values(password=password))
        drop_resets(connection, name)
        count = _end_all(connection, name, now, except_for)
        note(connection, now, name, "changed their password", name, {"sessions ended": count})


def reset_password(store: Store, link: str, password: str, new: NewSession) -> str | None:
    """Store a password's hash by the link with the hash ``link``, end every session, and begin one; the person's name.

    None for a link that is no longer valid.
    """
    now = new.session.created_at
    with store.database.write() as connection:
        name = use_reset(connection, link, now)
        if name is None:
            return None
        connection.execute(update(USERS).where(USERS.c.name == name).values(password=password))
        count = _end_all(connection, name, now)
        note(connection, now, name, "set a new password", name, {"sessions ended": count})
        _begin(connection, name, new)
    return name


# Accounts


def has_users(store: Store) -> bool:
    """Whether there is any account."""
    with store.database.read() as connection:
        return connection.execute(select(USERS.c.name).limit(1)).first() is not None


def list_users(store: Store) -> list[User]:
    """All accounts, in the order of joining."""
    fields = ("name", "role", "pay", "created_at", "disabled_at", "forgotten_at")
    columns = [USERS.c[field] for field in fields]
    with store.database.read() as connection:
        return [User(*row) for row in connection.execute(select(*columns).order_by(USERS.c.created_at))]


def change_user(store: Store, actor: str, name: str, changes: Mapping[str, Any], now: float) -> None:
    """Set ``role``, ``pay`` or ``disabled``, which ends the sessions; raises :class:`Conflict` for the last admin.

    An account that is disabled, or no longer an admin's, also loses the grants that it made.
    """
    values = {field: changes[field] for field in ("role", "pay") if field in changes}
    if "disabled" in changes:
        values["disabled_at"] = now if changes["disabled"] else None
    with store.database.write() as connection:
        role = connection.execute(select(USERS.c.role).where(USERS.c.name == name)).scalar_one()
        if values:
            connection.execute(update(USERS).where(USERS.c.name == name).values(**values))
        if changes.get("disabled"):
            _end_all(connection, name, now)
        demoted = role == "admin" and values.get("role", role) != "admin"
        grants = end_grants(connection, name, now) if changes.get("disabled") or demoted else {}
        admins = select(func.count()).where(USERS.c.role == "admin", USERS.c.disabled_at.is_(None))
        if connection.execute(admins.select_from(USERS)).scalar_one() == 0:
            raise Conflict(f"{name} is the last admin: make another person one first")
        note(connection, now, actor, "changed a person", name, {**changes, **grants})


def load_preferences(store: Store, name: str) -> dict[str, Any]:
    """The preferences of ``name``; {} before the first."""
    with store.database.read() as connection:
        text = connection.execute(select(USERS.c.preferences).where(USERS.c.name == name)).scalar()
    return {} if text is None else stored_json(text, f"preferences of {name}", dict)


def save_preferences(store: Store, name: str, text: str) -> None:
    """Store the preferences of ``name``, in JSON."""
    with store.database.write() as connection:
        connection.execute(update(USERS).where(USERS.c.name == name).values(preferences=text))
