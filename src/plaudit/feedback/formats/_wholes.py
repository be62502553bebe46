"""One JSON object that holds a whole table: a list for each split, or a table as pandas writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.feedback.formats._tables import SPLITS

PROMPT_NAMES = ("prompt", "question", "instruction", "query", "input")  # beside a list, that list is its answers
HOLDERS = ("data", "rows", "examples", "instances", "samples")  # names of the list of rows beside a file's own facts


def splits_of(value: Any) -> list[str]:
    """The splits of one JSON object that holds a list of objects for each split; [] for any other value."""
    if not isinstance(value, Mapping) or not value:
        return []
    whole = all(isinstance(part, list) and part and isinstance(part[0], Mapping) for part in value.values())
    usual = set(value) & {*SPLITS, "test", "validation", *HOLDERS}
    if whole and usual:
        return list(value)
    lists = [name for name in HOLDERS if _is_table(value.get(name))]
    facts = all(
        part is None or isinstance(part, str | int | float) for name, part in value.items() if name not in lists
    )
    return lists if len(lists) == 1 and facts and not any(value.get(name) for name in PROMPT_NAMES) else []


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value[:3])


def rows_of(value: Any) -> Iterator[Mapping[str, Any]] | None:
    """The rows of an object that pandas wrote by columns or by rows; None if it is no such table.

    ``to_json()`` and ``to_json(orient="index")`` number the rows; ``to_dict("list")`` has a list for each column.
    """
    if not isinstance(value, Mapping) or not value:
        return None
    parts = list(value.values())
    if all(isinstance(part, Mapping) for part in parts):
        if all(_is_number(name) for name in value):
            return iter(parts)
        keys = list(parts[0])
        if keys and all(_is_number(key) for key in keys) and all(list(part) == keys for part in parts):
            return ({name: part[key] for name, part in value.items()} for key in keys)
    # Lists of objects are conversations or answers of one row, and not columns.
    if len(parts) > 1 and all(isinstance(part, list) and len(part) == len(parts[0]) for part in parts):
        if any(isinstance(part[0], Mapping) for part in parts if part):
            return None
        return ({name: part[index] for name, part in value.items()} for index in range(len(parts[0])))
    return None


def _is_number(name: Any) -> bool:
    return isinstance(name, str) and name.isdecimal()
