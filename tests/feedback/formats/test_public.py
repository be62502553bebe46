"""Public data sets that are only read: what each column of theirs becomes. The files in ``golden`` are made up."""

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats import Setting, recognise
from plaudit.feedback.formats.incoming import Reader, Reading
from plaudit.types import Dialogue, Item

GOLDEN = Path(__file__).parent / "golden"
Read = tuple[str, list[str], Any]


def talk(item: Item) -> str:
    assert isinstance(item, Dialogue)
    return " | ".join(f"{message.role}: {message.content}" for message in item.messages)


def read(path: Path, form: str | None = None) -> tuple[list[Read], Reader]:
    """Each record's kind, its conversations and the value of its judgement."""
    reader = Reader(path, Reading(form), Setting())
    parsed = []
    for _, record in reader.records():
        assert record.question is not None
        (event,) = record.judgements
        parsed.append((record.question.kind, [talk(item) for item in record.items], dict(event.value)))
    return parsed, reader


def read_rows(folder: Path, *rows: Any, form: str | None = None) -> tuple[list[Read], Reader]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read(path, form)


COMPARISONS = {
    "alpaca-eval.json": [4, -3, 0, 0],
    "shp.jsonl": [4, -4],
    "webgpt.jsonl": [3, -1, 0],
    "arena-csv.csv": [4, -4, 0],
    "pairwise.csv": [4, -4, 0],
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_strengths(name: str):
    """The first response of a row is the first item, and a positive strength prefers it."""
    records, reader = read(GOLDEN / name)
    assert [(kind, value["strength"]) for kind, _, value in records] == [
        ("comparison", strength) for strength in COMPARISONS[name]
    ]
    assert reader.result.problems.count == 0


def test_alpaca_eval():
    records = list(Reader(GOLDEN / "alpaca-eval.json").records())
    assert [record.judgements[0].annotator for _, record in records] == [
        "judge-a",
        "judge-b",
        "alpaca-eval/4",
        "judge-a",
    ]
    first, third = records[0][1].items, records[2][1].items
    assert [item.model for item in first if isinstance(item, Dialogue)] == ["model-one", "model-two"]
    assert talk(third[0]) == "user: Translate.\n\nHund | assistant: dog"


def test_alpaca_eval_without_a_preference(tmp_path: Path):
    row = {"instruction": "Q?", "output_1": "a", "output_2": "b"}
    records, reader = read_rows(
        tmp_path, {**row, "preference": 2}, {**row, "preference": None}, {**row, "preference": 3}
    )
    assert [value for _, _, value in records] == [{"strength": -4}]
    assert reader.result.problems.first_empty == {"field 'preference' is null": "line 2"}
    assert reader.result.problems.first == [
        "rows.jsonl, line 3: field 'preference' must be 1 to 2, or 0 for a tie, got 3"
    ]


def test_arena_tables(tmp_path: Path):
    records, _ = read(GOLDEN / "arena-csv.csv")
    assert records[0][1] == [
        "user: Name a lake. | assistant: Bled. | user: Another? | assistant: Bohinj.",
        "user: Name a lake. | assistant: The moon. | user: Another? | assistant: ",  # null: it wrote nothing
    ]
    row = {"prompt": "Q?", "response_a": "a", "response_b": "b", "winner": "model_b"}  # of the other competition
    records, reader = read_rows(tmp_path, row, {**row, "response_b": '["b", "c"]'})
    assert records == [("comparison", ["user: Q? | assistant: a", "user: Q? | assistant: b"], {"strength": -4})]
    assert reader.result.problems.first == ["rows.jsonl, line 2: field 'response_b' has 2 turns, and the prompt has 1"]


def test_mt_bench(tmp_path: Path):
    """A judgement of the first turn is about the first turn alone; a judge may be a list; ties have kinds."""
    turns = [{"role": role, "content": text} for role, text in (("user", "1?"), ("assistant", "x"), ("user", "2?"))]
    sides = {f"conversation_{side}": [*turns, {"role": "assistant", "content": side}] for side in "ab"}
    sides["conversation_b"][1] = {"role": "assistant", "content": "y"}
    row = {"question_id": 81, "model_a": "m", "model_b": "n", **sides}
    rows = [{**row, "winner": "model_b", "judge": "expert_0", "turn": 1}]
    rows += [{**row, "winner": "tie (inconsistent)", "judge": ["gpt-4", "pair-v2"], "turn": 2}]
    (first, second), reader = read_rows(tmp_path, *rows)
    assert reader.form.name == "chatbot-arena"
    assert first[1:] == (["user: 1? | assistant: x", "user: 1? | assistant: y"], {"strength": -4})
    assert second[1:] == (
        ["user: 1? | assistant: x | user: 2? | assistant: a", "user: 1? | assistant: y | user: 2? | assistant: b"],
        {"strength": 0},
    )
    events = [record.judgements[0] for _, record in Reader(tmp_path / "rows.jsonl").records()]
    assert [(event.annotator, event.rationale) for event in events] == [
        ("expert_0", None),
        ("gpt-4/pair-v2", "inconsistent"),
    ]


def test_two_responses_and_a_preference(tmp_path: Path):
    numbered = {"prompt": "Q?", "response_0": "a", "response_1": "b"}
    rows = [{**numbered, "better_response_id": side} for side in (0, 1, True)]
    records, reader = read_rows(tmp_path, *rows)
    assert reader.form.name == "pairwise" and [value["strength"] for _, _, value in records] == [4, -4]
    assert reader.result.problems.first == [
        "rows.jsonl, line 3: field 'better_response_id' must be response_0, response_1, 0, 1 or tie, got True"
    ]
    records, reader = read_rows(tmp_path, {"prompt": "Q?", "response_a": "a", "response_b": "b", "winner": "B"})
    assert reader.form.name == "pairwise" and records[0][2] == {"strength": -4}
    lettered = {"question": "Q?", "answer_a": "a", "answer_b": "b"}
    records, reader = read_rows(tmp_path, *[{**lettered, "winner": winner} for winner in ("model_b", "A", 1)])
    assert [value["strength"] for _, _, value in records] == [-4, 4]  # which side a 1 is, the file does not say
    assert reader.result.problems.count == 1


def test_a_pair_that_is_a_tie(tmp_path: Path):
    rows = [{"prompt": "Q?", "chosen": "a", "rejected": "b", "tie": tie} for tie in (True, False)]
    records, _ = read_rows(tmp_path, *rows)
    assert [abs(value["strength"]) for _, _, value in records] == [0, 4]


def test_nectar():
    first, second = read(GOLDEN / "nectar.jsonl")[0]
    assert first[1][2] == "user: Name a lake. | assistant: The moon." and first[2]["ranks"] == [1, 2, 3]
    assert second[1][0] == "user: Hello | assistant: Hi 👋 | user: Name a river. | assistant: Rain."
    assert second[2]["ranks"] == [2, 1]


def test_prm800k(tmp_path: Path):
    (first, second), reader = read(GOLDEN / "prm800k.jsonl")
    assert first[1] == ["user: What is 2 + 3 + 4? | assistant: First 2 + 3.\nThat is 6."]
    assert [(span["start"], span["end"], span["category"]) for span in first[2]["spans"]] == [
        (0, 12, "neutral"),
        (13, 23, "incorrect"),
    ]
    assert second[1] == ["user: What is 1 + 1? | assistant: One and one\nmake two. ✔\n# Answer\n\n2"]
    assert [span["category"] for span in second[2]["spans"]] == ["correct", "correct"]  # the third step is not rated
    assert list(reader.result.trace.notes.values()) == [3]  # ratings of alternatives
    (_, record), _ = Reader(GOLDEN / "prm800k.jsonl").records()
    event = record.judgements[0]
    assert event.annotator == "l-1" and (event.shown_at, event.submitted_at) == (1674362065.052924, 1674362067.052924)
    unfinished = {"question": {"problem": "?"}, "label": {"steps": [], "finish_reason": "give_up"}}
    records, reader = read_rows(tmp_path, unfinished)
    assert records == [] and list(reader.result.problems.empty) == ["the labeler did not finish it: give_up"]


def test_prodigy():
    (first, second), reader = read(GOLDEN / "prodigy.jsonl")
    assert first[1] == ["user: Name a lake. | assistant: The moon.", "user: Name a lake. | assistant: Bled."]
    assert first[2] == {"strength": -4} and second[2]["ranks"] == [1, 2, 1]
    assert list(reader.result.problems.empty) == ["the annotator's answer is 'ignore'"]


def test_math_shepherd(tmp_path: Path):
    (record,), _ = read(GOLDEN / "math-shepherd.jsonl")
    steps = ["Step 1: 3 times 2 is 6.", "Step 2: 2 + 6 is 9. The answer is: 9"]
    assert record[1] == ["user: What is 2 + 3 times 2? | assistant: " + "\n".join(steps)]
    assert [(span["start"], span["category"]) for span in record[2]["spans"]] == [(0, "correct"), (24, "incorrect")]
    row = {"input": "Q? Step 1: a \u043a\u0438", "label": "Q? Step 1: b +", "task": "MATH"}
    assert read_rows(tmp_path, row)[1].result.problems.first == [
        "rows.jsonl, line 1: field 'label' must repeat step 1 of 'input', with + or - behind it"
    ]


def test_stepwise():
    first, second = read(GOLDEN / "stepwise.jsonl")[0]
    assert first == (*read(GOLDEN / "prm800k.jsonl")[0][0][:2], first[2])
    assert [span["category"] for span in first[2]["spans"]] == ["correct", "incorrect"]
    assert [span["category"] for span in second[2]["spans"]] == ["correct", "correct"]


def test_openassistants_messages(tmp_path: Path):
    records, reader = read(GOLDEN / "openassistant-messages.jsonl")
    ask = "user: How do I boil an egg? 🥚"
    assert records == [
        ("rating", [ask], {"ratings": {"spam": 0, "quality": 100}}),
        (
            "ranking",
            [f"{ask} | assistant: Seven minutes.", f"{ask} | assistant: Eggs are animals."],
            {"ranks": [2, 1], "ratings": [None, None], "flags": [[], []], "ideal": ""},
        ),
        ("demonstration", ["user: And a leek?"], {"text": "Ten."}),
    ]
    assert reader.result.read == 6
    assert reader.result.trace.notes == {"a deleted message is left out, with the replies to it": 1}
    rows = [json.loads(line) for line in (GOLDEN / "openassistant-messages.jsonl").read_text("utf-8").split("\n")[:6]]
    as_objects = [{"name": "spam", "value": 0.0, "count": 3}, {"name": "quality", "value": 1.0, "count": 3}]
    assert read_rows(tmp_path, {**rows[0], "labels": as_objects}, *rows[1:])[0] == records
    rows[2], rows[5] = rows[5], rows[2]  # no longer together
    _, reader = read_rows(tmp_path, *rows)
    assert reader.result.problems.first[:1] == [
        "rows.jsonl, line 3: field 'messages[0].parent_id' 't2' is not in its tree: sort the file by message_tree_id"
    ]


def test_texts():
    (first, second, third, fourth), reader = read(GOLDEN / "text.jsonl")
    assert first == ("demonstration", ["user: Name a lake."], {"text": "Bled."})
    assert second == (
        "demonstration",
        ["user: Name a lake. | assistant: Bled. | user: Another?"],
        {"text": "Bohinj. 🏞"},
    )
    assert third == ("demonstration", ["system: Be brief. | user: Name a river."], {"text": "Sava."})
    assert fourth == ("demonstration", ["user: "], {"text": "A lake lies between two hills."})
    assert list(reader.result.trace.notes.values()) == [1]  # of them without turns


MARKED = {
    "Llama 2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nQ? [/INST] g </s><s>[INST] More? [/INST] h </s>",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nQ?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\ng<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nMore?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nh<|eot_id|>",
    "Zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nQ?</s>\n<|assistant|>\ng</s>\n"
    "<|user|>\nMore?</s>\n<|assistant|>\nh</s>",
    "Vicuna": "Be brief. USER: Q? ASSISTANT: g</s>USER: More? ASSISTANT: h</s>",
    "Guanaco": "### System: Be brief.\n### Human: Q?\n### Assistant: g\n### Human: More?\n### Assistant: h",
    "a transcript": "Be brief.\n\nHuman: Q?\n\nAssistant: g\n\nHuman: More?\n\nAssistant: h",
}


@pytest.mark.parametrize("text", MARKED.values(), ids=MARKED.keys())
def test_marks_of_templates(tmp_path: Path, text: str):
    records, _ = read_rows(tmp_path, {"text": text})
    assert records == [
        ("demonstration", ["system: Be brief. | user: Q?"], {"text": "g"}),
        ("demonstration", ["system: Be brief. | user: Q? | assistant: g | user: More?"], {"text": "h"}),
    ]


def test_gemma_and_alpaca(tmp_path: Path):
    gemma = "<bos><start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\ng<end_of_turn>"
    alpaca = "### Instruction:\nTranslate.\n\n### Input:\nHund\n\n### Response:\ndog"
    records, _ = read_rows(tmp_path, {"text": gemma}, {"text": alpaca})
    assert records == [
        ("demonstration", ["user: Q?"], {"text": "g"}),
        ("demonstration", ["user: Translate.\n\nHund"], {"text": "dog"}),
    ]


EXCHANGE = {"prompt": "Q?", "completion": "g"}
TALK = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "g"}]
VERDICTS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "KTO": ([{**EXCHANGE, "label": label} for label in (True, False)], ["up", "down"]),
    "a label of 0 and 1": ([{**EXCHANGE, "label": label} for label in (0, 1)], ["down", "up"]),
    "conversations": ([{"messages": TALK, "label": label} for label in (True, False)], ["up", "down"]),
    "LLaMA-Factory": ([{"instruction": "Q?", "input": "", "output": "g", "kto_tag": False}], ["down"]),
    "a rating": ([{**EXCHANGE, "rating": word} for word in ("like", "dislike")], ["up", "down"]),
    "feedback": (
        [{**EXCHANGE, "feedback": word} for word in ("thumbs_up", "Thumbs Down", "👎🏽")],
        ["up", "down", "down"],
    ),
    "votes": ([{**EXCHANGE, "vote": vote} for vote in (1, 1, -1, 0)], ["up", "up", "down"]),
    "votes as text": ([{"messages": TALK, "rating": vote} for vote in ("1", "-1")], ["up", "down"]),
    "an unknown name": ([{"messages": TALK, "opinion_of_user": "dislike"}], ["down"]),
    "a reversed name": ([{**EXCHANGE, "is_bad": flag} for flag in (True, False)], ["down", "up"]),
    "a name of two words": ([{"messages": TALK, "user_feedback": word} for word in ("good", "bad")], ["up", "down"]),
    "a name in camel case": ([{**EXCHANGE, "isPreferred": False}], ["down"]),
    "a negated name": ([{**EXCHANGE, "not_liked": flag} for flag in (True, False)], ["down", "up"]),
    "within an object": ([{**EXCHANGE, "feedback": {"rating": "dislike", "comment": "No."}}], ["down"]),
    "helpful": ([{**EXCHANGE, "is_helpful": word} for word in ("no", "yes")], ["down", "up"]),
    "passed": ([{**EXCHANGE, "passed": flag} for flag in (False, True)], ["down", "up"]),
    "a status": ([{**EXCHANGE, "status": word} for word in ("accepted", "rejected", "pending")], ["up", "down"]),
    "a class": ([{**EXCHANGE, "class": word} for word in ("undesirable", "desirable")], ["down", "up"]),
    "a quality": ([{**EXCHANGE, "quality": word} for word in ("Good", "Bad")], ["up", "down"]),
    "Prodigy's decisions": ([{**EXCHANGE, "answer": word} for word in ("reject", "accept")], ["down", "up"]),
    "some rows alone": ([EXCHANGE, {**EXCHANGE, "thumb": "down"}], ["down"]),
    "not in the first row": ([{**EXCHANGE, "label": None}, {**EXCHANGE, "label": False}], ["down"]),
}


