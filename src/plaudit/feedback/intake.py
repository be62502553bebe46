"""New judgements are checked against their questions, told apart from repetitions, and counted, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, or_, select

from plaudit.feedback import codec, queue, rows
from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import Conflict, Ledger, Status, is_withdrawal
from plaudit.feedback.schema import JUDGEMENTS
from plaudit.types import Judgement, PlauditError, Question

# Built once, because building a statement takes longer than SQLite takes to run it.
EVENTS = select(
    JUDGEMENTS.c.event,
    JUDGEMENTS.c.question,
    JUDGEMENTS.c.id,
    JUDGEMENTS.c.annotator,
    JUDGEMENTS.c.status,
    JUDGEMENTS.c.supersedes,
).where(
    or_(
        JUDGEMENTS.c.question.in_(bindparam("numbers", expanding=True)),
        JUDGEMENTS.c.id.in_(bindparam("ids", expanding=True)),
    )
)


@dataclass(frozen=True)
class Receipt:
    """The status of one judgement; all three mean that it is on disk."""

    id: str  # Judgement.id
    status: Literal["accepted", "duplicate", "surplus"]


def enter(
    connection: Connection, judgements: Sequence[Judgement], stored: Mapping[str, rows.QuestionRow]
) -> tuple[list[Receipt], list[tuple[int, str]]]:
    """Append ``judgements`` on the questions ``stored``, by id, and update how many answers these still want.

    Returns the receipts, in order, and (question number, annotator) pairs of the answers, whose leases the caller must
    end. Raises :class:`PlauditError`, and then enters nothing, if a judgement answers an unknown question, has a value
    that its question's kind refuses, repeats an id with another body, or supersedes a judgement that it may not.
    """
    clean = [_clean(judgement, stored.get(judgement.question)) for judgement in judgements]
    ledgers, repeated = _ledgers(connection, clean, stored)
    before = {identity: ledgers[question.number].seats for identity, question in stored.items()}
    bodies = _bodies(connection, repeated)
    receipts: list[Receipt] = []
    fresh: list[tuple[int, Status, Judgement]] = []
    for judgement in clean:
        if judgement.id in bodies:
            if _body(bodies[judgement.id]) != _body(judgement):
                raise Conflict(
                    f"judgement {judgement.id} is stored with another body: "
                    "an edit needs an id of its own, and `supersedes`"
                )
            receipts.append(Receipt(judgement.id, "duplicate"))
            continue
        number = stored[judgement.question].number
        status = ledgers[number].enter(judgement)
        bodies[judgement.id] = judgement
        fresh.append((number, status, judgement))
        receipts.append(Receipt(judgement.id, "surplus" if status == "surplus" else "accepted"))
    rows.insert_judgements(connection, fresh)
    seats = [(question, ledgers[question.number].seats) for question in stored.values()]
    queue.set_seats(connection, [(question, left) for question, left in seats if left != before[question.question.id]])
    return receipts, [(number, judgement.annotator) for number, status, judgement in fresh if status != "withdrawal"]


def _body(judgement: Judgement) -> Judgement:
    """The judgement without its times: one that is sent again after a lost reply is the same at a later time."""
    return replace(judgement, shown_at=0.0, first_input_at=0.0, submitted_at=0.0)


def _clean(judgement: Judgement, stored: rows.QuestionRow | None) -> Judgement:
    """The judgement with its value in canonical form, so that a repetition compares equal."""
    if stored is None:
        raise PlauditError(f"judgement {judgement.id} answers question {judgement.question}, which was never asked")
    question: Question = stored.question
    if not judgement.id.strip():
        raise PlauditError(f"a judgement on question {question.id} has no id: make a UUID when the answer is given")
    if len(judgement.order) != len(question.items):
        raise PlauditError(
            f"judgement {judgement.id} has {len(judgement.order)} items in its order, "
            f"its question has {len(question.items)}"
        )
    if stored.only_for not in (None, judgement.annotator):
        raise PlauditError(
            f"the question of judgement {judgement.id} is for another annotator than {judgement.annotator}"
        )
    withdrawn = is_withdrawal(judgement.value)
    value = {"withdrawn": True} if withdrawn else kind(question.kind).validate(judgement.value, question)
    names = (judgement.id, judgement.annotator, judgement.rationale or "", judgement.supersedes or "")
    if any("\0" in name or not _encodable(name) for name in names) or not _encodable(codec.to_json(value)):
        raise PlauditError(
            f"judgement {judgement.id!r} holds text that cannot be stored (a lone surrogate, or NUL): send UTF-8"
        )
    return replace(judgement, value=value)


def _encodable(text: str) -> bool:
    """Whether UTF-8 can encode ``text``; it cannot encode lone surrogates, which JSON may contain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ledgers(
    connection: Connection, judgements: Sequence[Judgement], stored: Mapping[str, rows.QuestionRow]
) -> tuple[dict[int, Ledger], list[str]]:
    """The ledger of each question so far, by number, and the ids of those ``judgements`` that are stored already."""
    ledgers = {question.number: Ledger(question.judgements_wanted) for question in stored.values()}
    ids = {judgement.id for judgement in judgements}
    events: dict[int, Any] = {}  # by the order of arrival; a question may be in several chunks
    for chunk in rows.chunks(judgements):
        keys = {
            "numbers": list({stored[judgement.question].number for judgement in chunk}),
            "ids": [judgement.id for judgement in chunk],
        }
        events.update({row.event: row for row in connection.execute(EVENTS, keys)})
    for number in sorted(events):
        row = events[number]
        if row.question in ledgers:
            ledgers[row.question].replay(row.id, row.annotator, row.status, row.supersedes)
    return ledgers, [row.id for row in events.values() if row.id in ids]


def _bodies(connection: Connection, ids: Sequence[str]) -> dict[str, Judgement]:
    bodies: dict[str, Judgement] = {}
    for chunk in rows.chunks(ids):
        events = rows.load_events(connection, JUDGEMENTS.c.id.in_(chunk))
        bodies.update({event.judgement.id: event.judgement for event in events})
    return bodies
