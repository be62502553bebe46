"""The settings by which the files of a command or a run are read."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.feedback.formats import find_format
from plaudit.feedback.formats._columns import parse_columns
from plaudit.feedback.formats.incoming import Reading


@dataclass(frozen=True)
class ColumnsConfig:
    """The format and the columns of files."""

    format: str | None = None
    """Format of the files, as plaudit import names it; None: detected from their first rows."""
    columns: tuple[str, ...] = ()
    """Columns of the files for fields of the format, such as prompt=question or chosen=data.answers[0]."""
    split: str | None = None
    """Split to read of a file or folder that has several; None: train."""

    def __post_init__(self) -> None:
        parse_columns(self.columns)
        if self.format is not None:
            find_format(self.format)

    @property
    def reading(self) -> Reading:
        """The settings, as the reader of files takes them."""
        return Reading(self.format, parse_columns(self.columns), self.split)


@dataclass(frozen=True)
class FilesConfig(ColumnsConfig):
    """The format and the columns of files."""

    strict: bool = False
    """Whether a row that cannot be read, or says nothing, stops the run; otherwise it is counted and passed over."""

    @property
    def reading(self) -> Reading:
        """The settings, as the reader of files takes them."""
        return Reading(self.format, parse_columns(self.columns), self.split, self.strict)
