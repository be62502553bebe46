"""Accounts: names, roles, passwords and sessions, and the holder of the session or token that a request brings."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plaudit.feedback import accounts
from plaudit.feedback.accounts import NewSession, Role, Session, User, name_key
from plaudit.feedback.codec import to_json
from plaudit.feedback.faults import stored_json
from plaudit.feedback.store import Conflict, Store
from plaudit.server.credentials import REPLACED, USED_UP, Invites, Resets, Scope, Tokens
from plaudit.server.faults import NotFound, NotSignedIn, TooManyTries
from plaudit.server.names import clean_name
from plaudit.server.passwords import Passwords, digest, new_token
from plaudit.server.remembered import RecentValues
from plaudit.server.throttle import Throttle, network
from plaudit.types import PlauditError

__all__ = ["Accounts", "Holder", "Role", "Scope", "Session", "User"]

CredentialKind = Literal["session", "token"]
PREFERENCES = 20_000  # characters of JSON
REMEMBERED = 2.0  # seconds for which a holder is not looked up again; what this process revokes ends at once


@dataclass(frozen=True)
class Holder:
    """The owner of a session or token. ``scopes`` is None for a session, which may do whatever the role may."""

    name: str
    role: Role
    session: str | None
    scopes: frozenset[Scope] | None


@dataclass(frozen=True)
class Entry:
    """A holder as memory keeps it, until its session or token expires."""

    holder: Holder
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
        self._by_sender = Throttle(free=5, longest=60.0, seconds=seconds)  # and by name: see sign_in
        self._by_address = Throttle(free=50, longest=60.0, seconds=seconds)  # a whole class may sit behind one
        self.invites, self.resets = Invites(store, clock), Resets(store, clock)
        self._holders: RecentValues[tuple[CredentialKind, str], Entry] = RecentValues(REMEMBERED)  # by kind and hash
        self.tokens = Tokens(store, clock, self._holders.forget)

    # Who is asking

    def by_session(self, token: str) -> Holder | None:
        """The holder of a live session; None where it is unknown or ended."""
        hashed = digest(token)

        def read() -> Entry | None:
            row = accounts.load_session_owner(self._store, hashed)
            return None if row is None else Entry(Holder(row.name, row.role, row.session, None), row.expires_at)

        return self._live(self._holders.look_up(("session", hashed), read))

    def by_token(self, token: str) -> Holder | None:
        """The holder of a live API token, with its scopes; None where it is unknown or ended."""
        hashed = digest(token)

        def read() -> Entry | None:
            row = accounts.load_token_owner(self._store, hashed)
            if row is None:
                return None
            end = math.inf if row.expires_at is None else row.expires_at
            return Entry(
                Holder(row.name, row.role, None, frozenset(stored_json(row.scopes, "scopes of a token", list))), end
            )

        return self._live(self._holders.look_up(("token", hashed), read))

    def recall(self, kind: CredentialKind, token: str) -> Holder | None:
        """The holder, as far as memory tells, without asking the store."""
        return self._live(self._holders.get((kind, digest(token))))

    def _live(self, entry: Entry | None) -> Holder | None:
        return entry.holder if entry is not None and entry.expires_at > self._clock() else None

    # Signing in and out

    def sign_in(self, name: str, password: str, address: str, agent: str, browser: str | None = None) -> str:
        """A new session's token. Raises :class:`NotSignedIn`, or :class:`TooManyTries` after many failures.

        ``address`` is the client's, ``agent`` the browser's own words; ``browser`` is the id of a browser in which the
        person signed in before. Failures count for a name from one address, so strangers elsewhere keep nobody out, and
        those of a known browser for that browser, so neither do strangers behind the same address.
        """
        by_address = network(address)
        by_sender = f"{name_key(name.strip())[:256]} {by_address if browser is None else f'in {browser}'}"
        row = accounts.find(self._store, name)
        wait = (self._by_address.wait(by_address) if browser is None else 0.0) or self._by_sender.attempt(by_sender)
        if wait > 0:
            raise TooManyTries(f"too many wrong passwords: try again in {wait:.0f} s", wait)
        live = row is not None and row.disabled_at is None
        right = self._passwords.verify(row.password if live and row is not None else None, password)
        if not right or row is None:
            if browser is None:
                self._by_address.count_failure(by_address)
            # An unknown name may be a password typed into the wrong field: it is not written down.
            subject = "(unknown name)" if row is None else row.name
            accounts.log_failed_sign_in(self._store, subject, address, self._clock())
            raise NotSignedIn("name or password is wrong")
        self._by_sender.forget_failures(by_sender)
        rehashed = self._passwords.hash(password) if self._passwords.is_outdated(row.password) else None
        token, session = self._new_session(address, agent)
        accounts.sign_in(self._store, row.name, session, rehashed)
        return token

    def join(self, token: str, name: str, password: str, address: str, agent: str) -> str:
        """Make an account by invitation and sign in; the session's token.

        Raises :class:`NotFound` for an invitation that does not hold, :class:`Conflict` for a name that is taken.
        """
        name = clean_name(name)
        self.invites.check(token)
        hashed = self._passwords.hash(password)
        session_token, session = self._new_session(address, agent)
        if accounts.join(self._store, digest(token), name, hashed, session) is None:
            raise NotFound(USED_UP)
        return session_token

    def _new_session(self, address: str, agent: str) -> tuple[str, NewSession]:
        now, token = self._clock(), new_token()
        session = Session(secrets.token_hex(8), agent[:300], now, now + self._session_seconds)
        return token, NewSession(digest(token), session, address)

    def sessions(self, name: str) -> list[Session]:
        """The live sessions of ``name``, newest first."""
        return accounts.list_sessions(self._store, name, self._clock())

    def end_session(self, name: str, session: str) -> None:
        """End one session of ``name``; raises :class:`NotFound` when there is none."""
        if not accounts.end_session(self._store, name, session, self._clock()):
            raise NotFound(f"there is no session {session[:32]!r} of yours")
        self._holders.forget()

    def end_sessions(self, name: str, except_for: str | None = None, actor: str | None = None) -> int:
        """End all sessions of ``name`` but one; how many there were."""
        count = accounts.end_sessions(self._store, actor or name, name, except_for, self._clock())
        self._holders.forget()
        return count

    def set_password(self, name: str, old: str, new: str, session: str | None) -> None:
        """Change a password and end every other session. Raises :class:`PlauditError` when ``old`` is wrong."""
        row = accounts.find(self._store, name)
        wait = self._by_sender.attempt(f"own {name_key(name)}")
        if wait > 0:
            raise TooManyTries(f"too many wrong passwords: try again in {wait:.0f} s", wait)
        if row is None or not self._passwords.verify(row.password, old):
            raise PlauditError("the old password is wrong")
        self._by_sender.forget_failures(f"own {name_key(name)}")
        accounts.set_password(self._store, name, self._passwords.hash(new), session, self._clock())
        self._holders.forget()

    def reset(self, token: str, password: str, address: str, agent: str) -> str:
        """Set a new password by a link, end every session, and sign in; the new session's token.

        Raises :class:`NotFound` for a link that does not hold.
        """
        self.resets.check(token)
        hashed = self._passwords.hash(password)
        session_token, session = self._new_session(address, agent)
        name = accounts.reset_password(self._store, digest(token), hashed, session)
        if name is None:
            raise NotFound(REPLACED)
        self._holders.forget()
        return session_token

    # People

    def any(self) -> bool:
        """Whether there is any account."""
        return accounts.has_users(self._store)

    def users(self) -> list[User]:
        """All accounts, in the order of joining."""
        return accounts.list_users(self._store)

    def user(self, name: str) -> User:
        """One account; raises :class:`NotFound`."""
        user = next((user for user in self.users() if user.name == name), None)
        if user is None:
            raise NotFound(f"there is no account called {name[:80]!r}")
        return user

    def change_user(self, actor: str, name: str, changes: Mapping[str, Any]) -> User:
        """Set ``role``, ``pay`` or ``disabled``, which ends the sessions of ``name``.

        Raises :class:`Conflict` for the last admin, and for an account that is forgotten.
        """
        if self.user(name).forgotten_at is not None:
            raise Conflict(f"{name} is forgotten: that account cannot be changed any more")
        accounts.change_user(self._store, actor, name, changes, self._clock())
        self._holders.forget()
        return self.user(name)

    def preferences(self, name: str) -> dict[str, Any]:
        """What the pages remember for ``name``: keys, theme, speed."""
        return accounts.load_preferences(self._store, name)

    def set_preferences(self, name: str, preferences: Mapping[str, Any]) -> dict[str, Any]:
        """Change some preferences (null removes one); all of them."""
        merged = self.preferences(name) | dict(preferences)
        values = {field: value for field, value in merged.items() if value is not None}
        text = to_json(values)
        if len(text) > PREFERENCES:
            raise PlauditError(f"preferences hold at most {PREFERENCES:,} characters of JSON")
        accounts.save_preferences(self._store, name, text)
        return values
