"""Standing judgements of a project as measures of quality read them, each load in one snapshot."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, true

from plaudit.feedback.codec import DIALOGUE
from plaudit.feedback.faults import StoreFault, first_line
from plaudit.feedback.kinds import KINDS, kind
from plaudit.feedback.rows import chunks, is_superseded
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS, SEGMENTS
from plaudit.feedback.schema_people import GOLD
from plaudit.feedback.store import Store


@dataclass(frozen=True)
class SharedAnswers:
    """The judgements on questions that several annotators answered: (question, annotator, kind, value as JSON) each."""

    kinds: tuple[str, ...]  # of all questions of the project
    answers: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class StandingJudgements:
    """The standing judgements of a project, in order of arrival.

    A row has id, kind, number (of the question), annotator, value, shown_order, seconds and gold (the known answer or
    None); a row of ``pairs`` also has the ids of both items, first and second.
    """

    pairs: Sequence[Any]
    unpaired: Sequence[Any]
    items: dict[int, list[str]]  # of the questions of ``unpaired``, without live kinds, by the question's number
    sizes: dict[str, tuple[int, int]]  # frames of each clip and words of each response, by the item's id
    shared: SharedAnswers


def load_shared(store: Store, project: str) -> SharedAnswers:
    """The judgements on questions that several annotators answered."""
    with store.database.read() as connection:
        return _load_shared(connection, project)


def load_standing(store: Store, project: str | None) -> StandingJudgements:
    """The standing judgements, those that compare two items apart from the rest; project None: of every project."""
    with store.database.read() as connection:
        pairs = connection.execute(_pairs(project)).all()
        rest = connection.execute(_select_unpaired(project)).all()
        # How long a conversation takes depends on what is written in it.
        items = _items(connection, {row.number for row in rest if not kind(row.kind).live})
        ids = {item for row in pairs for item in (row.first, row.second)}
        sizes = _sizes(connection, ids.union(*items.values()))
        return StandingJudgements(pairs, rest, items, sizes, _load_shared(connection, project))


def _in_project(project: str | None) -> ColumnElement[bool]:
    return true() if project is None else QUESTIONS.c.project == project


def _load_shared(connection: Connection, project: str | None) -> SharedAnswers:
    kinds = select(QUESTIONS.c.kind).where(_in_project(project)).distinct()
    answered_by_several = (
        select(JUDGEMENTS.c.question)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(_in_project(project), QUESTIONS.c.purpose != "repeat")
        .group_by(JUDGEMENTS.c.question)
        .having(func.count(func.distinct(JUDGEMENTS.c.annotator)) > 1)
    )
    statement = (
        select(QUESTIONS.c.id, JUDGEMENTS.c.annotator, QUESTIONS.c.kind, JUDGEMENTS.c.value)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(JUDGEMENTS.c.question.in_(answered_by_several), JUDGEMENTS.c.status != "withdrawal", ~is_superseded())
        .order_by(JUDGEMENTS.c.event)
    )
    rows = connection.execute(statement)
    answers = tuple((row.id, row.annotator, row.kind, row.value) for row in rows)
    return SharedAnswers(tuple(connection.execute(kinds).scalars()), answers)


def _select_standing(project: str | None) -> Any:
    """Standing judgements, with the known answer if there is one."""
    return (
        select(
            JUDGEMENTS.c.id,
            QUESTIONS.c.kind,
            QUESTIONS.c.number,
            JUDGEMENTS.c.annotator,
            JUDGEMENTS.c.value,
            JUDGEMENTS.c.shown_order,
            (JUDGEMENTS.c.submitted_at - JUDGEMENTS.c.shown_at).label("seconds"),
            GOLD.c.value.label("gold"),
        )
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .join(GOLD, GOLD.c.question == QUESTIONS.c.id, isouter=True)
        .where(_in_project(project), JUDGEMENTS.c.status != "withdrawal", ~is_superseded())
        .order_by(JUDGEMENTS.c.event)
    )


def _paired_kinds() -> list[str]:
    """The kinds whose answer says which of two items is better."""
    return [name for name, rules in KINDS.items() if rules.compares]


def _pairs(project: str | None) -> Any:
    """Comparisons of two, with the ids of both items."""
    statement = _select_standing(project).where(QUESTIONS.c.kind.in_(_paired_kinds()))
    for position, name in enumerate(("first", "second")):
        slot = QUESTION_ITEMS.alias()
        statement = statement.add_columns(slot.c.segment.label(name))
        statement = statement.join(slot, (slot.c.question == QUESTIONS.c.number) & (slot.c.position == position))
    return statement


def _select_unpaired(project: str | None) -> Any:
    return _select_standing(project).where(QUESTIONS.c.kind.not_in(_paired_kinds()))


def _items(connection: Connection, questions: set[int]) -> dict[int, list[str]]:
    items: dict[int, list[str]] = {question: [] for question in questions}
    for chunk in chunks(sorted(questions)):
        for row in connection.execute(select(QUESTION_ITEMS).where(QUESTION_ITEMS.c.question.in_(chunk))):
            items[row.question].append(row.segment)
    return items


def _sizes(connection: Connection, ids: set[str]) -> dict[str, tuple[int, int]]:
    """Frames of each clip and words of each response. Only as much of an item is read as it takes to tell."""
    sizes: dict[str, tuple[int, int]] = {}
    for chunk in chunks(sorted(ids)):
        rows = select(SEGMENTS.c.id, SEGMENTS.c.encoding, SEGMENTS.c.data).where(SEGMENTS.c.id.in_(chunk))
        for row in connection.execute(rows):
            try:
                sizes[row.id] = _words(row.data) if row.encoding == DIALOGUE else _frames(row.data)
            except (zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise StoreFault(f"item {row.id} cannot be read ({first_line(error)}): restore a backup") from error
    return sizes


def _words(data: bytes) -> tuple[int, int]:
    messages = json.loads(zlib.decompress(data))["messages"]
    return 0, len(messages[-1][1].split())


def _frames(data: bytes) -> tuple[int, int]:
    """The length of the first axis of the observations stands in the header of a safetensors file."""
    head = zlib.decompressobj().decompress(data, 4096)
    length = int.from_bytes(head[:8], "little")
    return int(json.loads(head[8 : 8 + length])["observations"]["shape"][0]), 0
