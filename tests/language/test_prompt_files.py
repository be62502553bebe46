"""Files of prompts and of principles, one a line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from plaudit.annotators.ai_judge import principles
from plaudit.annotators.rules import readable
from plaudit.language.measures import words
from plaudit.language.prompts import explanation_prompts, explanations, load_prompts
from plaudit.language.relevance import retrieve

LINES = ("Next line\x85and on", "a form\x0cfeed", "U+2028\u2028and U+2029\u2029", "a file\x1cseparator", "the last")


def test_only_the_ends_of_lines_end_a_line(tmp_path: Path):
    """Not the other characters that ``str.splitlines`` cuts at."""
    path = tmp_path / "lines.txt"
    for end in ("\n", "\r\n"):
        path.write_bytes((end + f"{end}{end}".join(LINES) + end).encode())
        stripped = tuple(line.strip() for line in LINES)
        assert tuple(prompt[0].content for prompt in load_prompts(str(path))) == stripped
        assert principles(path) == stripped


GOLDEN = Path(__file__).parents[1] / "feedback" / "formats" / "golden"


def test_prompts_of_data_sets_with_a_spelling_of_their_own():
    """Transcripts, cells that hold lists, and messages that span rows."""
    prompts = {
        name: [
            " | ".join(f"{message.role}: {message.content}" for message in prompt) for prompt in load_prompts(str(path))
        ]
        for name, path in (
            (name, GOLDEN / name)
            for name in ("nectar.jsonl", "arena-csv.csv", "openassistant-messages.jsonl", "kto.jsonl")
        )
    }
    assert prompts == {
        "nectar.jsonl": ["user: Name a lake.", "user: Hello | assistant: Hi 👋 | user: Name a river."],
        "arena-csv.csv": [
            "user: Name a lake. | assistant: Bled. | user: Another?",
            "user: Name a lake. | assistant: The moon. | user: Another?",
            "user: Name a river.",
            'user: Say "hi".',
        ],
        "openassistant-messages.jsonl": ["user: How do I boil an egg? 🥚", "user: And a leek?"],
        "kto.jsonl": ["user: Name a lake.", "system: Be brief. | user: Name a river."],
    }


@pytest.mark.parametrize(
    ("rows", "prompts"),
    [
        ([{"Prompt": "Name a lake."}, {"Prompt": "Name a river."}], ["Name a lake.", "Name a river."]),
        ([{"User Prompt": "Name a lake.", "Topic": "water"}], ["Name a lake."]),
        ([{"Question": "Name a lake.", "Answer": "Bled."}], ["Name a lake."]),
        ([{"Instruction": "Name a lake.", "Input": "in Slovenia"}], ["Name a lake.\n\nin Slovenia"]),
        ([{"userPrompt": "Name a lake.", "chosen": "Bled.", "rejected": "No."}], ["Name a lake."]),
    ],
)
def test_columns_with_capitals_and_spaces(tmp_path: Path, rows: list[dict[str, str]], prompts: list[str]):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [prompt[0].content for prompt in load_prompts(str(path))] == prompts


def test_the_demonstrations_are_in_the_style_that_is_wanted():
    """Sentences that a child can read, on their subject, of 20 to 50 words, on none of the run's prompts."""
    rows = [json.loads(line) for line in explanations().read_text("utf-8").splitlines()]
    prompts, texts = [row["prompt"] for row in rows], [row["completion"] for row in rows]
    assert len(rows) == len(set(prompts)) == 84
    assert not set(prompts) & {prompt[0].content for prompt in explanation_prompts()}
    for text in texts:
        sentences = [words(sentence) for sentence in re.split(r"[.?!]", text) if sentence.strip()]
        assert 20 <= sum(map(len, sentences)) <= 50, text
        assert max(map(len, sentences)) <= 16, text
        assert readable(text) == 1, text
    assert np.mean(retrieve(prompts, texts)) > 0.9
