"""An annotator's judgements in a project, listed for undo and edit, and counted."""

from __future__ import annotations

from pydantic import BaseModel

from plaudit.feedback import history
from plaudit.feedback.kinds import kind
from plaudit.feedback.rows import Event
from plaudit.server.faults import NotFound
from plaudit.server.keyed_ids import hide_id
from plaudit.server.services import Services
from plaudit.server.text import showable
from plaudit.types import Judgement, Question

LIMIT = 1000  # questions counted; the page says "more" beyond it


class Progress(BaseModel):
    """``done`` judgements since a moment; ``waiting`` questions, counted up to 1,000."""

    done: int
    waiting: int


class Entry(BaseModel):
    """One judgement; ``number`` is where the next page of the list begins."""

    number: int
    judgement: str
    question: str
    kind: str
    title: str
    wording: str
    summary: str
    submitted_at: float
    seconds: float
    surplus: bool
    edited: bool


def own_judgement(services: Services, annotator: str, judgement: str) -> Judgement:
    """A judgement of ``annotator``'s; raises :class:`NotFound` for any other id."""
    event = history.load(services.store, judgement)
    if event is None or event.judgement.annotator != annotator:
        raise NotFound(f"you gave no judgement {judgement[:64]!r}")
    return event.judgement


def list_entries(services: Services, annotator: str, project: str, before: int | None, limit: int) -> list[Entry]:
    """Standing judgements, latest first."""
    events = history.list_standing(services.store, annotator, project, before, limit)
    questions = services.store.questions([event.judgement.question for event in events])
    entries = [_entry(services.secret, event, question) for event, question in zip(events, questions, strict=True)]
    return entries[::-1]


def _entry(secret: bytes, event: Event, question: Question) -> Entry:
    judgement = event.judgement
    return Entry(
        number=event.number,
        judgement=judgement.id,
        question=hide_id(secret, judgement.annotator, "question", question.id),
        kind=question.kind,
        title=kind(question.kind).title,
        wording=showable(question.wording),
        summary=showable(kind(question.kind).summary(judgement.value, judgement.order)),
        submitted_at=judgement.submitted_at,
        seconds=round(judgement.submitted_at - judgement.shown_at, 1),
        surplus=event.status == "surplus",
        edited=judgement.supersedes is not None,
    )


def count_progress(services: Services, annotator: str, project: str, start: float) -> Progress:
    """The annotator's judgements in ``project`` since ``start``, and the questions that wait for them."""
    name = services.projects.get(project).kind
    done, waiting = history.count(services.store, annotator, project, name, start, services.clock(), LIMIT)
    return Progress(done=done, waiting=waiting)
