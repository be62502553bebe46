"""From a file into the store: a row that is all read or reported, a thousand records a transaction, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path

from sqlalchemy import Integer, cast, func, select

from plaudit.feedback.formats import Fields, Format, Problems, Record, Row, Setting, find_format, recognise
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._record import storable
from plaudit.feedback.schema_people import GUIDELINES, PROJECTS
from plaudit.feedback.store import Store, StoreUnavailable
from plaudit.types import PlauditError

BATCH = 1000  # records in a transaction
Progress = Callable[[int, int], None]  # told how many bytes and how many objects have been read


@dataclass
class Imported:
    """What became of a file."""

    format: str
    problems: Problems
    read: int = 0  # objects
    items: int = 0  # that stand alone: clips of whole episodes
    questions: int = 0  # that were new
    accepted: int = 0  # judgements stored
    surplus: int = 0  # stored, and not counted: the annotator had answered, or enough others had
    duplicates: int = 0  # judgements that were there already


def import_file(
    store: Store,
    path: Path,
    format_name: str | None = None,
    setting: Setting | None = None,
    strict: bool = False,
    progress: Progress = lambda done, objects: None,
    ask: int = 0,
) -> Imported:
    """Read ``path`` into ``store``; without a format's name, the first object tells it. Importing again adds nothing.

    ``ask`` above 0 leaves out what the file says and asks its questions, for so many judgements each; in a project of
    the app's they have its wording, options and guideline.

    Raises :class:`PlauditError` where the file cannot be opened or recognised, and with ``strict`` for the first object
    that cannot be read.
    """
    done = 0

    def keep_position(position: int) -> None:
        nonlocal done
        done = position

    with closing(rows(path, keep_position)) as opened:
        form, source = (find_format(format_name), opened) if format_name else _recognise(opened, path)
        result = Imported(form.name, Problems(path.name, strict))
        defaults = replace(setting or Setting(), annotator=(setting and setting.annotator) or form.name)

        def count_rows() -> Iterator[Row]:
            for row in source:
                result.read += 1
                progress(done, result.read)
                yield row

        batch: list[tuple[str, Record]] = []
        question = make_asker(store, defaults.project, ask) if ask else None
        for located in records(form, count_rows(), result.problems, defaults):
            batch.append(located if question is None else (located[0], question(located[1])))
            if len(batch) >= BATCH:
                _store(store, batch, result)
                batch = []
        _store(store, batch, result)
    progress(done, result.read)
    return result


def records(form: Format, source: Iterable[Row], problems: Problems, setting: Setting) -> Iterator[tuple[str, Record]]:
    """Each record with the place it was read at. A row with a fault yields none, and is a problem."""
    for row in source:
        if row.fault is not None:
            problems.add(row.location, row.fault)
            continue
        try:
            parsed = list(form.read(Fields(row.value), setting))
            for record in parsed:
                storable(record)
        except (PlauditError, ValueError) as error:
            problems.add(row.location, str(error))
            continue
        for record in parsed:
            yield row.location, record


def make_asker(store: Store, project: str, seats: int) -> Callable[[Record], Record]:
    """What makes of a record its question alone, as the project called ``project`` asks it."""
    newest = select(func.max(cast(GUIDELINES.c.version, Integer))).where(GUIDELINES.c.project == project)
    with store.database.read() as connection:
        row = connection.execute(select(PROJECTS).where(PROJECTS.c.name == project)).first()
        version = connection.execute(newest).scalar()

    def ask(record: Record) -> Record:
        question = record.question
        if question is None:
            return replace(record, judgements=())
        if row is not None and row.kind == question.kind:
            options = json.loads(row.options) | dict(question.options)
            question = replace(question, wording=row.wording, options=options, guideline=str(version or 1))
        return replace(record, question=question, judgements=(), seats=seats, purpose="train", only_for=None)

    return ask


def _recognise(source: Iterator[Row], path: Path) -> tuple[Format, Iterator[Row]]:
    """The format of the first object that could be read, and all rows."""
    rows_read: list[Row] = []
    for row in source:
        rows_read.append(row)
        if row.fault is None:
            return recognise(row.value, path.name), chain(rows_read, source)
        if len(rows_read) >= BATCH:
            break
    if rows_read:
        raise PlauditError(
            f"{path.name}, {rows_read[0].location}: {rows_read[0].fault}; say --format to read what comes after it"
        )
    raise PlauditError(f"{path} is empty: there is nothing to import")


def _store(store: Store, batch: Sequence[tuple[str, Record]], result: Imported) -> None:
    """Store a batch. Where the store refuses it, halves, until what it refuses stands alone and can be named."""
    try:
        _enter(store, [record for _, record in batch], result)
    except StoreUnavailable:
        raise
    except PlauditError as error:
        if len(batch) == 1:
            result.problems.add(batch[0][0], str(error))
            return
        middle = len(batch) // 2
        _store(store, batch[:middle], result)
        _store(store, batch[middle:], result)


def _enter(store: Store, batch: Sequence[Record], result: Imported) -> None:
    """Items, then questions in their order, then judgements in theirs. Each step can be repeated."""
    alone = [item for record in batch if record.question is None for item in record.items]
    if alone:
        result.items += store.add_items(alone)
    to_ask = [record for record in batch if record.question is not None]
    for terms, group in groupby(to_ask, key=lambda record: (record.seats, record.purpose, record.only_for)):
        group_records = list(group)
        questions = [record.question for record in group_records if record.question is not None]
        result.questions += store.ask(questions, [item for record in group_records for item in record.items], *terms)
    judgements = [judgement for record in batch for judgement in record.judgements]
    for receipt in store.answer(judgements) if judgements else ():
        if receipt.status == "duplicate":
            result.duplicates += 1
        elif receipt.status == "surplus":
            result.surplus += 1
        else:
            result.accepted += 1
