"""How far a project is, who did how much, and what it costs: counted by the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Double, Executable, case, cast, func, select

from plaudit.feedback.queue import live
from plaudit.feedback.rows import superseded
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS
from plaudit.feedback.schema_people import USERS

LONGEST = 300.0  # seconds that one answer counts for at most: who took longer was away
PURPOSES = ("train", "gold", "repeat")


@dataclass(frozen=True)
class Queue:
    """The questions of one purpose."""

    purpose: str
    questions: int
    open: int  # that want further judgements
    leased: int  # somebody is at them now
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
        """What the project is for."""
        return self.queues[0]


@dataclass(frozen=True)
class Pay:
    """What one annotator did. ``cost`` is None where no pay is set."""

    annotator: str
    judgements: int
    minutes: float
    pay: float | None  # an hour
    cost: float | None
    cost_per_judgement: float | None


def tally(connection: Connection, project: str) -> tuple[int, int]:
    """Questions for training: how many are done, and how many there are."""
    asked = select(func.count()).where(QUESTIONS.c.project == project, QUESTIONS.c.purpose == "train")
    waiting = select(func.count()).where(OPEN_QUESTIONS.c.project == project, OPEN_QUESTIONS.c.purpose == "train")
    total = connection.execute(asked).scalar_one()
    return total - connection.execute(waiting).scalar_one(), total


def progress(connection: Connection, project: str, now: float) -> Progress:
    """Everything that can be counted of ``project`` at the time ``now``."""
    mine = QUESTIONS.c.project == project
    queue = OPEN_QUESTIONS.c
    asked = _counts(connection, select(QUESTIONS.c.purpose, func.count()).where(mine).group_by(QUESTIONS.c.purpose))
    open_ones = select(queue.purpose, func.count()).where(queue.project == project).group_by(queue.purpose)
    waiting = _counts(connection, open_ones)
    at_work = (
        select(queue.purpose, func.count(func.distinct(LEASES.c.question)))
        .join(LEASES, LEASES.c.question == queue.question)
        .where(queue.project == project, live(now))
        .group_by(queue.purpose)
    )
    leased = _counts(connection, at_work)
    said = (
        select(QUESTIONS.c.purpose, JUDGEMENTS.c.status, func.count())
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(mine, ~superseded())
        .group_by(QUESTIONS.c.purpose, JUDGEMENTS.c.status)
    )
    counted = {(purpose, status): count for purpose, status, count in connection.execute(said)}
    people = (
        select(func.count(func.distinct(JUDGEMENTS.c.annotator)), func.max(JUDGEMENTS.c.submitted_at))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(mine)
    )
    annotators, last_at = connection.execute(people).one()
    queues = [
        Queue(
            each,
            asked.get(each, 0),
            waiting.get(each, 0),
            leased.get(each, 0),
            asked.get(each, 0) - waiting.get(each, 0),
            counted.get((each, "accepted"), 0),
            counted.get((each, "surplus"), 0),
        )
        for each in PURPOSES
    ]
    return Progress(tuple(queues), annotators, last_at)


def _counts(connection: Connection, statement: Executable) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def pay(connection: Connection, project: str) -> list[Pay]:
    """One row an annotator, by name. Time is from shown to submitted, five minutes an answer at most.

    Where answers overlap, as the turns of a conversation lie within it, the time between counts once.
    """
    before = func.lag(JUDGEMENTS.c.submitted_at).over(
        partition_by=JUDGEMENTS.c.annotator, order_by=(JUDGEMENTS.c.submitted_at, JUDGEMENTS.c.event)
    )
    shown, submitted = JUDGEMENTS.c.shown_at, JUDGEMENTS.c.submitted_at
    begun = case((before > shown, before), else_=shown)
    took = case((submitted - begun > LONGEST, LONGEST), else_=submitted - begun)
    each = (
        select(JUDGEMENTS.c.annotator, cast(took, Double).label("took"))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(QUESTIONS.c.project == project, JUDGEMENTS.c.status != "withdrawal")
        .subquery()
    )
    summed = (
        select(each.c.annotator, func.count(), func.sum(each.c.took), USERS.c.pay)
        .join(USERS, USERS.c.name == each.c.annotator, isouter=True)
        .group_by(each.c.annotator, USERS.c.pay)
        .order_by(each.c.annotator)
    )
    return [_pay(*row) for row in connection.execute(summed)]


def _pay(annotator: str, judgements: int, seconds: float, hourly: float | None) -> Pay:
    cost = None if hourly is None else seconds / 3600 * hourly
    return Pay(annotator, judgements, seconds / 60, hourly, cost, None if cost is None else cost / judgements)
