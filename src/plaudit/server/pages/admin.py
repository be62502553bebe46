"""Admin pages: how far the work is, how people do, and everything that is set. Reading only; forms call the API."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from plaudit import layout
from plaudit.feedback import agreeing, measures
from plaudit.feedback.audit import list_entries
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.schema_people import ROLES
from plaudit.feedback.standing import load_standing
from plaudit.server import backup, export, health
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


def _page(request: Request, template: str, active: str, **context: Any) -> HTMLResponse:
    return page(request, f"admin/{template}", section="admin", here=active, **context)


def _kinds() -> list[dict[str, str]]:
    """The kinds of feedback by title, the one that most people begin with first."""
    kinds = [
        {"name": kind.name, "title": kind.title, "wording": default_wording(kind, clips=False)}
        for kind in KINDS.values()
    ]
    return sorted(kinds, key=lambda kind: (kind["name"] != "comparison", kind["title"]))


@router.get("")
def overview(request: Request, person: Reviewer, services: AppServices) -> HTMLResponse:
    """Every project with its progress."""
    projects = services.projects.list()
    done = measures.tally(services.store, [project.name for project in projects])
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
    current = services.projects.get(project)
    state, pay = measures.progress_and_pay(services.store, current.name, services.clock())
    formats = export.list_formats(services.store, current.name)
    return _project_page(request, current, "progress", state=state, pay=pay, total=_total(pay), formats=formats)


def _total(pay: list[measures.Pay]) -> dict[str, Any]:
    """All of them together; the cost of those whose pay is set."""
    paid = [row for row in pay if row.cost is not None]
    cost = sum(row.cost or 0.0 for row in paid)
    judged = sum(row.judgements for row in paid)
    return {
        "judgements": sum(row.judgements for row in pay),
        "minutes": sum(row.minutes for row in pay),
        "cost": cost if paid else None,
        "each": cost / judged if judged else None,
        "partial": 0 < len(paid) < len(pay),
    }


@router.get("/projects/{project}/quality")
def quality_page(request: Request, project: PathName, person: Reviewer, services: AppServices) -> HTMLResponse:
    """How far people agree, and how each is doing."""
    current = services.projects.get(project)
    standing = load_standing(services.store, current.name)
    agreement = agreeing.agreement(standing.shared)
    rows = health.annotator_health(standing, predictions(services.projects.run))
    rows.sort(key=lambda row: (-len(row.flags), row.annotator))
    return _project_page(request, current, "quality", agreement=agreement, health=rows)


@router.get("/projects/{project}/questions")
def questions(request: Request, project: PathName, person: Admin, services: AppServices) -> HTMLResponse:
    """Ask, and add questions whose answer is known."""
    current = services.projects.get(project)
    example, answer = _example(current.kind), KINDS[current.kind].example_answer
    gold = None if answer is None else dict(example) | {"gold": {"value": answer, "note": "why it is right"}}
    return _project_page(
        request,
        current,
        "questions",
        example=json.dumps(example),
        longer=json.dumps(_longer(current.kind), ensure_ascii=False),
        gold=gold and json.dumps(gold),
        silent=KINDS[current.kind].live and services.endpoint is None,
    )


def _longer(kind: str) -> dict[str, Any]:
    """As :func:`_example`, with a talk, and an item by its id where there are several."""
    messages = [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]
    if KINDS[kind].prompts:
        return {"items": [{"messages": [*messages, {"role": "user", "content": "…"}]}]}
    by_id = ["9f86d081884c7d659a2feaa0c55ad015", "60303ae22b998861bce3b28f33eec1be"][: KINDS[kind].example_items - 1]
    return {"items": [{"messages": messages, "model": "mine"}, *by_id]}


def _example(kind: str) -> dict[str, Any]:
    """An example of a question of this kind."""
    prompt = {"prompt": "Why is the sky blue?"}
    responses = ("Air scatters blue light more than red.", "It mirrors the sea.", "Nobody knows.")
    if KINDS[kind].prompts:
        return {"items": [prompt]}
    return {"items": [prompt | {"response": response} for response in responses[: KINDS[kind].example_items]]}


@router.get("/projects/{project}/guideline")
def guideline(
    request: Request,
    project: PathName,
    person: Reviewer,
    services: AppServices,
    version: Annotated[str | None, Query(max_length=20)] = None,
) -> HTMLResponse:
    """The guideline, in every version."""
    current = services.projects.get(project)
    versions = services.projects.guidelines(current.name)
    selected = next((entry for entry in versions if version in (None, entry.version)), None)
    html = "" if selected is None else to_html(selected.text)
    return _project_page(request, current, "guideline", versions=versions, shown=selected, html=html)


@router.get("/projects/{project}/settings")
def project_settings(request: Request, project: PathName, person: Admin, services: AppServices) -> HTMLResponse:
    """The settings of a project."""
    current = services.projects.get(project)
    roles = current.settings.roles_for(current.options)
    return _project_page(request, current, "settings", roles=ROLES, asked=roles)


@router.get("/people")
def people(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """Accounts, and all by which somebody can get in: invitations, links to a new password, tokens."""
    accounts = services.accounts
    grants = {"invites": accounts.invites.open(), "resets": accounts.resets.open(), "tokens": accounts.tokens.all()}
    return _page(request, "people.html", "people", users=accounts.users(), roles=ROLES, **grants)


@router.get("/people/{name}/forget")
def forget(request: Request, name: PathName, person: Admin, services: AppServices) -> HTMLResponse:
    """What forgetting a person means, and the form in which an admin types the name to confirm."""
    return _page(request, "forget.html", "people", user=services.accounts.user(name))


@router.get("/tokens")
def tokens(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """API tokens."""
    users = [user for user in services.accounts.users() if user.disabled_at is None]
    return _page(request, "tokens.html", "tokens", tokens=services.accounts.tokens.all(), users=users, scopes=SCOPES)


@router.get("/settings")
def settings(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """The consent text and the survey."""
    now = services.consents.settings()
    consent = now["consent"] or {"version": "0", "text": ""}
    questions = (now["survey"] or {"questions": []})["questions"]
    answered = len(services.consents.all_answers())
    return _page(request, "settings.html", "settings", consent=consent, questions=questions, answered=answered)


@router.get("/audit")
def audit(request: Request, person: Admin, services: AppServices, before: Before = None) -> HTMLResponse:
    """The audit log."""
    rows = list_entries(services.store, before, ROWS)
    older = rows[-1].event if len(rows) == ROWS else None
    return _page(request, "audit.html", "audit", rows=rows, older=older, before=before)


@router.get("/backups")
def backups(request: Request, person: Admin, services: AppServices) -> HTMLResponse:
    """Copies of the store."""
    config = services.config
    store_option = (
        "" if config.store == str(config.folder / layout.FEEDBACK) else f"--store {shlex.quote(config.store)} "
    )
    options = f"{store_option}--folder {shlex.quote(str(config.folder))}"
    copies, postgres = backup.list_backups(config.folder), backup.is_postgres(config.store)
    return _page(
        request,
        "backups.html",
        "backups",
        backups=copies,
        postgres=postgres,
        folder=config.folder,
        options=options if not postgres else "",
    )
