"""Projects: their settings, guidelines and questions, progress, quality, pay and export."""

from __future__ import annotations

import math
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from plaudit.feedback import agreeing, measures
from plaudit.feedback.quality import Rate
from plaudit.feedback.standing import load_shared, load_standing
from plaudit.server import asking, export
from plaudit.server.api.bodies import Answer, Body, Line, Name, Object, PathName, Text
from plaudit.server.faults import document_faults
from plaudit.server.health import AnnotatorHealth, annotator_health
from plaudit.server.identity import Admin, AppServices, Asker, Person, Reviewer, SignedIn
from plaudit.server.live import predictions
from plaudit.server.projects import Guideline, Project

router = APIRouter(tags=["projects"])


class ProjectOut(BaseModel):
    """A project. ``waiting`` and ``judged`` are of the person who asks."""

    name: str
    title: str
    kind: str
    wording: str
    options: dict[str, Any]
    settings: dict[str, Any]
    created_at: float
    closed_at: float | None
    waiting: int = 0
    judged: int = 0


class NewProject(Body):
    """A project to make. ``kind`` is a kind of feedback; ``wording`` is the kind's own where it is left out."""

    name: Name
    title: Line
    kind: Name
    wording: Line | None = None
    options: Object = Field(default_factory=dict)
    settings: Object = Field(default_factory=dict)


class ProjectChange(Body):
    """Changes of a project; fields left out stay. Questions asked before keep their wording and options."""

    title: Line = ""
    wording: Line = ""
    options: Object = Field(default_factory=dict)
    settings: Object = Field(default_factory=dict)
    closed: bool = False


class GuidelineOut(BaseModel):
    """A version of what annotators are told, in Markdown."""

    version: str
    text: str
    author: str
    created_at: float


class NewGuideline(Body):
    """A further version."""

    text: Text


class Questions(Body):
    """Questions to ask; see :class:`plaudit.server.asking.Batch` for what one may hold."""

    questions: Annotated[list[Object], Field(min_length=1, max_length=10_000)]
    judgements_wanted: Annotated[int | None, Field(ge=1, le=1000)] = None


class AskedOut(BaseModel):
    """How many were new, and the ids of all."""

    new: int
    ids: list[str]


class QueueOut(BaseModel):
    """The questions of one purpose."""

    purpose: str
    questions: int
    open: int
    leased: int
    done: int
    judgements: int
    surplus: int


class ProgressOut(BaseModel):
    """A project in numbers."""

    queues: list[QueueOut]
    annotators: int
    last_at: float | None


class AgreementOut(Answer):
    """How far people agree; ``problem`` gives the reason if there is no number."""

    aspect: str = Field(validation_alias="what", serialization_alias="what")
    percent: float | None
    alpha: float | None
    low: float | None
    high: float | None
    units: int = Field(validation_alias="things", serialization_alias="things")
    judgements: int
    problem: str | None


class RateOut(Answer):
    """A share with its 95 % interval; null if there was nothing to count."""

    share: float | None
    low: float
    high: float
    trials: int = Field(validation_alias="of", serialization_alias="of")


class LapseOut(Answer):
    """The share of answers that are a coin's, with limits where they are known; null where nothing could tell."""

    share: float | None
    low: float | None
    high: float | None
    source: Literal["reward model", "other annotators"] | None = Field(validation_alias="by", serialization_alias="by")


class HealthOut(Answer):
    """How one person is doing; ``flags`` say in words what chance does not explain.

    ``judgements`` of all kinds, of which ``answers`` compare two. ``residual_z``: how much more surprising to the
    reward model of the training run than other people are; null without one.
    """

    annotator: str
    judgements: int
    answers: int
    agreement: RateOut
    agreement_by_kind: dict[str, RateOut]
    lapse: LapseOut
    residual_z: float | None
    left: RateOut
    consistency: RateOut
    gold: RateOut
    too_fast: RateOut
    most_frequent: RateOut = Field(validation_alias="same", serialization_alias="same")
    tie: RateOut
    cant_tell: RateOut
    flags: list[str]


class PayOut(BaseModel):
    """Minutes and cost of one person; null where no pay is set."""

    annotator: str
    judgements: int
    minutes: float
    pay: float | None
    cost: float | None
    cost_per_judgement: float | None


def _project_out(project: Project, waiting: int = 0, judged: int = 0) -> ProjectOut:
    fields: dict[str, Any] = vars(project) | {
        "options": dict(project.options),
        "settings": project.settings.to_dict(),
    }
    return ProjectOut(**fields, waiting=waiting, judged=judged)


def _guideline(guideline: Guideline) -> GuidelineOut:
    return GuidelineOut(**vars(guideline))


def _visible_project(person: Person, services: AppServices, name: str) -> Project:
    """The project, if this person may know of it."""
    return services.projects.get(name) if "read" in person.scopes else services.projects.for_work(name, person.role)


@router.get("/projects", responses=document_faults(401))
def projects(person: SignedIn, services: AppServices) -> list[ProjectOut]:
    """The open projects that this person can work on; for those who may read, all of them."""
    open_work = {work.project.name: work for work in services.projects.open_for(person.name, person.role)}
    if "read" not in person.scopes:
        return [_project_out(work.project, work.waiting, work.judged) for work in open_work.values()]
    counts = {name: (project.waiting, project.judged) for name, project in open_work.items()}
    return [_project_out(project, *counts.get(project.name, (0, 0))) for project in services.projects.list()]


@router.post("/projects", status_code=201, responses=document_faults(401, 409, 413))
def create(body: NewProject, person: Admin, services: AppServices) -> ProjectOut:
    """Make a project."""
    return _project_out(services.projects.create(person.name, body.model_dump()))


