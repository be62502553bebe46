"""The arguments of a command that reads a file of rows."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.feedback.formats.incoming import Reading
from plaudit.language.files import ColumnsConfig


@dataclass(frozen=True, kw_only=True)
class FileArguments:
    """The format, the columns and the split of the file that a command reads."""

    format: str | None = None
    """Format of the file, as plaudit import names it; default: detected from its rows."""
    columns: tuple[str, ...] = ()
    """Columns of the file for fields of the format, such as prompt=question or response=data.answers[0]."""
    split: str | None = None
    """Split to read of a file or folder that has several; default: train."""

    @property
    def reading(self) -> Reading:
        """The settings, as the reader of files takes them.

        Raises:
            PlauditError: there is no such format, or a column is not FIELD=COLUMN.
        """
        return ColumnsConfig(self.format, self.columns, self.split).reading
