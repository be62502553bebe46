"""Layouts of public files as they are found: conversations, prompts under other names, tables, splits, columns."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats import Setting
from plaudit.feedback.formats._columns import parse_columns
from plaudit.feedback.formats.command import ImportArguments, run_import
from plaudit.feedback.formats.incoming import ImportSummary, Reader, Reading
from plaudit.feedback.formats.preview import describe_reading, preview
from plaudit.types import Dialogue, PlauditError

ASK = {"role": "user", "content": "Q?"}
GOOD, BAD = {"role": "assistant", "content": "g"}, {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "Be brief."}
SHAREGPT = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "g"}]


def write(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **reading: Any) -> tuple[list[tuple[str, list[str], Any]], ImportSummary]:
    """Each record's kind, its conversations as "user: ... | assistant: ...", and the values of its judgements."""
    reader = Reader(path, Reading(**reading), Setting())
    parsed = []
    for _, record in reader.records():
        assert record.question is not None
        talks = [
            " | ".join(f"{message.role}: {message.content}" for message in item.messages)
            for item in record.items
            if isinstance(item, Dialogue)
        ]
        parsed.append((record.question.kind, talks, [dict(event.value) for event in record.judgements]))
    return parsed, reader.result


PAIR = ["user: Q? | assistant: g", "user: Q? | assistant: b"]
WITH_SYSTEM = [f"system: Be brief. | {talk}" for talk in PAIR]
PAIRS = {
    "the prompt within both conversations": ({"prompt": "Q?", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, PAIR),
    "a prompt of messages within both": ({"prompt": [ASK], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, PAIR),
    "the prompt with other white space": ({"prompt": " Q?\n", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, PAIR),
    "the prompt before": ({"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]}, PAIR),
    "no prompt": ({"chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, PAIR),
    "a question": ({"question": "Q?", "chosen": "g", "rejected": "b"}, PAIR),
    "an instruction": ({"instruction": "Q?", "chosen": "g", "rejected": "b"}, PAIR),
    "one message": ({"prompt": "Q?", "chosen": GOOD, "rejected": BAD}, PAIR),
    "a transcript": ({"prompt": "\n\nHuman: Q?\n\nAssistant:", "chosen": "g", "rejected": "b"}, PAIR),
    "a system column": ({"system": "Be brief.", "prompt": "Q?", "chosen": "g", "rejected": "b"}, WITH_SYSTEM),
    "a system message and a system column": (
        {"system": "Be brief.", "prompt": "Q?", "chosen": [SYSTEM, ASK, GOOD], "rejected": [SYSTEM, ASK, BAD]},
        WITH_SYSTEM,
    ),
    "a system message before the prompt": (
        {"prompt": [SYSTEM, ASK], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
        WITH_SYSTEM,
    ),
    "pairs of ShareGPT's": (
        {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": {"from": "gpt", "value": "b"}},
        PAIR,
    ),
    "history": (
        {"history": [["Hi", "Hello"]], "instruction": "Q?", "chosen": "g", "rejected": "b"},
        [f"user: Hi | assistant: Hello | {talk}" for talk in PAIR],
    ),
    "parts of a content": (
        {"chosen": [{"role": "user", "content": [{"type": "text", "text": "Q?"}]}, GOOD], "rejected": [ASK, BAD]},
        PAIR,
    ),
}


@pytest.mark.parametrize(("row", "talks"), PAIRS.values(), ids=PAIRS.keys())
def test_a_pair_is_its_prompt_and_two_responses(tmp_path: Path, row: dict[str, Any], talks: list[str]):
    (record,), result = read(write(tmp_path, row))
    assert (record[0], sorted(record[1])) == ("comparison", sorted(talks))
    strength = record[2][0]["strength"]
    assert record[1][0 if strength > 0 else 1].endswith("g")  # the chosen one is the better one
    assert result.problems.count == 0


def test_a_pair_that_is_told_in_two_ways_that_differ(tmp_path: Path):
    rows = [{"prompt": "P!", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}]
    rows += [{"system": "Shout.", "chosen": [SYSTEM, ASK, GOOD], "rejected": [SYSTEM, ASK, BAD]}]
    records, result = read(write(tmp_path, *rows))
    assert records == [] and result.problems.first == [
        "rows.jsonl, line 1: field 'chosen' begins with 'Q?', and the prompt is 'P!'",
        "rows.jsonl, line 2: field 'system' is another text than the system message that the conversation begins with",
    ]


DEMONSTRATION = [("demonstration", ["user: Q?"], [{"text": "g"}])]
DEMONSTRATIONS = {
    "prompt, completion": {"prompt": "Q?", "completion": "g"},
    "a completion with its prompt": {"prompt": "Q?", "completion": [ASK, GOOD]},
    "query, response": {"query": "Q?", "response": "g"},
    "Alpaca": {"instruction": "Q?", "input": "", "output": "g"},
    "UltraChat": {"prompt": "Q?", "prompt_id": "1", "messages": [ASK, GOOD]},
    "no_robots": {"prompt": "Q?", "prompt_id": "1", "messages": [ASK, GOOD], "category": "Chat"},
    "ShareGPT": {"id": "1", "conversations": SHAREGPT},
    "ShareGPT with roles": {"conversations": [ASK, GOOD]},
}


@pytest.mark.parametrize("row", DEMONSTRATIONS.values(), ids=DEMONSTRATIONS.keys())
def test_a_demonstration(tmp_path: Path, row: dict[str, Any]):
    records, result = read(write(tmp_path, row))
    assert records == DEMONSTRATION and result.problems.count == 0


def test_alpacas_input_is_what_the_instruction_is_about(tmp_path: Path):
    (record,), _ = read(write(tmp_path, {"instruction": "Translate.", "input": "Hund", "output": "dog"}))
    assert record == ("demonstration", ["user: Translate.\n\nHund"], [{"text": "dog"}])


def test_a_conversation_that_begins_with_the_assistant_is_kept(tmp_path: Path):
    talk = [{"role": "assistant", "content": "Hello."}, ASK, GOOD]
    records, result = read(write(tmp_path, {"messages": talk}))
    assert records == [("demonstration", ["assistant: Hello. | user: Q?"], [{"text": "g"}])]
    assert list(result.trace.notes.values()) == [1]


def test_turns_of_tools_and_pictures_are_counted(tmp_path: Path):
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}
    parts = {"role": "user", "content": [{"type": "text", "text": "Q?"}, {"type": "image_url", "image_url": "x"}]}
    talk = [parts, call, {"role": "tool", "content": "42"}, GOOD]
    records, result = read(write(tmp_path, {"messages": talk}))
    assert records == DEMONSTRATION
    assert result.trace.notes == {
        "a part of the type 'image_url' is left out": 1,
        "a call of a tool is left out": 1,
        "a turn of the role 'tool' is left out": 1,
    }
    assert set(result.trace.first.values()) == {"line 1"}


def test_rows_that_say_nothing_are_counted_with_their_line(tmp_path: Path):
    rows = [{"prompt": "Q?", "completion": text} for text in ("g", None, " ", "h")]
    records, result = read(write(tmp_path, *rows))
    assert len(records) == 2 and result.problems.count == 0
    assert result.problems.first_empty == {
        "field 'completion' is null": "line 2",
        "field 'completion' is an empty completion": "line 3",
    }
    with pytest.raises(PlauditError, match=r"rows\.jsonl, line 2: .*stopped here \(--strict\)"):
        read(write(tmp_path, *rows), strict=True)


def test_a_pair_that_ends_with_the_user_is_no_pair_of_responses(tmp_path: Path):
    row = {"chosen": [ASK, GOOD, ASK], "rejected": [ASK, BAD, ASK]}
    records, result = read(write(tmp_path, {"chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, row))
    assert len(records) == 1
    assert result.problems.first_empty == {
        "field 'chosen' ends with a turn of the user: there is no response to compare": "line 2"
    }


def test_rows_without_annotators_are_separate_judgements(exchange):
    """Two votes against one: the majority is not turned round, and importing again adds nothing."""
    good, bad = ({"prompt": "Q?", "chosen": a, "rejected": b} for a, b in (("g", "b"), ("b", "g")))
    path = exchange.write("votes.jsonl", bad, good, good)
    first = exchange.load(path)
    assert (first.questions, first.accepted, first.surplus, first.duplicates) == (1, 3, 0, 0)
    strengths = [judgement.value["strength"] for judgement in exchange.store.judgements()]
    assert sorted(strengths, key=strengths.count) == [strengths[0], strengths[1], strengths[1]]
    again = exchange.load(path)
    assert (again.accepted, again.surplus, again.duplicates) == (0, 0, 3)


def test_every_demonstration_is_kept_and_repeats_are_counted(exchange):
    talks = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"{n}"}]} for n in range(12)
    ]
    path = exchange.write("talks.jsonl", *talks, talks[3])
    result = exchange.load(path)
    assert (result.accepted, result.surplus, result.repeats) == (12, 0, 1)
    assert len(exchange.rows("messages")) == 12


def test_columns_are_renamed(tmp_path: Path):
    row = {"data": {"turns": ["Q?", "x"]}, "answer_a": "g", "answer_b": "b", "source": "web"}
    columns = parse_columns(["prompt=data.turns[0]", "chosen=answer_a", "rejected=answer_b"])
    (record,), result = read(write(tmp_path, row), columns=columns)
    assert sorted(record[1]) == sorted(PAIR) and result.trace.unread == ["source"]
    (line,) = describe_reading(result)
    assert line.startswith("  columns read: prompt from 'data.turns[0]', chosen from 'answer_a', rejected from")
    for bad in ("prompt", "prompt=", "=x", "prompt=a[x", "prompt=a..b"):
        with pytest.raises(PlauditError, match="must be FIELD=COLUMN"):
            parse_columns([bad])


def test_unknown_columns_are_named_with_a_way_out(tmp_path: Path):
    with pytest.raises(PlauditError, match=r"has the columns ask, reply, .*--columns prompt=ask"):
        read(write(tmp_path, {"ask": "Q?", "reply": "g"}))


def test_a_format_is_told_from_more_than_the_first_row(tmp_path: Path):
    rows = [{"prompt": "Q?", "chosen": "g"}, {"prompt": "Q?", "chosen": "g", "rejected": "b"}]
    records, result = read(write(tmp_path, *rows))
    assert result.format == "preference" and [record[0] for record in records] == ["comparison"]
    assert result.problems.first == ["rows.jsonl, line 1: field 'rejected' is missing"]


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv", "pairs.csv.gz"])
def test_tables(tmp_path: Path, name: str):
    separator = "\t" if "tsv" in name else ","
    lines = [["prompt", "chosen", "rejected", "note"], ["Q?", '"g, ""quoted""\nand long"', "b", ""], ["Q?", "g", "b"]]
    text = "\ufeff" + "\r\n".join(separator.join(line) for line in lines) + "\r\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    (record,), result = read(path)
    assert 'user: Q? | assistant: g, "quoted"\nand long' in record[1]
    assert result.problems.first == [f"{name}, line 4: has 3 cells, and the first line names 4 columns"]
    conversation = json.dumps([ASK, GOOD]).replace('"', '""')
    path = tmp_path / "talks.csv"
    path.write_text(f'id,messages\n1,"{conversation}"\n', encoding="utf-8")
    assert read(path)[0] == DEMONSTRATION


def test_splits_of_one_object_and_of_a_folder(tmp_path: Path):
    rows = {name: [{"prompt": "Q?", "completion": name}] for name in ("test", "train")}
    whole = write(tmp_path, rows, name="whole.json")
    assert read(whole)[0][0][2] == [{"text": "train"}]
    assert read(whole, split="test")[0][0][2] == [{"text": "test"}]
    with pytest.raises(PlauditError, match="has no split 'dev': choose from test, train"):
        read(whole, split="dev")
    folder = tmp_path / "set"
    folder.mkdir()
    for name, values in rows.items():
        write(folder, *values, name=f"{name}-00000.jsonl")
    records, result = read(folder)
    assert records[0][2] == [{"text": "train"}]
    assert list(result.trace.notes) == ["the split train was read, of test, train: --split chooses another"]
    assert read(folder, split="test")[0][0][2] == [{"text": "test"}]


def test_arrow_and_saved_datasets(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"prompt": ["Q?"], "completion": ["g"]})
    with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    folder = tmp_path / "saved" / "train"
    folder.mkdir(parents=True)
    with (
        pyarrow.OSFile(str(folder / "data-0.arrow"), "wb") as sink,
        pyarrow.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-0.arrow"}]}')
    (folder.parent / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for path in (tmp_path / "a.arrow", folder, folder.parent):
        assert read(path)[0] == DEMONSTRATION, path
    (folder / "state.json").write_text('{"_data_files": [{"filename": "../../a.arrow"}]}')
    with pytest.raises(PlauditError, match=r"has no \.\./\.\./a\.arrow"):
        read(folder)


def test_a_preview_stores_nothing(tmp_path: Path, capsys):
    path = write(tmp_path, *[{"question": "Q?", "answer": f"a{n}", "source": "web"} for n in range(5)])
    assert run_import(ImportArguments(path, None, preview=True)) == 0
    printed = capsys.readouterr().out
    assert printed.count("demonstration") == 3 and "      user: Q?" in printed and '{"text": "a0"}' in printed
    assert "columns read: prompt from 'question', completion from 'answer'; not read: source" in printed
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]
    assert list(preview(Reader(path)))[-1] == "nothing was stored: this is a preview of the first objects"
    with pytest.raises(ValueError, match="name a STORE"):
        ImportArguments(path, None)
