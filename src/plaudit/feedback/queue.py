"""The queue: which questions an annotator may claim, and how long a lease lasts. Each function runs in the caller's
transaction.

An annotator may claim a question while it wants more effective judgements than there are live leases on it, if they
have neither a standing judgement nor a lease on it, and if it is not for another annotator only. Oldest first.

A lease expires at its ``expires_at``. If the clock was wrong and has been set back, a lease may have been claimed in
what is now the future. It still holds, because an annotator is at work on it. As soon as a claim finds no question,
such a lease is counted from that moment with its full duration; otherwise it could block its question for a year.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from plaudit.feedback.ledger import ANY
from plaudit.feedback.rows import Purpose, QuestionRow, chunks, is_superseded
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS

SKEW = 60.0  # seconds by which the clocks of machines that share a database may differ
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


class LeaseRow(NamedTuple):
    """A lease as it is stored."""

    number: int  # of the question
    token: str
    expires_at: float
    claimed_at: float


@dataclass(frozen=True)
class Claim:
    """The questions that an annotator asks the queue for."""

    annotator: str
    limit: int = 1
    project: str | None = None  # None: any
    purposes: tuple[Purpose, ...] = ("train",)
    after: int = 0  # only questions with a larger number: for an annotator that has seen those up to there
    most_leases: int | None = None  # that the annotator may hold with these
    beside_training: bool = False  # only while the annotator may claim a question for training in the project, too


def claim(connection: Connection, request: Claim, batch: str, now: float, expires_at: float) -> list[tuple[int, str]]:
    """Lease up to ``request.limit`` questions; pairs of its number and a token, oldest question first. Tokens begin
    with ``batch``, which must be new.

    Expired leases must have been ended before. Finding and taking is one INSERT ... SELECT ... RETURNING, so two
    annotators cannot take the same seat.
    """
    values = {
        "batch": f"{batch}.",
        "annotator": request.annotator,
        "expires_at": expires_at,
        "now": now,
        "purposes": request.purposes,
        "number": request.limit,
        "project": request.project,
        "after": request.after,
    }
    rows = connection.execute(CLAIMS[request.project is not None, request.after > 0], values)
    return sorted((row.question, row.token) for row in rows)  # the order of RETURNING is not defined


def claim_all(
    connection: Connection, requests: Sequence[Claim], now: float, expires_at: float
) -> list[tuple[int, str]]:
    """:func:`claim` for each request in turn, up to as many questions in all as the largest of them asks for.

    All tokens share a batch, so that they do not tell which request found a question.
    """
    batch = uuid.uuid4().hex
    pairs: list[tuple[int, str]] = []
    free = max((request.limit for request in requests), default=0)
    if requests and requests[0].most_leases is not None:
        free = min(free, requests[0].most_leases - count_leases(connection, requests[0].annotator, now))
    for request in requests:
        limit = min(request.limit, free - len(pairs))
        if limit > 0 and (not request.beside_training or has_training(connection, request)):
            pairs += claim(connection, replace(request, limit=limit), batch, now, expires_at)
    return pairs


def count_leases(connection: Connection, annotator: str, now: float) -> int:
    """The annotator's live leases."""
    return connection.execute(COUNT_LEASES, {"annotator": annotator, "now": now}).scalar_one()


def wants(connection: Connection, question: str, annotator: str) -> bool:
    """Whether an answer of the annotator to the question with this id would count."""
    statement = (
        select(OPEN_QUESTIONS.c.question)
        .join(QUESTIONS, QUESTIONS.c.number == OPEN_QUESTIONS.c.question)
        .where(QUESTIONS.c.id == question, ~_has_standing(OPEN_QUESTIONS.c.question, literal(annotator)))
    )
    return connection.execute(statement).first() is not None


def has_training(connection: Connection, request: Claim) -> bool:
    """Whether the annotator may claim a question for training in the project of ``request``."""
    values = {"annotator": request.annotator, "project": request.project, "purposes": ("train",), "number": 1}
    statement = CLAIMABLE_PROJECT if request.project is not None else CLAIMABLE
    return connection.execute(statement, values | {"batch": "", "expires_at": 0.0, "now": 0.0}).first() is not None


