"""An annotator's judgements in a project, listed for undo and edit, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from plaudit.feedback import history
from plaudit.feedback.kinds import kind
from plaudit.feedback.rows import Event
from plaudit.server.faults import NotFound
from plaudit.server.services import Services
from plaudit.server.text import showable
from plaudit.types import Judgement, Question

LIMIT = 1000  # questions counted; the page says "more" beyond it
CHOICES = {
    "better": "the new one is better",
    "worse": "the new one is worse",
    "same": "about the same",
    "original": "the original is better",
    "new": "the new one is better",
    "neither": "neither",
    "skip": "skipped",
}


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
    events = history.standing(services.store, annotator, project, before, limit)
    questions = services.store.questions([event.judgement.question for event in events])
    entries = [_entry(event, question) for event, question in zip(events, questions, strict=True)]
    return entries[::-1]


def _entry(event: Event, question: Question) -> Entry:
    judgement = event.judgement
    return Entry(
        number=event.number,
        judgement=judgement.id,
        question=question.id,
        kind=question.kind,
        title=kind(question.kind).title,
        wording=showable(question.wording),
        summary=showable(summary(question.kind, judgement)),
        submitted_at=judgement.submitted_at,
        seconds=round(judgement.submitted_at - judgement.shown_at, 1),
        surplus=event.status == "surplus",
        edited=judgement.supersedes is not None,
    )


def summary(name: str, judgement: Judgement) -> str:
    """One line that gives the answer as the annotator saw it."""
    value = judgement.value
    if name == "comparison":
        return _compared(value.get("strength"), judgement.order)
    if name == "ranking":
        return _ranked(value["ranks"], judgement.order)
    if "choice" in value:
        return CHOICES.get(value["choice"], str(value["choice"]))
    if "thumb" in value:
        return ", ".join([f"thumb {value['thumb']}", *value.get("tags", [])])
    if "spans" in value:
        marks = len(value["spans"])
        return "nothing marked" if not marks else f"{marks} marked" + _first(value["spans"])
    if "ratings" in value and isinstance(value["ratings"], Mapping):
        return ", ".join(f"{scale} {'?' if number is None else number}" for scale, number in value["ratings"].items())
    for field in ("comparisons", "judgements"):
        if field in value:
            return f"{len(value[field])} judgements" + (f": {_cut(value['comment'])}" if value.get("comment") else "")
    return _cut(str(value.get("text", value)))


def _compared(strength: int | None, order: tuple[int, ...]) -> str:
    if strength is None:
        return "can't tell"
    if strength == 0:
        return "a tie"
    side = "left" if (strength > 0) == (order[0] == 0) else "right"
    degree = {1: "slightly ", 2: "", 3: "clearly ", 4: ""}[abs(strength)]
    return f"{side} is {degree}better"


def _ranked(ranks: list[int], order: tuple[int, ...]) -> str:
    """Letters go by position on the page: D > C > A = B."""
    tiers: dict[int, list[str]] = {}
    for position, index in enumerate(order):
        tiers.setdefault(ranks[index], []).append(chr(ord("A") + position))
    return " > ".join(" = ".join(tiers[rank]) for rank in sorted(tiers))


def _first(marks: list[Mapping[str, Any]]) -> str:
    return ": " + ", ".join(dict.fromkeys(str(mark["category"]) for mark in marks))


def _cut(text: str, limit: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def count_progress(services: Services, annotator: str, project: str, start: float) -> Progress:
    """The annotator's judgements in ``project`` since ``start``, and the questions that wait for them."""
    name = services.projects.get(project).kind
    done, waiting = history.count(services.store, annotator, project, name, start, services.clock(), LIMIT)
    return Progress(done=done, waiting=waiting)
