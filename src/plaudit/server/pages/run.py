"""The page that shows a training run as it goes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from plaudit.server.api.run import Live
from plaudit.server.faults import document_faults
from plaudit.server.identity import SignedIn
from plaudit.server.render import page

router = APIRouter(include_in_schema=False)


@router.get("/run", response_class=HTMLResponse, responses=document_faults(401, 404))
def run(request: Request, person: SignedIn, live: Live) -> HTMLResponse:
    """Curves, labels used, who is judging, the latest clip; the page asks for them again every two seconds."""
    name = live.environment.rsplit("/", 1)[-1].removesuffix("-v0")
    agent = live.kind == "control"
    values = {"name": name, "agent": agent, "project": live.project}
    return page(request, "run/run.html", section="run", may_finish=agent and "admin" in person.scopes, **values)
