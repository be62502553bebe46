"""Model cards: base model and licence, files with their hashes, settings, what was measured."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from plaudit.feedback.cards import Summary
from plaudit.run import cards
from plaudit.run.cards import Base, ModelCard, describe_files, read_base, read_summary

GOLDEN = """---
base_model: "org/tiny"
license: "mit"
library_name: "transformers"
tags: ["plaudit", "sft", "text-generation"]
datasets: ["pairs.jsonl"]
---

# mine

## Base model

- Model: `tiny` (org/tiny)
- Licence: mit

## Data

- Examples: 3

## Judgements

- In force: 2 judgements on 1 questions (rating 2)

## Annotators

- Simulated annotators: 1, with 2 judgements
- Agreement: not measured, because no two annotators answered the same question

## Training

- Method: sft
- seed: 1
- fit.learning_rate: 2e-05
- fit.schedule: linear
- Versions: plaudit 1

## Evaluation

- Nothing was measured

## Audit

- None was run

## Limits

- A learned reward can be wrong where no judgement was given; a policy finds such places
- Programs or simulated annotators judged, so the model follows their rule and not people
- Safety, bias and factual correctness were not measured
"""


def test_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "versions", lambda: ["- Versions: plaudit 1"])
    summary = Summary({"rating": 2}, 1, {"simulated annotators": 1}, {"simulated annotators": 2}, None, None, ())
    settings = {"seed": 1, "fit": {"learning_rate": 2e-5, "steps": None, "schedule": "linear"}}
    card = ModelCard(
        "mine",
        Base("tiny", "org/tiny", "mit"),
        "sft",
        ["- Examples: 3"],
        summary,
        settings,
        [],
        tags=["text-generation"],
        datasets=["pairs.jsonl"],
    )
    assert card.text() == GOLDEN
    card.write(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == GOLDEN
    assert read_base("runs/mine", tmp_path) == Base("runs/mine", "org/tiny", "mit")  # a model fine-tuned further


def test_the_licence_is_the_base_models_own(tmp_path: Path) -> None:
    assert read_base("a", None, "org/a") == Base("a", "org/a", None)
    assert read_base("a", tmp_path / "absent") == Base("a")
    (tmp_path / "README.md").write_text("# license: mit\n\nno front matter", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"license": "apache-2.0"}', encoding="utf-8")
    assert read_base("a", tmp_path) == Base("a", None, "apache-2.0")
    (tmp_path / "README.md").write_text("---\nlicense: unknown\nbase_model:\n- x/y\n---\n", encoding="utf-8")
    assert read_base("a", tmp_path) == Base("a", None, None)
    (tmp_path / "config.json").write_text("{torn", encoding="utf-8")
    (tmp_path / "README.md").write_text("---\nlicense: 'mit'  # as upstream\n---\n", encoding="utf-8")
    assert read_base("a", tmp_path) == Base("a", None, "mit")


def test_files_have_hashes(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b"{}\n")
    digest = hashlib.sha256(b"{}\n").hexdigest()
    assert describe_files([str(file), str(tmp_path / "gone"), "postgresql://anna:secret@host/db"]) == [
        f"- `pairs.jsonl`: 3 bytes, SHA-256 {digest}",
        "- `gone`: a folder, or out of reach when the card was written",
        "- Store host/db: a database, without a hash",
    ]
    assert read_summary(tmp_path) is None
    (tmp_path / "feedback.sqlite").write_bytes(b"damaged")
    assert read_summary(tmp_path) is None
