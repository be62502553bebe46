"""What a row says about its responses, whatever its columns are called: what is bad is not imitated, what won wins."""

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.formats import Setting
from plaudit.feedback.formats.incoming import Reader, Reading
from plaudit.types import Dialogue, PlauditError

ASK = {"role": "user", "content": "Q?"}
GOOD, BAD = {"role": "assistant", "content": "g"}, {"role": "assistant", "content": "b"}
EXCHANGES = [{"prompt": "Q?", "response": "b"}, {"prompt": "Q?", "response": "g"}]
TALKS = [{"messages": [ASK, BAD]}, {"messages": [ASK, GOOD]}]
SIDES = {"prompt": "Q?", "response_a": "a", "response_b": "b"}


def read(folder: Path, *rows: Any, **reading: Any) -> list[tuple[str, list[str], Any]]:
    """Each record's kind, its conversations as "Q? | g", and the values of its first judgement."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reader = Reader(path, Reading(**reading), Setting())
    parsed = []
    for _, record in reader.records():
        assert record.question is not None
        talks = [
            " | ".join(message.content for message in item.messages)
            for item in record.items
            if isinstance(item, Dialogue)
        ]
        parsed.append((record.question.kind, talks, dict(record.judgements[0].value)))
    assert reader.result.problems.count == 0, reader.result.problems.first
    return parsed


RATINGS = {  # of the bad and of the good one, and what is stored
    "a score": ({"score": 1}, {"score": 4}, {"score": 1}),
    "a rating of 1 to 5": ({"rating": 1}, {"rating": 5}, {"rating": 1}),
    "a reward below 0": ({"reward": -2.5}, {"reward": 1.5}, {"reward in tenths": -25}),
    "a judge's score": ({"judge_score": "2/10"}, {"judge_score": "9/10"}, {"judge_score": 2}),
    "stars": ({"stars": "★☆☆☆☆"}, {"stars": "★★★★★"}, {"stars": 1}),
    "a grade": ({"grade": "F"}, {"grade": "A"}, {"grade": 0}),
    "one attribute": ({"helpfulness": 1}, {"helpfulness": 4}, {"helpfulness": 1}),
    "more is worse": ({"harmfulness": 5}, {"harmfulness": 1}, {"harmfulness reversed": 0}),
    "an object": ({"ratings": {"help": 1, "style": 2}}, {"ratings": {"help": 5, "style": 4}}, {"help": 1, "style": 2}),
    "an object of another name": ({"metadata": {"rating": 2}}, {"metadata": {"rating": 4}}, {"rating": 2}),
    "annotations": ({"annotations": {"quality": 2}}, {"annotations": {"quality": 4}}, {"quality": 2}),
    "names and values": (
        {"scores": [{"name": "user", "value": 2}]},
        {"scores": [{"name": "user", "value": 5}]},
        {"user": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "good", "stored"), RATINGS.values(), ids=RATINGS.keys())
def test_a_rated_response_is_rated_and_not_imitated(tmp_path: Path, bad: Any, good: Any, stored: Any):
    for rows in (EXCHANGES, TALKS):
        records = read(tmp_path, {**rows[0], **bad}, {**rows[1], **good})
        assert [(kind, talks) for kind, talks, _ in records] == [("rating", ["Q? | b"]), ("rating", ["Q? | g"])]
        assert records[0][2] == {"ratings": stored}


def test_ratings_of_turns_of_texts_and_of_what_is_no_response(tmp_path: Path):
    turns = [ASK, {**BAD, "rating": 1}, {"role": "user", "content": "Again?"}, {**GOOD, "rating": 5}]
    assert read(tmp_path, {"messages": turns}) == [
        ("rating", ["Q? | b"], {"ratings": {"rating": 1}}),
        ("rating", ["Q? | b | Again? | g"], {"ratings": {"rating": 5}}),
    ]
    text = "<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nb<|im_end|>"
    assert read(tmp_path, {"text": text, "score": 2})[0][:2] == ("rating", ["Q? | b"])
    for column in ("prompt_score", "input_quality", "difficulty_rating", "language_score", "score_id"):
        assert read(tmp_path, {**TALKS[1], column: 3}) == [("demonstration", ["Q?"], {"text": "g"})]
    assert read(tmp_path, {**TALKS[1], "score": 3}, format="messages")[0][0] == "demonstration"


WORDS = {
    "a label of the response": ({"response_label": "unsafe"}, {"response_label": "safe"}),
    "its harm": ({"response_harm_label": "harmful"}, {"response_harm_label": "unharmful"}),
    "a flag": ({"flagged": True}, {"flagged": False}),
    "more of it is bad": ({"toxicity": 1}, {"toxicity": 0}),
    "its quality": ({"quality": "poor"}, {"quality": "excellent"}),
    "a verdict": ({"verdict": "unacceptable"}, {"verdict": "acceptable"}),
    "hallucinated": ({"label": "hallucinated"}, {"label": "faithful"}),
}


@pytest.mark.parametrize(("bad", "good"), WORDS.values(), ids=WORDS.keys())
def test_a_word_that_calls_a_response_bad(tmp_path: Path, bad: Any, good: Any):
    records = read(tmp_path, {**EXCHANGES[0], **bad}, {**EXCHANGES[1], **good})
    imitated = [value["text"] for kind, _, value in records if kind == "demonstration"]
    thumbs = {talks[0]: value["thumb"] for kind, talks, value in records if kind == "thumbs"}
    assert imitated == ["g"] or thumbs == {"Q? | b": "down", "Q? | g": "up"}


def test_a_harmful_prompt_is_no_bad_response(tmp_path: Path):
    records = read(tmp_path, {**EXCHANGES[1], "prompt_label": "unsafe", "is_prompt_safe": False})
    assert records == [("demonstration", ["Q?"], {"text": "g"})]


NAMES = [
    ("accepted", "rejected"),
    ("better", "worse"),
    ("win", "lose"),
    ("good_response", "bad_response"),
    ("correct_answer", "incorrect_answers"),
    ("right_answer", "hallucinated_answer"),
    ("safe_response", "unsafe_response"),
]


@pytest.mark.parametrize("names", NAMES, ids="/".join)
def test_a_pair_under_other_names(tmp_path: Path, names: tuple[str, str]):
    bad = ["b"] if names[1].endswith("s") else "b"
    ((kind, talks, value),) = read(tmp_path, {"question": "Q?", names[0]: "g", names[1]: bad})
    assert kind == "comparison" and talks[0 if value["strength"] > 0 else 1] == "Q? | g"


VERDICTS = {
    "B>A": -4, "A>>B": 4, "A=B": 0, "B<A": 4, "[[B]]": -4, "[[A>B]]": 4, "Response B is better": -4,
    "A is slightly better": 1, "B-is-much-better": -4, "About the same": 0, "model_b": -4, "a": 4,
}  # fmt: skip


def test_a_preference_in_words(tmp_path: Path):
    for words, strength in VERDICTS.items():
        assert read(tmp_path, {**SIDES, "label": words})[0][2]["strength"] == strength, words
    for scores, strength in (((1, 5), -4), ((2.5, 2), 4), ((3, 3), 0)):
        row = {**SIDES, "score_a": scores[0], "score_b": scores[1]}
        assert read(tmp_path, row)[0][2]["strength"] == strength
    safer = {"prompt": "Q?", "response_0": "a", "response_1": "b", "safer_response_id": 1}
    assert read(tmp_path, safer)[0][2]["strength"] == -4
    assert read(tmp_path, {**safer, "better_response_id": 0})[0][2]["strength"] == 4
    assert read(tmp_path, {"prompt": "Q?", "responses": ["a", "b"], "labels": [False, True]})[0][2]["ranks"] == [2, 1]


CORRECTIONS = [
    {"prompt": "Q?", "response": "b", "edited_response": "g"},
    {"instruction": "Q?", "output": "b", "revised_output": "g"},
    {"question": "Q?", "original_answer": "b", "corrected_answer": "g"},
    {"messages": [ASK], "original_response": "b", "revision": "g"},
]


@pytest.mark.parametrize("row", CORRECTIONS, ids=lambda row: "/".join(row))
def test_a_response_that_was_mended_is_not_imitated(tmp_path: Path, row: dict[str, Any]):
    assert read(tmp_path, row) == [("correction", ["Q? | b"], {"text": "g"})]


PROMPTS = {
    "Q?\n\nHund": [
        {"prompt": "Q?", "input": "Hund"}, {"prompt": "Q?", "context": "Hund"}, {"question": "Q?", "passage": "Hund"},
    ],
    "Q?": [{"prompt": "Q?", "input": "Q?"}, {"messages": [ASK]}],
    "Do it. | Q?": [{"definition": "Do it.", "inputs": "Q?"}],
}  # fmt: skip


def test_no_part_of_a_prompt_is_lost_or_doubled(tmp_path: Path):
    for prompt, rows in PROMPTS.items():
        for row in rows:
            assert read(tmp_path, {**row, "response": "g"}) == [("demonstration", [prompt], {"text": "g"})], row
    both = {"instruction": "Q?", "response": "g", "conversations": [ASK, GOOD], "input_quality": "bad"}  # Magpie
    assert read(tmp_path, both) == [("demonstration", ["Q?"], {"text": "g"})]


def test_several_responses_and_a_prompt_called_text_are_not_guessed(tmp_path: Path):
    with pytest.raises(AssertionError, match=r"'completion' is a list of texts: --columns completion=completion\[0\]"):
        read(tmp_path, {"prompt": "Q?", "completion": ["g", "b"]})
    for row in ({"text": "Q?", "response": "g"}, {"text": "Q?", "summary": "g"}):
        with pytest.raises(PlauditError, match=f"--columns prompt=text .*completion={[*row][1]}"):
            read(tmp_path, row)


def test_steps_behind_an_error_say_nothing(tmp_path: Path):
    row = {"problem": "Q?", "steps": ["aa", "bb", "cc"], "label": 1}
    assert [(span["start"], span["category"]) for span in read(tmp_path, row)[0][2]["spans"]] == [
        (0, "correct"), (3, "incorrect"),
    ]  # fmt: skip
    assert {span["category"] for span in read(tmp_path, {**row, "label": -1})[0][2]["spans"]} == {"correct"}
    with pytest.raises(AssertionError, match="must be -1, or the number of one of the 3 steps from 0, got 3"):
        read(tmp_path, {**row, "label": 3})


def test_utterances_of_prism_follow_what_was_chosen(tmp_path: Path):
    row = {"conversation_id": "c", "user_id": "u", "user_prompt": "Q?", "turn": 0}
    rows = [
        {**row, "model_response": "g", "score": 90, "if_chosen": True},
        {**row, "model_response": "b", "score": 12, "if_chosen": False},
        {**row, "turn": 1, "user_prompt": "Again?", "model_response": "x", "score": 3, "if_chosen": True},
        {**row, "turn": 1, "user_prompt": "Again?", "model_response": "y", "score": 4, "if_chosen": False},
    ]
    records = read(tmp_path, *rows)
    assert [(talks, value["ranks"]) for _, talks, value in records] == [
        (["Q? | g", "Q? | b"], [1, 2]),
        (["Q? | g | Again? | x", "Q? | g | Again? | y"], [2, 1]),
    ]
