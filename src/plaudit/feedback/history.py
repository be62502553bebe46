"""The judgements of one annotator in a project: one of them, those that stand, and how many questions they cover."""

from __future__ import annotations

from sqlalchemy import select

from plaudit.feedback import counting, queue
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


def would_count(store: Store, annotator: str, question: str) -> bool:
    """Whether an answer of the annotator to this question would be accepted, and not surplus."""
    with store.database.look() as connection:
        return queue.wants(connection, question, annotator)


def count_leases(store: Store, annotator: str, now: float) -> int:
    """The questions that the annotator has reserved."""
    with store.database.look() as connection:
        return queue.count_leases(connection, annotator, now)


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

    Judgements within a conversation are of another kind and do not count. Gold and repeats count as questions for
    training do: each answer raises the first number and lowers the second, so that the annotator cannot tell checks by
    the numbers (:func:`plaudit.feedback.counting.offer`).
    """
    conditions = (QUESTIONS.c.kind == kind, JUDGEMENTS.c.submitted_at >= start)
    with store.database.read() as connection:
        done = counting.count_judged(connection, annotator, project, *conditions)
        checks = counting.count_checks(connection, annotator, project)
        waiting = queue.count_waiting(connection, annotator, project, now, limit + checks)
        return done, min(limit, counting.offer(waiting, checks))