def reserve(connection: Connection, number: int, annotator: str, now: float, expires_at: float) -> LeaseRow | None:
    """Lease the question called ``number`` by the rule of :func:`claim`, whatever its purpose; None if it refuses.

    An annotator who holds a live lease on a question that still wants judgements keeps that lease as it is.
    """
    end(connection, (), (), now)
    row = connection.execute(LEASE_ON, {"question": number, "annotator": annotator}).first()
    if row is None:
        values = {
            "batch": f"{uuid.uuid4().hex}.",
            "annotator": annotator,
            "expires_at": expires_at,
            "now": now,
            "purposes": PURPOSES,
            "number": 1,
            "question": number,
        }
        row = connection.execute(RESERVE, values).first()
    return None if row is None else LeaseRow(*row)


def live(now: float, leases: FromClause = LEASES) -> ColumnElement[bool]:
    """Whether a row of ``leases`` has not expired."""
    return leases.c.expires_at > now


def find_abandoned(connection: Connection, annotator: str, project: str, now: float, seconds: float) -> list[LeaseRow]:
    """The annotator's live leases of ``seconds`` that were not renewed for half that time, oldest question first.

    A page renews its leases sooner, so the page that held these is gone.
    """
    statement = (
        select(*_LEASE_ROW)
        .join(QUESTIONS, QUESTIONS.c.number == LEASES.c.question)
        .where(
            LEASES.c.annotator == annotator,
            QUESTIONS.c.project == project,
            live(now),
            LEASES.c.expires_at < now + seconds / 2,
        )
        .order_by(LEASES.c.question)
    )
    return [LeaseRow(*row) for row in connection.execute(statement)]


def count_waiting(connection: Connection, annotator: str, project: str, now: float, limit: int) -> int:
    """Questions for training that the annotator may claim or has leased, counted up to ``limit``."""
    leases = LEASES.alias()
    n_leases = (
        select(func.count())
        .where(leases.c.question == OPEN_QUESTIONS.c.question, leases.c.annotator != annotator, live(now, leases))
        .scalar_subquery()
    )
    statement = (
        select(OPEN_QUESTIONS.c.question)
        .where(
            OPEN_QUESTIONS.c.project == project,
            OPEN_QUESTIONS.c.purpose == "train",
            ~_has_standing(OPEN_QUESTIONS.c.question, literal(annotator)),
            OPEN_QUESTIONS.c.seats > n_leases,
        )
        .limit(limit)
    )
    return connection.execute(select(func.count()).select_from(statement.subquery())).scalar_one()


def renew(connection: Connection, token: str, now: float, expires_at: float) -> bool:
    """Let a live lease expire at ``expires_at``; False if it has expired or was ended."""
    return connection.execute(RENEW, {"name": token, "now": now, "until": expires_at}).rowcount > 0


def end(connection: Connection, tokens: Sequence[str], answered: Sequence[tuple[int, str]], now: float | None) -> None:
    """End the leases called ``tokens``, those on (question number, annotator) pairs, and those expired by ``now``."""
    moment = -math.inf if now is None else now
    if now is not None and not (tokens or answered):
        connection.execute(EXPIRE, {"now": moment})
    for names, pairs in zip_longest(chunks(tokens, 300), chunks(answered, 300), fillvalue=()):
        connection.execute(END, {"now": moment, "tokens": names, "answered": pairs})


def set_back(connection: Connection, now: float) -> None:
    """Let leases that were claimed in what is now the future begin at ``now``."""
    connection.execute(SET_BACK, {"now": now, "latest": now + SKEW})


def release(connection: Connection, tokens: Sequence[str]) -> int:
    """End leases, live or not; how many there were."""
    return connection.execute(delete(LEASES).where(LEASES.c.token.in_(tokens))).rowcount


def release_all(connection: Connection, annotator: str) -> int:
    """End every lease of one annotator; how many there were."""
    return connection.execute(delete(LEASES).where(LEASES.c.annotator == annotator)).rowcount


def set_seats(connection: Connection, seats: Sequence[tuple[QuestionRow, int]]) -> None:
    """Record how many effective judgements each question still wants; 0 takes it off the queue.

    A question that wants :data:`plaudit.feedback.ledger.ANY` is never on the queue.
    """
    if not seats:
        return
    connection.execute(SETTLE, [{"number": stored.number} for stored, _ in seats])
    rows = [
        {
            "question": stored.number,
            "seats": left,
            "project": stored.question.project,
            "purpose": stored.purpose,
            "only_for": stored.only_for,
        }
        for stored, left in seats
        if left > 0 and stored.judgements_wanted < ANY
    ]
    if rows:
        connection.execute(OPEN, rows)


