"""Questions on their way to a page: claimed, dressed for being shown, and the same again after a reload.

What a page gets holds no model's name, and its items in the order in which this person is to see them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from plaudit.feedback.kinds import conversation, kind, rating, spans, thumbs
from plaudit.feedback.order import shown_order
from plaudit.feedback.schema import LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import DRAFTS
from plaudit.feedback.store import Lease
from plaudit.server import media
from plaudit.server.services import Services
from plaudit.server.text import showable, to_html
from plaudit.server.tickets import Ticket, sign
from plaudit.types import Dialogue, Item, Message, PlauditError, Question, Segment

# What a kind offers where a question says nothing else.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "chat": {"tags": thumbs.TAGS},
    "conversation": {"turns": conversation.TURNS, "tags": conversation.TAGS},
    "rating": {"scales": rating.SCALES},
    "spans": {"categories": spans.CATEGORIES},
    "thumbs": {"tags": thumbs.TAGS},
}
# Made once: building a statement takes longer than running it.
KEPT = select(DRAFTS.c.question, DRAFTS.c.body).where(
    DRAFTS.c.user == bindparam("annotator"), DRAFTS.c.question.in_(bindparam("questions", expanding=True))
)


class Turn(BaseModel):
    """One message of a conversation."""

    role: str
    html: str


class Response(BaseModel):
    """The message that is judged; ``text`` is what offsets of spans count in."""

    html: str
    text: str


class DialogueItem(BaseModel):
    """A conversation to judge, or to continue; ``suggestion`` is what a live one may begin with."""

    index: int  # its place in Question.items, in whose order values are
    type: Literal["dialogue"] = "dialogue"
    prompt: list[Turn]
    response: Response | None
    suggestion: str | None = None


class ClipItem(BaseModel):
    """A clip as a film strip: ``frames`` pictures of ``width`` by ``height``, row by row in ``columns``."""

    index: int
    type: Literal["clip"] = "clip"
    src: str | None
    frames: int = 0
    width: int = 0
    height: int = 0
    columns: int = 1
    fps: float = 15
    seconds: float = 0
    error: str | None = None  # why there is no strip


class GuidelineText(BaseModel):
    """What annotators are told; "" where nothing was written."""

    version: str
    html: str


class Assignment(BaseModel):
    """One question for one person. ``lease`` is None where it is shown again for an edit."""

    lease: str | None
    question: str
    project: str
    kind: str
    title: str
    wording: str
    guideline: GuidelineText
    options: dict[str, Any]
    items: list[ClipItem | DialogueItem]
    order: list[int]
    expires_at: float | None
    lease_seconds: float
    draft: Any = None


def claim(services: Services, annotator: str, project: str, count: int, held: Collection[str]) -> list[Assignment]:
    """Up to ``count`` questions of ``project``, leased. ``held`` are the tickets that the page has already.

    Where nothing else is left, the person's own leases that no page has renewed for half their life are given out
    again: the page that held them is gone.
    """
    wanted = services.projects.next_wanted(annotator, project, count)
    seconds, now = services.projects.lease_seconds(project), services.clock()
    _, leases = services.store.turn([], [], wanted, seconds, now)
    if not leases:
        leases = _orphans(services, annotator, project, held)[:count]
    return dress(services, annotator, leases)


def _orphans(services: Services, annotator: str, project: str, held: Collection[str]) -> list[Lease]:
    seconds, now = services.projects.lease_seconds(project), services.clock()
    shown = {each.partition("~")[0] for each in held}
    found = (
        select(LEASES.c.token, LEASES.c.claimed_at, QUESTIONS.c.id)
        .join(QUESTIONS, QUESTIONS.c.number == LEASES.c.question)
        .where(
            LEASES.c.annotator == annotator,
            QUESTIONS.c.project == project,
            LEASES.c.expires_at > now,
            LEASES.c.expires_at < now + seconds / 2,
        )
        .order_by(LEASES.c.question)
    )
    with services.store.database.look() as connection:
        live = connection.execute(found).all()
    rows = [row for row in live if Ticket(row.token, row.id, row.claimed_at).shown(services.secret) not in shown]
    if not rows:
        return []
    with services.store.database.write() as connection:
        for row in rows:
            connection.execute(update(LEASES).where(LEASES.c.token == row.token).values(expires_at=now + seconds))
    questions = services.store.questions([row.id for row in rows])
    return [Lease(each, row.token, now + seconds, row.claimed_at) for each, row in zip(questions, rows, strict=True)]


def reserve(services: Services, annotator: str, question: str) -> Lease | None:
    """Lease this very question, where it is still wanted and nobody else has it; the lease that stands already if any.

    A store has one writer at a time, so nothing changes between looking and taking.
    """
    asked = services.store.questions([question])[0]
    now = services.clock()
    end = now + services.projects.lease_seconds(asked.project)
    seats = (
        select(OPEN_QUESTIONS.c.question, OPEN_QUESTIONS.c.seats, OPEN_QUESTIONS.c.only_for)
        .join(QUESTIONS, QUESTIONS.c.number == OPEN_QUESTIONS.c.question)
        .where(QUESTIONS.c.id == question)
    )
    with services.store.database.write() as connection:
        open_ = connection.execute(seats).first()
        if open_ is None or open_.only_for not in (None, annotator):
            return None
        live = select(LEASES).where(LEASES.c.question == open_.question, LEASES.c.expires_at > now)
        leases = connection.execute(live).all()
        mine = next((each for each in leases if each.annotator == annotator), None)
        if mine is not None:
            return Lease(asked, mine.token, mine.expires_at, mine.claimed_at)
        if len(leases) >= open_.seats:
            return None
        ended = (LEASES.c.question == open_.question, LEASES.c.expires_at <= now)
        connection.execute(delete(LEASES).where(*ended))
        row = {"token": uuid.uuid4().hex, "question": open_.question, "annotator": annotator}
        connection.execute(insert(LEASES).values(**row, expires_at=end, claimed_at=now))
    return Lease(asked, row["token"], end, now)


def retake(services: Services, annotator: str, ticket: Ticket) -> tuple[str, float] | None:
    """A question whose lease has ended, leased again: its new ticket and end; None where it is settled or taken."""
    lease = reserve(services, annotator, ticket.question)
    if lease is None:
        return None
    fresh = Ticket(lease.token, ticket.question, ticket.claimed_at)  # it has been on the page since then
    return fresh.write(services.secret, annotator), lease.expires_at


def dress(services: Services, annotator: str, leases: Sequence[Lease], answered: str | None = None) -> list[Assignment]:
    """The leases as a page needs them. What was typed so far about the question ``answered`` is forgotten."""
    coming = [each.question.id for each in leases]
    drafts = _drafts(services, annotator, coming if answered is None else [answered, *coming])
    if answered in drafts:  # looked for first: most answers have no draft, and a write costs one to the disk
        with services.store.database.write() as connection:
            forget_draft(connection, annotator, answered)
    services.items.get(services.store, [item for each in leases for item in each.question.items])  # all at once
    return [show(services, annotator, lease.question, lease, drafts.get(lease.question.id)) for lease in leases]


def show(
    services: Services, annotator: str, question: Question, lease: Lease | None = None, draft: Any = None
) -> Assignment:
    """One question as a page needs it."""
    items = services.items.get(services.store, question.items)
    order = order_of(question, annotator)
    of = kind(question.kind)
    ticket = None
    if lease is not None:
        ticket = Ticket(lease.token, question.id, lease.claimed_at).write(services.secret, annotator)
    return Assignment(
        lease=ticket,
        question=question.id,
        project=question.project,
        kind=question.kind,
        title=of.title,
        wording=showable(question.wording),
        guideline=guideline(services, question.project, question.guideline),
        options={**DEFAULTS.get(question.kind, {}), **question.options},
        items=[_item(services, annotator, question, index, items[question.items[index]]) for index in order],
        order=list(order),
        expires_at=None if lease is None else lease.expires_at,
        lease_seconds=services.projects.lease_seconds(question.project),
        draft=draft,
    )


def order_of(question: Question, annotator: str) -> tuple[int, ...]:
    """Which item stands at each place. A regeneration's question is about "the new one", so its sides are not drawn."""
    count = len(question.items)
    return tuple(range(count)) if question.kind == "regeneration" else shown_order(question.id, annotator, count)


