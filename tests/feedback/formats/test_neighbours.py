"""Files as other programs write them: encodings, separators, compressions, and data sets that are near to others."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats._record import Setting
from plaudit.feedback.formats.incoming import Reader, Reading
from plaudit.feedback.formats.preview import preview
from plaudit.types import Dialogue, PlauditError

pyarrow = pytest.importorskip("pyarrow")
Q, A, S = "user: Q", "assistant: A", "system: S"


def talk(item: Any) -> str:
    assert isinstance(item, Dialogue)
    return " | ".join(f"{message.role}: {message.content}" for message in item.messages)


def read(path: Path, *columns: str, form: str | None = None) -> list[tuple[str, str, Any]]:
    """Each record as its kind, its conversations (the better one first) and its value."""
    reader = Reader(
        path, Reading(form, {name: (column,) for name, column in (c.split("=") for c in columns)}), Setting()
    )
    parsed = []
    for _, record in reader.records():
        assert record.question is not None
        (judgement,) = record.judgements
        value = dict(judgement.value)
        items = [talk(item) for item in record.items]
        strength = value.get("strength")
        if strength is not None and strength < 0:
            items, strength = items[::-1], -strength
        short = strength if strength is not None else next(iter(value.values()))
        parsed.append((record.question.kind, " > ".join(items), short))
    assert reader.result.problems.count == 0, reader.result.problems.first
    return parsed


TABLE = "prompt,chosen,rejected\nQ,A,B\nP,C,D\n"
ROW = json.dumps({"prompt": "Q", "chosen": "A", "rejected": "B"}) + "\n"
ROW += json.dumps({"prompt": "P", "chosen": "C", "rejected": "D"}) + "\n"
COLUMNS = {"prompt": ["Q", "P"], "chosen": ["A", "C"], "rejected": ["B", "D"]}
PAIRS = [("comparison", f"{Q} | assistant: A > {Q} | assistant: B", 4)]
PAIRS += [("comparison", "user: P | assistant: C > user: P | assistant: D", 4)]
SAME: dict[str, bytes] = {  # files that say the same
    "bom.csv": b"\xef\xbb\xbf" + TABLE.encode(),
    "semicolon.csv": TABLE.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
    "tab.csv": TABLE.replace(",", "\t").encode(),
    "sep.csv": ("sep=;\r\n" + TABLE.replace(",", ";")).encode(),
    "utf16.csv": TABLE.encode("utf-16"),
    "unicode text.tsv": TABLE.replace(",", "\t").encode("utf-16"),
    "cr.csv": TABLE.replace("\n", "\r").encode(),
    "empty rows.csv": ("\n,,\n" + TABLE.replace("\nP", "\n,,\nP")).encode(),
    "empty columns.csv": TABLE.replace("\n", ",,\n").encode(),
    "capitals.csv": TABLE.replace("prompt,chosen", " Prompt,CHOSEN").encode(),
    "plain.csv.gz": TABLE.encode(),
    "packed.csv": gzip.compress(TABLE.encode()),
    "x.jsonl.bz2": bz2.compress(ROW.encode()),
    "x.jsonl.xz": lzma.compress(ROW.encode()),
    "x.jsonl.zst": pyarrow.compress(ROW.encode(), "zstd", asbytes=True),
    "utf16.jsonl": ROW.replace("\n", "\r\n").encode("utf-16"),
    "commas.jsonl": ROW.replace("}\n", "},\n").encode(),
    "lists.json": json.dumps(COLUMNS).encode(),
    "pandas.json": json.dumps({name: {"0": a, "1": b} for name, (a, b) in COLUMNS.items()}).encode(),
    "index.json": json.dumps({str(n): {k: v[n] for k, v in COLUMNS.items()} for n in (0, 1)}).encode(),
    "data.json": json.dumps({"version": "1", "data": [json.loads(line) for line in ROW.splitlines()]}).encode(),
}


def test_encodings_separators_and_containers(tmp_path: Path) -> None:
    failures = []
    for name, contents in SAME.items():
        (tmp_path / name).write_bytes(contents)
        try:
            if read(tmp_path / name) != PAIRS:
                failures.append(f"{name}: {read(tmp_path / name)}")
        except (PlauditError, AssertionError) as error:
            failures.append(f"{name}: {error}")
    assert not failures, "\n".join(failures)


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


PAIR = [("comparison", f"{Q} | {A} > {Q} | assistant: B", 4)]
SHOWN = [("demonstration", Q, "A")]
LAYOUTS: dict[str, tuple[dict[str, Any], list[tuple[str, str, Any]]]] = {
    "HelpSteer2 preference": (
        {"prompt": "Q", "response_1": "A", "response_2": "B", "preference_strength": -2, "split": "train"},
        [("comparison", PAIR[0][1], 2)],
    ),
    "Capybara": (
        {"conversation": [{"input": "Q", "output": "A"}, {"input": "P", "output": "C"}], "source": "x"},
        [*SHOWN, ("demonstration", f"{Q} | {A} | user: P", "C")],
    ),
    "UltraChat": ({"id": "0", "data": ["Q", "A"]}, SHOWN),
    "LIMA": ({"conversations": ["Q", "A"], "source": "x"}, SHOWN),
    "Dolly": (
        {"instruction": "Q", "context": "About Y.", "response": "A", "category": "closed_qa"},
        [("demonstration", f"{Q}\n\nAbout Y.", "A")],
    ),
    "OpenOrca": ({"system_prompt": "S", "question": "Q", "response": "A"}, [("demonstration", f"{S} | {Q}", "A")]),
    "Aya, FLAN": ({"inputs": "Q", "targets": "A", "language": "Finnish"}, SHOWN),
    "helpful instructions": ({"instruction": "Q", "demonstration": "A"}, SHOWN),
    "UltraInteract": (
        {
            "trajectory": [
                {"from": "user", "value": "Q"},
                {"from": "assistant", "value": "0"},
                {"from": "user", "value": "P"},
            ],
            "chosen": "A",
            "rejected": "B",
        },
        [("comparison", f"{Q} | assistant: 0 | user: P | {A} > {Q} | assistant: 0 | user: P | assistant: B", 4)],
    ),
    "OpenAI's preferences": (
        {
            "input": {"messages": [turn("user", "Q")], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [turn("assistant", "A")],
            "non_preferred_output": [turn("assistant", "B")],
        },
        PAIR,
    ),
    "RewardBench 2": (
        {"prompt": "Q", "chosen": ["A"], "rejected": ["B", "C"], "num_correct": 1},
        [*PAIR, ("comparison", f"{Q} | {A} > {Q} | assistant: C", 4)],
    ),
    "orca_dpo_pairs": ({"system": "", "question": "Q", "chosen": "A", "rejected": "B"}, PAIR),
    "KTO-mix": (
        {"prompt": [turn("user", "Q")], "completion": [turn("assistant", "A")], "rating": 4.0, "label": False},
        [("thumbs", f"{Q} | {A}", "down")],
    ),
    "distilabel": (
        {"instruction": "Q", "generations": ["B", "A"], "generation_models": ["m", "n"], "ratings": [2.0, "4"]},
        [("ranking", f"{Q} | assistant: B > {Q} | {A}", [2, 1])],
    ),
    "Stack Exchange": (
        {"qid": 1, "question": "Q", "answers": [{"text": "A", "pm_score": 3}, {"text": "B", "pm_score": 1}]},
        [("ranking", PAIR[0][1], [1, 2])],
    ),
    "ranks": (
        {"prompt": "Q", "responses": [{"text": "A", "rank": 1}, {"text": "B", "rank": 2}]},
        [("ranking", PAIR[0][1], [1, 2])],
    ),
    "a rating as text": ({"prompt": "Q", "response": "A", "rating": "4/5"}, [("rating", f"{Q} | {A}", {"rating": 4})]),
    "a rating with a fraction": (
        {"prompt": "Q", "response": "A", "score": 3.5},
        [("rating", f"{Q} | {A}", {"score in tenths": 35})],
    ),
    "capitals": ({"Question": "Q", "Answer": "A"}, SHOWN),
    "a capital beside small letters": ({"Prompt": "Q", "chosen": "A", "rejected": "B"}, PAIR),
    "words in one": ({"userPrompt": "Q", "Chosen Response": "A", "rejectedResponse": "B"}, PAIR),
    "a verdict with a capital": (
        {"prompt": "Q", "completion": "A", "Label": False},
        [("thumbs", f"{Q} | {A}", "down")],
    ),
    "Orca pairs of Argilla": (
        {
            "input": "Q",
            "chosen": "A",
            "rejected": "B",
            "generations": ["A", "B"],
            "rating": "[9.0, 7.0]",
            "status": "x",
        },
        PAIR,
    ),
    "Orca pairs that are a tie": (
        {"input": "Q", "chosen": "A", "rejected": "B", "generations": ["A", "B"], "rating": [9, 9], "status": "tie"},
        [("comparison", f"{Q} | assistant: B > {Q} | {A}", 0)],
    ),
    "OpenRLHF's context_messages": ({"context_messages": [turn("user", "Q")], "chosen": "A", "rejected": "B"}, PAIR),
    "LLaMA-Factory's older pairs": ({"instruction": "Q", "input": "", "output": ["A", "B"]}, PAIR),
    "Stack Exchange in pairs": ({"qid": 1, "question": "Q", "response_j": "A", "response_k": "B"}, PAIR),
    "Self-Instruct": (
        {"instruction": "Q", "instances": [{"input": "I", "output": "A"}, {"input": "", "output": "C"}]},
        [("demonstration", f"{Q}\n\nI", "A"), ("demonstration", Q, "C")],
    ),
    "Gemini": (
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "S"}]},
            "contents": [{"role": "user", "parts": [{"text": "Q"}]}, {"role": "model", "parts": [{"text": "A"}]}],
        },
        [("demonstration", f"{S} | {Q}", "A")],
    ),
    "Bedrock": (
        {"system": [{"text": "S"}], "messages": [turn("user", [{"text": "Q"}]), turn("assistant", [{"text": "A"}])]},
        [("demonstration", f"{S} | {Q}", "A")],
    ),
    "a solution beside the right answer": (
        {"problem": "Q", "answer": "42", "generation": "A", "correct": False},
        [("thumbs", f"{Q} | {A}", "down")],
    ),
    "steps without a label": (
        {"prompt": "Q", "completions": ["a", "b"], "labels": [False, None]},
        [("spans", f"{Q} | assistant: a\nb", [{"start": 0, "end": 1, "category": "incorrect", "note": ""}])],
    ),
    "Argilla's yes or no": (
        {"fields": {"prompt": "Q", "response": "A"}, "responses": {"is_good": [{"value": "no", "user_id": "u"}]}},
        [("thumbs", f"{Q} | {A}", "down")],
    ),
    "Argilla's ranking as a list": (
        {
            "fields": {"prompt": "Q", "response_1": "B", "response_2": "A"},
            "responses": {"order": [{"value": ["response_2", "response_1"], "user_id": "u"}]},
        },
        [("ranking", f"{Q} | assistant: B > {Q} | {A}", [2, 1])],
    ),
    "Argilla's chat": (
        {
            "fields": {"chat": [turn("user", "Q"), turn("assistant", "A")]},
            "responses": {"good": [{"value": "yes", "user_id": "u"}]},
        },
        [("thumbs", f"{Q} | {A}", "up")],
    ),
    "OpenAI's tools": (
        {
            "messages": [
                turn("user", "Q"),
                {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
                {"role": "tool", "tool_call_id": "c", "content": "3"},
                turn("assistant", "A"),
            ],
            "tools": [{"type": "function"}],
        },
        SHOWN,
    ),
}


def test_layouts_of_public_data_sets(tmp_path: Path) -> None:
    failures = []
    for name, (row, records) in LAYOUTS.items():
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n")
        try:
            parsed = read(path)
        except (PlauditError, AssertionError) as error:
            failures.append(f"{name}: {error}")
            continue
        if parsed != records:
            failures.append(f"{name}: {parsed}")
    assert not failures, "\n".join(failures)


def test_what_is_refused_has_a_way_out_that_works(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for row, words, columns, form, records in (
        (
            {"utterance": "x", "asked": "Q", "said": "A"},
            "such as --columns prompt=asked",
            ["prompt=asked", "completion=said"],
            None,
            SHOWN,
        ),
        (
            {"prompt": "Q", "response_a": "A", "response_b": "B", "preference": -4},
            "--columns preference_strength=preference",
            ["preference_strength=preference"],
            None,
            PAIR,
        ),
        (
            {"messages": [turn("user", "Q"), turn("assistant", "0")], "chosen": "A", "rejected": "B", "q": "Q"},
            "is no prompt: name one by --columns",
            ["prompt=q"],
            None,
            PAIR,
        ),
        *(
            (
                {column: prompt, "chosen": "A", "rejected": "B", "chosen_model": "m"},
                f"'{column}' looks like the prompt, which the two responses do not hold: --columns prompt={column}",
                [f"prompt={column}"],
                None,
                PAIR,
            )
            for column, prompt in (("context", "Q"), ("user_message", "Q"), ("conv_prefix", [turn("user", "Q")]))
        ),
    ):
        path.write_text(json.dumps(row) + "\n")
        with pytest.raises(PlauditError) as refused:
            list(preview(Reader(path)))
        assert words in str(refused.value) and "\n" not in str(refused.value)
        assert read(path, *columns, form=form) == records
    for contents, words in (
        (b"<!DOCTYPE html>", "it is a web page"),
        (b"version https://git-lfs.github.com", "git lfs pull"),
        (TABLE.encode(), "a table must have a name that ends in .csv or .tsv"),
    ):
        path.write_bytes(contents)
        with pytest.raises(PlauditError, match=words):
            Reader(path)
    (tmp_path / "rows.csv").write_text(ROW)
    with pytest.raises(PlauditError, match=r"holds JSON and no table: end its name in \.jsonl"):
        Reader(tmp_path / "rows.csv")
