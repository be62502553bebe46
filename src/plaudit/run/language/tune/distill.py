"""`plaudit tune distill`: context distillation, which puts the effect of a system message into the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit import layout
from plaudit.feedback.files import read_text
from plaudit.language.data import Counts
from plaudit.language.distill import ContextDistillation, ContextPair, compute_targets, write_pairs
from plaudit.language.models import LanguageModel
from plaudit.language.prompts import Prompt, load_prompts, split_prompts
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.special_tokens import read_special
from plaudit.language.template import Template
from plaudit.language.template_check import check_conversations
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.run.fitting import Progress
from plaudit.run.language.files import FileCounts
from plaudit.run.language.tune.config import TuneRun, TuningConfig
from plaudit.run.language.tune.data import Data, Sides, check_settings, check_sides, load_model
from plaudit.run.language.tune.measures import measure_loss
from plaudit.run.language.tune.method import Method, Recipe, Result
from plaudit.types import Message, PlauditError

PROMPTS_PER_BATCH = 32  # prompts whose responses are sampled and stored together: all of them, or none


@dataclass(frozen=True)
class DistillConfig(TuningConfig):
    """Context distillation: the model learns to respond without a context as it does with one."""

    data: tuple[str, ...] = ()
    """Prompts: builtin, a .txt with one prompt per line, or files of prompts or of feedback."""
    context: str | None = None
    """Text file with the system message whose effect is put into the weights."""
    responses: int = 1
    """Number of responses that the model with the context writes to each prompt."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=2e-5, epochs=2))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.responses < 1:
            raise PlauditError(f"responses must be at least 1, got {self.responses}")


def distill(config: DistillConfig) -> Recipe:
    """Prompts, whose responses with a context the model learns to give without it.

    Raises:
        PlauditError: as :func:`plaudit.run.language.tune.sft.sft`; there is no context, or with it every prompt is too
            long.
    """
    check_settings(config)
    context = _context(config)
    prompts = list(
        dict.fromkeys(prompt for name in config.data for prompt in load_prompts(name, reading=config.files.reading))
    )
    model = load_model(config)
    files = FileCounts()
    conversations = [messages for prompt in prompts for messages in (prompt, (*context, *prompt))]
    findings = check_conversations(Template.from_tokenizer(model.tokenizer), conversations)
    findings.check_prompts()
    files.count_changes(findings, config.chat_template)
    texts = [message.content for messages in conversations for message in messages]
    files.count_special_tokens(read_special(model.tokenizer, texts))
    fitting, counts = _fitting_prompts(prompts, model, context, config)
    train, held_out = split_prompts(fitting, round(config.held_out * len(fitting)), config.seed)
    check_sides(config, Sides(train, held_out))

    def examples(run: TuneRun, progress: Progress) -> Sides:
        pairs = _sample_responses(run, model, context, [*train, *held_out], progress)
        progress("asking the teacher", 0, 1, "")
        targets = [list(compute_targets(model, side)) for side in (pairs[: len(train)], pairs[len(train) :])]
        progress("asking the teacher", 1, 1, "")
        return Sides(*targets)

    def measure(tuner: Tuner[Any], sides: Sides, before: float | None) -> Result:
        return measure_loss(tuner, sides, before, "KL")

    chat = Chat(model)
    trees = [[Tree(chat.prompt([*context, *prompt]), ()) for prompt in side] for side in (train, held_out)]
    data = Data.count(counts, files, Sides(*trees))
    return Recipe(model, model, ContextDistillation(model), examples, measure, model.save, data, measure_before=True)


@dataclass
class PromptCounts(Counts):
    """What became of the prompts that were read."""

    def __str__(self) -> str:
        return f"{self.used} prompts, {len(self.refused)} more too long"


def _context(config: DistillConfig) -> list[Message]:
    if config.context is None:
        raise PlauditError("--context is missing: name a text file with the system message")
    path = Path(config.context)
    text = read_text(path).strip()
    if not text:
        raise PlauditError(f"{path} is empty: write the system message into it")
    return [Message("system", text)]


def _fitting_prompts(
    prompts: Sequence[Prompt], model: LanguageModel, context: Sequence[Message], config: DistillConfig
) -> tuple[list[Prompt], PromptCounts]:
    """The prompts that leave room for a response in the teacher's window and in the student's; and a count of all."""
    chat, counts, fitting, tokens = Chat(model), PromptCounts(), [], config.sampling.tokens
    # the teacher reads the context and the prompt, the student the prompt alone
    teacher_room, student_room = model.window - tokens, min(config.fit.length, model.window) - tokens
    for prompt in prompts:
        teacher_length, student_length = len(chat.prompt([*context, *prompt])), len(chat.prompt(prompt))
        if teacher_length <= teacher_room and student_length <= student_room:
            fitting.append(prompt)
        else:
            counts.refused.append(
                f"{teacher_length} tokens with the context, of which {teacher_room} fit, and {student_length} without, "
                f"of which {student_room} do: {prompt[-1].content[:40]!r}"
            )
    counts.used = len(fitting)
    if not fitting:
        raise PlauditError(
            f"no prompt fits the model's window of {model.window} tokens with the context before it and {tokens} to be "
            f"written, and --length {config.fit.length} without it: shorten the context, lower --tokens, raise --length"
        )
    return fitting, counts


def _sample_responses(
    run: TuneRun, model: LanguageModel, context: Sequence[Message], prompts: Sequence[Prompt], progress: Progress
) -> list[ContextPair]:
    """Responses to every prompt with the context before it; responses that are stored in the folder are read again."""
    config, chat = run.config, Chat(model)
    stored = {row["round"]: row["responses"] for row in run.metrics(layout.RESPONSES)}
    run.rewind(len(stored) - 1, layout.RESPONSES)  # without a torn last line
    pairs: list[ContextPair] = []
    for number, start in enumerate(range(0, len(prompts), PROMPTS_PER_BATCH)):
        batch = prompts[start : start + PROMPTS_PER_BATCH]
        progress("writing", start, len(prompts), "responses with the context")
        if number in stored:
            for prompt, responses in zip(batch, stored[number], strict=True):
                completions = tuple(np.array(response, np.int64) for response in responses)
                teacher = Tree(chat.prompt([*context, *prompt]), completions)
                pairs.append(ContextPair(teacher, Tree(chat.prompt(prompt), completions)))
            continue
        seed = int(np.random.SeedSequence((config.seed, number)).generate_state(1)[0])
        generator = torch.Generator(model.device).manual_seed(seed)
        new = write_pairs(model, context, batch, config.sampling, generator, config.responses)
        responses = [[completion.tolist() for completion in pair.student.completions] for pair in new]
        run.append({"round": number, "responses": responses}, layout.RESPONSES)
        pairs += new
    progress("writing", len(prompts), len(prompts), "responses with the context")
    return pairs


DISTILL = Method(
    "distill",
    DistillConfig,
    distill,
    "put the effect of a context into the weights",
    "Context distillation: put the effect of a system message into the weights.",
    (
        "plaudit tune distill prompts.txt --context principles.txt",
        "plaudit tune distill builtin --context principles.txt --responses 2 --tokens 48",
    ),
    common=("context", "responses", "sampling.tokens"),
)
