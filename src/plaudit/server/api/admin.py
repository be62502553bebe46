"""People, invitations, tokens, settings, audit log and backups: for admins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from plaudit.feedback.audit import list_entries
from plaudit.feedback.credentials import Invite, Reset
from plaudit.server import backup, leaving, survey
from plaudit.server.accounts import Role, Scope, User
from plaudit.server.api.bodies import Answer, Before, Body, Limit, Line, Name, Object, PathName, Text
from plaudit.server.faults import Forbidden, document_faults
from plaudit.server.identity import Admin, AppServices

router = APIRouter(prefix="/admin", tags=["admin"])

Format = Annotated[Literal["csv", "json"], Query(description="CSV is for spreadsheets: see docs/collecting.md")]


class UserOut(BaseModel):
    """An account; times in seconds since the epoch, UTC."""

    name: str
    role: Role
    pay: float | None
    created_at: float
    disabled_at: float | None
    forgotten_at: float | None


class MadeReset(BaseModel):
    """The link; it is shown this once, works once, and within a day."""

    link: str


class ForgetBody(Body):
    """The name again, as a person types it: this cannot be undone."""

    name: Name


class PseudonymOut(BaseModel):
    """The pseudonym that replaces the name."""

    pseudonym: str


class UserChange(Body):
    """Changes of an account; fields left out stay. Disabling ends the person's sessions.

    Disabling an admin, or another role for one, ends the invitations, tokens and links that the admin made.
    """

    role: Role = "annotator"
    disabled: bool = False
    pay: Annotated[float | None, Field(ge=0, le=1e6, allow_inf_nan=False)] = None


class NewInvite(Body):
    """An invitation to make."""

    role: Role = "annotator"
    uses: Annotated[int, Field(ge=1, le=10_000)] = 1
    days: Annotated[float, Field(gt=0, le=365, allow_inf_nan=False)] = 7.0
    note: Annotated[Line, Field(max_length=500)] = ""


class MadeInvite(BaseModel):
    """The link; it is shown this once."""

    link: str


class NewToken(Body):
    """An API token to make. ``user`` is who it acts as; by default who makes it."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    user: Name | None = None
    days: Annotated[float | None, Field(gt=0, le=3650, allow_inf_nan=False)] = None


class MadeToken(BaseModel):
    """The token; it is shown this once."""

    token: str


class TokenOut(BaseModel):
    """A token that is not revoked."""

    name: str
    user: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    created_by: str


class Settings(BaseModel):
    """The consent text and the survey, as they are."""

    consent: dict[str, Any] | None
    survey: dict[str, Any] | None


class NewSettings(Body):
    """Settings to change; fields left out stay."""

    consent: Annotated[Text, Field(max_length=100_000)] | None = None
    survey: Annotated[list[Object], Field(max_length=100)] | None = None


class AuditOut(BaseModel):
    """Rows of the audit log, newest first; ``next`` is the cursor of the following page."""

    entries: list[AuditEntry]
    next: int | None


class AuditEntry(Answer):
    """One row of the audit log."""

    event: int
    logged_at: float = Field(validation_alias="at", serialization_alias="at")
    actor: str = Field(validation_alias="who", serialization_alias="who")
    action: str
    subject: str
    details: dict[str, Any]


class BackupOut(BaseModel):
    """A copy of the store, checked after it was made."""

    name: str
    bytes: int
    created_at: float


def _user(user: User) -> UserOut:
    return UserOut(**vars(user))


@router.get("/users", responses=document_faults(401))
def users(person: Admin, services: AppServices) -> list[UserOut]:
    """All accounts."""
    return [_user(user) for user in services.accounts.users()]


@router.patch("/users/{name}", responses=document_faults(401, 404, 409, 413))
def change_user(name: PathName, body: UserChange, person: Admin, services: AppServices) -> UserOut:
    """Change a person's role or pay, or disable the account. The last admin stays one."""
    return _user(services.accounts.change_user(person.name, name, body.model_dump(exclude_unset=True)))


@router.delete("/users/{name}/sessions", status_code=204, responses=document_faults(401, 404))
def end_sessions(name: PathName, person: Admin, services: AppServices) -> None:
    """End all sessions of a person."""
    services.accounts.user(name)
    services.accounts.end_sessions(name, actor=person.name)


@router.post("/users/{name}/reset", status_code=201, responses=document_faults(401, 404, 409))
def make_reset(name: PathName, person: Admin, services: AppServices) -> MadeReset:
    """Make a link by which a person sets a new password; it replaces the link before."""
    token = services.accounts.resets.make(person.name, name)
    return MadeReset(link=f"{services.config.url}/reset/{token}")


@router.delete("/users/{name}/reset", status_code=204, responses=document_faults(401, 404))
def revoke_reset(name: PathName, person: Admin, services: AppServices) -> None:
    """Revoke the link by which a person sets a new password."""
    services.accounts.resets.revoke(person.name, name)


