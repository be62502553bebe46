"""Critiques by a model that people read beside a question. Saunders et al. 2022 (Self-critiquing models), section 3.

A project shows them beside a share of its questions of texts. The pair of items draws whether a question is among
these, so a repeat has what its original had. The share stays as it is once people have answered. Whether an answer was
given with critiques therefore follows from the store: the question was drawn, and its critiques are older.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from plaudit.feedback.faults import stored_json
from plaudit.feedback.projects import ProjectRow, adopt_projects, load_project
from plaudit.feedback.rows import chunks, is_superseded
from plaudit.feedback.schema import JUDGEMENTS, OPEN_QUESTIONS, QUESTION_ITEMS, QUESTIONS
from plaudit.feedback.store import Store
from plaudit.types import Question

SUFFIX = "-critiques"  # of the project that holds the critiques of another
SETTING = "assistance"


@dataclass(frozen=True)
class StoredCritique:
    """A model's critique of one response."""

    text: str
    written_at: float  # seconds since the epoch


def is_drawn(items: Sequence[str], share: float) -> bool:
    """Whether the question about these items, by id in any order, belongs to the ``share`` that has critiques."""
    digest = hashlib.blake2b("\0".join(sorted(items)).encode(), digest_size=8, person=SETTING.encode()).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def critiques_project(project: str) -> str:
    """The name of the project that holds the critiques of the responses in ``project``."""
    return f"{project}{SUFFIX}"


def load_critiques(store: Store, project: str, items: Collection[str]) -> dict[str, StoredCritique]:
    """The latest critique of each of ``items`` that has one, by the item's id."""
    critiques: dict[str, StoredCritique] = {}
    with store.database.read() as connection:
        for chunk in chunks(list(items)):
            statement = (
                select(QUESTION_ITEMS.c.segment, JUDGEMENTS.c.value, JUDGEMENTS.c.submitted_at)
                .join(QUESTIONS, QUESTIONS.c.number == QUESTION_ITEMS.c.question)
                .join(JUDGEMENTS, JUDGEMENTS.c.question == QUESTIONS.c.number)
                .where(
                    QUESTION_ITEMS.c.segment.in_(chunk),
                    QUESTIONS.c.project == critiques_project(project),
                    QUESTIONS.c.kind == "critique",
                    JUDGEMENTS.c.status == "accepted",
                    ~is_superseded(),
                )
                .order_by(JUDGEMENTS.c.event)
            )
            for row in connection.execute(statement):
                text = str(stored_json(row.value, "a critique", dict).get("text", ""))
                critiques[row.segment] = StoredCritique(text, row.submitted_at)
    return critiques


def find_drawn(store: Store, project: str, share: float) -> list[Question]:
    """The open questions of ``project`` that are to have critiques, oldest first."""
    statement = (
        select(QUESTIONS.c.id)
        .join(OPEN_QUESTIONS, OPEN_QUESTIONS.c.question == QUESTIONS.c.number)
        .where(OPEN_QUESTIONS.c.project == project)
        .order_by(QUESTIONS.c.number)
    )
    with store.database.read() as connection:
        ids = list(connection.execute(statement).scalars())
    return [question for question in store.questions(ids) if is_drawn(question.items, share)]


def has_answers(store: Store, project: str) -> bool:
    """Whether a question of ``project`` was ever answered."""
    statement = (
        select(JUDGEMENTS.c.event)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(QUESTIONS.c.project == project)
        .limit(1)
    )
    with store.database.look() as connection:
        return connection.execute(statement).first() is not None


def add_critiques_project(store: Store, project: str, wording: str, now: float) -> None:
    """The row of the project that holds the critiques, which annotators are not offered; nothing if it exists."""
    name = critiques_project(project)
    if load_project(store, name) is None:
        row = ProjectRow(name, f"Critiques for {project}"[:200], "critique", wording, {}, {"roles": ["admin"]}, now)
        adopt_projects(store, [row])
