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


def _return_path(next: str) -> str:
    """The path to go to after signing in; never another site, even if the link names one."""
    parts = urlsplit(next)
    is_local = next.startswith("/") and not next.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return next if is_local and next.isprintable() else "/"


@router.get("/sign-in")
def sign_in(request: Request, person: Anybody, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Name and password."""
    if person is not None:
        return RedirectResponse(_return_path(next), 303)
    return page(request, "account/sign-in.html", next=_return_path(next))


@router.get("/join/{token}")
def join(request: Request, token: Annotated[str, Path(max_length=200)]) -> HTMLResponse:
    """Choose a name and a password. Whether the link still holds is said when it is taken."""
    return page(request, "account/join.html", token=token)


@router.get("/reset/{token}")
def reset(request: Request, token: Annotated[str, Path(max_length=200)], services: AppServices) -> HTMLResponse:
    """Choose a new password, by a link that an admin made."""
    return page(request, "account/reset.html", token=token, name=services.accounts.resets.owner(token))


@router.get("/consent")
def consent(request: Request, person: InSession, services: AppServices) -> HTMLResponse:
    """The text that people agree to before they judge."""
    current = services.consents.settings()["consent"]
    text = to_html(current["text"]) if current else ""
    version = current["version"] if current else ""
    missing = services.consents.is_missing(person.name)
    return page(request, "account/consent.html", text=text, version=version, needed=missing)


@router.get("/survey")
def survey(request: Request, person: InSession, services: AppServices) -> HTMLResponse:
    """Questions about the person, all of them optional, kept apart from what they judge."""
    current = services.consents.settings()["survey"]
    questions = current["questions"] if current else []
    return page(request, "account/survey.html", questions=questions, answers=services.consents.answers(person.name))


@router.get("/account")
def account(request: Request, person: SignedIn, services: AppServices) -> HTMLResponse:
    """The password, the browsers that are signed in, consent and survey."""
    settings = services.consents.settings()
    sessions = services.accounts.sessions(person.name)
    return page(
        request,
        "account/account.html",
        section="account",
        sessions=sessions,
        has_consent=settings["consent"] is not None,
        has_survey=settings["survey"] is not None,
    )