@pytest.mark.parametrize(("rows", "thumbs"), VERDICTS.values(), ids=VERDICTS.keys())
def test_a_column_that_calls_responses_bad_is_no_other_column(tmp_path: Path, rows: list[Any], thumbs: list[str]):
    records, reader = read_rows(tmp_path, *rows)
    assert reader.form.name == "kto" and reader.result.problems.count == 0
    assert [(kind, talks, value["thumb"]) for kind, talks, value in records] == [
        ("thumbs", ["user: Q? | assistant: g"], thumb) for thumb in thumbs
    ]
    assert len(records) + reader.result.problems.empty.total() == len(rows)


def test_what_is_called_bad_is_never_imitated(tmp_path: Path):
    """Also where only a later row says so, where a format is forced, and where a turn says so of itself."""
    rows = [{"messages": TALK, "verdict": None}] * 100 + [{"messages": TALK, "verdict": "bad"}]
    records, reader = read_rows(tmp_path, *rows)
    assert reader.form.name == "messages" and len(records) == 1 and reader.result.repeats == 99
    ((reason, line),) = reader.result.problems.first_empty.items()
    assert reason.startswith("field 'verdict' calls the response bad: it is not imitated") and line == "line 101"
    for form, row in (("messages", {"messages": TALK}), ("prompt-completion", EXCHANGE), ("text", {"text": "g"})):
        assert read_rows(tmp_path, {**row, "label": False}, form=form)[0] == []
    assert read_rows(tmp_path, {"messages": TALK, "metadata": {"score": 0}})[1].form.name == "messages"
    for column in ("has_feedback", "label_id", "correct_answer", "pass_rate"):
        assert read_rows(tmp_path, {**EXCHANGE, column: False})[1].form.name == "prompt-completion"
    for field in ({"weight": 0}, {"train": False}, {"feedback": "thumbs_down"}):
        turns = [*TALK[:1], {**TALK[1], **field}, {"role": "user", "content": "More?"}, {**TALK[1], "content": "h"}]
        records, reader = read_rows(tmp_path, {"messages": turns})
        assert [value for _, _, value in records] == [{"text": "h"}]
        assert list(reader.result.trace.notes.values()) == [1]


