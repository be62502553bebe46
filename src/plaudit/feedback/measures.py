"""The progress of projects, and the time and cost of each annotator, counted by the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Double, Executable, case, cast, func, select

from plaudit.feedback.queue import live
from plaudit.feedback.rows import is_superseded
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import USERS
from plaudit.feedback.store import Store

LONGEST = 300.0  # seconds that one answer counts at most: an annotator who took longer was away
PURPOSES = ("train", "gold", "repeat")


@dataclass(frozen=True)
class Queue:
    """The questions of one purpose."""

    purpose: str
    questions: int
    open: int  # that want further judgements
    leased: int  # reserved for an annotator now
    done: int
    judgements: int  # that count: accepted, superseded by none, not withdrawn
    surplus: int


@dataclass(frozen=True)
class Progress:
    """A project in numbers."""

    queues: tuple[Queue, ...]
    annotators: int
    last_at: float | None  # when the last answer came, seconds since the epoch, UTC

    @property
    def train(self) -> Queue:
        """The questions for training."""
        return self.queues[0]


@dataclass(frozen=True)
class Pay:
    """The work of one annotator. ``cost`` is None if no pay is set."""

    annotator: str
    judgements: int
    minutes: float
    pay: float | None  # an hour
    cost: float | None
    cost_per_judgement: float | None


def tally(store: Store, projects: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The questions for training of each project: how many are done, and how many there are."""
    with store.database.read() as connection:
        return {project: _tally(connection, project) for project in projects}


def _tally(connection: Connection, project: str) -> tuple[int, int]:
    questions = select(func.count()).where(QUESTIONS.c.project == project, QUESTIONS.c.purpose == "train")
    waiting = select(func.count()).where(OPEN_QUESTIONS.c.project == project, OPEN_QUESTIONS.c.purpose == "train")
    total = connection.execute(questions).scalar_one()
    return total - connection.execute(waiting).scalar_one(), total


def progress(store: Store, project: str, now: float) -> Progress:
    """Everything that can be counted of ``project`` at the time ``now``."""
    with store.database.read() as connection:
        return _progress(connection, project, now)


def pay(store: Store, project: str) -> list[Pay]:
    """One row for each annotator, by name. Time is from shown to submitted, at most five minutes for each answer.

    Where answers overlap, as the turns of a conversation lie within it, the time between counts once.
    """
    with store.database.read() as connection:
        return _pay(connection, project)


def progress_and_pay(store: Store, project: str, now: float) -> tuple[Progress, list[Pay]]:
    """:func:`progress` and :func:`pay` of the same moment."""
    with store.database.read() as connection:
        return _progress(connection, project, now), _pay(connection, project)


def _progress(connection: Connection, project: str, now: float) -> Progress:
    in_project = QUESTIONS.c.project == project
    queue = OPEN_QUESTIONS.c
    totals = _counts(
        connection, select(QUESTIONS.c.purpose, func.count()).where(in_project).group_by(QUESTIONS.c.purpose)
    )
    open_ones = select(queue.purpose, func.count()).where(queue.project == project).group_by(queue.purpose)
    waiting = _counts(connection, open_ones)
    at_work = (
        select(queue.purpose, func.count(func.distinct(LEASES.c.question)))
        .join(LEASES, LEASES.c.question == queue.question)
        .where(queue.project == project, live(now))
        .group_by(queue.purpose)
    )
    leased = _counts(connection, at_work)
    by_status = (
        select(QUESTIONS.c.purpose, JUDGEMENTS.c.status, func.count())
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(in_project, ~is_superseded())
        .group_by(QUESTIONS.c.purpose, JUDGEMENTS.c.status)
    )
    counted = {(purpose, status): count for purpose, status, count in connection.execute(by_status)}
    people = (
        select(func.count(func.distinct(JUDGEMENTS.c.annotator)), func.max(JUDGEMENTS.c.submitted_at))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(in_project)
    )
    annotators, last_at = connection.execute(people).one()
    queues = [
        Queue(
            purpose,
            totals.get(purpose, 0),
            waiting.get(purpose, 0),
            leased.get(purpose, 0),
            totals.get(purpose, 0) - waiting.get(purpose, 0),
            counted.get((purpose, "accepted"), 0),
            counted.get((purpose, "surplus"), 0),
        )
        for purpose in PURPOSES
    ]
    return Progress(tuple(queues), annotators, last_at)


def _counts(connection: Connection, statement: Executable) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def _pay(connection: Connection, project: str) -> list[Pay]:
    before = func.lag(JUDGEMENTS.c.submitted_at).over(
        partition_by=JUDGEMENTS.c.annotator, order_by=(JUDGEMENTS.c.submitted_at, JUDGEMENTS.c.event)
    )
    shown_at, submitted_at = JUDGEMENTS.c.shown_at, JUDGEMENTS.c.submitted_at
    started_at = case((before > shown_at, before), else_=shown_at)
    seconds = case((submitted_at - started_at > LONGEST, LONGEST), else_=submitted_at - started_at)
    durations = (
        select(JUDGEMENTS.c.annotator, cast(seconds, Double).label("took"))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(QUESTIONS.c.project == project, JUDGEMENTS.c.status != "withdrawal")
        .subquery()
    )
    summed = (
        select(durations.c.annotator, func.count(), func.sum(durations.c.took), USERS.c.pay)
        .join(USERS, USERS.c.name == durations.c.annotator, isouter=True)
        .group_by(durations.c.annotator, USERS.c.pay)
        .order_by(durations.c.annotator)
    )
    return [_pay_row(*row) for row in connection.execute(summed)]


def _pay_row(annotator: str, judgements: int, seconds: float, hourly: float | None) -> Pay:
    cost = None if hourly is None else seconds / 3600 * hourly
    return Pay(annotator, judgements, seconds / 60, hourly, cost, None if cost is None else cost / judgements)
