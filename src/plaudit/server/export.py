"""The judgements of a project as a file, in pieces, with flat memory: every event, or the format of another program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from plaudit.feedback import events
from plaudit.feedback.formats import FORMATS, Format
from plaudit.feedback.formats._files import encode
from plaudit.feedback.formats.outgoing import Choice, ExportSummary, iterate_objects
from plaudit.feedback.store import Store
from plaudit.types import PlauditError

PIECE = 1 << 16  # bytes sent at a time
EVENTS = "events"  # not a format: see lines()
WRITABLE = tuple(name for name, form in sorted(FORMATS.items()) if form.kinds)  # others are only read


def list_formats(store: Store, project: str) -> list[Format]:
    """The formats that can hold something of ``project``, by title; Plaudit's own first, which loses nothing."""
    kinds = events.kinds(store, project)
    formats = [FORMATS[name] for name in WRITABLE if kinds & set(FORMATS[name].kinds)]
    return sorted(formats, key=lambda form: (form.name != "plaudit", form.title))


def export(store: Store, project: str, name: str) -> tuple[str, str, Iterator[bytes]]:
    """The judgements of ``project`` in the format ``name``: the file's ending, its media type, and its bytes.

    Raises :class:`PlauditError` for an unknown format, or one that cannot express any kind of the project's questions.
    """
    if name == EVENTS:
        return ".jsonl", "application/jsonl", lines(store, project)
    if name not in WRITABLE:
        raise PlauditError(
            f"there is no format called {name[:80]!r} to write: choose from {', '.join((EVENTS, *WRITABLE))}"
        )
    form = FORMATS[name]
    kinds = tuple(sorted(events.kinds(store, project)))
    objects = iterate_objects(store, form, Choice(project, kinds), ExportSummary())
    ending = ".json" if form.array else ".jsonl"
    return f"-{form.name}{ending}", f"application/{ending[1:]}", _pieces(encode(objects, form.array))


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces, because each piece costs a change of threads."""
    buffer: list[bytes] = []
    size = 0
    for line in lines:
        buffer.append(line)
        size += len(line)
        if size >= PIECE:
            yield b"".join(buffer)
            buffer, size = [], 0
    if buffer:
        yield b"".join(buffer)


def lines(store: Store, project: str) -> Iterator[bytes]:
    """One JSON object a line for each event, as :func:`plaudit.feedback.events.pages` has them."""
    for page in events.pages(store, project):
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in page)
        yield text.encode("utf-8", "surrogatepass")
