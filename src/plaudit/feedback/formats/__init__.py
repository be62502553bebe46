"""Files that others read and write: one file a format. A new file here with a ``FORMAT`` is a new format.

A format turns one object of a file into records, and records into objects. Lines, arrays, compression, problems and the
store are the same for all of them, and stand in ``incoming`` and ``outgoing``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from plaudit.feedback.formats._files import rows as read_rows
from plaudit.feedback.formats._record import Answer, Fields, LeftOut, Problems, Record, Row, Setting
from plaudit.types import PlauditError

__all__ = [
    "FORMATS",
    "Answer",
    "Format",
    "LeftOut",
    "Problems",
    "Record",
    "Row",
    "Setting",
    "find_format",
    "read_rows",
    "recognise",
]
SHARED = ("command", "incoming", "outgoing")  # modules that are no formats


@runtime_checkable
class Format(Protocol):
    """What each format owns: how to know it, how to read one object, how to write, and what gets lost."""

    @property
    def name(self) -> str:
        """What ``--format`` takes; also the annotator of a file that names none."""
        ...

    @property
    def title(self) -> str:
        """What the pages call it."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How its files usually end."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of feedback that it can be written from; () where it is only read."""
        ...

    @property
    def array(self) -> bool:
        """Whether a file is one JSON array; otherwise it has an object a line."""
        ...

    @property
    def lossy(self) -> Mapping[str, str]:
        """What does not survive, by field, and why."""
        ...

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Whether ``first``, a file's first object, looks like this format."""
        ...

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The records in one object; raises :class:`PlauditError` or ValueError that names the field."""
        ...

    def write(self, records: Iterable[Record], left: LeftOut) -> Iterator[dict[str, Any]]:
        """The objects of a file; what it cannot express is counted in ``left``."""
        ...


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        form.name: form
        for form in (
            import_module(f"{__name__}.{file.name}").FORMAT
            for file in iter_modules(__path__)
            if not file.name.startswith("_") and file.name not in SHARED
        )
    }
)


def find_format(name: str) -> Format:
    """The format called ``name``; raises :class:`PlauditError` when there is none."""
    if name not in FORMATS:
        raise PlauditError(f"there is no format called {name!r}: choose from {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def recognise(first: Any, file: str) -> Format:
    """The one format that knows a file's first object; raises :class:`PlauditError` where none or several do."""
    matches = [form for form in FORMATS.values() if isinstance(first, Mapping) and form.sniff(first)]
    if len(matches) != 1:
        names = " or ".join(form.name for form in matches) if matches else f"one of {', '.join(sorted(FORMATS))}"
        problem = "could be several formats" if matches else "has a first object that belongs to no known format"
        raise PlauditError(f"{file} {problem}: say --format {names}")
    return matches[0]
