"""Counts of what is stored. Each function runs in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Table, func, select

from plaudit.feedback import queue, rows
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS, SEGMENTS


@dataclass(frozen=True)
class Counts:
    """How full the store is."""

    segments: int
    questions: int
    open: int  # questions that want further judgements
    leased: int  # live leases
    judgements: int  # all events
    effective: int  # accepted, and superseded by none
    surplus: int  # kept, but not counted


def counts(connection: Connection, now: float) -> Counts:
    """How full the store is at the time ``now``."""
    columns = (
        _count(SEGMENTS),
        _count(QUESTIONS),
        _count(OPEN_QUESTIONS),
        _count(LEASES, queue.live(now)),
        _count(JUDGEMENTS),
        _count(JUDGEMENTS, JUDGEMENTS.c.status == "accepted", ~rows.is_superseded()),
        _count(JUDGEMENTS, JUDGEMENTS.c.status == "surplus", ~rows.is_superseded()),
    )
    return Counts(*connection.execute(select(*columns)).one())


def count_open(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    """Questions on the queue, leased or not, that satisfy ``conditions``."""
    return connection.execute(select(_count(OPEN_QUESTIONS, *conditions))).scalar_one()


def last_event(connection: Connection) -> int:
    """The number of the newest judgement, 0 before the first."""
    return connection.execute(select(func.coalesce(func.max(JUDGEMENTS.c.event), 0))).scalar_one()


def newest_judged(connection: Connection, annotator: str) -> int:
    """The number of the newest question, as they were asked, that ``annotator`` ever judged; 0 before the first."""
    newest = select(func.coalesce(func.max(JUDGEMENTS.c.question), 0)).where(JUDGEMENTS.c.annotator == annotator)
    return connection.execute(newest).scalar_one()


def judgements_by(connection: Connection, annotator: str, questions: Sequence[str]) -> dict[str, int]:
    """How many judgements ``annotator`` ever gave to each of these questions, by id, whatever their status."""
    statement = (
        select(QUESTIONS.c.id, func.count())
        .join(JUDGEMENTS, JUDGEMENTS.c.question == QUESTIONS.c.number)
        .where(JUDGEMENTS.c.annotator == annotator)
        .group_by(QUESTIONS.c.id)
    )
    n_judgements: dict[str, int] = {}
    for chunk in rows.chunks(questions):
        page = connection.execute(statement.where(QUESTIONS.c.id.in_(chunk)))
        n_judgements |= {identity: count for identity, count in page}
    return n_judgements


def count_judged(connection: Connection, annotator: str, project: str, *conditions: ColumnElement[bool]) -> int:
    """Questions of ``project`` on which the annotator has a standing judgement, under further ``conditions``."""
    statement = (
        select(func.count(func.distinct(JUDGEMENTS.c.question)))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(
            JUDGEMENTS.c.annotator == annotator,
            QUESTIONS.c.project == project,
            JUDGEMENTS.c.status != "withdrawal",
            ~rows.is_superseded(),
            *conditions,
        )
    )
    return connection.execute(statement).scalar_one()


def count_checks(connection: Connection, annotator: str, project: str) -> int:
    """Gold questions and repeats of ``project`` on which the annotator has a standing judgement."""
    return count_judged(connection, annotator, project, QUESTIONS.c.purpose != "train")


def offer(waiting: int, checks: int) -> int:
    """The number of waiting questions that an annotator is told, from those for training and the ``checks`` answered.

    Each answer lowers it by one, also the answer to a check, so that a script cannot tell checks by the number. It
    stays at 1 while a question for training waits.
    """
    return max(waiting - checks, min(waiting, 1))


def _count(table: Table, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(*conditions).scalar_subquery()
