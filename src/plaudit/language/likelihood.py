"""Log-probabilities of texts under a model, and texts as windows of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.policy import BUDGET, iterate_batches
from plaudit.language.rows import Tree
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
