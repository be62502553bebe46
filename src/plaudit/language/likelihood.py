"""Log-probabilities of texts under a model, and texts as windows of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.policy import BUDGET, iterate_batches
from plaudit.language.rows import Tokens, Tree
from plaudit.language.special_tokens import SpecialTokens, adds_bos
from plaudit.types import Array


@torch.no_grad()
def log_probs(model: LanguageModel, trees: Sequence[Tree], temperature: float, budget: int = BUDGET) -> Array:
    """log pi of every token of every completion, in order, (N,) float64 from float32 products.

    Products are float32 whatever the model's precision is, because in bfloat16 a negligible optimiser step rounds many
    weights another way at once, and the loss falls although nothing was learned.
    """
    exact = LanguageModel(model.model, model.tokenizer, model.frozen)
    begins = np.cumsum([0, *(sum(map(len, tree.completions)) for tree in trees)])
    result = np.empty(int(begins[-1]))
    for indices, rows, lower in iterate_batches(exact, trees, budget):
        hidden = exact.hidden(rows, lower).flatten(0, 1)[rows.sources]
        batch_log_probs = token_log_probs(hidden, exact.output, rows.targets, temperature)
        positions = np.concatenate([np.arange(begins[i], begins[i + 1]) for i in indices])
        result[positions] = batch_log_probs.cpu().numpy()
    return result


def split_windows(model: LanguageModel, texts: Sequence[str], length: int) -> list[Tree]:
    """Split texts into windows of at most ``length`` tokens that predict every token but a text's first once.

    Where a text spells out a special token, it stays text, as in conversations.
    """
    windows, special_tokens = [], SpecialTokens(model.tokenizer)
    first_tokens = [model.tokenizer.bos_token_id] if adds_bos(model.tokenizer) else []
    for text in texts:
        content = special_tokens.tokens(special_tokens.mark(text))
        ids = np.array([*first_tokens, *content], np.int64)  # begins as all texts of the model do
        for first in range(0, len(ids) - 1, length - 1):
            windows.append(Tree(ids[first : first + 1], (ids[first + 1 : first + length],)))
    return windows


def window_losses(model: LanguageModel, windows: Sequence[Tree], budget: int = BUDGET) -> tuple[Array, Array]:
    """The negative log-probability of each window in nats, and its number of tokens: (W,) float64 and (W,) int."""
    counts = np.array([len(window.completions[0]) for window in windows])
    losses = -np.add.reduceat(log_probs(model, windows, 1.0, budget), np.cumsum([0, *counts[:-1]]))
    return losses, counts


def prompt_information(
    model: LanguageModel, prompts: Sequence[str], responses: Sequence[str], budget: int = BUDGET
) -> Array:
    """(B,) float, nats: how much more probable a response makes its prompt than the prompt that follows in the list.

    log p(x_i | y) - log p(x_i+1 | y) by ``model``, for the text "Answer: y Question: x". Each prompt is once the right
    one and once the other one, so in the mean the prompts' own probabilities cancel; it is 0 in expectation for
    responses that do not depend on their prompts. P > 1 prompts have B / P responses each, which stand
    one after another.
    """
    special_tokens = SpecialTokens(model.tokenizer)

    def tokenise(text: str) -> Tokens:
        return np.array(special_tokens.tokens(special_tokens.mark(text)), np.int64)

    questions = [tokenise(f" {prompt}") for prompt in prompts]
    room = model.window - max(map(len, questions))
    trees = []
    for index, response in enumerate(responses):
        prompt = index * len(prompts) // len(responses)
        context = tokenise(f"Answer: {response}\nQuestion:")[-room:]
        trees.append(Tree(context, (questions[prompt], questions[(prompt + 1) % len(prompts)])))
    lengths = np.array([len(completion) for tree in trees for completion in tree.completions])
    ends = np.cumsum(lengths)
    sums = np.add.reduceat(log_probs(model, trees, 1.0, budget), ends - lengths).reshape(-1, 2)
    return sums[:, 0] - sums[:, 1]
