"""Asking the same again with the sides changed, of the same person: how steady are they, and do sides sway them?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, Text, bindparam, func, insert, select

from plaudit.feedback.kinds import kind
from plaudit.feedback.order import shown_order
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import REPEATS
from plaudit.feedback.store import Store
from plaudit.types import Question

LATER = 10  # judgements of the same person between the original and its repeat


def turned(question: Question) -> Question:
    """The same two items, the other way round."""
    return replace(question, items=question.items[::-1])


def can_repeat(question: Question, annotator: str) -> bool:
    """Whether there are two items, and this person would see them on other sides than before.

    The order shown follows from the question and the annotator, so for half of all questions the repeat shows
    the same picture again; those are left alone.
    """
    if len(question.items) != 2 or kind(question.kind).live:
        return False
    before, after = shown_order(question.id, annotator, 2), shown_order(turned(question).id, annotator, 2)
    return before == after  # the same order of reversed items: the sides have changed


def ask_again(store: Store, annotator: str, question: Question) -> bool:
    """Put the repeat on the queue, for ``annotator`` only; False where it stands there already, or is no original."""
    with store.database.look() as connection:
        purpose = connection.execute(select(QUESTIONS.c.purpose).where(QUESTIONS.c.id == question.id)).scalar()
    if purpose != "train":
        return False
    repeat = turned(question)
    with store.database.write() as connection:  # both or neither: of what a repeat is, nobody else knows
        if store.ask_in(connection, [repeat], [], (1, "repeat", annotator)) == 0:
            return False
        connection.execute(insert(REPEATS).values(question=repeat.id, original=question.id))
    return True


def is_due(connection: Connection, annotator: str, project: str) -> bool:
    """Whether the next repeat for ``annotator`` has waited long enough."""
    return connection.execute(SINCE, {"annotator": annotator, "project": project}).scalar_one() == LATER


def _judgements_since() -> Select[Any]:
    """How many judgements, up to LATER, followed the one whose repeat waits longest; 0 where none waits."""
    annotator = bindparam("annotator", type_=Text)
    repeat, asked = QUESTIONS.alias(), QUESTIONS.alias()
    leased = select(LEASES.c.token).where(LEASES.c.question == OPEN_QUESTIONS.c.question)
    oldest = (
        select(REPEATS.c.original)
        .select_from(OPEN_QUESTIONS)
        .join(repeat, repeat.c.number == OPEN_QUESTIONS.c.question)
        .join(REPEATS, REPEATS.c.question == repeat.c.id)
        .where(
            OPEN_QUESTIONS.c.project == bindparam("project", type_=Text),
            OPEN_QUESTIONS.c.purpose == "repeat",
            OPEN_QUESTIONS.c.only_for == annotator,
            ~leased.exists(),
        )
        .order_by(OPEN_QUESTIONS.c.question)
        .limit(1)
        .scalar_subquery()
    )
    said = JUDGEMENTS.alias()
    first = (
        select(func.min(said.c.event))
        .select_from(said)
        .join(asked, asked.c.number == said.c.question)
        .where(asked.c.id == oldest, said.c.annotator == annotator)
        .scalar_subquery()
    )
    since = select(JUDGEMENTS.c.event).where(JUDGEMENTS.c.annotator == annotator, JUDGEMENTS.c.event > first)
    return select(func.count()).select_from(since.limit(LATER).subquery())


SINCE = _judgements_since()  # made once: building a statement takes longer than running it
