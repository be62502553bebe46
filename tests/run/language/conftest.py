"""A run on a tiny language model, which knows nothing: what is tested is the run."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from tests.conftest import SAVE_FIGURE
from tests.language.conftest import tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.language.improve import TokenImproveConfig
from plaudit.language.learner import TextFeedbackConfig
from plaudit.language.models import ModelConfig
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import TuneConfig
from plaudit.run.language import assemble as chat_hands
from plaudit.run.language.assemble import session_of
from plaudit.run.language.config import ChatConfig, ChatRun, DataConfig
from plaudit.run.language.evaluate import finish
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


@pytest.fixture(scope="session")
def settings(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ChatConfig]:
    """A configuration that takes a second or two."""
    asked = tmp_path_factory.mktemp("prompts") / "prompts.txt"
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
    _judge_by_length(monkeypatch)


def _judge_by_length(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(chat_hands, "text_annotator", lambda name, seed, local, device, **options: Length())
    patch.setattr(chat_hands, "text_rule", lambda name: lambda dialogue: len(dialogue.response or "") > 12)


def train(run: ChatRun, progress: Callable[..., None] = lambda *arguments: None) -> None:
    """Train the run to its end, and report."""
    session, close = session_of(run, progress)
    try:
        list(session.rounds())
        finish(run, session.domain, progress)
    finally:
        close()


@pytest.fixture(scope="session")
def finished_folder(settings: Callable[..., ChatConfig], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished run with the default settings, its figures drawn. Nobody may write to it."""
    run = ChatRun.create(tmp_path_factory.mktemp("finished") / "run", settings())
    with pytest.MonkeyPatch.context() as patch:
        _judge_by_length(patch)
        patch.setattr(Figure, "savefig", SAVE_FIGURE)
        train(run)
    yield run.folder


@pytest.fixture
def finished(finished_folder: Path, tmp_path: Path) -> ChatRun:
    """A copy of the finished run, which the test may change."""
    return ChatRun.open(Path(shutil.copytree(finished_folder, tmp_path / "finished")))
