"""Pages about the account: signing in, joining by a link, consent, the survey, the account itself. They only show."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from plaudit.server.identity import Anybody, AppServices, InSession, SignedIn
from plaudit.server.render import page
from plaudit.server.text import to_html

router = APIRouter()


def _back(next: str) -> str:
    """Where to go after signing in: a path of ours, whatever the link said."""
    parts = urlsplit(next)
    ours = next.startswith("/") and not next.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return next if ours and next.isprintable() else "/"


@router.get("/sign-in")
def sign_in(request: Request, person: Anybody, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Name and password."""
    if person is not None:
        return RedirectResponse(_back(next), 303)
    return page(request, "account/sign-in.html", next=_back(next))


@router.get("/join/{token}")
def join(request: Request, token: Annotated[str, Path(max_length=200)]) -> HTMLResponse:
    """Choose a name and a password. Whether the link still holds is said when it is taken."""
    return page(request, "account/join.html", token=token)


@router.get("/reset/{token}")
def reset(request: Request, token: Annotated[str, Path(max_length=200)], services: AppServices) -> HTMLResponse:
    """Choose a new password, by a link that an admin made."""
    return page(request, "account/reset.html", token=token, name=services.accounts.resets.whose(token))


@router.get("/consent")
def consent(request: Request, person: InSession, services: AppServices) -> HTMLResponse:
    """What people agree to before they judge."""
    asked = services.consents.settings()["consent"]
    text = to_html(asked["text"]) if asked else ""
    version = asked["version"] if asked else ""
    needed = services.consents.missing(person.name)
    return page(request, "account/consent.html", text=text, version=version, needed=needed)


@router.get("/survey")
def survey(request: Request, person: InSession, services: AppServices) -> HTMLResponse:
    """Questions about the person, all of them optional, kept apart from what they judge."""
    asked = services.consents.settings()["survey"]
    questions = asked["questions"] if asked else []
    return page(request, "account/survey.html", questions=questions, answers=services.consents.answers(person.name))


@router.get("/account")
def account(request: Request, person: SignedIn, services: AppServices) -> HTMLResponse:
    """The password, the browsers that are signed in, what else there is about oneself."""
    asked = services.consents.settings()
    sessions = services.accounts.sessions(person.name)
    return page(
        request,
        "account/account.html",
        section="account",
        sessions=sessions,
        has_consent=asked["consent"] is not None,
        has_survey=asked["survey"] is not None,
    )
