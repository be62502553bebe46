"""What a conversation or a chat consists of: the judgements that were given in it, turn by turn.

Each was stored when it was given; the whole names them. They must be the person's own and of this very talk. They are
withdrawn with the whole, those that an edit no longer names go too, and a whole that is sent again after it was taken
back brings back those that went with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, select

from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import is_withdrawal
from plaudit.feedback.rows import Event, load_events
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.feedback.store import Conflict
from plaudit.server.assignments import opening
from plaudit.server.measures import superseded
from plaudit.server.services import Services
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

TURNS = 50  # of a conversation, and as many as one can be asked for
PIECES = 500  # of feedback in a chat
PARTS: Mapping[str, tuple[str, ...]] = {  # what is said in the course of each kind of talk
    "conversation": ("comparison",),
    "chat": ("thumbs", "regeneration", "side-by-side"),
}


def named(value: Mapping[str, Any]) -> list[str]:
    """Ids of the judgements that a whole names; [] where it is malformed, of which the kind tells."""
    ids = value.get("comparisons", value.get("judgements"))
    return ids if isinstance(ids, list) and all(isinstance(each, str) for each in ids) else []


def check(services: Services, annotator: str, question: Question, value: Mapping[str, Any]) -> None:
    """Raise :class:`PlauditError` unless what the whole names was said by this person in this talk, in this order."""
    ids, most = named(value), TURNS if question.kind == "conversation" else PIECES
    if not kind(question.kind).live or not ids:
        return
    if len(ids) > most:
        raise PlauditError(f"an answer to question {question.id} names more than {most} judgements")
    with services.store.database.read() as connection:
        found = {each.judgement.id: each.judgement for each in load_events(connection, JUDGEMENTS.c.id.in_(ids))}
        taken = _named_elsewhere(connection, annotator, question)
    missing = [each for each in ids if each not in found or found[each].annotator != annotator]
    if missing:
        raise PlauditError(f"judgement {missing[0][:64]!r}, which this answer names, is none of yours")
    if twice := [each for each in ids if each in taken]:
        raise PlauditError(f"judgement {twice[0][:64]!r} belongs to another {question.kind} of yours")
    asked = services.store.questions([found[each].question for each in ids])
    begin = opening(_dialogue(services, question))[0]
    for identity, part in zip(ids, asked, strict=True):
        item = _dialogue(services, part)
        ours = part.project == question.project and part.kind in PARTS[question.kind]
        if not ours or item.messages[: len(begin)] != begin:
            raise PlauditError(f"judgement {identity[:64]!r} was not given in this {question.kind}")
    if question.kind == "conversation":
        _check_order(services, ids, asked)


def _dialogue(services: Services, question: Question) -> Dialogue:
    item = services.items.get(services.store, question.items[:1])[question.items[0]]
    if not isinstance(item, Dialogue):
        raise PlauditError(f"question {question.id} is about a clip: a conversation is text")
    return item


def _check_order(services: Services, ids: Sequence[str], asked: Sequence[Question]) -> None:
    """Each turn goes on from one of the two responses of the turn before.

    Not from the better one: which that is may have been changed since, in the list of what was said.
    """
    heads: list[tuple[Message, ...]] = []
    for identity, part in zip(ids, asked, strict=True):
        both = services.items.get(services.store, part.items)
        talks = [each.messages for name in part.items if isinstance(each := both[name], Dialogue)]
        if heads and not any(talks[0][: len(head)] == head and len(talks[0]) > len(head) for head in heads):
            raise PlauditError(f"judgement {identity[:64]!r} does not go on from the turn before it")
        heads = talks


def _named_elsewhere(connection: Connection, annotator: str, question: Question) -> set[str]:
    """What this person's other talks of the project name."""
    others = (
        select(JUDGEMENTS.c.value)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(
            JUDGEMENTS.c.annotator == annotator,
            JUDGEMENTS.c.status != "withdrawal",
            QUESTIONS.c.project == question.project,
            QUESTIONS.c.kind == question.kind,
            QUESTIONS.c.id != question.id,
            ~superseded(),
        )
    )
    return {each for text in connection.execute(others).scalars() for each in named(json.loads(text))}


