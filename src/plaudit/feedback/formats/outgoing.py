"""From the store into a file: a page of questions at a time, in the order they were asked, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from plaudit.feedback import rows
from plaudit.feedback.formats import Format, Omissions, Record
from plaudit.feedback.formats._files import Sink, encode, output
from plaudit.feedback.ledger import is_withdrawal
from plaudit.feedback.rows import Event, QuestionRow
from plaudit.feedback.schema import JUDGEMENTS, QUESTIONS
from plaudit.feedback.schema_people import PROJECTS
from plaudit.feedback.store import Store
from plaudit.types import Dialogue, Item, PlauditError

PAGE = 100  # questions, and their items, in memory
EVENTS = 1000  # judgements in memory
OUTPUT_SUFFIXES = ("", ".jsonl", ".ndjson", ".json")  # endings of files that are written
REMEMBERED = 100_000  # ids of items that need not be written again
Progress = Callable[[int, int], None]  # told how many questions have been read, and of how many


@dataclass(frozen=True)
class Choice:
    """Which questions are exported."""

    project: str | None = None  # None: of every project
    kinds: tuple[str, ...] = ()  # (): of every kind


@dataclass
class ExportSummary:
    """What was written, and what was not."""

    objects: int = 0
    not_in_force: int = 0  # superseded, withdrawn or surplus judgements
    checks: int = 0  # judgements on gold items and repeats, which are for looking at annotators
    left: Omissions = field(default_factory=Omissions)


def export(
    store: Store,
    form: Format,
    stream: Sink,
    choice: Choice | None = None,
    array: bool | None = None,
    progress: Progress = lambda done, total: None,
) -> ExportSummary:
    """Write what ``choice`` says into ``stream``, as lines or one array (None: as the format has it).

    Raises as :func:`iterate_objects` does.
    """
    result = ExportSummary()
    rows = iterate_objects(store, form, choice or Choice(), result, progress)
    for data in encode(rows, form.array if array is None else array):
        stream.write(data)
    return result


def export_file(store: Store, path: Path, form: Format, choice: Choice | None = None) -> ExportSummary:
    """Write what ``choice`` says into a file, gzipped if its name ends in .gz; lines if its name has .jsonl.

    Raises as :func:`iterate_objects` does, and :class:`PlauditError` if the file cannot be written or is to hold
    something else than JSON.
    """
    check_output(path)
    with output(path) as stream:
        return export(store, form, stream, choice, False if ".jsonl" in path.suffixes else None)


def check_output(path: Path) -> None:
    """Raise :class:`PlauditError` unless the name of the file is that of a JSON file."""
    if Path(path.name.removesuffix(".gz")).suffix.lower() not in OUTPUT_SUFFIXES:
        raise PlauditError(f"{path}: only JSON is written: end the name in .jsonl or .json, or either with .gz")


def check_project(store: Store, name: str | None) -> None:
    """Raise :class:`PlauditError` if the store knows no project called ``name``, by a row or a question."""
    if name is None:
        return
    with store.database.read() as connection:
        for column in (PROJECTS.c.name, QUESTIONS.c.project):
            if connection.execute(select(column).where(column == name).limit(1)).first() is not None:
                return
        columns = (PROJECTS.c.name, QUESTIONS.c.project)
        names = sorted({name for column in columns for name in connection.execute(select(column).distinct()).scalars()})
    choices = f"choose from {', '.join(names[:20])}" if names else "the store has none yet"
    raise PlauditError(f"{store.database.name} has no project called {name!r}: {choices}")


def iterate_objects(
    store: Store, form: Format, choice: Choice, result: ExportSummary, progress: Progress = lambda done, total: None
) -> Iterator[dict[str, Any]]:
    """The objects of a file, counted in ``result`` as they come.

    The format "plaudit" has every judgement ever acknowledged; the others have those in force that train. Raises
    :class:`PlauditError` at once for a format that is only read, or that can express none of the kinds asked for.
    """
    if not form.kinds:
        next(form.write((), result.left), None)  # which says why
    impossible = [kind for kind in choice.kinds if kind not in form.kinds]
    if choice.kinds and len(impossible) == len(choice.kinds):
        raise PlauditError(
            f"{form.name} cannot express {', '.join(impossible)}: it holds {', '.join(form.kinds)}; "
            "--format plaudit holds everything"
        )
    if form.name == "plaudit":
        records = load_all(store, choice, progress)
    else:
        records = _expressible(in_force(store, choice, result, progress), form, result.left)

    def count_objects() -> Iterator[dict[str, Any]]:
        for value in form.write(records, result.left):
            result.objects += 1
            yield value

    return count_objects()


def in_force(store: Store, choice: Choice, result: ExportSummary, progress: Progress) -> Iterator[Record]:
    """Questions with the judgements on them that are accepted, and neither superseded nor withdrawn."""
    for page in _pages(store, choice, progress):
        with store.database.read() as connection:
            events: dict[int, list[Event]] = {stored.number: [] for stored in page}
            for event in rows.load_events(connection, JUDGEMENTS.c.question.in_(events)):
                events[event.question_number].append(event)
            standing = {stored.number: _filter_standing(stored, events[stored.number], result) for stored in page}
            answered = [stored for stored in page if standing[stored.number]]
            items = rows.load_items(connection, {item for stored in answered for item in stored.question.items})
            records = [_record(connection, stored, standing[stored.number], items) for stored in answered]
        yield from records


def load_all(store: Store, choice: Choice, progress: Progress) -> Iterator[Record]:
    """Each item before the first question about it, the questions as asked, then the judgements as they arrived.

    What arrives meanwhile is left for the next time. An item may come again after very many others.
    """
    with store.database.read() as connection:
        last = connection.execute(select(func.max(JUDGEMENTS.c.event))).scalar_one()
    written_items: set[str] = set()
    for page in _pages(store, choice, progress):
        with store.database.read() as connection:
            new_items = {item for stored in page for item in stored.question.items} - written_items
            items = rows.load_items(connection, new_items)
        for stored in page:
            for identity in stored.question.items:
                if identity not in written_items:
                    yield Record(None, (items[identity],))
                    written_items.add(identity)
            yield Record(stored.question, (), (), stored.judgements_wanted, stored.purpose, stored.only_for)
        if len(written_items) > REMEMBERED:
            written_items.clear()
    after = 0
    while last is not None:
        with store.database.read() as connection:
            condition = _match(choice, JUDGEMENTS.c.event > after, JUDGEMENTS.c.event <= last)
            events = rows.load_events(connection, condition, EVENTS)
        yield from (Record(None, (), (event.judgement,)) for event in events)
        if len(events) < EVENTS:
            return
        after = events[-1].number


def _match(choice: Choice, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    condition = more[0]
    for clause in more[1:]:
        condition = condition & clause
    if choice.project is not None:
        condition = condition & (QUESTIONS.c.project == choice.project)
    return condition & QUESTIONS.c.kind.in_(choice.kinds) if choice.kinds else condition


def _pages(store: Store, choice: Choice, progress: Progress) -> Iterator[list[QuestionRow]]:
    """The questions that are there now, in the order they were asked."""
    with store.database.read() as connection:
        totals = select(func.count(), func.max(QUESTIONS.c.number)).where(_match(choice, QUESTIONS.c.number > 0))
        total, last = connection.execute(totals).one()
    done = after = 0
    while done < total:
        with store.database.read() as connection:
            condition = _match(choice, QUESTIONS.c.number > after, QUESTIONS.c.number <= last)
            numbers = select(QUESTIONS.c.number).where(condition).order_by(QUESTIONS.c.number).limit(PAGE)
            question_numbers = list(connection.execute(numbers).scalars())
            stored = rows.load_questions(connection, "number", question_numbers)
        yield [stored[number] for number in question_numbers]
        done, after = done + len(question_numbers), question_numbers[-1]
        progress(done, total)


def _filter_standing(stored: QuestionRow, events: Sequence[Event], result: ExportSummary) -> list[Event]:
    superseded = {event.judgement.supersedes for event in events}
    good = [
        event
        for event in events
        if event.status == "accepted"
        and event.judgement.id not in superseded
        and not is_withdrawal(event.judgement.value)
    ]
    result.not_in_force += len(events) - len(good)
    if stored.purpose == "train":
        return good
    result.checks += len(good)
    return []


def _record(connection: Connection, stored: QuestionRow, events: Sequence[Event], items: dict[str, Item]) -> Record:
    question = stored.question
    outcome = _outcome(connection, events[-1]) if question.kind == "conversation" else None
    judgements = tuple(event.judgement for event in events)
    question_items = tuple(items[name] for name in question.items)
    return Record(
        question, question_items, judgements, stored.judgements_wanted, stored.purpose, stored.only_for, outcome
    )


def _outcome(connection: Connection, event: Event) -> Dialogue | None:
    """Where the conversation had got to: what was chosen in its last comparison."""
    names = event.judgement.value["comparisons"]
    for last in rows.load_events(connection, JUDGEMENTS.c.id == names[-1]) if names else ():
        stored = rows.load_questions(connection, "number", [last.question_number])[last.question_number]
        strength = last.judgement.value.get("strength")
        if strength:
            chosen = stored.question.items[0 if strength > 0 else 1]
            item = rows.load_items(connection, [chosen]).get(chosen)
            return item if isinstance(item, Dialogue) else None
    return None


def _expressible(records: Iterator[Record], form: Format, left: Omissions) -> Iterator[Record]:
    for record in records:
        kind = record.question.kind if record.question else ""
        if kind in form.kinds:
            yield record
        else:
            left.add(f"their kind is {kind}, which {form.name} cannot express", len(record.judgements))
