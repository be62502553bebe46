"""The layouts of Argilla's records, all as the flattened one: ``<question>.responses``, ``.users``, ``.status``.

Nested (``to_dict``, ``to_json``): ``fields`` beside ``responses``, a list for each question. Version 1: a column for
each question, which holds a list of values with their users; or ``responses`` as a list of users with their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.feedback.formats._record import Fields, Row, parse_cell

SUGGESTION = "-suggestion"
ENTRY = {"user_id", "value"}  # of a response in version 1 and in the nested layout


def is_record(value: Mapping[str, Any]) -> bool:
    """Whether columns look like one of Argilla's layouts."""
    if any(name.endswith(".responses") for name in value):
        return True
    if isinstance(value.get("fields"), Mapping | list) and isinstance(value.get("responses"), Mapping | list):
        return True
    if value and all(_is_nested(record) for record in value.values()):
        return True
    questions = [name for name in value if f"{name}{SUGGESTION}" in value]
    return bool(questions) or any(_is_responses(column) for column in value.values())


def split_rows(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows, with an object that holds all records (``to_dict``, by column or by id) split into its records."""
    for row in rows:
        value = row.value
        records: list[Any] = []
        if isinstance(value, Mapping) and value:
            columns = list(value.values())
            if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
                records = [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
            elif all(_is_nested(column) for column in columns):
                records = columns
        if not records:
            yield row
        for number, record in enumerate(records, 1):
            yield Row(f"{row.location}, record {number}", record)


def flatten(row: Fields) -> Fields:
    """A record in the flattened layout."""
    value = row.value
    columns: dict[str, Any] = {}
    if isinstance(value.get("fields"), Mapping) and "responses" in value:
        columns |= row.object("fields").value
        responses = parse_cell(row.get("responses", {}))
        if isinstance(responses, Mapping):
            for name in responses:
                columns |= _question(name, row.object("responses").objects(name, ()))
        else:
            columns |= _by_user(row.objects("responses", ()))
        return Fields(columns, "", row.trace)
    for name, column in value.items():
        if name.endswith((SUGGESTION, f"{SUGGESTION}-metadata")):
            continue
        cell = parse_cell(column)
        if _is_responses(cell) or (f"{name}{SUGGESTION}" in value and not isinstance(cell, str)):
            row.get(name, None)
            columns |= _question(name, _entries(row, name, cell))
        else:
            columns[name] = column
    return Fields(columns, "", row.trace)


def _is_nested(value: Any) -> bool:
    """Whether a value is a whole record, as ``to_dict(orient="index")`` has them by id."""
    return isinstance(value, Mapping) and {"fields", "responses"} <= set(value)


def _is_responses(column: Any) -> bool:
    """Whether a column holds responses: a list of objects, or an object of lists, as datasets store it."""
    if isinstance(column, Mapping):
        return set(column) >= ENTRY and all(isinstance(part, list) for part in column.values())
    listed = isinstance(column, list) and bool(column)
    return listed and all(isinstance(entry, Mapping) and set(entry) >= ENTRY for entry in column)


def _entries(row: Fields, name: str, cell: Any) -> list[Fields]:
    if not isinstance(cell, Mapping):
        return row.objects(name, ())
    parts = row.object(name)
    cells = zip(*(parts.list(part) for part in cell), strict=False)
    return [Fields(dict(zip(cell, entry, strict=True)), f"{name}[{number}]") for number, entry in enumerate(cells)]


def _question(name: str, entries: list[Fields]) -> dict[str, Any]:
    """The columns of a question, from its responses."""
    if not entries:
        return {}
    return {
        f"{name}.responses": [_ranking(entry.get("value", None)) for entry in entries],
        f"{name}.responses.users": [entry.get("user_id", None) for entry in entries],
        f"{name}.responses.status": [entry.get("status", "submitted") for entry in entries],
    }


def _by_user(entries: list[Fields]) -> dict[str, Any]:
    """The columns of all questions, from a list of users with their values."""
    questions: dict[str, list[Fields]] = {}
    for entry in entries:
        values = entry.object("values", {})
        for name in values.value:
            answer = values.object(name).get("value", None)
            fields = {
                "value": answer,
                "user_id": entry.get("user_id", None),
                "status": entry.get("status", "submitted"),
            }
            questions.setdefault(name, []).append(Fields(fields))
    columns: dict[str, Any] = {}
    for name, answers in questions.items():
        columns |= _question(name, answers)
    return columns


def _ranking(value: Any) -> Any:
    """A ranking as a list of entries, also where datasets have stored it as an object of two lists."""
    if isinstance(value, Mapping) and isinstance(value.get("rank"), list) and isinstance(value.get("value"), list):
        pairs = zip(value["rank"], value["value"], strict=False)
        return [{"rank": rank, "value": name} for rank, name in pairs]
    return value
