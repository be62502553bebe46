"""The survey's answers as a file, apart from judgements and joined with them by the annotator's name."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Literal

from plaudit.server.consent import Consents

DOCUMENTED: dict[str, Any] = {
    "description": "The file.",
    "content": {
        "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        "text/csv": {"schema": {"type": "string"}},
    },
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width forms


def download(consents: Consents, form: Literal["csv", "json"]) -> tuple[str, str]:
    """The file's text and its media type. A row is a person: ``annotator``, ``given_at``, and their answers."""
    rows = consents.all_answers()
    if form == "json":
        records = [{"annotator": row.annotator, "given_at": row.given_at, "answers": row.answers} for row in rows]
        return json.dumps(records, ensure_ascii=False, indent=1) + "\n", "application/json"
    questions = [question["name"] for question in (consents.settings()["survey"] or {"questions": []})["questions"]]
    # Answers to what is asked no more come last.
    names = list(dict.fromkeys([*questions, *(name for row in rows for name in sorted(row.answers))]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["annotator", "given_at", *map(cell, names)])
    for row in rows:
        writer.writerow([cell(row.annotator), row.given_at, *(cell(row.answers.get(name)) for name in names)])
    return text.getvalue(), "text/csv; charset=utf-8"


def cell(value: Any) -> Any:
    """A value of a table. A spreadsheet would run text that begins like a formula: an apostrophe keeps it text."""
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return f"'{value}"
    return value
