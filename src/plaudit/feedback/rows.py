"""Between rows and nouns: items, questions and judgements in and out of a transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, bindparam, insert, select

from plaudit.feedback import codec
from plaudit.feedback.ledger import Status
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS, SEGMENTS
from plaudit.types import Item, Judgement, Question, Segment, Source

T = TypeVar("T")
Key = TypeVar("Key", str, int)

Purpose = Literal["train", "gold", "repeat"]

REMEMBERED = 50_000  # questions kept in memory, some 50 MB
CHUNK = 400  # values in one IN (...): older SQLite takes at most 999 parameters a statement


# Made once: building a statement takes longer than SQLite takes to run it.
_WITH_ITEMS = (
    select(QUESTIONS, QUESTION_ITEMS.c.segment)
    .join(QUESTION_ITEMS, QUESTION_ITEMS.c.question == QUESTIONS.c.number)
    .order_by(QUESTIONS.c.number, QUESTION_ITEMS.c.position)
)
ASKED = {
    name: _WITH_ITEMS.where(QUESTIONS.c[name].in_(bindparam("values", expanding=True))) for name in ("id", "number")
}
_ENTER = insert(JUDGEMENTS).inline().execution_options(plaudit_later=True)  # inline: returns no number


@dataclass(frozen=True)
class Stored:
    """A question with what the store adds: its place in the order of asking, and what its answers are for."""

    number: int
    wanted: int
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


def chunks(values: Collection[T], size: int = CHUNK) -> Iterator[list[T]]:
    ordered = list(values)
    return (ordered[start : start + size] for start in range(0, len(ordered), size))


def known(connection: Connection, column: Column[str], values: Collection[str]) -> set[str]:
    """Which of ``values`` stand in ``column``."""
    found = (connection.execute(select(column).where(column.in_(chunk))).scalars() for chunk in chunks(values))
    return {value for chunk in found for value in chunk}


def insert_items(connection: Connection, items: Sequence[Item]) -> int:
    """Store those that are not there yet; how many. The first source that a segment came with is kept."""
    fresh = {item.id: item for item in reversed(items)}
    for identity in known(connection, SEGMENTS.c.id, fresh):
        del fresh[identity]
    if fresh:
        connection.execute(insert(SEGMENTS), [_item_row(item) for item in fresh.values()])
    return len(fresh)


def load_items(connection: Connection, ids: Collection[str]) -> dict[str, Item]:
    """Those of ``ids`` that are stored, checked against their hashes."""
    found = {}
    for chunk in chunks(ids):
        for row in connection.execute(select(SEGMENTS).where(SEGMENTS.c.id.in_(chunk))):
            place = (row.source_rollout, row.source_row, row.source_start)
            source = None if row.source_rollout is None else Source(*place)
            found[row.id] = codec.unpack(row.id, row.encoding, row.data, source)
    return found


def insert_questions(
    connection: Connection, questions: Sequence[Question], wanted: int, purpose: Purpose, only_for: str | None
) -> list[Stored]:
    """Store questions of which none is there yet, with their items, in this order."""
    if not questions:
        return []
    names = ("id", "kind", "wording", "guideline", "round", "project")
    heads = [
        {name: getattr(each, name) for name in names}
        | {"options": codec.to_json(each.options), "wanted": wanted, "purpose": purpose, "only_for": only_for}
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
    return [Stored(numbers[each.id], wanted, each, purpose, only_for) for each in questions]


def load_questions(connection: Connection, by: Literal["id", "number"], values: Collection[Key]) -> dict[Key, Stored]:
    """Questions whose id or number is one of ``values``, by that value."""
    items: dict[int, list[str]] = {}
    heads: dict[int, Any] = {}
    for chunk in chunks(values):
        for row in connection.execute(ASKED[by], {"values": chunk}):
            heads[row.number] = row
            items.setdefault(row.number, []).append(row.segment)
    found: dict[Key, Stored] = {}
    for number, head in heads.items():
        named = tuple(items[number])
        options = json.loads(head.options)
        question = Question(head.kind, named, head.wording, head.guideline, head.round, head.project, options)
        found[getattr(head, by)] = Stored(number, head.wanted, question, head.purpose, head.only_for)
    return found


class Memory:
    """The questions that one process has read; they never change, so each is read from disk once.

    Threads may share it. What a transaction has stored itself does not belong here before it is committed.
    """

    def __init__(self) -> None:
        self._of_id: dict[str, Stored] = {}
        self._of_number: dict[int, Stored] = {}

    def known(self, ids: Collection[str]) -> dict[str, Stored]:
        """Those of ``ids`` that have been read before."""
        return {each: stored for each in ids if (stored := self._of_id.get(each))}

    def of_id(self, connection: Connection, ids: Collection[str]) -> dict[str, Stored]:
        """Those of ``ids`` that are stored."""
        known = self.known(ids)
        missing = set(ids) - known.keys()
        return known | self._learn(load_questions(connection, "id", missing)) if missing else known

    def of_number(self, connection: Connection, numbers: Collection[int]) -> dict[int, Stored]:
        """Those of ``numbers`` that are stored."""
        known = {each: stored for each in numbers if (stored := self._of_number.get(each))}
        missing = set(numbers) - known.keys()
        return known | self._learn(load_questions(connection, "number", missing)) if missing else known

    def _learn(self, found: dict[Key, Stored]) -> dict[Key, Stored]:
        if len(self._of_id) > REMEMBERED:
            self._of_id, self._of_number = {}, {}
        for stored in found.values():
            self._of_id[stored.question.id] = self._of_number[stored.number] = stored
        return found


def insert_judgements(connection: Connection, judgements: Sequence[tuple[int, Status, Judgement]]) -> None:
    """Append (question number, status, judgement) in this order."""
    if judgements:
        connection.execute(_ENTER, [_judgement_row(*each) for each in judgements])


def load_events(connection: Connection, where: ColumnElement[bool], limit: int | None = None) -> list[Event]:
    """Events that satisfy ``where``, in order of arrival."""
    statement = (
        select(JUDGEMENTS, QUESTIONS.c.id.label("question_id"), QUESTIONS.c.round, QUESTIONS.c.purpose)
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
        "shown_order": json.dumps([int(place) for place in judgement.order]),
        "shown_at": float(judgement.shown_at),
        "first_input_at": float(judgement.first_input_at),
        "submitted_at": float(judgement.submitted_at),
        "status": status,
        "rationale": judgement.rationale,
        "supersedes": judgement.supersedes,
    }
