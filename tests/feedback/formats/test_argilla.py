"""Argilla's layouts: flattened, nested, by column or by id, and those of version 1; all say the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats.incoming import ImportSummary, Reader
from plaudit.types import PlauditError


def read(path: Path, *rows: Any) -> tuple[list[tuple[str, str, dict[str, Any]]], ImportSummary]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reader = Reader(path)
    records = [
        (record.question.kind, judgement.annotator, dict(judgement.value))
        for _, record in reader.records()
        if record.question is not None
        for judgement in record.judgements
    ]
    assert reader.form.name == "argilla"
    return records, reader.result


FIELDS = {"prompt": "Q?", "response": "g"}
USERS = [("u1", 4, "submitted"), ("u2", 2, "submitted"), ("u3", 1, "draft")]
ENTRIES = [{"user_id": user, "value": value, "status": status} for user, value, status in USERS]
COLUMNS = {name: [entry[name] for entry in ENTRIES] for name in ("user_id", "value", "status")}
NESTED = {"id": "r", "fields": FIELDS, "metadata": {}, "suggestions": {"quality": {"value": 3}}}
NESTED |= {"responses": {"quality": ENTRIES}, "vectors": {}, "_server_id": "s"}
FLAT = {"id": "r", **FIELDS, "quality.responses": [4, 2, 1], "quality.responses.users": ["u1", "u2", "u3"]}
FLAT |= {"quality.responses.status": [status for _, _, status in USERS], "quality.suggestion": 3}
SUGGESTED = {"quality-suggestion": 3, "quality-suggestion-metadata": {"agent": None}, "external_id": None}
BY_USER = [{"user_id": u, "values": {"quality": {"value": value}}, "status": status} for u, value, status in USERS]
LAYOUTS = {
    "flattened": FLAT,
    "nested": NESTED,
    "by column": {name: [value] for name, value in NESTED.items()},
    "flattened, by column": {name: [value] for name, value in FLAT.items()},
    "by id": {"r": NESTED},
    "version 1": {**FIELDS, "quality": ENTRIES, **SUGGESTED, "metadata": "{}"},
    "version 1 as datasets store it": {**FIELDS, "quality": COLUMNS, **SUGGESTED},
    "records of version 1": {"fields": FIELDS, "responses": BY_USER, "suggestions": []},
}


@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts(tmp_path: Path, row: dict[str, Any]):
    records, summary = read(tmp_path / "records.jsonl", row)
    assert records == [("rating", user, {"ratings": {"quality": value}}) for user, value, _ in USERS[:2]]
    assert summary.problems.count == 0


def test_rankings_of_version_1(tmp_path: Path):
    """datasets store a list of objects as an object of lists."""
    order = {"rank": [2, 1], "value": ["response-1", "response-2"]}
    row = {"prompt": "Q?", "response-1": "b", "response-2": "g"}
    row |= {"order": {"user_id": [None], "value": [order], "status": ["submitted"]}, "order-suggestion": None}
    (record,), _ = read(tmp_path / "records.jsonl", row)
    assert record[:2] == ("ranking", "argilla") and record[2]["ranks"] == [2, 1]


def test_a_label_that_names_the_better_one(tmp_path: Path):
    row = {"id": "r", "fields": {"prompt": "Q?", "response_a": "g", "response_b": "b"}}
    row |= {"responses": {"which is better": [{"user_id": "u", "value": "response_b"}]}}
    (record,), _ = read(tmp_path / "records.jsonl", row)
    assert record == ("comparison", "u", {"strength": -4})


def test_a_question_without_a_place_takes_nothing_with_it(tmp_path: Path):
    further = {"topic": [{"user_id": "u1", "value": "birds", "status": "submitted"}]}
    rows = [NESTED | {"responses": {"quality": ENTRIES, **further}}, NESTED | {"responses": further}]
    records, summary = read(tmp_path / "records.jsonl", *rows)
    assert [record[2] for record in records] == [{"ratings": {"quality": 4}}, {"ratings": {"quality": 2}}]
    message = "field 'topic.responses' is a question whose answers have no place here"
    assert summary.trace.notes == {f"{message}; it is left out": 1}
    assert summary.problems.first == [f"records.jsonl, line 2: {message}"]


JUNK = [
    None,
    3,
    "x",
    [],
    {},
    [3],
    [[]],
    [{}],
    {"user_id": 1, "value": 2},
    {"quality": [{"value": {}}]},
    [{"values": 3}],
]


@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_junk_is_a_problem_of_its_line(tmp_path: Path, junk: Any):
    for name in ("fields", "responses"):
        _, summary = read(tmp_path / "records.jsonl", NESTED, NESTED | {name: junk})
        assert summary.read >= 2 and all("\n" not in line for line in summary.problems.first)
    try:
        read(tmp_path / "records.jsonl", {**FIELDS, "quality": junk, **SUGGESTED})
    except PlauditError as error:
        assert "\n" not in str(error)