def test_what_is_called_unsafe_is_not_imitated(tmp_path: Path):
    """Such marks stand in collections of chats, which hold demonstrations."""
    rows = [{"conversation": TALK, "toxic": toxic, "redacted": False} for toxic in (False, True)]
    records, reader = read_rows(tmp_path, *rows)
    assert [kind for kind, _, _ in records] == ["demonstration"] and reader.result.problems.empty.total() == 1
    rows = [{"prompt": "Q?", "response": "g", "is_safe": safe} for safe in (True, False)]
    assert [value for _, _, value in read_rows(tmp_path, *rows)[0]] == [{"text": "g"}]
    assert [value["thumb"] for _, _, value in read_rows(tmp_path, *rows, form="kto")[0]] == ["up", "down"]


def test_labels_that_contradict_or_say_nothing_else(tmp_path: Path):
    rows = [{**EXCHANGE, "label": value} for value in (True, 5)] + [{**EXCHANGE, "liked": True, "disliked": True}]
    records, reader = read_rows(tmp_path, *rows, form="kto")
    assert len(records) == 1 and reader.result.problems.first == [
        "rows.jsonl, line 2: field 'label' must be true or false, 1 or -1, or a thumb up or down, got 5",
        "rows.jsonl, line 3: field 'liked' contradicts 'disliked': "
        "name the one in which true is good: --columns label=...",
    ]
    reader = Reader(tmp_path / "rows.jsonl", Reading("kto", columns={"label": ("liked",)}))
    assert [record.judgements[0].value["thumb"] for _, record in reader.records()] == ["up"]  # the advice, followed
    assert recognise({**EXCHANGE, "rating": 4}, "stars.jsonl").name == "rated"  # whether 4 is good depends on the scale


