"""The API of a training run: its state, the latest clip, and the request to finish."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from plaudit.server.faults import NotFound, document_faults
from plaudit.server.identity import Admin, AppServices, Person, SignedIn
from plaudit.server.live import LiveRun

router = APIRouter(prefix="/run", tags=["run"])


class LabelsOut(BaseModel):
    """Numbers of comparisons: the run's goal, those asked, judged and waiting."""

    goal: int = Field(alias="wanted")
    questions: int = Field(alias="asked")
    judged: int
    waiting: int


class ClipOut(BaseModel):
    """The latest clip as a film strip."""

    src: str
    frames: int
    width: int
    height: int
    columns: int
    fps: float


class RunOut(BaseModel):
    """The present state of a run. ``curves`` are columns over rounds; the true return, and the share that satisfies
    a held-out rule, are for those who may read."""

    environment: str
    unit: str  # of the curves' first column
    state: str
    labels: LabelsOut
    curves: dict[str, list[float | None]]
    judging: list[str]
    clip: ClipOut | None


def live_run(request: Request, services: AppServices) -> LiveRun:
    """The run that this server belongs to; raises :class:`NotFound` if there is none."""
    if services.config.run is None:
        raise NotFound("this server has no training run: start one with `plaudit train ENV --annotator people`")
    state = request.app.state
    if not hasattr(state, "live_run"):
        state.live_run = LiveRun(services.config.run)
    live: LiveRun = state.live_run
    return live


Live = Annotated[LiveRun, Depends(live_run)]


@router.get("", responses=document_faults(401, 403, 404, 422, 503))
def run_now(person: SignedIn, services: AppServices, live: Live) -> RunOut:
    """The state of the run."""
    labels = live.labels(services.store)
    film, time = live.clip(), live.clip_time()
    clip = None
    if film is not None and time is not None:
        shape = film.shape
        src = f"/api/run/clip?made={time:.0f}"
        clip = ClipOut(
            src=src, frames=shape.frames, width=shape.width, height=shape.height, columns=shape.columns, fps=shape.fps
        )
    return RunOut(
        environment=live.environment,
        unit="steps" if live.kind == "control" else "rounds",
        state=live.state(services.clock()),
        labels=LabelsOut(wanted=labels.goal, asked=labels.questions, judged=labels.judged, waiting=labels.waiting),
        curves=live.curves(show_hidden="read" in person.scopes),
        judging=_visible_names(person, live.list_judging(services.store, services.clock())),
        clip=clip,
    )


@router.get("/clip", response_class=Response, responses=document_faults(401, 403, 404, 422, 503))
def clip(person: SignedIn, live: Live) -> Response:
    """The latest clip's film strip, WebP or PNG."""
    film = live.clip()
    if film is None:
        raise NotFound("the agent has not been filmed yet: wait for the first round")
    return Response(film.data, media_type=film.type)


@router.post("/finish", status_code=204, responses=document_faults(401, 403, 404, 422, 503))
def finish(person: Admin, live: Live) -> None:
    """Finish the run with the answers that it has."""
    live.finish()


def _visible_names(person: Person, names: list[str]) -> list[str]:
    """Reviewers see who judges; others see themselves, and how many more there are."""
    if "read" in person.scopes:
        return names
    n_hidden = len([name for name in names if name != person.name])
    return [name for name in names if name == person.name] + ([f"{n_hidden} more"] if n_hidden else [])
