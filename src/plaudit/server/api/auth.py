"""Signing in and out, joining, a new password by a link, and what concerns the person who is signed in."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from plaudit.feedback.accounts import name_key
from plaudit.server.accounts import Role
from plaudit.server.api.bodies import Answer, Body, Line, Name, Object, Password, PathName
from plaudit.server.faults import document_faults
from plaudit.server.identity import AppServices, InSession, Services, SignedIn
from plaudit.server.security import BROWSER, COOKIE, browser_token, cookie_name, known_browser

router = APIRouter(tags=["people"])
YEAR = 365 * 86400


class SignIn(Body):
    """Name and password of a person who signs in."""

    name: Name
    password: Password


class Join(Body):
    """An invitation taken."""

    token: Name
    name: Name
    password: Password


class Reset(Body):
    """A link to a new password, taken."""

    token: Name
    password: Password


class AccountOut(BaseModel):
    """The person who is signed in, and what they may do."""

    name: str
    role: Role
    scopes: list[str]
    preferences: dict[str, Any]
    consent_needed: bool


class Preferences(Body):
    """Preferences for the pages to remember; null removes one."""

    preferences: Object


class NewPassword(Body):
    """A change of password."""

    old: Password
    new: Password


class SessionOut(BaseModel):
    """A browser that is signed in; times in seconds since the epoch, UTC."""

    name: str
    agent: str
    created_at: float
    expires_at: float
    current: bool


class Consent(Body):
    """Consent to this version of the text."""

    version: Line


class ConsentOut(Answer):
    """The text as it is now; "" where none is asked for."""

    version: str
    text: str
    is_needed: bool = Field(validation_alias="needed", serialization_alias="needed")


class Survey(Body):
    """Answers by the question's name; null: not answered."""

    answers: Object


class SurveyOut(BaseModel):
    """The survey's questions, and this person's answers."""

    questions: list[dict[str, Any]]
    answers: dict[str, Any]


def _keep(services: Services, response: Response, token: str) -> None:
    """Set the cookie of a session that began, and the one by which this browser is known from now on."""
    seconds, secure = services.config.session_days * 86400, services.config.secure
    cookie = cookie_name(COOKIE, secure)
    response.set_cookie(cookie, token, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")
    holder = services.accounts.by_session(token)
    if holder is not None:
        proof = browser_token(services.secret, name_key(holder.name), secrets.token_hex(8))
        cookie = cookie_name(BROWSER, secure)
        response.set_cookie(cookie, proof, max_age=YEAR, path="/", secure=secure, httponly=True, samesite="lax")


def _client(request: Request) -> tuple[str, str]:
    """Address and browser."""
    address = request.client.host if request.client is not None else ""
    return address, request.headers.get("user-agent", "").encode("ascii", "replace").decode()


@router.post("/session", status_code=204, responses=document_faults(401, 413, 429))
def sign_in(body: SignIn, request: Request, response: Response, services: AppServices) -> None:
    """Sign in; the answer sets the session's cookie."""
    proof = request.cookies.get(cookie_name(BROWSER, services.config.secure))
    browser = known_browser(services.secret, name_key(body.name.strip()), proof)
    token = services.accounts.sign_in(body.name, body.password, *_client(request), browser)
    _keep(services, response, token)


@router.delete("/session", status_code=204, responses=document_faults(401))
def sign_out(person: InSession, response: Response, services: AppServices) -> None:
    """Sign out: the session ends."""
    services.accounts.end_session(person.name, str(person.session))
    cookie = cookie_name(COOKIE, services.config.secure)
    response.delete_cookie(cookie, path="/", secure=services.config.secure, httponly=True, samesite="lax")


@router.post("/join", status_code=204, responses=document_faults(404, 409, 413, 429))
def join(body: Join, request: Request, response: Response, services: AppServices) -> None:
    """Make an account by invitation, and sign in."""
    token = services.accounts.join(body.token, body.name, body.password, *_client(request))
    _keep(services, response, token)


@router.post("/reset", status_code=204, responses=document_faults(404, 413))
def reset(body: Reset, request: Request, response: Response, services: AppServices) -> None:
    """Set a new password by an admin's link, and sign in; every other session ends, and the link becomes invalid."""
    _keep(services, response, services.accounts.reset(body.token, body.password, *_client(request)))


@router.get("/me", responses=document_faults(401))
def me(person: SignedIn, services: AppServices) -> AccountOut:
    """The person who is signed in."""
    return AccountOut(
        name=person.name,
        role=person.role,
        scopes=sorted(person.scopes),
        preferences=services.accounts.preferences(person.name),
        consent_needed=services.consents.is_missing(person.name),
    )


@router.patch("/me", responses=document_faults(401, 413))
def change_me(body: Preferences, person: InSession, services: AppServices) -> AccountOut:
    """Change preferences: those given, the others stay."""
    services.accounts.set_preferences(person.name, body.preferences)
    return me(person, services)


@router.put("/me/password", status_code=204, responses=document_faults(401, 413, 429))
def change_password(body: NewPassword, person: InSession, services: AppServices) -> None:
    """Change the password; every other session ends."""
    services.accounts.set_password(person.name, body.old, body.new, person.session)


@router.get("/me/sessions", responses=document_faults(401))
def sessions(person: InSession, services: AppServices) -> list[SessionOut]:
    """Where this person is signed in."""
    return [
        SessionOut(
            name=session.name,
            agent=session.agent,
            created_at=session.created_at,
            expires_at=session.expires_at,
            current=session.name == person.session,
        )
        for session in services.accounts.sessions(person.name)
    ]


@router.delete("/me/sessions", status_code=204, responses=document_faults(401))
def end_other_sessions(person: InSession, services: AppServices) -> None:
    """End every session but this one."""
    services.accounts.end_sessions(person.name, except_for=person.session)


@router.delete("/me/sessions/{name}", status_code=204, responses=document_faults(401, 404))
def end_session(name: PathName, person: InSession, services: AppServices) -> None:
    """End one session."""
    services.accounts.end_session(person.name, name)


@router.get("/consent", responses=document_faults(401))
def consent(person: SignedIn, services: AppServices) -> ConsentOut:
    """The text that people consent to before they judge."""
    now = services.consents.settings()["consent"] or {"version": "0", "text": ""}
    return ConsentOut(version=now["version"], text=now["text"], is_needed=services.consents.is_missing(person.name))


@router.post("/consent", status_code=204, responses=document_faults(401, 409, 413))
def give_consent(body: Consent, person: InSession, services: AppServices) -> None:
    """Consent to the version that was read."""
    services.consents.give(person.name, body.version)


@router.get("/survey", responses=document_faults(401))
def survey(person: SignedIn, services: AppServices) -> SurveyOut:
    """The survey, and what this person answered; it is voluntary."""
    current = services.consents.settings()["survey"] or {"questions": []}
    return SurveyOut(questions=current["questions"], answers=services.consents.answers(person.name))


@router.put("/survey", status_code=204, responses=document_faults(401, 413))
def answer_survey(body: Survey, person: InSession, services: AppServices) -> None:
    """Answer the survey, in place of earlier answers."""
    services.consents.answer(person.name, body.answers)
