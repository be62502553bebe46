"""Gold: the answers that are known to be right, of questions that check annotators."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select

from plaudit.feedback.audit import note
from plaudit.feedback.codec import to_json
from plaudit.feedback.faults import stored_json
from plaudit.feedback.rows import Purpose, chunks
from plaudit.feedback.schema import QUESTIONS
from plaudit.feedback.schema_people import GOLD
from plaudit.feedback.store import Store


def purposes(store: Store, questions: Collection[str]) -> dict[str, Purpose]:
    """The purposes of those questions, by id, that are stored."""
    purpose_by_id: dict[str, Purpose] = {}
    with store.database.read() as connection:
        for chunk in chunks(questions):
            rows = connection.execute(select(QUESTIONS.c.id, QUESTIONS.c.purpose).where(QUESTIONS.c.id.in_(chunk)))
            purpose_by_id |= {row.id: row.purpose for row in rows}
    return purpose_by_id


def load_values(store: Store) -> dict[str, dict[str, Any]]:
    """The known answers, by the question's id."""
    with store.database.look() as connection:
        rows = connection.execute(select(GOLD.c.question, GOLD.c.value)).all()
    return {row.question: stored_json(row.value, "a known answer", dict) for row in rows}


def save(
    store: Store,
    answers: Sequence[tuple[str, Mapping[str, Any], str]],
    *,
    actor: str,
    now: float,
    project: str,
    details: Mapping[str, Any],
) -> None:
    """Store known answers, (question id, value, note) each, in place of earlier ones.

    The audit log says in the same transaction that ``actor`` asked questions of ``project``, with ``details``.
    """
    with store.database.write() as connection:
        for question, value, text in answers:
            connection.execute(delete(GOLD).where(GOLD.c.question == question))
            connection.execute(insert(GOLD).values(question=question, value=to_json(value), note=text))
        note(connection, now, actor, "asked questions", project, details)
