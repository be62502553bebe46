"""Learning: from rankings of what a tiny model writes, PPO raises what nobody was asked about, with a KL penalty."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.language.improve import TokenImproveConfig
from plaudit.language.learner import TextFeedbackConfig
from plaudit.language.models import ModelConfig
from plaudit.language.penalty import KLPenaltyConfig
from plaudit.language.reward import HeadsConfig
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language.assemble import session_of
from plaudit.run.language.config import ChatConfig, ChatRun, DataConfig
from plaudit.types import Answer, Dialogue, Question


class Letters:
    """Ranks texts by their share of lower-case letters."""

    name = "rule:letters"

    def judge(self, question: Question, items: Sequence[Dialogue]) -> Answer:
        texts = [each.response or "" for each in items]
        shares = [sum(map(str.islower, each)) / max(len(each), 1) for each in texts]
        ordered = sorted(set(shares), reverse=True)
        ranks = [ordered.index(each) + 1 for each in shares]
        return Answer({"ranks": ranks, "ratings": [None] * len(items), "flags": [[]] * len(items), "ideal": ""})


def word(dialogue: Dialogue) -> bool:
    """The held-out rule: something like a word is in it, six lower-case letters in a row."""
    return re.search("[a-z]{6}", dialogue.response or "") is not None


@pytest.fixture(scope="module")
def noise(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"vocab_size": len(tokenizer), "eos_token_id": 0, "bos_token_id": None, "pad_token_id": None}
    config = LlamaConfig(num_key_value_heads=2, initializer_range=0.1, tie_word_embeddings=True, **shape, **tokens)
    folder = tmp_path_factory.mktemp("noise")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    names = [f"say {one} {other}\n" for one in ("one", "two", "six") for other in ("cats", "dogs", "mats", "hats")]
    (folder / "prompts.txt").write_text("".join(names))
    return folder


@pytest.mark.learning
def test_a_held_out_rule_begins_to_rise(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By at least 6 points at under 12 nats; seeds 0 to 3 rose by 20, 14, 29 and 12 points at 4.4 to 6.2 nats."""
    rise, nats = _learn(noise, tmp_path, monkeypatch, labels=160, learning_rate=4e-3, rounds=1, seed=0)
    assert rise > 0.06 and nats < 12


@pytest.mark.learning
@pytest.mark.thorough
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_held_out_rule_rises_under_a_kl_penalty(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """By at least 15 points at under 20 nats; seeds 0 to 4 rose by 28 to 71 points at 7 to 15 nats."""
    rise, nats = _learn(noise, tmp_path, monkeypatch, labels=240, learning_rate=2e-3, rounds=2, seed=seed)
    assert rise > 0.15 and nats < 20


def _learn(
    noise: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    labels: int,
    learning_rate: float,
    rounds: int,
    seed: int,
) -> tuple[float, float]:
    """How far the held-out rule rose, and the KL divergence at the end: means of the first and last four updates."""
    monkeypatch.setattr(chat_hands, "text_annotator", lambda *names, **options: Letters())
    monkeypatch.setattr(chat_hands, "text_rule", lambda name: word)
    config = ChatConfig(
        model=ModelConfig(str(noise), "full", precision="fp32"),
        data=DataConfig(prompts=str(noise / "prompts.txt"), held_out=2),
        best_of=0,
        heads=HeadsConfig(missing_end=None),
        reward=TuneConfig(batch=8, learning_rate=3e-3, epochs=3),
        feedback=TextFeedbackConfig(labels=labels, held_out=0.1, upfront=0.9, choices=4),
        sampling=SamplingConfig(tokens=12),
        improve=TokenImproveConfig(learning_rate=learning_rate),
        penalty=KLPenaltyConfig(kl_coefficient=0.05),
        rounds=rounds,
        updates=16,
        prompts=16,
        completions=4,
        seed=seed,
    )
    run = ChatRun.create(folder / "run", config)
    session, close = session_of(run, lambda *told: None)
    for _ in session.rounds():
        pass
    close()
    rows = run.metrics("updates.jsonl")
    before, after = (sum(row["held_out"] for row in part) / 4 for part in (rows[:4], rows[-4:]))
    nats = sum(row["kl"] for row in rows[-4:]) / 4
    return after - before, nats
