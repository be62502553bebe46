"""Context distillation: train a model to behave without a context as it does with it.

Askell et al. 2021, "A general language assistant as a laboratory for alignment", section 2.2: the teacher is the model
that reads the context C before x, and the loss is KL(p(. | C, x) || p_theta(. | x)), token by token. The teacher's
likeliest tokens are computed once, with one class for all others (:func:`plaudit.functional.divergence.top_kl`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plaudit.functional.divergence import top_kl
from plaudit.language.fast.decode import sample
from plaudit.language.fast.vocabulary import chosen_log_probs, top_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.policy import BUDGET, iterate_batches
from plaudit.language.rows import Rows, Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.types import Message, PlauditError

LIKELIEST = 50  # tokens kept of the teacher's distribution: Askell et al. 2021, section 2.2


@dataclass(frozen=True, eq=False)
class ContextPair:
    """The same completions after a prompt with the context (teacher) and after the prompt alone (student)."""

    teacher: Tree
    student: Tree

    def __post_init__(self) -> None:
        completions = (self.teacher.completions, self.student.completions)
        if len(completions[0]) != len(completions[1]) or not all(map(np.array_equal, *completions)):
            raise PlauditError(
                "the completions with the context and without it are not the same tokens: the chat template writes a "
                "response differently after a context"
            )


@dataclass(frozen=True, eq=False)
class Target:
    """A prompt without its context, its completions, and the teacher's distribution at each of their N tokens."""

    tree: Tree
    tokens: Tensor  # (N, K) int64: the likeliest tokens
    log_probs: Tensor  # (N, K), in nats


def pair_responses(
    chat: Chat, context: Sequence[Message], prompts: Sequence[Sequence[Message]], responses: Sequence[Sequence[str]]
) -> list[ContextPair]:
    """Existing responses to each prompt, after the prompt with the context and without.

    Raises:
        PlauditError: a response is empty, or the chat template writes one in two ways.
    """
    return [
        ContextPair(chat.tree([*context, *prompt], texts), chat.tree(prompt, texts))
        for prompt, texts in zip(prompts, responses, strict=True)
    ]


def write_pairs(
    teacher: LanguageModel,
    context: Sequence[Message],
    prompts: Sequence[Sequence[Message]],
    sampling: SamplingConfig,
    generator: torch.Generator,
    n: int = 1,
) -> list[ContextPair]:
    """``n`` responses of the teacher to each prompt with the context, as the tokens that it sampled."""
    chat = Chat(teacher)
    prompted_tokens = [chat.prompt([*context, *prompt]) for prompt in prompts]
    completions = sample(teacher, prompted_tokens, sampling, generator, n).completions()
    return [
        ContextPair(Tree(begin, texts), Tree(chat.prompt(prompt), texts))
        for index, (begin, prompt) in enumerate(zip(prompted_tokens, prompts, strict=True))
        for texts in (tuple(completions[n * index : n * (index + 1)]),)
    ]


@torch.no_grad()
def compute_targets(
    teacher: LanguageModel, examples: Sequence[ContextPair], k: int = LIKELIEST, budget: int = BUDGET
) -> Iterator[Target]:
    """The teacher's distributions at each example's tokens; examples come in batches of like length.

    k: how many of the likeliest tokens are kept; the size of the vocabulary keeps the whole distribution.
    """
    if k < 1:
        raise PlauditError(f"at least one of the teacher's tokens must be kept, got {k}")
    with teacher.precision():
        for indices, rows, lower in iterate_batches(teacher, [example.teacher for example in examples], budget):
            hidden = teacher.hidden(rows, lower).flatten(0, 1)[rows.sources]
            tokens, log_probs = top_log_probs(hidden, teacher.output, k)
            lengths = [sum(map(len, examples[index].teacher.completions)) for index in indices]
            parts = zip(indices, tokens.split(lengths), log_probs.split(lengths), strict=True)
            for index, likeliest, likeliest_log_probs in parts:
                yield Target(examples[index].student, likeliest, likeliest_log_probs)


@dataclass(frozen=True, eq=False)
class ContextDistillation:
    """An objective for :class:`plaudit.language.tune.Tuner`: the KL in nats per token."""

    model: LanguageModel

    def tree(self, example: Target) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return example.tree

    def weight(self, example: Target) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return float(len(example.tokens))

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[Target]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.tune.Objective`."""
        hidden = self.model.hidden(rows, lower).flatten(0, 1)[rows.sources]
        tokens = torch.cat([example.tokens for example in examples]).to(hidden.device)
        teacher_log_probs = torch.cat([example.log_probs for example in examples]).to(hidden.device)
        return {"loss": top_kl(teacher_log_probs, chosen_log_probs(hidden, self.model.output, tokens)).sum()}
