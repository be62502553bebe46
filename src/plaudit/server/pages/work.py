"""The pages that people judge on. They show and never change anything: every write is a call of the API."""

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
    """What there is to do."""
    mine = [
        each
        for each in services.projects.list()
        if each.closed_at is None and services.projects.may_work(each, person.role)
    ]
    work = [(each, KINDS[each.kind].title, count_progress(services, person.name, each.name, 0.0)) for each in mine]
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
    found = services.projects.for_work(project, person.role)
    if edit is not None:
        own_judgement(services, person.name, edit)
    setup = {
        "project": found.name,
        "title": found.title,
        "kind": found.kind,
        "person": person.name,
        "edit": edit,
        "live": services.endpoint is not None,
        "beside": services.config.run is not None,
        "preferences": services.accounts.preferences(person.name),
    }
    return page(request, "work/work.html", project=found, setup=setup, kinds=KINDS.values())


@router.get("/history/{project}")
def judged(
    request: Request,
    project: str,
    person: Consented,
    services: AppServices,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> HTMLResponse:
    """What I said so far, to change it or take it back."""
    found = services.projects.get(project)
    entries = list_entries(services, person.name, project, before, PAGE)
    more = entries[-1].number if len(entries) == PAGE else None
    return page(request, "work/history.html", project=found, entries=entries, more=more)


@router.get("/guidelines/{project}")
def guidelines(
    request: Request,
    project: str,
    person: Consented,
    services: AppServices,
    version: Annotated[str | None, Query(max_length=20)] = None,
) -> HTMLResponse:
    """What annotators of a project are told, by version."""
    found = services.projects.get(project)
    versions = services.projects.guidelines(project)
    shown = next((each for each in versions if version in (None, each.version)), None)
    html = None if shown is None else to_html(shown.text)
    return page(request, "work/guidelines.html", project=found, versions=versions, shown=shown, html=html)


@router.get("/keys")
def keys(request: Request, person: Consented, services: AppServices) -> HTMLResponse:
    """Which key does what, to be changed or switched off."""
    return page(request, "work/keys.html", section="keys", setup=_personal(services, person))


def _personal(services: Services, person: Person) -> dict[str, Any]:
    return {"person": person.name, "preferences": services.accounts.preferences(person.name)}
