"""Data set cards: numbers of a store, without names of annotators."""

from __future__ import annotations

import itertools
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

import plaudit
from plaudit.annotators.biased import SIMULATED_ANNOTATORS
from plaudit.cli import main
from plaudit.feedback.cards import SIMULATED, card_path, render, sort_of
from plaudit.feedback.store import Store
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

GOLDEN = """---
license: "cc-by-4.0"
tags: ["plaudit", "human-feedback", "preference"]
configs: [{"config_name": "default", "data_files": "pairs.jsonl.gz"}]
---

# pairs.jsonl.gz

## Data

- File: `pairs.jsonl.gz`, format preference of Plaudit, 4 objects
- Licence: cc-by-4.0

## Judgements

- In force: 5 judgements on 3 questions (comparison 5)
- Submitted: 1970-01-01 to 1970-01-02 (UTC)

## Annotators

- Language models: 1, with 1 judgement
- Named in a file or by a program, sort not stated: 1, with 2 judgements
- Programs: 1, with 1 judgement
- Simulated annotators: 1, with 1 judgement
- Agreement in project talk, comparison: 50 % of pairs of judgements are equal; Krippendorff's alpha 0.00, \
95 % interval -0.50 to 0.00 (n = 2 questions or parts with at least two judgements)

## Known limits

- 1 judgement left out of the file: they are ties or 'can't tell', and the format holds only a better and a worse one
- Some judgements were made by programs or simulated annotators, not by people
"""


@pytest.fixture
def store(tmp_path: Path, empty_file: Path) -> Path:
    """Three comparisons, two of them judged twice, by annotators of several sorts."""
    path = tmp_path / "feedback.sqlite"
    path.write_bytes(empty_file.read_bytes())
    texts = [Dialogue((Message("user", "Why?"), Message("assistant", str(number)))) for number in range(4)]
    pairs = [Question("comparison", (a.id, b.id), "Which?", project="talk") for a, b in itertools.pairwise(texts)]

    def judge(question: Question, strength: int | None, annotator: str, **more: Any) -> Judgement:
        times: dict[str, Any] = {"shown_at": 10.0, "first_input_at": 11.0, "submitted_at": 12.5} | more
        return Judgement(question.id, annotator, {"strength": strength}, (0, 1), id=str(uuid.uuid4()), **times)

    with Store.open(path) as opened:
        opened.ask(pairs, texts, judgements_wanted=2)
        opened.answer(
            [
                judge(pairs[0], 4, "maria"),
                judge(pairs[0], 4, "oracle"),
                judge(pairs[1], -4, "maria"),
                judge(pairs[1], 2, "rule:brief"),
                judge(pairs[2], None, "ai:local", submitted_at=90_000.0),
            ]
        )
    return path


def test_the_card_of_an_exported_file(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, card = tmp_path / "pairs.jsonl.gz", tmp_path / "pairs.README.md"
    with plaudit.Store(store) as opened:
        assert opened.export(file) == 4 and not card.exists()  # only on request
        assert opened.export(file, card=True, license="cc-by-4.0") == 4
    assert card.read_text(encoding="utf-8") == GOLDEN and "maria" not in GOLDEN
    card.unlink()
    command = ["export", str(store), str(file), "--format", "preference"]
    assert main([*command, "--card", "--license", "cc-by-4.0"]) == 0
    assert card.read_text(encoding="utf-8") == GOLDEN
    assert f"card: {card}" in re.sub(r"\n(?=\S)", "", capsys.readouterr().err)
    assert main([*command[:-2], "--card", "--project", "talk"]) == 0
    text = card.read_text(encoding="utf-8")
    assert (
        'license: "unknown"' in text and "- Project: talk" in text and "- The file has the names of annotators" in text
    )


def test_what_a_card_needs(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, problem in (
        (["pairs.jsonl", "--license", "mit"], "--license is for the card: add --card"),
        (["--card"], "--card needs a FILE"),
    ):
        assert main(["export", str(store), *options]) == 2
        assert problem in capsys.readouterr().err
    with plaudit.Store(store) as opened, pytest.raises(PlauditError, match="add card=True"):
        opened.export(tmp_path / "pairs.jsonl", license="mit")


def test_sorts_of_annotators() -> None:
    assert set(SIMULATED) == set(SIMULATED_ANNOTATORS)
    names = ("anna", "oracle", "rule:brief+polite", "ai:local", "program:mine", "hh-rlhf")
    sorts = [sort_of(name, people={"anna"}) for name in names]
    assert [sort.split()[0] for sort in sorts] == ["people", "simulated", "programs", "language", "programs", "named"]
    assert sort_of("oracle", people={"oracle"}).startswith("people")
    assert card_path(Path("out/pairs.v2.json")) == Path("out/pairs.README.md")
    assert render({"license": None, "tags": []}, "T", [("Empty", [])]) == "---\n---\n\n# T\n"
