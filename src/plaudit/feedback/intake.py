"""Judgements arriving: checked against their questions, told apart from repetitions, counted; in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import Connection, select

from plaudit.feedback import queue, rows
from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import Ledger, Status, is_withdrawal
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.types import Judgement, PlauditError, Question


@dataclass(frozen=True)
class Receipt:
    """What became of one judgement; all three mean that it is on disk."""

    id: str  # Judgement.id
    status: Literal["accepted", "duplicate", "surplus"]


def enter(connection: Connection, judgements: Sequence[Judgement]) -> list[Receipt]:
    """Append ``judgements``, settle the queue, and say what became of each, in their order.

    Raises :class:`PlauditError`, and then nothing is entered, when one answers an unknown question, has a value that
    its question's kind refuses, repeats an id with another body, or supersedes what it may not.
    """
    stored = rows.load_questions(connection, QUESTIONS.c.id, {each.question for each in judgements})
    clean = [_clean(each, stored.get(each.question)) for each in judgements]
    bodies: dict[str, Judgement] = {}
    for chunk in rows.chunks([each.id for each in clean]):
        events = rows.load_events(connection, JUDGEMENTS.c.id.in_(chunk))
        bodies.update({event.judgement.id: event.judgement for event in events})
    ledgers = _ledgers(connection, list(stored.values()))
    receipts: list[Receipt] = []
    fresh: list[tuple[int, Status, Judgement]] = []
    for each in clean:
        if each.id in bodies:
            if bodies[each.id] != each:
                raise PlauditError(
                    f"judgement {each.id} is stored with another body: an edit needs an id of its own, and `supersedes`"
                )
            receipts.append(Receipt(each.id, "duplicate"))
            continue
        number = stored[each.question].number
        status = ledgers[number].enter(each)
        bodies[each.id] = each
        fresh.append((number, status, each))
        receipts.append(Receipt(each.id, "surplus" if status == "surplus" else "accepted"))
    rows.insert_judgements(connection, fresh)
    queue.set_seats(connection, {number: ledgers[number].seats for number, _, _ in fresh})
    answered = [(number, each.annotator) for number, status, each in fresh if status != "withdrawal"]
    for chunk in rows.chunks(answered):
        queue.release_answered(connection, chunk)
    return receipts


def _clean(judgement: Judgement, stored: rows.Stored | None) -> Judgement:
    """The judgement with its value in canonical form, so that a repetition compares equal."""
    if stored is None:
        raise PlauditError(f"judgement {judgement.id} answers question {judgement.question}, which was never asked")
    question: Question = stored.question
    if not judgement.id.strip():
        raise PlauditError(f"a judgement on question {question.id} has no id: make a UUID when the answer is given")
    if len(judgement.order) != len(question.items):
        raise PlauditError(
            f"judgement {judgement.id} has {len(judgement.order)} items in its order, "
            f"question {question.id} has {len(question.items)}"
        )
    for text in (judgement.id, judgement.annotator, judgement.rationale or ""):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise PlauditError(
                f"judgement {judgement.id!r} holds text that is not Unicode (a lone surrogate): send UTF-8"
            )
    if is_withdrawal(judgement.value):
        return replace(judgement, value={"withdrawn": True})
    return replace(judgement, value=kind(question.kind).validate(judgement.value))


def _ledgers(connection: Connection, stored: Sequence[rows.Stored]) -> dict[int, Ledger]:
    """What has been said about each question so far, by number."""
    ledgers = {each.number: Ledger(each.wanted) for each in stored}
    columns = (
        JUDGEMENTS.c.question,
        JUDGEMENTS.c.id,
        JUDGEMENTS.c.annotator,
        JUDGEMENTS.c.status,
        JUDGEMENTS.c.supersedes,
    )
    for chunk in rows.chunks(ledgers):
        events = select(*columns).where(JUDGEMENTS.c.question.in_(chunk)).order_by(JUDGEMENTS.c.event)
        for number, *event in connection.execute(events):
            ledgers[number].replay(*event)
    return ledgers
