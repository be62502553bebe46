"""Questions as the pages show them: claimed or reserved, with their items, guideline and draft.

A page gets no model's name, and the items in the order in which this annotator sees them, the same after a reload.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel

from plaudit.feedback import assistance, drafts, history
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Claim, Lease
from plaudit.server import media
from plaudit.server.faults import TooManyTries
from plaudit.server.keyed_ids import hide_id, order_of
from plaudit.server.services import Services
from plaudit.server.text import showable, to_html
from plaudit.server.tickets import Form, Ticket, sign
from plaudit.types import Dialogue, Item, Message, PlauditError, Question, Segment


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
    critique: str | None = None  # a model's critique of the response, as HTML


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
    """Instructions to annotators; "" if none were written."""

    version: str
    html: str


class Assignment(BaseModel):
    """One question for one annotator. ``lease`` is None if the question is shown for an edit."""

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


def claim(
    services: Services, annotator: str, project: str, count: int, held_tickets: Collection[str]
) -> list[Assignment]:
    """Up to ``count`` questions of ``project``, leased. ``held_tickets`` are the tickets that the page has already.

    If the queue has no other question, the annotator gets their own abandoned leases again.
    """
    claims = next_claims(services, annotator, project, count)
    seconds, now = services.projects.lease_seconds(project), services.clock()
    leases = mix(services.store.turn([], [], claims, seconds, now)[1])
    if not leases:
        leases = _take_back(services, annotator, project, held_tickets)[:count]
    return dress(services, annotator, leases)


def check_leases(services: Services, annotator: str, project: str) -> None:
    """Raise :class:`TooManyTries` if the annotator has reserved as many questions as the cap allows."""
    most = services.config.caps.leases
    if history.count_leases(services.store, annotator, services.clock()) >= most:
        raise TooManyTries(
            f"you have reserved {most} questions, which is the most: answer some of them, or put them back",
            services.projects.lease_seconds(project),
        )


def next_claims(services: Services, annotator: str, project: str, count: int) -> list[Claim]:
    """The claims to offer next, within the annotator's cap of leases."""
    claims = services.projects.next_claims(annotator, project, count)
    return [replace(claim, most_leases=services.config.caps.leases) for claim in claims]


def mix(leases: Sequence[Lease]) -> list[Lease]:
    """The leases with each check at a random place among the questions for training."""
    mixed = [lease for lease in leases if lease.purpose == "train"]
    for lease in leases:
        if lease.purpose != "train":
            mixed.insert(secrets.randbelow(len(mixed) + 1), lease)
    return mixed


def _take_back(services: Services, annotator: str, project: str, held_tickets: Collection[str]) -> list[Lease]:
    """The annotator's abandoned leases, renewed, without those that this page shows."""
    store, seconds, now = services.store, services.projects.lease_seconds(project), services.clock()
    on_page = {ticket.partition("~")[0] for ticket in held_tickets}
    leases = {
        lease.token: lease
        for lease in store.find_abandoned(annotator, project, seconds, now)
        if Ticket(lease.token, lease.question.id, lease.claimed_at).disguise(services.secret) not in on_page
    }
    ends = store.renew_all(dict.fromkeys(leases, seconds), now)
    return [replace(leases[token], expires_at=end) for token, end in ends.items() if end is not None]


def reserve(services: Services, annotator: str, question: Question) -> Lease | None:
    """Lease ``question``; the lease that the annotator holds on it already, None if it may not be claimed."""
    seconds, now = services.projects.lease_seconds(question.project), services.clock()
    if history.count_leases(services.store, annotator, now) >= services.config.caps.leases:
        return None
    return services.store.reserve(annotator, question.id, seconds, now)


def retake(services: Services, annotator: str, ticket: Ticket) -> tuple[str, float] | tuple[None, None]:
    """Lease a question again after its lease expired: its new ticket and end, both None if it may not be claimed."""
    lease = reserve(services, annotator, services.store.questions([ticket.question])[0])
    if lease is None:
        return None, None
    renewed = replace(ticket, token=lease.token)  # the question has been on the page since then
    return renewed.write(services.secret, annotator), lease.expires_at