def guideline(services: Services, project: str, version: str) -> GuidelineText:
    """That version of the project's guideline."""
    found = services.projects.guideline(project, version)
    return GuidelineText(version=version, html="" if found is None else to_html(found.text))


def _item(services: Services, annotator: str, question: Question, index: int, item: Item) -> ClipItem | DialogueItem:
    if isinstance(item, Segment):
        return clip(services, annotator, question.project, index, item)
    if kind(question.kind).live:
        prompt, suggestion = opening(item)
        return DialogueItem(index=index, prompt=_turns(prompt), response=None, suggestion=suggestion)
    said = item.response
    response = None if said is None else Response(html=to_html(said), text=showable(said))
    return DialogueItem(index=index, prompt=_turns(item.prompt), response=response)


def _turns(messages: Sequence[Message]) -> list[Turn]:
    return [Turn(role=each.role, html=to_html(each.content)) for each in messages]


def opening(item: Dialogue) -> tuple[tuple[Message, ...], str | None]:
    """What a live conversation begins with, and what the person may say first: its last message, if it is theirs."""
    if item.messages[-1].role == "user":
        return item.messages[:-1], showable(item.messages[-1].content)
    return item.messages, None


def clip(services: Services, annotator: str, project: str, index: int, segment: Segment) -> ClipItem:
    """Where a segment's strip is found and how it is laid out; why there is none where it cannot be drawn."""
    scene = services.projects.scene(project)
    try:
        shape = media.drawer(scene).shape(segment)
    except PlauditError as error:
        return ClipItem(index=index, src=None, error=str(error))
    key = sign(services.secret, "film", annotator, project, segment.id)  # shows that it was given to this person
    return ClipItem(
        index=index,
        src=f"/api/items/{segment.id}/film.webp?project={quote(project, safe='')}&v={scene.version}&key={key}",
        frames=shape.frames,
        width=shape.width,
        height=shape.height,
        columns=shape.columns,
        fps=shape.fps,
        seconds=round(shape.frames / shape.fps, 2),
    )


def _drafts(services: Services, annotator: str, questions: Sequence[str]) -> dict[str, Any]:
    if not questions:
        return {}
    with services.store.database.look() as connection:
        rows = connection.execute(KEPT, {"annotator": annotator, "questions": questions}).all()
    return {row.question: json.loads(row.body) for row in rows}


def forget_draft(connection: Connection, annotator: str, question: str) -> None:
    """What was answered is no draft any more."""
    connection.execute(delete(DRAFTS).where(DRAFTS.c.user == annotator, DRAFTS.c.question == question))
