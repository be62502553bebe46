"""Invitations, links to a new password and API tokens: made by admins, kept as hashes, shown once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from plaudit.feedback import credentials
from plaudit.feedback.credentials import Invite, Reset, Token, public_id
from plaudit.feedback.schema_people import ROLES
from plaudit.feedback.store import Store
from plaudit.server.faults import NotFound
from plaudit.server.names import clean_name
from plaudit.server.passwords import digest, new_token
from plaudit.types import PlauditError

Scope = Literal["judge", "ask", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("judge", "ask", "read", "admin")
PREFIX = "plt_"
FIRST = "(first run)"  # stands as the author of the link that the command line prints
DAY = 86400.0
USED_UP = "this invitation is used up, expired or revoked: ask for another"
REPLACED = "this link is used up, expired or replaced: ask an admin for another"


class Invites:
    """Links by which people make accounts."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def make(self, actor: str, role: str, uses: int = 1, days: float = 7.0, words: str = "") -> str:
        """A new invitation's token, for a link; ``words`` are a note on the person it is for."""
        if role not in ROLES or not 1 <= uses <= 10_000 or not 0 < days <= 365 or len(words) > 500:
            raise PlauditError(
                f"an invitation has a role ({', '.join(ROLES)}), 1 to 10,000 uses, up to 365 days and a short note"
            )
        token, now = new_token(), self._clock()
        hashed = digest(token)
        invite = Invite(public_id(hashed), role, uses, words, actor, now, now + days * DAY)
        # The link that the command line printed last is the one that holds.
        credentials.add_invite(self._store, hashed, invite, days, replace=actor == FIRST)
        return token

    def check(self, token: str) -> None:
        """Raise :class:`NotFound` where it does not hold, before anything that takes long is done for a stranger."""
        if self.role(token) is None:
            raise NotFound(USED_UP)

    def role(self, token: str) -> str | None:
        """The role that the invitation gives; None if it is not valid."""
        return credentials.load_invite_role(self._store, digest(token), self._clock())

    def open(self) -> list[Invite]:
        """Those that still hold, newest first."""
        return credentials.list_invites(self._store, self._clock())

    def revoke(self, actor: str, identity: str) -> None:
        """Revoke an invitation; raises :class:`NotFound`."""
        if not credentials.revoke_invite(self._store, actor, identity, self._clock()):
            raise NotFound(f"there is no invitation {identity[:32]!r}")


class Resets:
    """Links by which people who forgot their password set a new one: used once, within a day."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def make(self, actor: str, user: str) -> str:
        """A link's token for ``user``; an earlier link becomes invalid.

        Raises :class:`NotFound`, and :class:`Conflict` for an account that is disabled.
        """
        token, now = new_token(), self._clock()
        if not credentials.add_reset(self._store, actor, user, digest(token), now, now + DAY):
            raise NotFound(f"there is no account called {user[:80]!r}")
        return token

    def check(self, token: str) -> None:
        """Raise :class:`NotFound` where it does not hold, before anything that takes long is done for a stranger."""
        if self.owner(token) is None:
            raise NotFound(REPLACED)

    def open(self) -> list[Reset]:
        """Those that still hold, newest first."""
        return credentials.list_resets(self._store, self._clock())

    def revoke(self, actor: str, user: str) -> None:
        """Revoke the link of ``user``; raises :class:`NotFound`."""
        if not credentials.revoke_resets(self._store, actor, user, self._clock()):
            raise NotFound(f"there is no link to a new password for {user[:80]!r}")

    def owner(self, token: str) -> str | None:
        """The person who may set a new password by it; None where it does not hold."""
        return credentials.load_reset_owner(self._store, digest(token), self._clock())


class Tokens:
    """API tokens, with which programs sign in. ``revoked`` is called after one was revoked."""

    def __init__(self, store: Store, clock: Callable[[], float], revoked: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._revoked = revoked

    def make(self, actor: str, name: str, user: str, scopes: Sequence[str], days: float | None = None) -> str:
        """A new token, shown this once. Raises :class:`Conflict` for a name that is taken, :class:`NotFound`."""
        name = clean_name(name)
        granted = [scope for scope in SCOPES if scope in scopes]
        if not granted or set(scopes) - set(SCOPES):
            raise PlauditError(f"a token needs scopes out of {', '.join(SCOPES)}, got {list(scopes)[:9]}")
        if days is not None and not 0 < days <= 3650:
            raise PlauditError(f"a token lasts up to 3650 days, got {days}")
        token, now = new_token(PREFIX), self._clock()
        stored = Token(name, user, tuple(granted), now, None if days is None else now + days * DAY, actor)
        if not credentials.add_token(self._store, actor, digest(token), stored):
            raise NotFound(f"there is no account called {user[:80]!r}")
        return token

    def all(self) -> list[Token]:
        """Those that are not revoked, newest first."""
        return credentials.list_tokens(self._store)

    def revoke(self, actor: str, name: str) -> None:
        """Revoke a token; raises :class:`NotFound`."""
        if not credentials.revoke_token(self._store, actor, name, self._clock()):
            raise NotFound(f"there is no token {name[:80]!r}")
        self._revoked()