@router.get("/resets", responses=document_faults(401))
def resets(person: Admin, services: AppServices) -> list[Reset]:
    """Links to a new password that still hold."""
    return services.accounts.resets.open()


@router.post("/users/{name}/forget", responses=document_faults(401, 404, 409, 413))
def forget(name: PathName, body: ForgetBody, person: Admin, services: AppServices) -> PseudonymOut:
    """Forget a person: no account is left, and what they judged stays under a pseudonym. It cannot be undone."""
    return PseudonymOut(pseudonym=leaving.forget(services, person.name, name, body.name))


@router.get("/invites", responses=document_faults(401))
def invites(person: Admin, services: AppServices) -> list[Invite]:
    """Invitations that still hold."""
    return services.accounts.invites.open()


@router.post("/invites", status_code=201, responses=document_faults(401, 413))
def make_invite(body: NewInvite, person: Admin, services: AppServices) -> MadeInvite:
    """Make an invitation."""
    token = services.accounts.invites.make(person.name, body.role, body.uses, body.days, body.note)
    return MadeInvite(link=f"{services.config.url}/join/{token}")


@router.delete("/invites/{id}", status_code=204, responses=document_faults(401, 404))
def revoke_invite(id: PathName, person: Admin, services: AppServices) -> None:
    """Revoke an invitation."""
    services.accounts.invites.revoke(person.name, id)


@router.get("/tokens", responses=document_faults(401))
def tokens(person: Admin, services: AppServices) -> list[TokenOut]:
    """API tokens that are not revoked."""
    return [
        TokenOut(
            name=token.name,
            user=token.user,
            scopes=list(token.scopes),
            created_at=token.created_at,
            expires_at=token.expires_at,
            created_by=token.created_by,
        )
        for token in services.accounts.tokens.all()
    ]


@router.post("/tokens", status_code=201, responses=document_faults(401, 404, 409, 413))
def make_token(body: NewToken, person: Admin, services: AppServices) -> MadeToken:
    """Make an API token. One that was made by a token has no right that the latter lacks."""
    excess = sorted(set(body.scopes) - person.scopes)
    if excess:
        raise Forbidden(f"this token has no right to {excess[0]}, so it cannot give it: sign in to make such a token")
    token = services.accounts.tokens.make(person.name, body.name, body.user or person.name, body.scopes, body.days)
    return MadeToken(token=token)


@router.delete("/tokens/{name}", status_code=204, responses=document_faults(401, 404))
def revoke_token(name: PathName, person: Admin, services: AppServices) -> None:
    """Revoke an API token."""
    services.accounts.tokens.revoke(person.name, name)


@router.get("/settings", responses=document_faults(401))
def settings(person: Admin, services: AppServices) -> Settings:
    """The consent text and the survey."""
    return Settings(**services.consents.settings())


@router.put("/settings", responses=document_faults(401, 413))
def change_settings(body: NewSettings, person: Admin, services: AppServices) -> Settings:
    """Set the consent text (a change asks all people again; "" asks for no consent) or the survey's questions."""
    if body.consent is not None:
        services.consents.put_consent(person.name, body.consent)
    if body.survey is not None:
        services.consents.put_survey(person.name, body.survey)
    return Settings(**services.consents.settings())


@router.get("/survey", responses=document_faults(401) | {200: survey.DOCUMENTED}, response_model=None)
def survey_answers(person: Admin, services: AppServices, format: Format = "json") -> Response:
    """The survey's answers of all people, to join with judgements by `annotator`."""
    body, media = survey.download(services.consents, format)
    return Response(body, media_type=media, headers={"Content-Disposition": f'attachment; filename="survey.{format}"'})


@router.get("/audit", responses=document_faults(401))
def audit(person: Admin, services: AppServices, before: Before = None, limit: Limit = 100) -> AuditOut:
    """The audit log, newest first."""
    rows = [AuditEntry(**vars(entry)) for entry in list_entries(services.store, before, limit)]
    return AuditOut(entries=rows, next=rows[-1].event if len(rows) == limit else None)


@router.get("/backup", responses=document_faults(401))
def backups(person: Admin, services: AppServices) -> list[BackupOut]:
    """The backups in the server's folder, newest first. Restore one by `plaudit collect --restore FILE`."""
    return [BackupOut(**vars(copy)) for copy in backup.list_backups(services.config.folder)]


@router.post("/backup", status_code=201, responses=document_faults(401))
def make_backup(person: Admin, services: AppServices) -> BackupOut:
    """Copy the store while it is in use, and check the copy."""
    copy = backup.make(services.config.store, services.config.folder, services.clock())
    backup.log_backup(services.store, services.clock(), person.name, copy)
    return BackupOut(**vars(copy))
