"""What one person has said in a project: listed for undo and edit, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, func, select

from plaudit.feedback.kinds import kind
from plaudit.feedback.rows import load_events
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.server.faults import NotFound
from plaudit.server.services import Services
from plaudit.server.text import showable
from plaudit.types import Judgement

MOST = 1000  # counted; beyond it is "more"
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


def own(services: Services, annotator: str, judgement: str) -> Judgement:
    """A judgement of ``annotator``'s; raises :class:`NotFound` for anybody else's, and for none."""
    with services.store.database.read() as connection:
        events = load_events(connection, JUDGEMENTS.c.id == judgement)
    if not events or events[0].judgement.annotator != annotator:
        raise NotFound(f"you gave no judgement {judgement[:64]!r}")
    return events[0].judgement


def history(services: Services, annotator: str, project: str, before: int | None, limit: int) -> list[Entry]:
    """Standing judgements, latest first."""
    later = JUDGEMENTS.alias()
    where = [
        JUDGEMENTS.c.annotator == annotator,
        QUESTIONS.c.project == project,
        JUDGEMENTS.c.status != "withdrawal",
        ~select(later.c.event).where(later.c.supersedes == JUDGEMENTS.c.id).exists(),
    ]
    if before is not None:
        where.append(JUDGEMENTS.c.event < before)
    found = (
        select(JUDGEMENTS.c.event)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(*where)
        .order_by(JUDGEMENTS.c.event.desc())
        .limit(limit)
    )
    with services.store.database.read() as connection:
        numbers = list(connection.execute(found).scalars())
        events = load_events(connection, JUDGEMENTS.c.event.in_(numbers)) if numbers else []
    questions = services.store.questions([each.judgement.question for each in events])
    entries = []
    for event, question in zip(events, questions, strict=True):
        said = event.judgement
        entries.append(
            Entry(
                number=event.number,
                judgement=said.id,
                question=question.id,
                kind=question.kind,
                title=kind(question.kind).title,
                wording=showable(question.wording),
                summary=showable(summary(question.kind, said)),
                submitted_at=said.submitted_at,
                seconds=round(said.submitted_at - said.shown_at, 1),
                surplus=event.status == "surplus",
                edited=said.supersedes is not None,
            )
        )
    return entries[::-1]


def summary(name: str, said: Judgement) -> str:
    """One line that says what was answered, as the person saw it."""
    value = said.value
    if name == "comparison":
        return _compared(value.get("strength"), said.order)
    if name == "ranking":
        return _ranked(value["ranks"], said.order)
    if "choice" in value:
        return CHOICES.get(value["choice"], str(value["choice"]))
    if "thumb" in value:
        return ", ".join([f"thumb {value['thumb']}", *value.get("tags", [])])
    if "spans" in value:
        marks = len(value["spans"])
        return "nothing marked" if not marks else f"{marks} marked" + _first(value["spans"])
    if "ratings" in value and isinstance(value["ratings"], Mapping):
        return ", ".join(f"{each} {'?' if n is None else n}" for each, n in value["ratings"].items())
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
    how = {1: "slightly ", 2: "", 3: "clearly ", 4: ""}[abs(strength)]
    return f"{side} is {how}better"


def _ranked(ranks: list[int], order: tuple[int, ...]) -> str:
    """Letters go by place on the page: D > C > A = B."""
    tiers: dict[int, list[str]] = {}
    for place, index in enumerate(order):
        tiers.setdefault(ranks[index], []).append(chr(ord("A") + place))
    return " > ".join(" = ".join(tiers[rank]) for rank in sorted(tiers))


def _first(marks: list[Mapping[str, Any]]) -> str:
    return ": " + ", ".join(dict.fromkeys(str(each["category"]) for each in marks))


def _cut(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def progress(services: Services, annotator: str, project: str, since: float) -> Progress:
    """Counts for one person."""
    of = services.projects.get(project).kind
    with services.store.database.read() as connection:
        return Progress(
            done=_done(connection, annotator, project, of, since),
            waiting=_waiting(connection, annotator, project, services.clock()),
        )


def _done(connection: Connection, annotator: str, project: str, of: str, since: float) -> int:
    """Questions of the project's kind with a judgement that stands: no choices within a conversation, and no checks."""
    later = JUDGEMENTS.alias()
    counted = (
        select(func.count(func.distinct(JUDGEMENTS.c.question)))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(
            JUDGEMENTS.c.annotator == annotator,
            QUESTIONS.c.project == project,
            QUESTIONS.c.kind == of,
            QUESTIONS.c.purpose == "train",
            JUDGEMENTS.c.submitted_at >= since,
            JUDGEMENTS.c.status != "withdrawal",
            ~select(later.c.event).where(later.c.supersedes == JUDGEMENTS.c.id).exists(),
        )
    )
    return connection.execute(counted).scalar_one()


def _waiting(connection: Connection, annotator: str, project: str, now: float) -> int:
    """Questions that could be claimed, and those that the person has on the page."""
    later, others = JUDGEMENTS.alias(), LEASES.alias()
    standing = (
        select(JUDGEMENTS.c.event)
        .where(
            JUDGEMENTS.c.question == OPEN_QUESTIONS.c.question,
            JUDGEMENTS.c.annotator == annotator,
            JUDGEMENTS.c.status != "withdrawal",
            ~select(later.c.event).where(later.c.supersedes == JUDGEMENTS.c.id).exists(),
        )
        .exists()
    )
    taken = (
        select(func.count())
        .where(
            others.c.question == OPEN_QUESTIONS.c.question, others.c.annotator != annotator, others.c.expires_at > now
        )
        .scalar_subquery()
    )
    # Gold and repeats come in between and are not counted, so that nobody can tell them by the count.
    open_to = (OPEN_QUESTIONS.c.project == project, OPEN_QUESTIONS.c.purpose == "train")
    counted = select(OPEN_QUESTIONS.c.question).where(*open_to, ~standing, OPEN_QUESTIONS.c.seats > taken).limit(MOST)
    return connection.execute(select(func.count()).select_from(counted.subquery())).scalar_one()