def _has_standing(number: ColumnElement[int], annotator: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the annotator has a standing judgement on a question."""
    return exists().where(
        JUDGEMENTS.c.question == number,
        JUDGEMENTS.c.annotator == annotator,
        JUDGEMENTS.c.status != "withdrawal",
        ~is_superseded(),
    )


def _claimable(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The questions that ``:annotator`` may claim, as the leases they would be."""
    number, annotator = OPEN_QUESTIONS.c.question, bindparam("annotator", type_=Text)
    n_leases = select(func.count()).where(LEASES.c.question == number).scalar_subquery()
    has_lease = exists().where(LEASES.c.question == number, LEASES.c.annotator == annotator)
    return (
        select(
            bindparam("batch", type_=Text) + cast(number, Text),
            number,
            annotator,
            bindparam("expires_at", type_=Double),
            bindparam("now", type_=Double),
        )
        .where(
            OPEN_QUESTIONS.c.purpose.in_(bindparam("purposes", expanding=True)),
            or_(OPEN_QUESTIONS.c.only_for.is_(None), OPEN_QUESTIONS.c.only_for == annotator),
            # The same as `seats > n_leases`, in a third of the time: most open questions want one answer, and the
            # oldest are leased, so each is looked up in one list of the leased questions.
            or_(
                number.not_in(select(LEASES.c.question)),
                and_(OPEN_QUESTIONS.c.seats > 1, OPEN_QUESTIONS.c.seats > n_leases),
            ),
            ~has_lease,
            ~_has_standing(number, annotator),
            *conditions,
        )
        .order_by(number)
        .limit(bindparam("number", type_=Integer))
    )


# Built once, because building a statement takes longer than SQLite takes to run it.
_LEASE = ["token", "question", "annotator", "expires_at", "claimed_at"]
_LEASE_ROW = (LEASES.c.question, LEASES.c.token, LEASES.c.expires_at, LEASES.c.claimed_at)
_OF_PROJECT = OPEN_QUESTIONS.c.project == bindparam("project")
_AFTER = OPEN_QUESTIONS.c.question > bindparam("after", type_=Integer)
CLAIMS = {  # by whether a project is named, and a number; a condition that is not needed costs time
    (project, after): insert(LEASES)
    .from_select(_LEASE, _claimable(*[_OF_PROJECT] * project, *[_AFTER] * after))
    .returning(LEASES.c.question, LEASES.c.token)
    for project in (False, True)
    for after in (False, True)
}
CLAIMABLE, CLAIMABLE_PROJECT = _claimable(), _claimable(_OF_PROJECT)
_QUESTION = bindparam("question", type_=Integer)
RESERVE = insert(LEASES).from_select(_LEASE, _claimable(OPEN_QUESTIONS.c.question == _QUESTION)).returning(*_LEASE_ROW)
LEASE_ON = (
    select(*_LEASE_ROW)
    .join(OPEN_QUESTIONS, OPEN_QUESTIONS.c.question == LEASES.c.question)
    .where(LEASES.c.question == _QUESTION, LEASES.c.annotator == bindparam("annotator", type_=Text))
)
COUNT_LEASES = (
    select(func.count())
    .select_from(LEASES)
    .where(LEASES.c.annotator == bindparam("annotator", type_=Text), LEASES.c.expires_at > bindparam("now"))
)
RENEW = (
    update(LEASES)
    .where(LEASES.c.token == bindparam("name"))
    .where(LEASES.c.expires_at > bindparam("now"))
    .values(
        expires_at=bindparam("until"),
        claimed_at=case((LEASES.c.claimed_at > bindparam("now"), bindparam("now")), else_=LEASES.c.claimed_at),
    )
)
SET_BACK = (
    update(LEASES)
    .where(LEASES.c.claimed_at > bindparam("latest"))
    .values(
        expires_at=bindparam("now", type_=Double) + (LEASES.c.expires_at - LEASES.c.claimed_at),
        claimed_at=bindparam("now", type_=Double),
    )
)
_EXPIRED = LEASES.c.expires_at <= bindparam("now")
EXPIRE = delete(LEASES).where(_EXPIRED).execution_options(plaudit_later=True)
END = (
    delete(LEASES)
    .where(
        or_(
            LEASES.c.token.in_(bindparam("tokens", expanding=True)),
            tuple_(LEASES.c.question, LEASES.c.annotator).in_(bindparam("answered", expanding=True)),
            _EXPIRED,
        )
    )
    .execution_options(plaudit_later=True)
)
SETTLE = (
    delete(OPEN_QUESTIONS).where(OPEN_QUESTIONS.c.question == bindparam("number")).execution_options(plaudit_later=True)
)
OPEN = insert(OPEN_QUESTIONS).inline().execution_options(plaudit_later=True)
