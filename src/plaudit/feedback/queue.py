"""The queue's SQL: who may work on what, and for how long. Each function is one statement in the caller's transaction.

A question is claimable while it wants more effective judgements than there are live leases on it, by an annotator who
has neither a standing judgement nor a lease on it. Oldest first.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS


def claim(connection: Connection, annotator: str, limit: int, now: float, expires_at: float) -> list[tuple[int, str]]:
    """Lease up to ``limit`` questions; pairs of its number and a token, oldest question first.

    Finding and taking is one INSERT ... SELECT ... RETURNING, so two annotators cannot take the same seat.
    """
    connection.execute(delete(LEASES).where(LEASES.c.expires_at <= now))
    later = JUDGEMENTS.alias()
    standing = exists().where(
        JUDGEMENTS.c.question == OPEN_QUESTIONS.c.question,
        JUDGEMENTS.c.annotator == annotator,
        JUDGEMENTS.c.status != "withdrawal",
        ~exists().where(later.c.supersedes == JUDGEMENTS.c.id),
    )
    leased = select(func.count()).where(LEASES.c.question == OPEN_QUESTIONS.c.question).scalar_subquery()
    held = exists().where(LEASES.c.question == OPEN_QUESTIONS.c.question, LEASES.c.annotator == annotator)
    batch = uuid.uuid4().hex
    free = (
        select(
            literal(f"{batch}.") + cast(OPEN_QUESTIONS.c.question, Text),
            OPEN_QUESTIONS.c.question,
            literal(annotator),
            literal(expires_at),
        )
        .where(OPEN_QUESTIONS.c.seats > leased, ~held, ~standing)
        .order_by(OPEN_QUESTIONS.c.question)
        .limit(limit)
    )
    taken = insert(LEASES).from_select(["token", "question", "annotator", "expires_at"], free)
    rows = connection.execute(taken.returning(LEASES.c.question, LEASES.c.token))
    return sorted((row.question, row.token) for row in rows)  # the order of RETURNING is not defined


def renew(connection: Connection, token: str, now: float, expires_at: float) -> bool:
    """Move a live lease's end; False when it has ended."""
    live = and_(LEASES.c.token == token, LEASES.c.expires_at > now)
    return connection.execute(update(LEASES).where(live).values(expires_at=expires_at)).rowcount > 0


def release(connection: Connection, tokens: Sequence[str]) -> int:
    """End leases, live or not; how many there were."""
    return connection.execute(delete(LEASES).where(LEASES.c.token.in_(tokens))).rowcount


def release_all(connection: Connection, annotator: str) -> int:
    """End every lease of one annotator; how many there were."""
    return connection.execute(delete(LEASES).where(LEASES.c.annotator == annotator)).rowcount


def release_answered(connection: Connection, answered: Sequence[tuple[int, str]]) -> None:
    """End the leases on (question number, annotator) pairs that have been answered."""
    pair = tuple_(LEASES.c.question, LEASES.c.annotator)
    connection.execute(delete(LEASES).where(pair.in_(answered)))


def set_seats(connection: Connection, seats: dict[int, int]) -> None:
    """Record how many effective judgements each question (by number) still wants; 0 takes it off the queue."""
    if not seats:
        return
    numbers = [{"number": number} for number in seats]
    connection.execute(delete(OPEN_QUESTIONS).where(OPEN_QUESTIONS.c.question == bindparam("number")), numbers)
    rows = [{"question": number, "seats": left} for number, left in seats.items() if left > 0]
    if rows:
        connection.execute(insert(OPEN_QUESTIONS), rows)
