"""The format of a file's first rows, also if columns are called ``Prompt``, ``User Prompt`` or ``userPrompt``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from plaudit.feedback.formats import Format, merge_columns, recognise
from plaudit.feedback.formats._columns import Path, normalise_names, rename
from plaudit.feedback.formats._format import Columns
from plaudit.feedback.formats._record import Row
from plaudit.types import PlauditError


def recognise_rows(
    rows: Sequence[Row], file: str, form: Format | None = None, fields: Collection[str] = ()
) -> tuple[Format, dict[str, Path]]:
    """The format of a file's first rows, and the columns to rename for it, as :func:`rename` takes them.

    Names in small letters are preferred, because a layout does not look for a column ``Prompt`` beside ``chosen``. A
    data set is known by its own names, capitals included. form: the format, if the user names it. fields: those whose
    columns the user names; where all columns belong to no format, or to several, these alone decide.

    Raises:
        PlauditError: as :func:`recognise`.
    """
    columns = merge_columns(rows)
    plain = normalise_names(columns)
    if plain:
        original = _find(columns, file, form)
        renamed = _find(merge_columns(rename(rows, plain)), file, form)
        if renamed is not None and (original is None or original.scope != "dataset"):
            return renamed, plain
    if form is None and fields and _find(columns, file, None) is None:
        selection = [replace(row, value=_select(row.value, fields)) for row in rows]
        form = _find(merge_columns(selection), file, None)
    return form or recognise(columns or rows[0].value, file), {}


def _select(value: Any, fields: Collection[str]) -> Any:
    return {name: value[name] for name in fields if name in value} if isinstance(value, Mapping) else value


def _find(columns: Columns, file: str, form: Format | None) -> Format | None:
    """The format that columns have, or the named one if they are its own; None otherwise."""
    if form is not None:
        return form if form.sniff(columns) else None
    try:
        return recognise(columns, file)
    except PlauditError:
        return None