PROMPT = "Write a sentence about lakes."


def test_pairs_of_texts_that_hold_their_prompt(tmp_path: Path):
    """Not where a short prompt may begin a response by chance, nor where one of the two does not begin with it."""
    row = {"prompt": PROMPT, "chosen": f"{PROMPT}\nBled is one.", "rejected": f"{PROMPT} No."}
    short = {"prompt": "Hi", "chosen": "Hi there", "rejected": "Hi!"}
    marked = {"chosen": "<|user|>\nQ?</s>\n<|assistant|>\ng</s>", "rejected": "<|user|>\nQ?</s>\n<|assistant|>\nb</s>"}
    transcript = {
        "prompt": "Q?",
        "chosen": "\n\nHuman: Q?\n\nAssistant: g",
        "rejected": "\n\nHuman: Q?\n\nAssistant: b",
    }
    records, _ = read_rows(tmp_path, row, short, {**row, "rejected": "No."}, {"prompt": None, **marked}, transcript)
    assert [sorted(talks) for _, talks, _ in records] == [
        [f"user: {PROMPT} | assistant: Bled is one.", f"user: {PROMPT} | assistant: No."],
        ["user: Hi | assistant: Hi there", "user: Hi | assistant: Hi!"],
        [f"user: {PROMPT} | assistant: No.", f"user: {PROMPT} | assistant: {PROMPT}\nBled is one."],
        ["user: Q? | assistant: b", "user: Q? | assistant: g"],
        ["user: Q? | assistant: b", "user: Q? | assistant: g"],
    ]


def test_every_completion_of_a_prompt_is_exported(exchange):
    """Also where two people wrote the same, and where one conversation continues another."""
    rows = [{"prompt": "Q?", "completion": text} for text in ("a", "ab", "abc")]
    exchange.load(exchange.write("three.jsonl", *rows))
    assert [row["messages"][-1]["content"] for row in exchange.rows("messages")] == ["a", "ab", "abc"]
    exchange.load(exchange.write("same.jsonl", rows[2]), annotator="another person")
    assert [row["messages"][-1]["content"] for row in exchange.rows("messages")] == ["a", "ab", "abc", "abc"]
