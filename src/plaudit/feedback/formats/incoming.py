"""From a file into the store: a row that is all read or reported, a thousand records a transaction, nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path

from sqlalchemy import Integer, cast, func, select

from plaudit.feedback.faults import stored_json
from plaudit.feedback.formats import (
    Fields,
    Format,
    Problems,
    Record,
    Row,
    Setting,
    find_format,
)
from plaudit.feedback.formats._columns import Path as ColumnPath
from plaudit.feedback.formats._columns import rename, spell
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._recognition import recognise_rows
from plaudit.feedback.formats._record import Trace, rename_annotator, storable
from plaudit.feedback.kinds import KINDS
from plaudit.feedback.schema_people import GUIDELINES, PROJECTS
from plaudit.feedback.store import Store, StoreUnavailable
from plaudit.types import Judgement, PlauditError

BATCH = 1000  # records in a transaction
SAMPLE = 100  # rows whose columns tell a format
Progress = Callable[[int, int], None]  # told how many bytes and how many objects have been read


@dataclass
class ImportSummary:
    """What became of a file."""

    format: str
    problems: Problems
    trace: Trace = field(default_factory=Trace)
    read: int = 0  # objects
    items: int = 0  # that stand alone: clips of whole episodes; new ones
    known_items: int = 0  # the same, that were there already
    questions: int = 0  # that were new
    accepted: int = 0  # judgements stored
    surplus: int = 0  # stored, and not counted: the annotator had answered, or enough others had
    duplicates: int = 0  # judgements that were there already
    repeats: int = 0  # demonstrations that stand in the file more than once, left out

    def check_whole(self) -> None:
        """Raise :class:`PlauditError` if the file breaks off before its end."""
        if self.problems.cut is not None:
            raise PlauditError(
                f"{self.problems.file}, {self.problems.cut}; what stood before this place was read, and an import of "
                "the whole file will not store it twice"
            )


@dataclass(frozen=True)
class Reading:
    """How a file is read: its format (None: as its first rows tell), renamed columns, the split, and what stops."""

    format: str | None = None
    columns: Mapping[str, ColumnPath] = field(default_factory=dict)
    split: str | None = None
    strict: bool = False


class Reader:
    """A file's records with the place that each was read at; what is not read is counted in ``result``."""

    def __init__(self, path: Path, reading: Reading | None = None, setting: Setting | None = None) -> None:
        """
        Raises:
            PlauditError: the file cannot be opened or recognised.
        """
        self._reading = reading or Reading()
        self._done = 0
        trace = Trace()
        self._opened = rows(path, self._keep_position, self._reading.split, trace.note)
        renamed = rename(self._opened, self._reading.columns)
        name = self._reading.format
        with ExitStack() as stack:
            stack.callback(self._opened.close)
            columns = dict(self._reading.columns)
            self.form, self._source, plain = _recognise(renamed, path, find_format(name) if name else None, columns)
            stack.pop_all()
        trace.renamed = {name: spell(path) for name, path in (columns | plain).items()}
        self.result = ImportSummary(self.form.name, Problems(path.name, self._reading.strict), trace)
        self._anonymous = not (setting and setting.annotator)
        self.setting = replace(setting or Setting(), annotator=(setting and setting.annotator) or self.form.name)

    def _keep_position(self, position: int) -> None:
        self._done = position

    def records(self, progress: Progress = lambda done, objects: None) -> Iterator[tuple[str, Record]]:
        """Each record with its location. Judgements of a file that names no annotator are separate judgements."""

        def count_rows() -> Iterator[Row]:
            for row in self._source:
                self.result.read += 1
                if row.cut:
                    self.result.problems.cut = f"{row.location}: {row.fault}"
                progress(self._done, self.result.read)
                yield row

        with closing(self._opened):
            gathered = self.form.gather(count_rows())
            located = records(self.form, gathered, self.result.problems, self.setting, self.result.trace)
            yield from separate(located, self.setting.annotator, self._anonymous, self.result)
        progress(self._done, self.result.read)


