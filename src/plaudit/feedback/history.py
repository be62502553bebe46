"""The judgements of one annotator in a project: one of them, those that stand, and how many questions they cover."""

from __future__ import annotations

from sqlalchemy import func, select

from plaudit.feedback import queue
from plaudit.feedback.ledger import Status
from plaudit.feedback.rows import Event, is_superseded, load_events
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.feedback.store import Store


def load(store: Store, judgement: str) -> Event | None:
    """The event of a judgement with its status on arrival, None if it is not stored."""
    with store.database.read() as connection:
        return next(iter(load_events(connection, JUDGEMENTS.c.id == judgement)), None)


def status(store: Store, judgement: str) -> Status | None:
    """The status that a judgement had on arrival, None if it is not stored."""
    with store.database.look() as connection:
        return connection.execute(select(JUDGEMENTS.c.status).where(JUDGEMENTS.c.id == judgement)).scalar()


def list_standing(store: Store, annotator: str, project: str, before: int | None, limit: int) -> list[Event]:
    """Up to ``limit`` standing judgements in order of arrival, the latest ones before event ``before``."""
    conditions = [
        JUDGEMENTS.c.annotator == annotator,
        QUESTIONS.c.project == project,
        JUDGEMENTS.c.status != "withdrawal",
        ~is_superseded(),
    ]
    if before is not None:
        conditions.append(JUDGEMENTS.c.event < before)
    statement = (
        select(JUDGEMENTS.c.event)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(*conditions)
        .order_by(JUDGEMENTS.c.event.desc())
        .limit(limit)
    )
    with store.database.read() as connection:
        numbers = list(connection.execute(statement).scalars())
        return load_events(connection, JUDGEMENTS.c.event.in_(numbers)) if numbers else []


def count(
    store: Store, annotator: str, project: str, kind: str, start: float, now: float, limit: int
) -> tuple[int, int]:
    """Questions of ``kind`` that the annotator judged since ``start``, and those that wait, counted up to ``limit``.

    Judgements within a conversation are of another kind, and gold and repeats have another purpose: none of them count,
    so that the annotator cannot tell checks by the numbers.
    """
    judged = (
        select(func.count(func.distinct(JUDGEMENTS.c.question)))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(
            JUDGEMENTS.c.annotator == annotator,
            QUESTIONS.c.project == project,
            QUESTIONS.c.kind == kind,
            QUESTIONS.c.purpose == "train",
            JUDGEMENTS.c.submitted_at >= start,
            JUDGEMENTS.c.status != "withdrawal",
            ~is_superseded(),
        )
    )
    with store.database.read() as connection:
        done = connection.execute(judged).scalar_one()
        return done, queue.count_waiting(connection, annotator, project, now, limit)
