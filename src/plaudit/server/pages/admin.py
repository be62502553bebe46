"""Admin pages: how far the work is, how people do, and everything that is set. Reading only; forms call the API."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from plaudit import layout
from plaudit.feedback.audit import entries
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.schema_people import ROLES
from plaudit.server import backup, export, health, measures, quality
from plaudit.server.api.bodies import Before, PathName
from plaudit.server.credentials import SCOPES
from plaudit.server.identity import Admin, AppServices, Reviewer
from plaudit.server.live import predictions
from plaudit.server.project_settings import default_wording
from plaudit.server.projects import Project
from plaudit.server.render import page
from plaudit.server.text import to_html

router = APIRouter(prefix="/admin")

ROWS = 100  # of the audit log at a time
COUNTS = {"comparison": 2, "regeneration": 2, "side-by-side": 2, "ranking": 3}  # items of an example; else one
TO_GO_ON = ("demonstration", "conversation", "chat")  # a prompt without a response
GOLD: dict[str, dict[str, Any]] = {  # answers of an example, of the kinds that are right or wrong
    "comparison": {"strength": 4},
    "ranking": {"ranks": [1, 2, 2]},
    "rating": {"ratings": {"overall quality": 6}},
    "regeneration": {"choice": "worse"},
    "side-by-side": {"choice": "original"},
    "thumbs": {"thumb": "up"},
    "spans": {"spans": []},
}


def _page(request: Request, template: str, here: str, **context: Any) -> HTMLResponse:
    return page(request, f"admin/{template}", section="admin", here=here, **context)


def _kinds() -> list[dict[str, str]]:
    """The kinds of feedback by title, the one that most people begin with first."""
    of = KINDS.values()
    kinds = [{"name": each.name, "title": each.title, "wording": default_wording(each, clips=False)} for each in of]
    return sorted(kinds, key=lambda each: (each["name"] != "comparison", each["title"]))


@router.get("")
def overview(request: Request, person: Reviewer, services: AppServices) -> HTMLResponse:
    """Every project, and how far it is."""
    projects = services.projects.list()
    with services.store.database.read() as connection:
        done = {each.name: measures.tally(connection, each.name) for each in projects}
    return _page(request, "overview.html", "overview", projects=projects, done=done, kinds=KINDS)


@router.get("/new")
def new_project(request: Request, person: Admin) -> HTMLResponse:
    """A project to make."""
    return _page(request, "new.html", "overview", kinds=_kinds())


def _project_page(request: Request, project: Project, tab: str, **context: Any) -> HTMLResponse:
    context |= {"project": project, "kind": KINDS[project.kind], "tab": tab}
    return _page(request, f"project_{tab}.html", "overview", **context)


@router.get("/projects/{project}")
def progress(request: Request, project: PathName, person: Reviewer, services: AppServices) -> HTMLResponse:
    """How far a project is, who did how much, and what it cost."""
    found = services.projects.get(project)
    with services.store.database.read() as connection:
        state = measures.progress(connection, found.name, services.clock())
        pay = measures.pay(connection, found.name)
    formats = export.offered(services.store, found.name)
    return _project_page(request, found, "progress", state=state, pay=pay, total=_total(pay), formats=formats)


def _total(pay: list[measures.Pay]) -> dict[str, Any]:
    """All of them together; the cost of those whose pay is set."""
    known = [each for each in pay if each.cost is not None]
    cost = sum(each.cost or 0.0 for each in known)
    judged = sum(each.judgements for each in known)
    return {
        "judgements": sum(each.judgements for each in pay),
        "minutes": sum(each.minutes for each in pay),
        "cost": cost if known else None,
        "each": cost / judged if judged else None,
        "partial": 0 < len(known) < len(pay),
    }


@router.get("/projects/{project}/quality")
def quality_page(request: Request, project: PathName, person: Reviewer, services: AppServices) -> HTMLResponse:
    """How far people agree, and how each is doing."""
    found = services.projects.get(project)
    with services.store.database.read() as connection:
        agreement = quality.agreement(connection, found.name)
        rows = health.annotator_health(connection, found.name, predictions(services.projects.run))
    rows.sort(key=lambda row: (-len(row.flags), row.annotator))
    return _project_page(request, found, "quality", agreement=agreement, health=rows)


@router.get("/projects/{project}/questions")
def questions(request: Request, project: PathName, person: Admin, services: AppServices) -> HTMLResponse:
    """Ask, and add questions whose answer is known."""
    found = services.projects.get(project)
    example, answer = _example(found.kind), GOLD.get(found.kind)
    gold = None if answer is None else dict(example) | {"gold": {"value": answer, "note": "why it is right"}}
    return _project_page(
        request,
        found,
        "questions",
        example=json.dumps(example),
        longer=json.dumps(_longer(found.kind), ensure_ascii=False),
        gold=gold and json.dumps(gold),
        silent=KINDS[found.kind].live and services.endpoint is None,
    )


def _longer(kind: str) -> dict[str, Any]:
    """As :func:`_example`, with a talk, and an item by its id where there are several."""
    messages = [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]
    if kind in TO_GO_ON:
        return {"items": [{"messages": [*messages, {"role": "user", "content": "…"}]}]}
    by_id = ["9f86d081884c7d659a2feaa0c55ad015", "60303ae22b998861bce3b28f33eec1be"][: COUNTS.get(kind, 1) - 1]
    return {"items": [{"messages": messages, "model": "mine"}, *by_id]}


def _example(kind: str) -> dict[str, Any]:
    """A question of this kind as somebody would write it."""
    prompt = {"prompt": "Why is the sky blue?"}
    responses = ("Air scatters blue light more than red.", "It mirrors the sea.", "Nobody knows.")
    if kind in TO_GO_ON:
        return {"items": [prompt]}
    return {"items": [prompt | {"response": each} for each in responses[: COUNTS.get(kind, 1)]]}


@router.get("/projects/{project}/guideline")
def guideline(
    request: Request,
    project: PathName,
    person: Reviewer,
    services: AppServices,
    version: Annotated[str | None, Query(max_length=20)] = None,
) -> HTMLResponse:
    """What annotators are told, and every version of it."""
    found = services.projects.get(project)
    versions = services.projects.guidelines(found.name)
    shown = next((each for each in versions if version in (None, each.version)), None)
    html = "" if shown is None else to_html(shown.text)
    return _project_page(request, found, "guideline", versions=versions, shown=shown, html=html)


@router.get("/projects/{project}/settings")
def project_settings(request: Request, project: PathName, person: Admin, services: AppServices) -> HTMLResponse:
    """What is set for a project."""
    found = services.projects.get(project)
    asked = found.settings.roles_for(found.options)
    return _project_page(request, found, "settings", roles=ROLES, asked=asked)


@router.get("/people")
def people(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """Who has an account, and who is invited."""
    users, invites = services.accounts.users(), services.accounts.invites.open()
    return _page(request, "people.html", "people", users=users, invites=invites, roles=ROLES)


@router.get("/people/{name}/forget")
def forget(request: Request, name: PathName, person: Admin, services: AppServices) -> HTMLResponse:
    """What it means to forget somebody, and the name to be typed before it is done."""
    return _page(request, "forget.html", "people", user=services.accounts.user(name))


@router.get("/tokens")
def tokens(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """What programs sign in with."""
    users = [each for each in services.accounts.users() if each.disabled_at is None]
    return _page(request, "tokens.html", "tokens", tokens=services.accounts.tokens.all(), users=users, scopes=SCOPES)


@router.get("/settings")
def settings(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """The consent text and the survey."""
    now = services.consents.settings()
    consent = now["consent"] or {"version": "0", "text": ""}
    asked = (now["survey"] or {"questions": []})["questions"]
    answered = len(services.consents.everybody())
    return _page(request, "settings.html", "settings", consent=consent, questions=asked, answered=answered)


@router.get("/audit")
def audit(request: Request, person: Admin, services: AppServices, before: Before = None) -> HTMLResponse:
    """Who did what and when."""
    with services.store.database.read() as connection:
        rows = entries(connection, before, ROWS)
    older = rows[-1].event if len(rows) == ROWS else None
    return _page(request, "audit.html", "audit", rows=rows, older=older, before=before)


@router.get("/backups")
def backups(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """Copies of the store."""
    config = services.config
    own = "" if config.store == str(config.folder / layout.FEEDBACK) else f"--store {shlex.quote(config.store)} "
    options = f"{own}--folder {shlex.quote(str(config.folder))}"
    found, postgres = backup.listed(config.folder), backup.is_postgres(config.store)
    return _page(
        request,
        "backups.html",
        "backups",
        backups=found,
        postgres=postgres,
        folder=config.folder,
        options=options if not postgres else "",
    )
