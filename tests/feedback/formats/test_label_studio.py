"""Label Studio as it is used: names of tags that are no names of fields, further controls, JSON-MIN, CSV, rankers."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats import Setting
from plaudit.feedback.formats._labeling import read_labeling
from plaudit.feedback.formats._record import Labeling
from plaudit.feedback.formats.command import ImportArguments, run_import
from plaudit.feedback.formats.incoming import ImportSummary, Reader
from plaudit.types import Dialogue, PlauditError

PAGE = Path(__file__).resolve().parents[3] / "docs" / "formats.md"
PAIR = {"prompt": "Q?", "answer1": "g", "answer2": "b"}
GOOD, BAD = "user: Q? | assistant: g", "user: Q? | assistant: b"


def result(control: str, kind: str, value: Any, target: str | None = None) -> dict[str, Any]:
    return {"from_name": control, "to_name": target or control, "type": kind, "value": value, "id": "x1"}


def task(data: dict[str, Any], *results: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    return {"id": 1, "data": data, "annotations": [{"completed_by": 2, "result": list(results), **annotation}]}


def read(
    path: Path, *tasks: Any, labeling: Labeling | None = None
) -> tuple[list[tuple[str, list[str], dict[str, Any]]], ImportSummary]:
    if tasks:
        path.write_text(json.dumps(tasks), encoding="utf-8")
    reader = Reader(path, None, Setting(labeling=labeling or Labeling()))
    parsed = []
    for _, record in reader.records():
        assert record.question is not None
        talks = [
            " | ".join(f"{message.role}: {message.content}" for message in item.messages)
            for item in record.items
            if isinstance(item, Dialogue)
        ]
        value = dict(record.judgements[0].value)
        kind = record.question.kind
        parsed.append((kind, talks, {"ranks": value["ranks"]} if kind == "ranking" else value))
    assert reader.form.name == "label-studio"
    return parsed, reader.result


LEFT = result("comparison", "pairwise", {"selected": "left"})
NAMES = {
    "answer1 and answer2": PAIR,
    "camel case": {"question": "Q?", "responseA": "g", "responseB": "b"},
    "sides": {"instruction": "Q?", "left_text": "g", "right_text": "b"},
    "the side comes first": {"prompt": "Q?", "first_answer": "g", "second_answer": "b", "category": "x"},
    "chosen and rejected": {"prompt": "Q?", "chosen": "g", "rejected": "b"},
    "the only two texts": {"prompt": "Q?", "mild": "g", "bold": "b"},
    "models beside responses": {"prompt": "Q?", "model_1": "x", "model_2": "y", "response_1": "g", "response_2": "b"},
    "a conversation": {"messages": [{"role": "user", "content": "Q?"}], "answer1": "g", "answer2": "b"},
}


@pytest.mark.parametrize("data", NAMES.values(), ids=NAMES.keys())
def test_a_pairwise_control_names_itself(tmp_path: Path, data: dict[str, Any]):
    records, summary = read(tmp_path / "tasks.json", task(data, LEFT))
    assert records == [("comparison", [GOOD, BAD], {"strength": 4})] and summary.problems.count == 0


def test_what_the_data_does_not_tell_is_in_the_labeling_configuration(tmp_path: Path):
    data = {"prompt": "Q?", "x": "b", "y": "g", "z": "c"}
    _, summary = read(tmp_path / "tasks.json", task(data, LEFT))
    (line,) = summary.problems.first
    assert "'comparison' is left out" in line and "'prompt', 'x', 'y', 'z'" in line and "--label-config FILE" in line
    config = tmp_path / "project.xml"
    config.write_text(
        '<View><!-- ours --><Text name="t1" value="$y"/><Text name="t2" value="$x"/>'
        '<Pairwise name="comparison" toName="t1, t2"/><Rating name="quality" toName="t2" maxRating="5"/></View>'
    )
    quality = result("quality", "rating", {"rating": 2}, "t2")
    records, summary = read(tmp_path / "tasks.json", task(data, LEFT, quality), labeling=read_labeling(config))
    assert records == [
        ("comparison", [GOOD, BAD], {"strength": 4}),
        ("rating", [BAD], {"ratings": {"quality": 2}}),
    ]
    store = str(tmp_path / "feedback.sqlite")
    assert run_import(ImportArguments(tmp_path / "tasks.json", store, label_config=config)) == 0
    for text in ("<View>", "<View/>", '<!DOCTYPE x [<!ENTITY a "b">]><View><Text name="t" value="$x"/></View>'):
        config.write_text(text)
        with pytest.raises(PlauditError, match=r"--label-config .*project\.xml"):
            read_labeling(config)
    with pytest.raises(PlauditError, match="cannot be read"):
        read_labeling(tmp_path / "nowhere.xml")


def test_a_rating_of_a_field_of_another_name(tmp_path: Path):
    stars = result("quality", "rating", {"rating": 4}, "txt")
    points = result("tone", "number", {"number": 7}, "txt")
    for data in ({"prompt": "Q?", "output": "g"}, {"prompt": "Q?", "essay": "g"}):
        (record,), _ = read(tmp_path / "tasks.json", task(data, stars, points))
        assert record == ("rating", [GOOD], {"ratings": {"quality": 4, "tone": 7}})
    _, summary = read(tmp_path / "tasks.json", task(PAIR, stars))  # of which of the two?
    assert "'quality' is left out" in summary.problems.first[0]


def test_a_further_control_takes_nothing_with_it(tmp_path: Path):
    further = [
        result("box", "rectanglelabels", {"x": 1}, "image"),
        result("topics", "taxonomy", {"taxonomy": [["a", "b"]]}),
        result("toxic", "choices", {"choices": ["neither"]}, "prompt"),
        result("seconds", "number", {"number": 3.5}, "prompt"),
        result("harmless", "pairwise", {"selected": "right"}),
    ]
    records, summary = read(tmp_path / "tasks.json", task(PAIR, LEFT, *further), task({**PAIR, "prompt": "R?"}, LEFT))
    assert [record[2] for record in records] == [{"strength": 4}, {"strength": 4}] and summary.problems.count == 0
    assert summary.trace.notes.total() == 5 and set(summary.trace.first.values()) == {"element 1"}
    assert "a further comparison (control 'harmless') is left out" in summary.trace.notes
    records, summary = read(tmp_path / "tasks.json", task(PAIR, *further[:1]))
    assert records == [] and "'rectanglelabels'" in summary.problems.first[0]


CHOICES = {"Response A": 4, "B": -4, "right": -4, "answer2": -4, "Tie": 0, "Both are good": 0, "A is better": 4}


@pytest.mark.parametrize(("choice", "strength"), CHOICES.items())
def test_choices_that_name_the_better_one(tmp_path: Path, choice: str, strength: int):
    chosen = result("better", "choices", {"choices": [choice]}, "prompt")
    (record,), _ = read(tmp_path / "tasks.json", task(PAIR, chosen))
    assert record == ("comparison", [GOOD, BAD], {"strength": strength})


def test_a_text_beside_a_comparison_is_its_rationale(tmp_path: Path):
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(PAIR, LEFT, result("notes", "textarea", {"text": ["clear"]}, "prompt"))]))
    ((_, record),) = Reader(path).records()
    assert record.judgements[0].rationale == "clear" and record.judgements[0].annotator == "2"


RANKED = {"prompt": "Q?", "items": [{"id": "x", "body": "b"}, {"id": "y", "title": "g", "body": ""}]}


@pytest.mark.parametrize("order", [{"rank": ["y", "x"]}, ["y", "x"], {"best": ["y", "x"], "_": []}])
def test_a_ranker(tmp_path: Path, order: Any):
    (record,), _ = read(tmp_path / "tasks.json", task(RANKED, result("rank", "ranker", {"ranker": order}, "results")))
    assert record == ("ranking", [BAD, GOOD], {"ranks": [2, 1]})


def test_rankings_are_written_as_label_studio_reads_them(exchange):
    """A List of objects with ids, and a Ranker whose key is the control's name; the same again when it is read."""
    exchange.load(Path(__file__).parent / "golden" / "scored-responses.jsonl")
    (row,) = exchange.rows("label-studio")
    bodies = ["Inari", "Rhine", "Como"]
    assert row["data"] == {
        "prompt": "Name a lake.",
        "responses": [{"id": str(n), "title": f"Response {n}", "body": body} for n, body in enumerate(bodies, 1)],
    }
    (annotation,) = row["annotations"]
    (written,) = annotation["result"]
    assert written["from_name"] == "ranking" and written["to_name"] == "responses" and written["type"] == "ranker"
    assert written["value"] == {"ranker": {"ranking": ["3", "1", "2"]}}
    (config,) = [
        text for text in re.findall(r"```xml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "<List" in text
    ]
    (exchange.folder / "project.xml").write_text(config, encoding="utf-8")
    (record,), _ = read(exchange.write("again.json", row), labeling=read_labeling(exchange.folder / "project.xml"))
    assert record[0] == "ranking" and record[2]["ranks"] == [2, 3, 1]
    assert record[1] == [f"user: Name a lake. | assistant: {body}" for body in bodies]
    assert exchange.dump("label-studio")[1].left.reasons == {"their rankings have ties, which a Ranker has not": 1}


def test_rankers_that_are_no_order(tmp_path: Path):
    def first(data: dict[str, Any], order: Any) -> str:
        return read(tmp_path / "t.json", task(data, result("rank", "ranker", {"ranker": order})))[1].problems.first[0]

    assert "is no order of one list" in first(RANKED, {"good": ["x"], "bad": ["y"]})
    assert "is no order of one list" in first(PAIR, {"rank": ["x"]})
    assert "must order x, y, got x" in first(RANKED, {"rank": ["x"]})


def test_spans_that_a_browser_counted(tmp_path: Path):
    """A browser counts a character outside the basic plane as two."""
    data = {"prompt": "Q?", "response": "🐦 bad 🐦 end"}
    marks = [result("s", "labels", {"start": 3, "end": 6, "text": "bad", "labels": ["wrong"]}, "response")]
    (record,), _ = read(tmp_path / "tasks.json", task(data, *marks))
    assert record[2]["spans"] == [{"start": 2, "end": 5, "category": "wrong", "note": ""}]


FLAT = {
    "id": 1,
    "annotator": 2,
    "annotation_id": 9,
    "created_at": "2024-03-01T10:00:07Z",
    "updated_at": "",
    "lead_time": 7,
}
ROWS = {
    "a comparison": (
        {**PAIR, "comparison": [{"selected": "right"}], "strength": [{"number": 2}], "rationale": "clear"},
        ("comparison", [GOOD, BAD], {"strength": -2}),
    ),
    "a choice": ({**PAIR, "which": "Answer 1"}, ("comparison", [GOOD, BAD], {"strength": 4})),
    "undecided": ({**PAIR, "undecided": "can't tell"}, ("comparison", [GOOD, BAD], {"strength": None})),
    "stars": (
        {"prompt": "Q?", "text": "g", "quality": [{"rating": 3}]},
        ("rating", [GOOD], {"ratings": {"quality": 3}}),
    ),
    "spans": (
        {"prompt": "Q?", "response": "g", "spans": [{"start": 0, "end": 1, "text": "g", "labels": ["wrong"]}]},
        ("spans", [GOOD], {"spans": [{"start": 0, "end": 1, "category": "wrong", "note": ""}]}),
    ),
    "a correction": ({"prompt": "Q?", "response": "g", "correction": "h"}, ("correction", [GOOD], {"text": "h"})),
    "a ranking": (
        {**RANKED, "rank": [{"ranker": {"rank": ["y", "x"]}}]},
        ("ranking", [BAD, GOOD], {"ranks": [2, 1]}),
    ),
}


@pytest.mark.parametrize(("row", "record"), ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("name", ["min.json", "min.csv", "min.csv.gz"])
def test_json_min_and_csv(tmp_path: Path, name: str, row: dict[str, Any], record: Any):
    if name == "min.json":
        records, summary = read(tmp_path / name, {**row, **FLAT})
    else:
        text = io.StringIO()
        cells = {key: json.dumps(value) if isinstance(value, list) else value for key, value in (row | FLAT).items()}
        writer = csv.DictWriter(text, sorted(cells), quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        writer.writerow(cells)
        data = text.getvalue().encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        records, summary = read(tmp_path / name)
    assert records == [record] and summary.problems.count == 0
    assert set(summary.trace.unread) <= {"id", "annotation_id", "updated_at"}


JUNK = [None, 3, -1, 1.5, True, "x", "[", [], {}, [3], [[]], [{}], {"a": 1}, "[INST] hi"]


def spoil(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced by junk."""
    yield from JUNK
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        for junk in spoil(value[key]):
            spoiled = value.copy()
            spoiled[key] = junk
            yield spoiled


def test_junk_is_a_problem_of_its_element(tmp_path: Path):
    marks = result("s", "labels", {"start": 0, "end": 1, "text": "g", "labels": ["w"]})
    tasks = [task(PAIR, LEFT), task(RANKED, result("rank", "ranker", {"ranker": {"rank": ["y", "x"]}}))]
    tasks += [task({"prompt": "Q?", "response": "g"}, marks), {**ROWS["a comparison"][0], **FLAT}]
    for good in tasks:
        spoiled = [row for row in spoil(good) if row != good]
        _, summary = read(tmp_path / "tasks.json", good, *spoiled)
        assert summary.read == len(spoiled) + 1 and summary.problems.count > 20
        assert all("\n" not in line for line in summary.problems.first)


def test_the_configurations_on_the_page_show_what_is_written(exchange):
    """Every tag that a written result names stands in a configuration, which shows the data's fields."""
    exchange.load(Path(__file__).parent / "golden" / "label-studio.json")
    configs = re.findall(r"```xml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = exchange.folder / "project.xml"
    rows = exchange.rows("label-studio")
    for row in rows:
        columns = set(row["data"]) - {"messages"}
        (config,) = [config for config in configs if set(re.findall(r'value="\$(\w+)"', config)) == columns]
        types = {name: tag.casefold() for tag, name in re.findall(r'<(\w+) name="(\w+)"', config)}
        for entry in (entry for annotation in row["annotations"] for entry in annotation["result"]):
            assert types[entry["from_name"]] == entry["type"] and entry["to_name"] in types
    assert rows[0]["annotations"][0]["result"][0]["to_name"] == "comparison"
    assert rows[1]["data"]["prompt"] == "system: Be kind.\n\nuser: Why?"
    path.write_text(configs[0], encoding="utf-8")
    records, _ = read(exchange.write("again.json", *rows), labeling=read_labeling(path))
    assert len(records) == 7
