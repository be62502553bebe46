"""Every event of a project as a JSON object, and counts for the page of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, func, select

from plaudit.feedback import counting, queue
from plaudit.feedback.faults import stored_json
from plaudit.feedback.rows import chunks
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTION_ITEMS, QUESTIONS
from plaudit.feedback.store import Store

PAGE = 1000  # events read at a time
RECENT = 1000  # judgements looked through for annotators at work


def kinds(store: Store, project: str) -> set[str]:
    """The kinds of the project's questions."""
    with store.database.read() as connection:
        rows = connection.execute(select(QUESTIONS.c.kind).where(QUESTIONS.c.project == project).distinct())
        return set(rows.scalars())


def pages(store: Store, project: str) -> Iterator[list[dict[str, Any]]]:
    """Every event of ``project`` in order of arrival, withdrawals, surplus, gold and repeats too, page by page.

    Values are in the order of ``items``; ``order`` is the order in which the items were shown. Memory holds one page.
    """
    after = 0
    while True:
        with store.database.read() as connection:
            page = connection.execute(_page(after)).all()
            # Filtered here: asked for one project, a database may search all its events again for every page.
            rows = [row for row in page if row.project == project]
            items = _items(connection, {row.number for row in rows})
        if rows:
            yield [_record(row, items[row.number]) for row in rows]
        if len(page) < PAGE:
            return
        after = page[-1].event


def count_questions(store: Store, project: str) -> tuple[int, int]:
    """Questions for training that were asked, and those of them that still want judgements."""
    total = select(func.count()).where(QUESTIONS.c.purpose == "train", QUESTIONS.c.project == project)
    with store.database.read() as connection:
        waiting = (OPEN_QUESTIONS.c.purpose == "train", OPEN_QUESTIONS.c.project == project)
        return connection.execute(total).scalar_one(), counting.count_open(connection, *waiting)


def at_work(store: Store, now: float, seconds: float) -> list[str]:
    """The annotators who hold a live lease, or answered within the last ``seconds``, by name."""
    leases = select(LEASES.c.annotator).where(queue.live(now))
    answers = select(JUDGEMENTS.c.annotator).where(JUDGEMENTS.c.submitted_at > now - seconds).limit(RECENT)
    with store.database.read() as connection:
        return sorted({*connection.execute(leases).scalars(), *connection.execute(answers).scalars()})


def _page(after: int) -> Select[Any]:
    columns = (
        QUESTIONS.c.number,
        QUESTIONS.c.id.label("question"),
        QUESTIONS.c.kind,
        QUESTIONS.c.wording,
        QUESTIONS.c.guideline,
        QUESTIONS.c.round,
        QUESTIONS.c.options,
        QUESTIONS.c.purpose,
        QUESTIONS.c.project,
    )
    return (
        select(*columns, *(column for column in JUDGEMENTS.c if column.name != "question"))
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(JUDGEMENTS.c.event > after)
        .order_by(JUDGEMENTS.c.event)
        .limit(PAGE)
    )


def _items(connection: Connection, numbers: set[int]) -> dict[int, list[str]]:
    items: dict[int, list[str]] = {number: [] for number in numbers}
    for chunk in chunks(sorted(numbers)):
        statement = select(QUESTION_ITEMS).where(QUESTION_ITEMS.c.question.in_(chunk))
        for row in connection.execute(statement.order_by(QUESTION_ITEMS.c.question, QUESTION_ITEMS.c.position)):
            items[row.question].append(row.segment)
    return items


def _record(row: Any, items: list[str]) -> dict[str, Any]:
    return {
        "event": row.event,
        "id": row.id,
        "status": row.status,
        "supersedes": row.supersedes,
        "annotator": row.annotator,
        "value": stored_json(row.value, "value of a judgement", dict),
        "rationale": row.rationale,
        "order": stored_json(row.shown_order, "order of a judgement", list),
        "shown_at": row.shown_at,
        "first_input_at": row.first_input_at,
        "submitted_at": row.submitted_at,
        "question": row.question,
        "kind": row.kind,
        "items": items,
        "wording": row.wording,
        "guideline": row.guideline,
        "round": row.round,
        "purpose": row.purpose,
        "options": stored_json(row.options, "options of a question", dict),
    }
