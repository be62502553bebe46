"""Drafts: what annotators have typed and not yet sent, one for each annotator and question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from plaudit.feedback.faults import stored_json
from plaudit.feedback.schema_people import DRAFTS
from plaudit.feedback.store import Store

# Built once, because building a statement takes longer than running it.
_BODIES = select(DRAFTS.c.question, DRAFTS.c.body).where(
    DRAFTS.c.user == bindparam("annotator"), DRAFTS.c.question.in_(bindparam("questions", expanding=True))
)


def save(store: Store, annotator: str, question: str, body: str, now: float) -> None:
    """Keep ``body``, in JSON, instead of the draft before."""
    row = {"user": annotator, "question": question, "body": body, "saved_at": now}
    with store.database.write() as connection:
        connection.execute(_delete(annotator, question))
        connection.execute(insert(DRAFTS).values(**row))


def load(store: Store, annotator: str, questions: Sequence[str]) -> dict[str, Any]:
    """The annotator's drafts of these questions, by question."""
    if not questions:
        return {}
    with store.database.look() as connection:
        rows = connection.execute(_BODIES, {"annotator": annotator, "questions": questions}).all()
    return {row.question: stored_json(row.body, "a draft", object) for row in rows}


def discard(store: Store, annotator: str, question: str) -> None:
    """Delete a draft, if there is one."""
    with store.database.write() as connection:
        connection.execute(_delete(annotator, question))


def _delete(annotator: str, question: str) -> Any:
    return delete(DRAFTS).where(DRAFTS.c.user == annotator, DRAFTS.c.question == question)
