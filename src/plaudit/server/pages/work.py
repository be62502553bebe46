"""The pages for judging. They only read; every write is a call of the API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from plaudit.feedback.kinds import KINDS
from plaudit.server.history import count_progress, list_entries, own_judgement
from plaudit.server.identity import AppServices, Consented, Person, Services
from plaudit.server.render import page
from plaudit.server.text import to_html

router = APIRouter()

PAGE = 30  # judgements of the history at a time


@router.get("/")
def home(request: Request, person: Consented, services: AppServices) -> HTMLResponse:
    """The projects that the annotator can work on."""
    projects = [
        project
        for project in services.projects.list()
        if project.closed_at is None and services.projects.may_work(project, person.role)
    ]
    work = [
        (project, KINDS[project.kind].title, count_progress(services, person.name, project.name, 0.0))
        for project in projects
    ]
    return page(request, "work/home.html", section="home", work=work)


@router.get("/work/{project}")
def work(
    request: Request,
    project: str,
    person: Consented,
    services: AppServices,
    edit: Annotated[str | None, Query(max_length=64)] = None,
) -> HTMLResponse:
    """One question at a time."""
    details = services.projects.for_work(project, person.role)
    if edit is not None:
        own_judgement(services, person.name, edit)
    setup = {
        "project": details.name,
        "title": details.title,
        "kind": details.kind,
        "person": person.name,
        "edit": edit,
        "live": services.endpoint is not None,
        "beside": services.config.run is not None or services.config.scene is not None,
        "preferences": services.accounts.preferences(person.name),
    }
    return page(request, "work/work.html", project=details, setup=setup, kinds=KINDS.values())


@router.get("/history/{project}")
def show_history(
    request: Request,
    project: str,
    person: Consented,
    services: AppServices,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> HTMLResponse:
    """The annotator's own judgements, to change or withdraw them."""
    details = services.projects.for_view(project, person.role, "read" in person.scopes)
    entries = list_entries(services, person.name, project, before, PAGE)
    more = entries[-1].number if len(entries) == PAGE else None
    return page(request, "work/history.html", project=details, entries=entries, more=more, kinds=KINDS)


@router.get("/guidelines/{project}")
def guidelines(
    request: Request,
    project: str,
    person: Consented,
    services: AppServices,
    version: Annotated[str | None, Query(max_length=20)] = None,
) -> HTMLResponse:
    """The guideline of a project, by version."""
    details = services.projects.for_view(project, person.role, "read" in person.scopes)
    versions = services.projects.guidelines(project)
    current = next((text for text in versions if version in (None, text.version)), None)
    html = None if current is None else to_html(current.text)
    return page(request, "work/guidelines.html", project=details, versions=versions, current=current, html=html)


@router.get("/keys")
def keys(request: Request, person: Consented, services: AppServices) -> HTMLResponse:
    """The keys and their commands, which the annotator can change or switch off."""
    return page(request, "work/keys.html", section="keys", setup=_personal(services, person))


def _personal(services: Services, person: Person) -> dict[str, Any]:
    return {"person": person.name, "preferences": services.accounts.preferences(person.name)}
