"""What was said in a project as a file, piece by piece, with flat memory: every event, or a format that others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, select

from plaudit.feedback.formats import FORMATS, Format
from plaudit.feedback.formats._files import encoded
from plaudit.feedback.formats.outgoing import Choice, Exported, exported
from plaudit.feedback.schema import JUDGEMENTS, QUESTION_ITEMS, QUESTIONS
from plaudit.feedback.store import Store
from plaudit.types import PlauditError

PAGE = 1000  # events read at a time
PIECE = 1 << 16  # bytes sent at a time
EVENTS = "events"  # the name of what is no format: see lines()
WRITTEN = tuple(name for name, each in sorted(FORMATS.items()) if each.kinds)  # others are only read


def offered(connection: Connection, project: str) -> list[Format]:
    """The formats that can hold something of ``project``, by title; Plaudit's own first, which loses nothing."""
    kinds = _kinds(connection, project)
    found = [FORMATS[name] for name in WRITTEN if kinds & set(FORMATS[name].kinds)]
    return sorted(found, key=lambda each: (each.name != "plaudit", each.title))


def _kinds(connection: Connection, project: str) -> set[str]:
    found = connection.execute(select(QUESTIONS.c.kind).where(QUESTIONS.c.project == project).distinct())
    return set(found.scalars())


def written(store: Store, project: str, name: str) -> tuple[str, str, Iterator[bytes]]:
    """The judgements of ``project`` in the format ``name``: how the file ends, its media type, and its bytes.

    Raises :class:`PlauditError` for a format that is not there, or cannot express any kind of the project's questions.
    """
    if name == EVENTS:
        return ".jsonl", "application/jsonl", lines(store, project)
    if name not in WRITTEN:
        raise PlauditError(
            f"there is no format called {name[:80]!r} to write: choose from {', '.join((EVENTS, *WRITTEN))}"
        )
    form = FORMATS[name]
    with store.database.read() as connection:
        kinds = _kinds(connection, project)
    objects = exported(store, form, Choice(project, tuple(sorted(kinds))), Exported())
    ending = ".json" if form.array else ".jsonl"
    return f"-{form.name}{ending}", f"application/{ending[1:]}", _pieces(encoded(objects, form.array))


def _pieces(found: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a change of threads."""
    held: list[bytes] = []
    size = 0
    for each in found:
        held.append(each)
        size += len(each)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def lines(store: Store, project: str) -> Iterator[bytes]:
    """One JSON object a line for each event, oldest first: withdrawals, surplus, gold and repeats too.

    Values are in the order of ``items``; ``order`` is the order in which they were shown. Memory holds one page.
    """
    after = 0
    while True:
        with store.database.read() as connection:
            page = connection.execute(_page(after)).all()
            # Sorted out here: asked for one project, a database may look through all of it again for every page.
            rows = [row for row in page if row.project == project]
            items = _items(connection, {row.number for row in rows})
        if rows:
            text = "".join(json.dumps(_record(row, items[row.number]), ensure_ascii=False) + "\n" for row in rows)
            yield text.encode("utf-8", "surrogatepass")
        if len(page) < PAGE:
            return
        after = page[-1].event


def _page(after: int) -> Any:
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
    said = [each for each in JUDGEMENTS.c if each.name != "question"]
    return (
        select(*columns, *said)
        .join(QUESTIONS, QUESTIONS.c.number == JUDGEMENTS.c.question)
        .where(JUDGEMENTS.c.event > after)
        .order_by(JUDGEMENTS.c.event)
        .limit(PAGE)
    )


def _items(connection: Connection, numbers: set[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {each: [] for each in numbers}
    ordered = sorted(numbers)
    for start in range(0, len(ordered), 400):
        some = QUESTION_ITEMS.c.question.in_(ordered[start : start + 400])
        rows = select(QUESTION_ITEMS).where(some).order_by(QUESTION_ITEMS.c.question, QUESTION_ITEMS.c.position)
        for row in connection.execute(rows):
            found[row.question].append(row.segment)
    return found


def _record(row: Any, items: list[str]) -> dict[str, Any]:
    return {
        "event": row.event,
        "id": row.id,
        "status": row.status,
        "supersedes": row.supersedes,
        "annotator": row.annotator,
        "value": json.loads(row.value),
        "rationale": row.rationale,
        "order": json.loads(row.shown_order),
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
        "options": json.loads(row.options),
    }
