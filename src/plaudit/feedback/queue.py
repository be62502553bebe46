"""The queue's SQL: who may work on what, and for how long. Each function is one statement in the caller's transaction.

A question is claimable while it wants more effective judgements than there are live leases on it, by an annotator who
has neither a standing judgement nor a lease on it, and who is the one it is for where it is for one only. Oldest first.

A lease ends at its ``expires_at``. One that was claimed in what is now the future, because the clock was wrong and has
been set back, still holds, for somebody is at work on it; as soon as anybody finds nothing to do, it lasts from then on
for as long as it was to last, since waiting for its time to come round again might take a year.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Integer,
    SelectBase,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from plaudit.feedback.ledger import ANY
from plaudit.feedback.rows import Purpose, Stored, chunks
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS

SKEW = 60.0  # seconds by which the clocks of machines that share a database may differ


@dataclass(frozen=True)
class Wanted:
    """Which questions somebody is looking for."""

    annotator: str
    limit: int = 1
    project: str | None = None  # None: any
    purposes: tuple[Purpose, ...] = ("train",)
    after: int = 0  # only questions with a larger number: for whoever has seen those up to there


def claim(connection: Connection, wanted: Wanted, now: float, expires_at: float) -> list[tuple[int, str]]:
    """Lease up to ``wanted.limit`` questions; pairs of its number and a token, oldest question first.

    Leases that have lapsed must have been ended before. Finding and taking is one INSERT ... SELECT ... RETURNING, so
    two annotators cannot take the same seat.
    """
    values = {
        "batch": f"{uuid.uuid4().hex}.",
        "annotator": wanted.annotator,
        "expires_at": expires_at,
        "now": now,
        "purposes": wanted.purposes,
        "number": wanted.limit,
        "project": wanted.project,
        "after": wanted.after,
    }
    rows = connection.execute(CLAIMS[wanted.project is not None, wanted.after > 0], values)
    return sorted((row.question, row.token) for row in rows)  # the order of RETURNING is not defined


def live(now: float) -> ColumnElement[bool]:
    """Whether a lease has not lapsed."""
    return LEASES.c.expires_at > now


def renew(connection: Connection, token: str, now: float, expires_at: float) -> bool:
    """Move a live lease's end; False when it has ended."""
    return connection.execute(RENEW, {"name": token, "now": now, "until": expires_at}).rowcount > 0


def end(connection: Connection, tokens: Sequence[str], answered: Sequence[tuple[int, str]], now: float | None) -> None:
    """End the leases called ``tokens``, those on (question number, annotator) pairs, and those lapsed by ``now``."""
    moment = -math.inf if now is None else now
    if now is not None and not (tokens or answered):
        connection.execute(LAPSE, {"now": moment})
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


def set_seats(connection: Connection, seats: Sequence[tuple[Stored, int]]) -> None:
    """Record how many effective judgements each question still wants; 0 takes it off the queue.

    One that wants :data:`plaudit.feedback.ledger.ANY` never stands there.
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
        if left > 0 and stored.wanted < ANY
    ]
    if rows:
        connection.execute(OPEN, rows)


def _free(*more: ColumnElement[bool]) -> SelectBase:
    """The questions that ``:annotator`` may claim, as the leases they would be."""
    number, later, annotator = OPEN_QUESTIONS.c.question, JUDGEMENTS.alias(), bindparam("annotator", type_=Text)
    standing = exists().where(
        JUDGEMENTS.c.question == number,
        JUDGEMENTS.c.annotator == annotator,
        JUDGEMENTS.c.status != "withdrawal",
        ~exists().where(later.c.supersedes == JUDGEMENTS.c.id),
    )
    leased = select(func.count()).where(LEASES.c.question == number).scalar_subquery()
    held = exists().where(LEASES.c.question == number, LEASES.c.annotator == annotator)
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
            # as `seats > leased`, but most open questions want one answer and those who judge hold the oldest: looking
            # each of these up in one list of what is leased takes a third of the time
            or_(
                number.not_in(select(LEASES.c.question)),
                and_(OPEN_QUESTIONS.c.seats > 1, OPEN_QUESTIONS.c.seats > leased),
            ),
            ~held,
            ~standing,
            *more,
        )
        .order_by(number)
        .limit(bindparam("number", type_=Integer))
    )


# Made once: building a statement takes longer than SQLite takes to run it.
_LEASE = ["token", "question", "annotator", "expires_at", "claimed_at"]
_RETURNED = (LEASES.c.question, LEASES.c.token)
_OF_PROJECT = OPEN_QUESTIONS.c.project == bindparam("project")
_AFTER = OPEN_QUESTIONS.c.question > bindparam("after", type_=Integer)
CLAIMS = {  # by whether a project is named, and a number; each says no more than it must, for that is faster
    (project, after): insert(LEASES)
    .from_select(_LEASE, _free(*[_OF_PROJECT] * project, *[_AFTER] * after))
    .returning(*_RETURNED)
    for project in (False, True)
    for after in (False, True)
}
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
_LAPSED = LEASES.c.expires_at <= bindparam("now")
LAPSE = delete(LEASES).where(_LAPSED).execution_options(plaudit_later=True)
END = (
    delete(LEASES)
    .where(
        or_(
            LEASES.c.token.in_(bindparam("tokens", expanding=True)),
            tuple_(LEASES.c.question, LEASES.c.annotator).in_(bindparam("answered", expanding=True)),
            _LAPSED,
        )
    )
    .execution_options(plaudit_later=True)
)
SETTLE = (
    delete(OPEN_QUESTIONS).where(OPEN_QUESTIONS.c.question == bindparam("number")).execution_options(plaudit_later=True)
)
OPEN = insert(OPEN_QUESTIONS).inline().execution_options(plaudit_later=True)
