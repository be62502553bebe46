"""Repeats: the same question to the same annotator with the sides changed.

They show how steady an annotator is, and whether the sides sway them. A repeat comes after ten other judgements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Select, Text, bindparam, func, insert, select

from plaudit.feedback.kinds import kind
from plaudit.feedback.order import Order, order_by_id
from plaudit.feedback.rows import Terms
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import REPEATS
from plaudit.feedback.store import Store
from plaudit.types import Question

DELAY = 10  # judgements of the same annotator between the original and its repeat


def swap_sides(question: Question) -> Question:
    """The question with its two items in the opposite order."""
    return replace(question, items=question.items[::-1])


def can_repeat(question: Question, annotator: str, order: Order = order_by_id) -> bool:
    """Whether there are two items, and the annotator would see them on other sides than before.

    ``order`` draws the order shown from the question and the annotator. For half of all questions the repeat would
    therefore show the same picture again; those are never repeated.
    """
    if len(question.items) != 2 or kind(question.kind).live:
        return False
    before, after = order(question, annotator), order(swap_sides(question), annotator)
    return before == after  # the same order of reversed items, so the sides change


def ask_again(store: Store, annotator: str, question: Question) -> bool:
    """Put the repeat on the queue, for ``annotator`` only; False if it was asked before, or if ``question`` is not for
    training.
    """
    with store.database.look() as connection:
        purpose = connection.execute(select(QUESTIONS.c.purpose).where(QUESTIONS.c.id == question.id)).scalar()
    if purpose != "train":
        return False
    repeat = swap_sides(question)
    with store.database.write() as connection:  # both or neither: only the second row tells which question is repeated
        if store.ask_in(connection, [repeat], [], Terms(1, "repeat", annotator)) == 0:
            return False
        connection.execute(insert(REPEATS).values(question=repeat.id, original=question.id))
    return True


def is_due(store: Store, annotator: str, project: str) -> bool:
    """Whether the next repeat for ``annotator`` has waited long enough."""
    with store.database.look() as connection:
        count = connection.execute(_DELAYS, {"annotator": annotator, "project": project}).scalar_one()
    return bool(count == DELAY)


def _count_delay() -> Select[Any]:
    """How many judgements, up to DELAY, followed the one whose repeat waits longest; 0 if none waits."""
    annotator = bindparam("annotator", type_=Text)
    repeat, original = QUESTIONS.alias(), QUESTIONS.alias()
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
    judged = JUDGEMENTS.alias()
    first = (
        select(func.min(judged.c.event))
        .select_from(judged)
        .join(original, original.c.number == judged.c.question)
        .where(original.c.id == oldest, judged.c.annotator == annotator)
        .scalar_subquery()
    )
    later = select(JUDGEMENTS.c.event).where(JUDGEMENTS.c.annotator == annotator, JUDGEMENTS.c.event > first)
    return select(func.count()).select_from(later.limit(DELAY).subquery())


_DELAYS = _count_delay()  # built once, because building a statement takes longer than running it
