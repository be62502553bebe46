"""Rows of the database to and from items, questions and judgements, within a transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, bindparam, exists, insert, select

from plaudit.feedback import codec
from plaudit.feedback.faults import stored_json
from plaudit.feedback.ledger import Status
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS, SEGMENTS
from plaudit.types import Item, Judgement, Question, Segment, Source

T = TypeVar("T")
Key = TypeVar("Key", str, int)

Purpose = Literal["train", "gold", "repeat"]

REMEMBERED = 50_000  # questions kept in memory, some 50 MB
CHUNK = 400  # values in one IN (...): older SQLite takes at most 999 parameters a statement


# Built once, because building a statement takes longer than SQLite takes to run it.
_WITH_ITEMS = (
    select(QUESTIONS, QUESTION_ITEMS.c.segment)
    .join(QUESTION_ITEMS, QUESTION_ITEMS.c.question == QUESTIONS.c.number)
    .order_by(QUESTIONS.c.number, QUESTION_ITEMS.c.position)
)
QUESTIONS_BY = {
    name: _WITH_ITEMS.where(QUESTIONS.c[name].in_(bindparam("values", expanding=True))) for name in ("id", "number")
}
_ITEMS = select(SEGMENTS).where(SEGMENTS.c.id.in_(bindparam("ids", expanding=True)))
_INSERT = insert(JUDGEMENTS).inline().execution_options(plaudit_later=True)  # inline: returns no number


@dataclass(frozen=True)
class Terms:
    """How many effective judgements new questions want, for which purpose, and from whom."""

    judgements_wanted: int = 1
    purpose: Purpose = "train"
    only_for: str | None = None  # the one annotator who may answer; None: any


@dataclass(frozen=True)
class QuestionRow:
    """A question with its :class:`Terms`, and its number in the order of asking."""

    number: int
    judgements_wanted: int
    question: Question
    purpose: Purpose = "train"
    only_for: str | None = None


@dataclass(frozen=True)
class Event:
    """A judgement as it arrived: ``number`` counts arrivals, ``status`` is what it counted as then."""

    number: int
    question_number: int
    round: int
    status: Status
    judgement: Judgement
    purpose: Purpose = "train"


def is_superseded() -> ColumnElement[bool]:
    """Whether a later event replaces a row of ``judgements``."""
    later = JUDGEMENTS.alias()
    return exists().where(later.c.supersedes == JUDGEMENTS.c.id)


def chunks(values: Collection[T], size: int = CHUNK) -> Iterator[list[T]]:
    ordered = list(values)
    return (ordered[start : start + size] for start in range(0, len(ordered), size))


def select_stored(connection: Connection, column: Column[str], values: Collection[str]) -> set[str]:
    """Which of ``values`` stand in ``column``."""
    stored = (connection.execute(select(column).where(column.in_(chunk))).scalars() for chunk in chunks(values))
    return {value for chunk in stored for value in chunk}


def insert_items(connection: Connection, items: Sequence[Item]) -> int:
    """Store the items that are new; their number. A segment keeps the first source that it came with."""
    fresh = {item.id: item for item in reversed(items)}
    for identity in select_stored(connection, SEGMENTS.c.id, fresh):
        del fresh[identity]
    if fresh:
        connection.execute(insert(SEGMENTS), [_item_row(item) for item in fresh.values()])
    return len(fresh)


def load_items(connection: Connection, ids: Collection[str]) -> dict[str, Item]:
    """Those of ``ids`` that are stored, checked against their hashes."""
    items = {}
    for chunk in chunks(ids):
        for row in connection.execute(_ITEMS, {"ids": chunk}):
            position = (row.source_rollout, row.source_row, row.source_start)
            source = None if row.source_rollout is None else Source(*position)
            items[row.id] = codec.unpack(row.id, row.encoding, row.data, source)
    return items


def insert_questions(connection: Connection, questions: Sequence[Question], terms: Terms) -> list[QuestionRow]:
    """Store questions, all of them new, with their items, in this order."""
    if not questions:
        return []
    names = ("id", "kind", "wording", "guideline", "round", "project")
    columns = {"wanted": terms.judgements_wanted, "purpose": terms.purpose, "only_for": terms.only_for}
    heads = [
        {name: getattr(question, name) for name in names} | {"options": codec.to_json(question.options)} | columns
        for question in questions
    ]
    connection.execute(insert(QUESTIONS), heads)
    numbers: dict[str, int] = {}
    for chunk in chunks([question.id for question in questions]):
        pairs = connection.execute(select(QUESTIONS.c.id, QUESTIONS.c.number).where(QUESTIONS.c.id.in_(chunk)))
        numbers.update({row.id: row.number for row in pairs})
    items = [
        {"question": numbers[question.id], "position": position, "segment": item}
        for question in questions
        for position, item in enumerate(question.items)
    ]
    connection.execute(insert(QUESTION_ITEMS), items)
    return [
        QuestionRow(numbers[question.id], terms.judgements_wanted, question, terms.purpose, terms.only_for)
        for question in questions
    ]


def load_questions(
    connection: Connection, column: Literal["id", "number"], values: Collection[Key]
) -> dict[Key, QuestionRow]:
    """Questions whose id or number is one of ``values``, by that value."""
    items: dict[int, list[str]] = {}
    heads: dict[int, Any] = {}
    for chunk in chunks(values):
        for row in connection.execute(QUESTIONS_BY[column], {"values": chunk}):
            heads[row.number] = row
            items.setdefault(row.number, []).append(row.segment)
    questions: dict[Key, QuestionRow] = {}
    for number, head in heads.items():
        options, ids = stored_json(head.options, "options of a question", dict), tuple(items[number])
        question = Question(head.kind, ids, head.wording, head.guideline, head.round, head.project, options)
        questions[getattr(head, column)] = QuestionRow(number, head.wanted, question, head.purpose, head.only_for)
    return questions


class Memory:
    """The questions that one process has read. They never change, so each is read from disk once.

    Threads may share it. Questions that a transaction stores belong here only after its commit.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, QuestionRow] = {}
        self._by_number: dict[int, QuestionRow] = {}

    def recall(self, ids: Collection[str]) -> dict[str, QuestionRow]:
        """Those of ``ids`` that have been read before."""
        return {identity: stored for identity in ids if (stored := self._by_id.get(identity))}

    def by_id(self, connection: Connection, ids: Collection[str]) -> dict[str, QuestionRow]:
        """Those of ``ids`` that are stored."""
        questions = self.recall(ids)
        missing = set(ids) - questions.keys()
        return questions | self._learn(load_questions(connection, "id", missing)) if missing else questions

    def by_number(self, connection: Connection, numbers: Collection[int]) -> dict[int, QuestionRow]:
        """Those of ``numbers`` that are stored."""
        questions = {number: stored for number in numbers if (stored := self._by_number.get(number))}
        missing = set(numbers) - questions.keys()
        return questions | self._learn(load_questions(connection, "number", missing)) if missing else questions

    def _learn(self, questions: dict[Key, QuestionRow]) -> dict[Key, QuestionRow]:
        if len(self._by_id) > REMEMBERED:
            self._by_id, self._by_number = {}, {}
        for stored in questions.values():
            self._by_id[stored.question.id] = self._by_number[stored.number] = stored
        return questions


