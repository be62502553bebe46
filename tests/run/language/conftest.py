"""A run on a tiny language model, which knows nothing: what is tested is the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.language.conftest import tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.language.improve import TokenImproveConfig
from plaudit.language.learner import TextFeedbackConfig
from plaudit.language.models import ModelConfig
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language.config import ChatConfig, DataConfig
from plaudit.types import Answer, Dialogue, Question

__all__ = ["tokenizer"]
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@pytest.fixture(scope="session")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of two layers, as transformers saves it."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=None,
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> Callable[..., ChatConfig]:
    """A configuration that takes a second or two."""
    asked = tmp_path / "prompts.txt"
    asked.write_text("".join(f"say {word}\n" for word in WORDS))

    def make(**changes: Any) -> ChatConfig:
        config = ChatConfig(
            model=ModelConfig(str(base), "upper", layers=1, precision="fp32"),
            data=DataConfig(prompts=str(asked), held_out=3),
            annotator="rule:length",
            judge="rule:length",
            best_of=2,
            n_demonstrations=4,
            sft=TuneConfig(batch=2, learning_rate=1e-3),
            reward=TuneConfig(batch=4, learning_rate=1e-3),
            feedback=TextFeedbackConfig(labels=12, held_out=0.3),
            sampling=SamplingConfig(tokens=8),
            improve=TokenImproveConfig(learning_rate=1e-3, epochs=2),
            rounds=2,
            updates=2,
            prompts=4,
        )
        return dataclasses.replace(config, **changes)

    return make


class Length:
    """Prefers the longer text: a rule under which no two responses of a model of noise are alike."""

    name = "rule:length"

    def judge(self, question: Question, items: Sequence[Dialogue]) -> Answer:
        lengths = [len(each.response or "") for each in items]
        if question.kind == "comparison":
            return Answer({"strength": 4 * (lengths[0] > lengths[1]) - 4 * (lengths[0] < lengths[1])})
        ordered = sorted(set(lengths), reverse=True)
        return Answer({"ranks": [ordered.index(each) + 1 for each in lengths], "flags": [[]] * len(items), "ideal": ""})


@pytest.fixture(autouse=True)
def length(monkeypatch: pytest.MonkeyPatch) -> None:
    """``rule:length`` for the annotator and the judge alike."""
    monkeypatch.setattr(chat_hands, "text_annotator", lambda name, seed, local, device: Length())
    monkeypatch.setattr(chat_hands, "text_rule", lambda name: lambda text: len(text) > 12)
