"""Between rows and nouns: segments, questions and judgements in and out of a transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Column, ColumnElement, Connection, insert, select

from plaudit.feedback import codec
from plaudit.feedback.ledger import Status
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS, SEGMENTS
from plaudit.types import Judgement, Question, Segment, Source

T = TypeVar("T")
Key = TypeVar("Key", str, int)

CHUNK = 400  # values in one IN (...): older SQLite takes at most 999 parameters a statement


@dataclass(frozen=True)
class Stored:
    """A question with what the store adds: its place in the order of asking, and how many judgements it wants."""

    number: int
    wanted: int
    question: Question


@dataclass(frozen=True)
class Event:
    """A judgement as it arrived: ``number`` counts arrivals, ``status`` is what it counted as then."""

    number: int
    question_number: int
    round: int
    status: Status
    judgement: Judgement


def chunks(values: Collection[T]) -> Iterator[list[T]]:
    ordered = list(values)
    return (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK))


def known(connection: Connection, column: Column[str], values: Collection[str]) -> set[str]:
    """Which of ``values`` stand in ``column``."""
    found = (connection.execute(select(column).where(column.in_(chunk))).scalars() for chunk in chunks(values))
    return {value for chunk in found for value in chunk}


def insert_segments(connection: Connection, segments: Sequence[Segment]) -> int:
    """Store those that are not there yet; how many. The first source that a segment came with is kept."""
    fresh = {segment.id: segment for segment in reversed(segments)}
    for identity in known(connection, SEGMENTS.c.id, fresh):
        del fresh[identity]
    if fresh:
        connection.execute(insert(SEGMENTS), [_segment_row(segment) for segment in fresh.values()])
    return len(fresh)


def load_segments(connection: Connection, ids: Collection[str]) -> dict[str, Segment]:
    """Those of ``ids`` that are stored, checked against their hashes."""
    found = {}
    for chunk in chunks(ids):
        for row in connection.execute(select(SEGMENTS).where(SEGMENTS.c.id.in_(chunk))):
            place = (row.source_rollout, row.source_row, row.source_start)
            source = None if row.source_rollout is None else Source(*place)
            found[row.id] = codec.unpack(row.id, row.encoding, row.data, source)
    return found


def insert_questions(connection: Connection, questions: Sequence[Question], wanted: int) -> list[int]:
    """Store questions of which none is there yet, with their items; the numbers they got."""
    if not questions:
        return []
    heads = [
        {name: getattr(each, name) for name in ("id", "kind", "wording", "guideline", "round")} | {"wanted": wanted}
        for each in questions
    ]
    connection.execute(insert(QUESTIONS), heads)
    numbers: dict[str, int] = {}
    for chunk in chunks([each.id for each in questions]):
        pairs = connection.execute(select(QUESTIONS.c.id, QUESTIONS.c.number).where(QUESTIONS.c.id.in_(chunk)))
        numbers.update({row.id: row.number for row in pairs})
    items = [
        {"question": numbers[each.id], "position": position, "segment": item}
        for each in questions
        for position, item in enumerate(each.items)
    ]
    connection.execute(insert(QUESTION_ITEMS), items)
    return list(numbers.values())


def load_questions(connection: Connection, column: Column[Key], values: Collection[Key]) -> dict[Key, Stored]:
    """Questions whose ``column`` (id or number) is one of ``values``, by that value."""
    found: dict[Key, Stored] = {}
    for chunk in chunks(values):
        heads = connection.execute(select(QUESTIONS).where(column.in_(chunk))).all()
        items: dict[int, list[str]] = {head.number: [] for head in heads}
        rows = select(QUESTION_ITEMS).where(QUESTION_ITEMS.c.question.in_(items)).order_by(QUESTION_ITEMS.c.position)
        for row in connection.execute(rows):
            items[row.question].append(row.segment)
        for head in heads:
            question = Question(head.kind, tuple(items[head.number]), head.wording, head.guideline, head.round)
            found[getattr(head, column.name)] = Stored(head.number, head.wanted, question)
    return found


def insert_judgements(connection: Connection, judgements: Sequence[tuple[int, Status, Judgement]]) -> None:
    """Append (question number, status, judgement) in this order."""
    if judgements:
        connection.execute(insert(JUDGEMENTS), [_judgement_row(*each) for each in judgements])


def load_events(connection: Connection, where: ColumnElement[bool], limit: int | None = None) -> list[Event]:
    """Events that satisfy ``where``, in order of arrival."""
    statement = (
        select(JUDGEMENTS, QUESTIONS.c.id.label("question_id"), QUESTIONS.c.round)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(where)
        .order_by(JUDGEMENTS.c.event)
        .limit(limit)
    )
    return [
        Event(
            row.event,
            row.question,
            row.round,
            row.status,
            Judgement(
                question=row.question_id,
                annotator=row.annotator,
                value=json.loads(row.value),
                order=tuple(json.loads(row.shown_order)),
                shown_at=row.shown_at,
                first_input_at=row.first_input_at,
                submitted_at=row.submitted_at,
                id=row.id,
                rationale=row.rationale,
                supersedes=row.supersedes,
            ),
        )
        for row in connection.execute(statement)
    ]


def _segment_row(segment: Segment) -> dict[str, object]:
    source = segment.source
    return {
        "id": segment.id,
        "encoding": codec.ENCODING,
        "data": codec.pack(segment),
        "source_rollout": None if source is None else int(source.rollout),
        "source_row": None if source is None else int(source.row),
        "source_start": None if source is None else int(source.start),
    }


def _judgement_row(number: int, status: Status, judgement: Judgement) -> dict[str, object]:
    return {
        "id": judgement.id,
        "question": number,
        "annotator": judgement.annotator,
        "value": codec.to_json(judgement.value),
        "shown_order": json.dumps([int(place) for place in judgement.order]),
        "shown_at": float(judgement.shown_at),
        "first_input_at": float(judgement.first_input_at),
        "submitted_at": float(judgement.submitted_at),
        "status": status,
        "rationale": judgement.rationale,
        "supersedes": judgement.supersedes,
    }