@router.patch("/projects/{project}", responses=document_faults(401, 404, 413))
def change(project: PathName, body: ProjectChange, person: Admin, services: AppServices) -> ProjectOut:
    """Change a project, close it (`closed: true`), or open it again."""
    return _project_out(services.projects.change(person.name, project, body.model_dump(exclude_unset=True)))


@router.get("/projects/{project}/guidelines", responses=document_faults(401, 404, 409))
def guidelines(project: PathName, person: SignedIn, services: AppServices) -> list[GuidelineOut]:
    """Every version, newest first."""
    versions = services.projects.guidelines(_visible_project(person, services, project).name)
    return [_guideline(version) for version in versions]


@router.post("/projects/{project}/guidelines", status_code=201, responses=document_faults(401, 404, 413))
def add_guideline(project: PathName, body: NewGuideline, person: Admin, services: AppServices) -> GuidelineOut:
    """A further version; questions asked from now on carry it."""
    return _guideline(services.projects.add_guideline(person.name, project, body.text))


@router.post("/projects/{project}/questions", status_code=201, responses=document_faults(401, 404, 409, 413))
def ask(project: PathName, body: Questions, person: Asker, services: AppServices) -> AskedOut:
    """Put questions on the queue: all of them or none. Asking again what was asked before changes nothing."""
    current = services.projects.get(project)
    newest = services.projects.guideline(project)
    batch = asking.Batch(
        current,
        "1" if newest is None else newest.version,
        body.questions,
        body.judgements_wanted or current.settings.judgements_wanted,
    )
    result = asking.ask(services.store, person.name, services.clock(), batch)
    return AskedOut(new=result.new, ids=list(result.ids))


@router.get("/projects/{project}/progress", responses=document_faults(401, 404))
def progress(project: PathName, person: Reviewer, services: AppServices) -> ProgressOut:
    """Open, leased and done, by what the questions are for."""
    services.projects.get(project)
    state = measures.progress(services.store, project, services.clock())
    queues = [QueueOut(**vars(queue)) for queue in state.queues]
    return ProgressOut(queues=queues, annotators=state.annotators, last_at=state.last_at)


@router.get("/projects/{project}/agreement", responses=document_faults(401, 404))
def agreement(project: PathName, person: Reviewer, services: AppServices) -> list[AgreementOut]:
    """Percent agreement and Krippendorff's alpha (ordinal), where several people answered the same question."""
    services.projects.get(project)
    return [AgreementOut(**vars(row)) for row in agreeing.agreement(load_shared(services.store, project))]


@router.get("/projects/{project}/health", responses=document_faults(401, 404))
def health(project: PathName, person: Reviewer, services: AppServices) -> list[HealthOut]:
    """How each annotator is doing, at all that they were asked."""
    services.projects.get(project)
    expected = predictions(services.projects.run)
    standing = load_standing(services.store, project)
    return [_health(row) for row in annotator_health(standing, expected)]


@router.get("/projects/{project}/pay", responses=document_faults(401, 404))
def pay(project: PathName, person: Reviewer, services: AppServices) -> list[PayOut]:
    """Minutes (from shown to submitted, five an answer at most) and, where pay is set, what they cost."""
    services.projects.get(project)
    return [PayOut(**vars(row)) for row in measures.pay(services.store, project)]


FORMAT = Query(
    description="`events` is every event as it was stored, a line each. The others are formats that other programs "
    "read, and hold what counts, as `plaudit export` writes it; `plaudit` holds everything and can be imported again.",
    json_schema_extra={"enum": [export.EVENTS, *export.WRITABLE]},
)


@router.get(
    "/export/{project}",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"application/jsonl": {}, "application/json": {}},
            "description": "The file; one object a line, or one array for the formats that are one",
        }
    }
    | document_faults(401, 404),
)
def export_project(
    project: PathName, person: Reviewer, services: AppServices, format: Annotated[str, FORMAT] = export.EVENTS
) -> StreamingResponse:
    """The judgements of the project, as a file in one of several formats."""
    name = services.projects.get(project).name
    ending, type, data = export.export(services.store, name, format)
    first = next(data, b"")  # before anything is sent: where the store cannot be reached, the answer is 503
    headers = {"Content-Disposition": f'attachment; filename="{_filename(name)}{ending}"'}
    return StreamingResponse(chain([first], data), media_type=type, headers=headers)


def _filename(name: str) -> str:
    return "".join(
        character if character.isascii() and (character.isalnum() or character in "._-") else "_" for character in name
    )


def _health(row: AnnotatorHealth) -> HealthOut:
    rates = {name: _rate(value) for name, value in vars(row).items() if isinstance(value, Rate)}
    return HealthOut(
        annotator=row.annotator,
        judgements=row.judgements,
        answers=row.answers,
        agreement_by_kind={kind: _rate(rate) for kind, rate in row.agreement_by_kind.items()},
        lapse=_lapse(row),
        residual_z=None if math.isnan(row.residual_z) else row.residual_z,
        flags=list(row.flags),
        **rates,
    )


def _lapse(row: AnnotatorHealth) -> LapseOut:
    if not math.isnan(row.lapse):
        return LapseOut(share=row.lapse, low=row.lapse_low, high=row.lapse_high, source="reward model")
    if not math.isnan(row.lapse_by_others):
        return LapseOut(share=row.lapse_by_others, low=None, high=None, source="other annotators")
    return LapseOut(share=None, low=None, high=None, source=None)


def _rate(rate: Rate) -> RateOut:
    share = None if math.isnan(rate.rate) else rate.rate
    return RateOut(share=share, low=rate.low, high=rate.high, trials=rate.trials)
