"""Conversations and chats: a whole answer names the judgements that the annotator gave in the course of the talk.

Each of these parts was stored when it was given. They are withdrawn with the whole. An edit withdraws the parts that it
no longer names. A whole that is sent again after a withdrawal brings back the parts that were withdrawn with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, select

from plaudit.feedback.faults import stored_json
from plaudit.feedback.ledger import is_withdrawal
from plaudit.feedback.rows import Event, is_superseded, load_events
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.feedback.store import Store
from plaudit.types import Judgement, Question


def part_ids(value: Mapping[str, Any]) -> list[str]:
    """Ids of the judgements that a whole names; [] if it is malformed, which its kind reports."""
    ids = value.get("comparisons", value.get("judgements"))
    return ids if isinstance(ids, list) and all(isinstance(identity, str) for identity in ids) else []


def load_parts(
    store: Store, annotator: str, question: Question, ids: Sequence[str]
) -> tuple[dict[str, Judgement], set[str]]:
    """The judgements called ``ids``, by id, and the parts of the annotator's other talks of this kind and project."""
    with store.database.read() as connection:
        parts = {event.judgement.id: event.judgement for event in load_events(connection, JUDGEMENTS.c.id.in_(ids))}
        return parts, _parts_of_other_talks(connection, annotator, question)


def _parts_of_other_talks(connection: Connection, annotator: str, question: Question) -> set[str]:
    statement = (
        select(JUDGEMENTS.c.value)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(
            JUDGEMENTS.c.annotator == annotator,
            JUDGEMENTS.c.status != "withdrawal",
            QUESTIONS.c.project == question.project,
            QUESTIONS.c.kind == question.kind,
            QUESTIONS.c.id != question.id,
            ~is_superseded(),
        )
    )
    return {
        identity
        for text in connection.execute(statement).scalars()
        for identity in part_ids(stored_json(text, "value of a judgement", dict))
    }


def is_sent(store: Store, annotator: str, question: Question) -> bool:
    """Whether the annotator has sent the whole, and not withdrawn it."""
    events = (QUESTIONS.c.id == question.id) & (JUDGEMENTS.c.annotator == annotator)
    with store.database.read() as connection:
        return bool(load_events(connection, events & (JUDGEMENTS.c.status != "withdrawal") & ~is_superseded()))


def follow(store: Store, event: Judgement) -> list[Judgement]:
    """The judgements that must be stored with ``event``, which answers a talk, or edits or withdraws the answer.

    [] if ``event`` is stored already. Their ids follow from the event's, so that sending it twice stores each once.
    """
    with store.database.read() as connection:
        if load_events(connection, JUDGEMENTS.c.id == event.id):
            return []
        before = load_events(connection, JUDGEMENTS.c.id == event.supersedes) if event.supersedes else []
        kept_ids = [] if is_withdrawal(event.value) else part_ids(event.value)
        dropped_ids = [
            identity for whole in before for identity in part_ids(whole.judgement.value) if identity not in kept_ids
        ]
        parts = _latest_events(connection, event.annotator, [*kept_ids, *dropped_ids])
        changes = _changes(connection, event)
        withdrawals = [
            latest for identity in kept_ids for latest in parts.get(identity, []) if _came_with(latest, changes)
        ]
        ids = {withdrawal.judgement.supersedes for withdrawal in withdrawals}
        originals = {part.judgement.id: part.judgement for part in load_events(connection, JUDGEMENTS.c.id.in_(ids))}
    judgements: dict[str, Judgement] = {}  # by question, because a whole may name the same one twice
    for identity in dropped_ids:
        for latest in parts.get(identity, []):
            if latest.status != "withdrawal":
                part = latest.judgement
                judgements[part.question] = _repeat(event, part, {"withdrawn": True}, part)
    for withdrawal in withdrawals:
        original = originals[withdrawal.judgement.supersedes or ""]
        judgements[original.question] = _repeat(event, original, original.value, withdrawal.judgement)
    return list(judgements.values())


def _came_with(latest: Event, changes: Sequence[str]) -> bool:
    """Whether ``latest`` is a withdrawal that one of ``changes`` brought; a part withdrawn by itself stays so."""
    part = latest.judgement.supersedes
    if latest.status != "withdrawal" or part is None:
        return False
    return latest.judgement.id in {_part_id(change, part) for change in changes}


def _latest_events(connection: Connection, annotator: str, ids: Sequence[str]) -> dict[str, list[Event]]:
    """For each judgement: the annotator's latest events on its question, which no later event supersedes."""
    if not ids:
        return {}
    parts = load_events(connection, JUDGEMENTS.c.id.in_(ids) & (JUDGEMENTS.c.annotator == annotator))
    numbers = {part.question_number for part in parts}
    events = JUDGEMENTS.c.question.in_(numbers) & (JUDGEMENTS.c.annotator == annotator)
    latest: dict[int, list[Event]] = {}
    for event in load_events(connection, events & ~is_superseded()):
        latest.setdefault(event.question_number, []).append(event)
    return {part.judgement.id: latest.get(part.question_number, []) for part in parts}


def _changes(connection: Connection, event: Judgement) -> list[str]:
    """Ids of the annotator's edits and withdrawals of this talk, whose withdrawn parts come back."""
    talk = (QUESTIONS.c.id == event.question) & (JUDGEMENTS.c.annotator == event.annotator)
    return [change.judgement.id for change in load_events(connection, talk & JUDGEMENTS.c.supersedes.is_not(None))]


def _part_id(event: str, part: str) -> str:
    try:
        return str(uuid5(UUID(event), part))
    except ValueError:  # an imported event has an id of another form
        return str(uuid5(NAMESPACE_URL, f"{event} {part}"))


def _repeat(event: Judgement, part: Judgement, value: Mapping[str, Any], latest: Judgement) -> Judgement:
    """``part`` with ``value``, superseding ``latest``. A withdrawal happens now; a restored part keeps its times."""
    now = event.submitted_at
    times = {"shown_at": now, "first_input_at": now, "submitted_at": now} if is_withdrawal(value) else {}
    return replace(part, id=_part_id(event.id, latest.id), value=value, supersedes=latest.id, **times)
