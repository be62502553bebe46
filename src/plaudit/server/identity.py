"""The sender of a request, from the session's cookie or a Bearer token and from no other field of the request.

Routes name what they need as the type of an argument: ``person: SignedIn``. A missing one is a fault: 401 if the
sender is not signed in (pages redirect to the sign-in page), 403 if the person may not do this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope as ASGIScope

from plaudit.server.accounts import Holder, Role, Scope
from plaudit.server.faults import Forbidden, NotSignedIn
from plaudit.server.security import BODY, COOKIE, cookie_name, csrf_token
from plaudit.server.services import Services
from plaudit.types import PlauditError

__all__ = [
    "Admin",
    "Anybody",
    "AppServices",
    "Asker",
    "Consented",
    "InSession",
    "Person",
    "Reviewer",
    "Role",
    "Services",
    "SignedIn",
    "services_of",
]

SCOPES: dict[str, frozenset[Scope]] = {
    "annotator": frozenset({"judge"}),
    "red-team": frozenset({"judge"}),
    "reviewer": frozenset({"judge", "read"}),
    "admin": frozenset({"judge", "ask", "read", "admin"}),
}
_UNSEEN = object()


@dataclass(frozen=True)
class Person:
    """A person who is signed in. ``scopes`` is what they may do: with a token, no more than its owner may."""

    name: str  # Judgement.annotator
    role: Role
    session: str | None  # the session's public name; None for a Bearer token
    csrf: str  # "" for a Bearer token
    scopes: frozenset[Scope]


def services_of(request: Request) -> Services:
    """The services of the server that got ``request``."""
    services: Services = request.app.state.services
    return services


async def person_of(request: Request) -> Person | None:
    """The sender, or None; looked up once a request. Raises :class:`NotSignedIn` for a Bearer token that fails."""
    person = getattr(request.state, "person", _UNSEEN)
    if person is _UNSEEN:
        person = await _look_up(request)
        request.state.person = person
    assert person is None or isinstance(person, Person)
    return person


async def _look_up(request: Request) -> Person | None:
    services = services_of(request)
    accounts = services.accounts
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":  # then the cookie counts for nothing: this request was exempt from the check of origin
        token = token.strip()
        holder = accounts.recall("token", token) or await run_in_threadpool(accounts.by_token, token)
        if holder is None:
            raise NotSignedIn("this token is unknown, expired or revoked: make another on the admin pages")
        return _person(holder, "")
    session = request.cookies.get(cookie_name(COOKIE, services.config.secure))
    if not session:
        return None
    # Only a thread waits for the store, and only if memory does not tell.
    holder = accounts.recall("session", session) or await run_in_threadpool(accounts.by_session, session)
    return None if holder is None else _person(holder, csrf_token(services.secret, session))


def _person(holder: Holder, csrf: str) -> Person:
    scopes = SCOPES[holder.role] if holder.scopes is None else SCOPES[holder.role] & holder.scopes
    return Person(holder.name, holder.role, holder.session, csrf, scopes)


async def require_person(request: Request) -> Person:
    """The person who is signed in; raises :class:`NotSignedIn` if none is."""
    person = await person_of(request)
    if person is None:
        raise NotSignedIn("sign in first")
    return person


async def in_session(request: Request) -> Person:
    """A person at a browser: what concerns the account itself is not for tokens."""
    person = await require_person(request)
    if person.session is None:
        raise Forbidden("this is for people who are signed in, not for tokens")
    return person


def needs(scope: Scope) -> Callable[[Request], Awaitable[Person]]:
    """A dependency: a person who may ``scope``."""

    async def dependency(request: Request) -> Person:
        person = await require_person(request)
        if scope not in person.scopes:
            subject = person.role if person.session is not None else "this token"
            raise Forbidden(f"{subject} has no right to {scope}: ask an admin")
        return person

    return dependency


async def may_ask(scope: ASGIScope) -> bool:
    """Whether the sender of the request ``scope`` may ask questions; False too if the sender cannot be looked up."""
    try:
        person = await person_of(Request(scope))
    except PlauditError:
        return False
    return person is not None and "ask" in person.scopes


async def require_consent(request: Request) -> Person:
    """A person who may judge, and has consented if the team asks for it."""
    person = await _judging(request)
    length = request.headers.get("content-length", "0")
    size = int(length) if length.isdecimal() and "transfer-encoding" not in request.headers else BODY
    services_of(request).meter.count_request(person.name, size)
    consents = services_of(request).consents
    if not consents.is_settled(person.name) and await run_in_threadpool(consents.is_missing, person.name):
        raise Forbidden("read and give your consent first", next="/consent")
    return person


_judging = needs("judge")


async def _services(request: Request) -> Services:
    return services_of(request)


AppServices = Annotated[Services, Depends(_services)]
Anybody = Annotated[Person | None, Depends(person_of)]
SignedIn = Annotated[Person, Depends(require_person)]
InSession = Annotated[Person, Depends(in_session)]
Consented = Annotated[Person, Depends(require_consent)]  # for work: pages and API
Reviewer = Annotated[Person, Depends(needs("read"))]  # may read progress, agreement, the judgements of all
Asker = Annotated[Person, Depends(needs("ask"))]
Admin = Annotated[Person, Depends(needs("admin"))]
