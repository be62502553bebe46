"""Pretraining as a run: a folder with metrics, checkpoints and, in model/, what plain transformers loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from plaudit import layout
from plaudit.files import replace_folder
from plaudit.language.fast.decode import sample
from plaudit.language.loading import read_tokenizer
from plaudit.language.models import LanguageModel, device_of
from plaudit.language.pretrain import (
    PretrainConfig,
    create_model,
    encode,
    fingerprint,
    read_documents,
    split,
    train_tokenizer,
    write_samples,
)
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.special_tokens import read_special, set_spelling
from plaudit.language.tune import Demonstrations, Tuner
from plaudit.run.cards import ModelCard, describe_files
from plaudit.run.disk import disk_errors
from plaudit.run.fitting import ModelRun, Progress, fit_steps, trainable_state
from plaudit.run.stored import PRETRAIN
from plaudit.types import PlauditError

SAMPLE_TOKENS = 50  # tokens of a sample


class PretrainRun(ModelRun[PretrainConfig]):
    """config.json, metrics.jsonl, checkpoints/ while it trains, and model/."""

    kind, config_class = PRETRAIN, PretrainConfig

    @property
    def finished(self) -> bool:
        """Whether the weights are there."""
        return (self.model / "config.json").exists()


class Pretraining:
    """One run under way: the same steps as if it had never been stopped."""

    def __init__(self, run: PretrainRun, on_progress: Progress = lambda stage, done, total, facts: None) -> None:
        """
        Raises:
            PlauditError: the text cannot be read, is too little, or is not what the run began with.
        """
        self.run, self.on_progress = run, on_progress
        config = run.config
        device = device_of(config.device)
        on_progress("reading", 0, 1, "")
        texts = read_documents(config.data, config.files)
        self.text = fingerprint(texts)
        self.tokenizer = self._tokenizer(texts)
        set_spelling(self.tokenizer, config.special_tokens)
        self.special_tokens = read_special(self.tokenizer, texts)
        trees, self.held_out_trees = split(encode(texts, self.tokenizer, config.special_tokens), config)
        self.tokens = sum(len(tree) - 1 for tree in trees)
        self.model = create_model(config, self.tokenizer, device)
        fit = replace(config.fit, seed=config.seed)
        self.tuner = Tuner(self.model, self.model.trainable_parameters(), Demonstrations(self.model), trees, fit)

    def _tokenizer(self, texts: list[str]) -> PreTrainedTokenizerBase:
        """Trained once, and read from then on."""
        run, folder = self.run, self.run.folder / layout.TOKENIZER
        text_path = folder / "text"
        if text_path.exists():
            with disk_errors(text_path):
                before = text_path.read_text(encoding="utf-8")
            if before != self.text:
                raise PlauditError(
                    f"{run.folder} was started with other text than {', '.join(run.config.data)} hold now: restore "
                    "the files, or choose another --out"
                )
            return read_tokenizer(str(folder))
        self.on_progress("tokenizer", 0, 1, f"{len(texts):,} documents")
        tokenizer = train_tokenizer(texts, run.config.shape.vocabulary, run.config.fit.length)
        with disk_errors(folder), replace_folder(folder) as partial:
            tokenizer.save_pretrained(partial)
            (partial / text_path.name).write_text(self.text, encoding="utf-8")
        return tokenizer

    def steps(self) -> Iterator[dict[str, Any]]:
        """Every step that is left, with its metrics; a checkpoint a minute and at a stop, the model at the end.

        Ctrl-C ends it after the step that is under way; a second one ends it at once.
        """
        yield from fit_steps(self.run, self.tuner, trainable_state(self.model), self.run.checkpoint, more=self._measure)
        self._finish()

    def _measure(self) -> dict[str, float]:
        """The loss on what is held out, ten times (where there are so many steps)."""
        done, steps = self.tuner.done, self.tuner.steps
        return {"held_out": self.held_out()} if done * 10 // steps > (done - 1) * 10 // steps else {}

    def held_out(self) -> float:
        """Loss on the text that nothing is fitted to, in nats a token, in float32 whatever it is trained in."""
        exact = LanguageModel(self.model.model, self.tokenizer)
        trees = self.held_out_trees
        return Tuner[Tree](exact, [], Demonstrations(exact), trees, self.tuner.config).evaluate(trees)["loss"]

    def samples(self, count: int = 3) -> list[str]:
        """What the model writes by itself."""
        generator = torch.Generator(self.model.device).manual_seed(self.run.config.seed)
        limit = SamplingConfig(tokens=min(SAMPLE_TOKENS, self.model.window - 1), temperature=0.8)
        return write_samples(
            lambda prompts: sample(self.model, prompts, limit, generator).completions(), self.tokenizer, count
        )

    def _card(self) -> ModelCard:
        config, rows = self.run.config, self.run.metrics()
        held_out = [row["held_out"] for row in rows if "held_out" in row]
        return ModelCard(
            title=self.run.folder.resolve().name,
            base=None,
            method=PRETRAIN,
            data=[
                *describe_files(config.data),
                f"- {self.tokens:,} tokens; fingerprint of the text {self.text}",
            ],
            judgements=["- None: pretraining reads text only"],
            training={name: value for name, value in dataclasses.asdict(config).items() if name != "data"},
            evaluation=[
                f"- Loss on held-out text: {held_out[-1]:.4f} nats per token (n = {len(self.held_out_trees):,} "
                "held-out documents or parts of them; no interval was computed)"
            ]
            if held_out
            else [],
            tags=["text-generation"],
        )

    def _finish(self) -> None:
        """The model where others find it; then the checkpoints are no longer needed."""
        run = self.run
        with disk_errors(run.model):
            with replace_folder(run.model) as partial:
                self.model.save(partial)
                self._card().write(partial)
            for path in run.checkpoints():
                path.unlink()