def ended(services: Services, annotator: str, question: Question) -> bool:
    """Whether this person has sent the whole, and not taken it back."""
    where = (QUESTIONS.c.id == question.id) & (JUDGEMENTS.c.annotator == annotator)
    with services.store.database.read() as connection:
        events = load_events(connection, where & (JUDGEMENTS.c.status != "withdrawal") & ~superseded())
    return bool(events)


def check_open(services: Services, annotator: str, question: Question, judgement: str | None = None) -> None:
    """Raise :class:`Conflict` where the talk has ended; what was said in it before may be sent again."""
    if not ended(services, annotator, question):
        return
    with services.store.database.read() as connection:
        if judgement is None or not load_events(connection, JUDGEMENTS.c.id == judgement):
            raise Conflict(f"you have sent this {question.kind}: take it back to go on with it")


def follow(services: Services, event: Judgement) -> list[Judgement]:
    """What else has to be said with ``event``, an answer to a talk, its edit or its withdrawal; [] where it is known.

    Ids follow from the event's, so that sending it twice at once is still one of each.
    """
    with services.store.database.read() as connection:
        if load_events(connection, JUDGEMENTS.c.id == event.id):
            return []
        before = load_events(connection, JUDGEMENTS.c.id == event.supersedes) if event.supersedes else []
        kept = [] if is_withdrawal(event.value) else named(event.value)
        dropped = [each for old in before for each in named(old.judgement.value) if each not in kept]
        parts = _parts(connection, event.annotator, [*kept, *dropped])
        takings = _takings(connection, event)
        lost = {each.judgement.supersedes for name in kept for each in parts.get(name, []) if _went(each, takings)}
        old = {each.judgement.id: each.judgement for each in load_events(connection, JUDGEMENTS.c.id.in_(lost))}
    said: dict[str, Judgement] = {}  # by question: the same may be named twice
    for latest in (each for name in dropped for each in parts.get(name, []) if each.status != "withdrawal"):
        said[latest.judgement.question] = _again(event, latest.judgement, {"withdrawn": True}, latest.judgement)
    for latest in (each for name in kept for each in parts.get(name, []) if _went(each, takings)):
        was = old[latest.judgement.supersedes or ""]
        said[was.question] = _again(event, was, was.value, latest.judgement)
    return list(said.values())


def _went(latest: Event, takings: Sequence[str]) -> bool:
    """Whether this withdrawal came with one of ``takings``: what somebody took back by itself stays so."""
    part = latest.judgement.supersedes
    taken = latest.status == "withdrawal" and part is not None
    return taken and latest.judgement.id in {_id(each, part or "") for each in takings}


def _parts(connection: Connection, annotator: str, ids: Sequence[str]) -> dict[str, list[Event]]:
    """For each judgement named: the person's latest events on its question, which nothing supersedes."""
    if not ids:
        return {}
    first = load_events(connection, JUDGEMENTS.c.id.in_(ids) & (JUDGEMENTS.c.annotator == annotator))
    numbers = {each.question_number for each in first}
    mine = JUDGEMENTS.c.question.in_(numbers) & (JUDGEMENTS.c.annotator == annotator)
    latest = load_events(connection, mine & ~superseded())
    return {each.judgement.id: [one for one in latest if one.question_number == each.question_number] for each in first}


def _takings(connection: Connection, event: Judgement) -> list[str]:
    """Ids of the withdrawals, and edits, of this talk by this person: what they took with them comes back."""
    where = (QUESTIONS.c.id == event.question) & (JUDGEMENTS.c.annotator == event.annotator)
    changes = load_events(connection, where & JUDGEMENTS.c.supersedes.is_not(None))
    return [each.judgement.id for each in changes]


def _id(event: str, part: str) -> str:
    try:
        return str(uuid5(UUID(event), part))
    except ValueError:  # it came with an import
        return str(uuid5(NAMESPACE_URL, f"{event} {part}"))


def _again(event: Judgement, old: Judgement, value: Mapping[str, Any], latest: Judgement) -> Judgement:
    """``old`` with ``value``, superseding ``latest``. A withdrawal happens now; what comes back took its time then."""
    now = event.submitted_at
    times = {"shown_at": now, "first_input_at": now, "submitted_at": now} if is_withdrawal(value) else {}
    return replace(old, id=_id(event.id, latest.id), value=value, supersedes=latest.id, **times)