def insert_judgements(connection: Connection, judgements: Sequence[tuple[int, Status, Judgement]]) -> None:
    """Append (question number, status, judgement) in this order."""
    if judgements:
        connection.execute(_INSERT, [_judgement_row(*judgement) for judgement in judgements])


def load_events(connection: Connection, condition: ColumnElement[bool], limit: int | None = None) -> list[Event]:
    """Events that satisfy ``condition``, in order of arrival."""
    statement = (
        select(JUDGEMENTS, QUESTIONS.c.id.label("question_id"), QUESTIONS.c.round, QUESTIONS.c.purpose)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(condition)
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
                value=stored_json(row.value, "value of a judgement", dict),
                order=tuple(stored_json(row.shown_order, "order of a judgement", list)),
                shown_at=row.shown_at,
                first_input_at=row.first_input_at,
                submitted_at=row.submitted_at,
                id=row.id,
                rationale=row.rationale,
                supersedes=row.supersedes,
            ),
            row.purpose,
        )
        for row in connection.execute(statement)
    ]


def _item_row(item: Item) -> dict[str, object]:
    source = item.source if isinstance(item, Segment) else None
    encoding, data = codec.pack(item)
    return {
        "id": item.id,
        "encoding": encoding,
        "data": data,
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
        "shown_order": json.dumps([int(index) for index in judgement.order]),
        "shown_at": float(judgement.shown_at),
        "first_input_at": float(judgement.first_input_at),
        "submitted_at": float(judgement.submitted_at),
        "status": status,
        "rationale": judgement.rationale,
        "supersedes": judgement.supersedes,
    }