def dress(services: Services, annotator: str, leases: Sequence[Lease], answered: str | None = None) -> list[Assignment]:
    """The leases as a page needs them. The draft of the question ``answered`` is discarded."""
    ids = [lease.question.id for lease in leases]
    bodies = drafts.load(services.store, annotator, ids if answered is None else [answered, *ids])
    if answered in bodies:  # checked first, because most answers have no draft, and a write waits for the disk
        drafts.discard(services.store, annotator, answered)
    services.items.get(services.store, [item for lease in leases for item in lease.question.items])  # all at once
    return [show(services, annotator, lease.question, lease, bodies.get(lease.question.id)) for lease in leases]


def show(
    services: Services,
    annotator: str,
    question: Question,
    lease: Lease | None = None,
    draft: Any = None,
    form: Form = "keyed",
) -> Assignment:
    """One question as a page needs it."""
    items = services.items.get(services.store, question.items)
    critiques = _load_critiques(services, question)
    order = order_of(services.secret, question, annotator)
    rules = kind(question.kind)
    ticket = None
    if lease is not None:
        ticket = Ticket(lease.token, question.id, lease.claimed_at, form).write(services.secret, annotator)
    return Assignment(
        lease=ticket,
        question=hide_id(services.secret, annotator, "question", question.id),
        project=question.project,
        kind=question.kind,
        title=rules.title,
        wording=showable(question.wording),
        guideline=guideline(services, question.project, question.guideline),
        options={**rules.defaults, **question.options},
        items=[_item(services, annotator, question, index, items[question.items[index]], critiques) for index in order],
        order=list(order),
        expires_at=None if lease is None else lease.expires_at,
        lease_seconds=services.projects.lease_seconds(question.project),
        draft=draft,
    )


def _load_critiques(services: Services, question: Question) -> dict[str, str]:
    """The critiques that the page shows, by item: of all items or of none, so that no response stands out."""
    share = services.projects.get(question.project).settings.assistance
    if share <= 0 or not assistance.is_drawn(question.items, share):
        return {}
    critiques = assistance.load_critiques(services.store, question.project, question.items)
    if len(critiques) < len(set(question.items)):
        return {}
    return {item: to_html(critique.text) for item, critique in critiques.items()}


def guideline(services: Services, project: str, version: str) -> GuidelineText:
    """A version of the project's guideline, as HTML."""
    stored = services.projects.guideline(project, version)
    return GuidelineText(version=version, html="" if stored is None else to_html(stored.text))


def _item(
    services: Services, annotator: str, question: Question, index: int, item: Item, critiques: Mapping[str, str]
) -> ClipItem | DialogueItem:
    if isinstance(item, Segment):
        return clip(services, annotator, question.project, index, item)
    if kind(question.kind).live:
        prompt, suggestion = opening(item)
        return DialogueItem(index=index, prompt=_turns(prompt), response=None, suggestion=suggestion)
    text = item.response
    response = None if text is None else Response(html=to_html(text), text=showable(text))
    prompt = _turns(item.prompt)
    return DialogueItem(index=index, prompt=prompt, response=response, critique=critiques.get(item.id))


def _turns(messages: Sequence[Message]) -> list[Turn]:
    return [Turn(role=message.role, html=to_html(message.content)) for message in messages]


def opening(item: Dialogue) -> tuple[tuple[Message, ...], str | None]:
    """The messages that begin a live conversation, and the annotator's suggested first message, if the last one is the
    user's.
    """
    if item.messages[-1].role == "user":
        return item.messages[:-1], showable(item.messages[-1].content)
    return item.messages, None


def clip(services: Services, annotator: str, project: str, index: int, segment: Segment) -> ClipItem:
    """The address and layout of a segment's strip, or the reason why it cannot be drawn."""
    scene = services.projects.scene(project)
    try:
        shape = media.drawer(scene).shape(segment)
    except PlauditError as error:
        return ClipItem(index=index, src=None, error=str(error))
    identity = hide_id(services.secret, annotator, "item", segment.id)
    key = sign(services.secret, "clip", annotator, project, segment.id)  # proves that this annotator was given the clip
    return ClipItem(
        index=index,
        src=f"/api/items/{identity}/film.webp?project={quote(project, safe='')}&v={scene.version}&key={key}",
        frames=shape.frames,
        width=shape.width,
        height=shape.height,
        columns=shape.columns,
        fps=shape.fps,
        seconds=round(shape.frames / shape.fps, 2),
    )
