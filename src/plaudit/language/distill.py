"""Context distillation: what a prompt makes a model do, put into its weights, so that the prompt can be left out.

Askell et al. 2021, "A general language assistant as a laboratory for alignment", section 2.2: the model that reads the
context C before x is the teacher, and KL(p(. | C, x) || p_theta(. | x)) is the loss, token by token. The teacher's
likeliest tokens are computed once, with one class for all the others (:func:`plaudit.functional.divergence.top_kl`).
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
from plaudit.language.policy import BUDGET, batched
from plaudit.language.rows import Rows, Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.types import Message, PlauditError

LIKELIEST = 50  # tokens of the teacher's distribution that are kept: Askell et al. 2021, section 2.2


@dataclass(frozen=True, eq=False)
class Prompted:
    """The same completions behind a prompt with the context, and behind the prompt alone."""

    teacher: Tree
    student: Tree

    def __post_init__(self) -> None:
        both = (self.teacher.completions, self.student.completions)
        if len(both[0]) != len(both[1]) or not all(map(np.array_equal, *both)):
            raise PlauditError(
                "the completions with the context and without it are not the same tokens: the chat template writes a "
                "response in another way where a context stands before it"
            )


@dataclass(frozen=True, eq=False)
class Taught:
    """A prompt without its context, its completions, and what the teacher says of each of their N tokens."""

    tree: Tree
    tokens: Tensor  # (N, K) int64: the likeliest
    log_probs: Tensor  # (N, K), in nats


def prompted(
    chat: Chat, context: Sequence[Message], prompts: Sequence[Sequence[Message]], responses: Sequence[Sequence[str]]
) -> list[Prompted]:
    """Responses to each prompt that are there already, with the context before it and without.

    Raises:
        PlauditError: a response is empty, or the chat template writes one in two ways.
    """
    return [
        Prompted(chat.tree([*context, *prompt], texts), chat.tree(prompt, texts))
        for prompt, texts in zip(prompts, responses, strict=True)
    ]


def written(
    teacher: LanguageModel,
    context: Sequence[Message],
    prompts: Sequence[Sequence[Message]],
    sampling: SamplingConfig,
    generator: torch.Generator,
    n: int = 1,
) -> list[Prompted]:
    """``n`` responses that the teacher writes to each prompt behind the context; tokens, never written out and read."""
    chat = Chat(teacher)
    begun = [chat.prompt([*context, *prompt]) for prompt in prompts]
    found = sample(teacher, begun, sampling, generator, n).completions()
    return [
        Prompted(Tree(begin, own), Tree(chat.prompt(prompt), own))
        for index, (begin, prompt) in enumerate(zip(begun, prompts, strict=True))
        for own in (tuple(found[n * index : n * (index + 1)]),)
    ]


@torch.no_grad()
def taught(
    teacher: LanguageModel, examples: Sequence[Prompted], k: int = LIKELIEST, budget: int = BUDGET
) -> Iterator[Taught]:
    """What the teacher says of each example's tokens, in the order in which they went through it.

    k: how many of its likeliest tokens are kept; the size of the vocabulary keeps its whole distribution.
    """
    if k < 1:
        raise PlauditError(f"at least one of the teacher's tokens must be kept, got {k}")
    with teacher.precision():
        for indices, rows, lower in batched(teacher, [each.teacher for each in examples], budget):
            hidden = teacher.hidden(rows, lower).flatten(0, 1)[rows.sources]
            tokens, log_probs = top_log_probs(hidden, teacher.output, k)
            lengths = [sum(map(len, examples[index].teacher.completions)) for index in indices]
            parts = zip(indices, tokens.split(lengths), log_probs.split(lengths), strict=True)
            for index, own, own_log_probs in parts:
                yield Taught(examples[index].student, own, own_log_probs)


@dataclass(frozen=True, eq=False)
class ContextDistillation:
    """An objective for :class:`plaudit.language.tune.Tuner`: the KL in nats a token."""

    model: LanguageModel

    def tree(self, example: Taught) -> Tree:
        """As :class:`plaudit.language.tune.Objective`."""
        return example.tree

    def weight(self, example: Taught) -> float:
        """As :class:`plaudit.language.tune.Objective`."""
        return float(len(example.tokens))

    def losses(self, rows: Rows, lower: Tensor | None, examples: Sequence[Taught]) -> dict[str, Tensor]:
        """As :class:`plaudit.language.tune.Objective`."""
        hidden = self.model.hidden(rows, lower).flatten(0, 1)[rows.sources]
        tokens = torch.cat([each.tokens for each in examples]).to(hidden.device)
        theirs = torch.cat([each.log_probs for each in examples]).to(hidden.device)
        return {"loss": top_kl(theirs, chosen_log_probs(hidden, self.model.output, tokens)).sum()}
