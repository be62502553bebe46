"""``plaudit import FILE --preview``: the first records as they would be stored, and the columns that are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from plaudit.feedback.formats._record import Record, Trace
from plaudit.feedback.formats.incoming import ImportSummary, Reader
from plaudit.types import Dialogue, Item, PlauditError

RECORDS = 3  # records
COLUMNS = 40  # names of columns that are not read
WIDTH = 300  # characters of a text that are shown


def preview(reader: Reader) -> Iterator[str]:
    """Lines about a file's first records, its columns and what is left out. Nothing is stored.

    Raises:
        PlauditError: no object can be read.
    """
    located = reader.records()
    count = 0
    for location, record in islice(located, RECORDS):
        count += 1
        yield f"{location}:"
        yield from _describe(record)
    problems = reader.result.problems
    if problems.count and not count:
        raise PlauditError(f"{problems.first[0]} ({problems.count} of {reader.result.read} objects cannot be read)")
    yield from describe_reading(reader.result)
    yield from (f"  {line}" for line in problems.first)
    yield "nothing was stored: this is a preview of the first objects"


def describe_reading(result: ImportSummary) -> Iterator[str]:
    """Lines about the columns of a file, and about what was left out of its objects."""
    yield from _describe_columns(result.trace)
    for reason, count in result.problems.empty.most_common():
        yield f"  {count:,} {_objects(count)} left out: {reason} (first: {result.problems.first_empty[reason]})"
    for note, count in result.trace.notes.most_common():
        location = result.trace.first[note]
        yield f"  {note}" + (f" ({count:,} times, first: {location})" if location else "")


def _describe_columns(trace: Trace) -> Iterator[str]:
    sources = {role: trace.renamed.get(name, name) for name, role in trace.columns.items()}
    columns = [role if role == source else f"{role} from {source!r}" for role, source in sources.items()]
    if trace.unread or list(sources) != list(sources.values()):
        rest = len(trace.unread) - COLUMNS
        more = f" and {rest:,} more" if rest > 0 else ""
        unread = f"; not read: {', '.join(trace.unread[:COLUMNS])}{more}" if trace.unread else ""
        yield f"  columns read: {', '.join(columns) or 'none'}{unread}"


def _objects(count: int) -> str:
    return "object" if count == 1 else "objects"


def _describe(record: Record) -> Iterator[str]:
    kind = record.question.kind if record.question is not None else "an item without a question"
    yield f"  {kind}"
    for number, item in enumerate(record.items, 1):
        yield from _describe_item(number, item)
    for judgement in record.judgements:
        value = json.dumps(judgement.value, ensure_ascii=False, default=_plain)[:WIDTH]
        yield f"    {judgement.annotator}: {_printable(value)}"


def _describe_item(number: int, item: Item) -> Iterator[str]:
    if not isinstance(item, Dialogue):
        yield f"    item {number}: a clip of {len(item)} steps"
        return
    yield f"    item {number}" + (f" by {item.model}" if item.model else "")
    for message in item.messages:
        text = " ".join(message.content.split())
        short = text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
        yield f"      {message.role}: {_printable(short)}"


def _printable(text: str) -> str:
    """The text with escapes for halves of characters, which no terminal can show."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
