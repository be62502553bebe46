"""What every format is: how to know its files, how to read one object, how to write, and what gets lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from plaudit.feedback.formats._record import Fields, Omissions, Record, Row, Setting
from plaudit.types import PlauditError

Scope = Literal["dataset", "layout", "fallback"]
LOSSY: Mapping[str, str] = {"other columns": "not read; the summary names them"}


class Columns(dict[str, Any]):
    """Every column of a file's first rows with its first value that is not null, and all its values as ``samples``."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: dict[str, list[Any]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row's columns."""
        for name, value in row.items():
            if self.get(name) is None:
                self[name] = value
            if value is not None:
                self.samples.setdefault(name, []).append(value)


def sample(columns: Mapping[str, Any], name: str) -> list[Any]:
    """The values of a column that are not null: of one row, or of the first rows of a file."""
    if isinstance(columns, Columns):
        return columns.samples.get(name, [])
    return [] if columns.get(name) is None else [columns[name]]


class Format(ABC):
    """One format of files. A subclass gives a name, a title, ``sniff`` and ``read``; the rest has defaults."""

    name: ClassVar[str]  # for --format; also the annotator of a file that names none
    title: ClassVar[str]  # for pages
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".json", ".parquet")
    kinds: ClassVar[tuple[str, ...]] = ()  # of feedback that can be written; () for a format that is only read
    array: ClassVar[bool] = False  # whether a file is one JSON array; otherwise it has one object per line
    scope: ClassVar[Scope] = "dataset"  # a dataset's own columns are preferred to a layout, a layout to a fallback
    lossy: ClassVar[Mapping[str, str]] = LOSSY  # what does not survive, by field, and why

    @abstractmethod
    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Whether a file looks like this format. first: every column of its first rows (see :class:`Columns`)."""

    def gather(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Rows as :meth:`read` takes them; a format whose objects span several rows joins them here."""
        return rows

    @abstractmethod
    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The records in one object; raises :class:`PlauditError` or ValueError that names the field."""

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """The objects of a file; what it cannot express is counted in ``left``."""
        raise PlauditError(f"{self.title} is read and not written: choose another --format, such as preference")