def import_file(
    store: Store,
    path: Path,
    reading: Reading | None = None,
    setting: Setting | None = None,
    progress: Progress = lambda done, objects: None,
    ask: int = 0,
) -> ImportSummary:
    """Read ``path`` into ``store``. Importing again adds nothing.

    ``ask`` above 0 leaves out what the file says and asks its questions, for so many judgements each; in a project of
    the app's they have its wording, options and guideline.

    Raises:
        PlauditError: the file cannot be opened or recognised; if it is read strictly, for the first object that cannot
            be read or says nothing.
    """
    reader = Reader(path, reading, setting)
    batch: list[tuple[str, Record]] = []
    question = make_asker(store, reader.setting.project, ask) if ask else None
    for located in reader.records(progress):
        batch.append(located if question is None else (located[0], question(located[1])))
        if len(batch) >= BATCH:
            _store(store, batch, reader.result)
            batch = []
    _store(store, batch, reader.result)
    return reader.result


def records(
    form: Format, source: Iterable[Row], problems: Problems, setting: Setting, trace: Trace | None = None
) -> Iterator[tuple[str, Record]]:
    """Each record with the place it was read at. A row with a fault yields none, and is a problem."""
    for row in source:
        if trace is not None:
            trace.begin(row)
        if row.fault is not None:
            problems.add(row.location, row.fault)
            continue
        try:
            parsed = list(form.read(Fields(row.value, trace=trace), setting))
            for record in parsed:
                storable(record)
        except (PlauditError, ValueError) as error:
            problems.add(row.location, error)
            continue
        for record in parsed:
            yield row.location, record


def separate(
    located: Iterable[tuple[str, Record]], annotator: str, anonymous: bool, result: ImportSummary
) -> Iterator[tuple[str, Record]]:
    """Records in which no two judgements by ``annotator`` answer one question: the second is by "annotator 2".

    A row of a file that names no annotator (``anonymous``) is a judgement of its own, as trainers take it. A prompt may
    have any number of demonstrations, also by one person; the same one twice is left out, and counted.
    """
    answers: Counter[str] = Counter()
    demonstrations: set[str] = set()
    for location, record in located:
        teaches = KINDS[record.question.kind].teaches if record.question is not None else None
        if record.question is None or not (anonymous or teaches == "response"):
            yield location, record
            continue
        judgements: list[Judgement] = []
        for event in record.judgements:
            if event.annotator != annotator:
                judgements.append(event)
                continue
            if teaches == "response" and event.id in demonstrations:
                result.repeats += 1
                continue
            demonstrations.add(event.id)
            answers[event.question] += 1
            number = answers[event.question]
            judgements.append(event if number == 1 else rename_annotator(event, f"{annotator} {number}"))
        if judgements or not record.judgements:
            yield location, replace(record, judgements=tuple(judgements))


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
            options = stored_json(row.options, "options of a question", dict) | dict(question.options)
            question = replace(question, wording=row.wording, options=options, guideline=str(version or 1))
        return replace(record, question=question, judgements=(), seats=seats, purpose="train", only_for=None)

    return ask


def _recognise(
    source: Iterator[Row], path: Path, form: Format | None, fields: Collection[str]
) -> tuple[Format, Iterator[Row], dict[str, ColumnPath]]:
    """The format of the first objects that can be read, all rows, and names that were written in small letters."""
    begin = list(islice(source, SAMPLE))
    readable = [row for row in begin if row.fault is None]
    if readable:
        form, plain = recognise_rows(readable, path.name, form, fields)
        return form, rename(chain(begin, source), plain) if plain else chain(begin, source), plain
    if form is not None:
        return form, chain(begin, source), {}
    if begin:
        location = f"{path.name}, {begin[0].location}"
        more = len(begin) == SAMPLE
        rest = (
            "; say --format to read what comes after it"
            if more
            else "; check that it is the right file, or say --format"
        )
        raise PlauditError(f"{location}: {begin[0].fault}{rest}")
    raise PlauditError(f"{path} is empty: there is nothing to import")


def _store(store: Store, batch: Sequence[tuple[str, Record]], result: ImportSummary) -> None:
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


def _enter(store: Store, batch: Sequence[Record], result: ImportSummary) -> None:
    """Items, then questions in their order, then judgements in theirs. Each step can be repeated."""
    alone = [item for record in batch if record.question is None for item in record.items]
    if alone:
        new = store.add_items(alone)
        result.items += new
        result.known_items += len(alone) - new
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
