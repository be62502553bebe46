"""The token at which transformers reads the score of a published classifier, and what its template writes before it.

``apply_chat_template`` gives the tokens of a conversation, and the classifier's score is read at the last one that is
not padding. With ChatML that is the newline after ``<|im_end|>``, not the token that ends the response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.language.rows import Rows, Tree
from plaudit.language.saving import find_ends
from plaudit.language.template import Template
from plaudit.types import Message, PlauditError

EXAMPLE = Message("user", "a"), Message("assistant", "b")
SETTINGS = ("padding", "tail")  # names in heads.json


@dataclass(frozen=True)
class Readout:
    """Where the score of a completion is read: by default at its last token."""

    padding: int | None = None
    """The token that pads texts, at which no score is read; None: there is none."""
    tail: tuple[int, ...] = ()
    """Tokens that the chat template writes after the token that ends a response."""
    ends: tuple[int, ...] = ()
    """Tokens that end a response."""

    @classmethod
    def of_classifier(cls, model: Any, tokenizer: Any, padding: int | None) -> Readout:
        """The readout of a published classifier, by its chat template."""
        ends = find_ends(model, tokenizer)
        return cls(padding, _find_tail(tokenizer, ends), tuple(ends))

    @classmethod
    def of_settings(cls, model: Any, tokenizer: Any, settings: dict[str, Any]) -> Readout:
        """The readout that :meth:`settings` gave."""
        ends = find_ends(model, tokenizer)
        return cls(settings.get("padding"), tuple(settings.get("tail", ())), tuple(ends))

    def settings(self) -> dict[str, Any]:
        """What heads.json keeps: nothing for the default."""
        values = {"padding": self.padding, "tail": list(self.tail) or None}
        return {name: value for name, value in values.items() if value is not None}

    def extend(self, tree: Tree, reach: int) -> Tree:
        """The tree with the tail after each completion that has an end, cut to ``reach`` tokens."""
        if not self.tail:
            return tree
        tail = np.array(self.tail, np.int64)
        completions = (
            np.concatenate((completion, tail)) if completion[-1] in self.ends else completion
            for completion in tree.completions
        )
        return Tree(tree.prompt, tuple(completions), tree.name).cut(reach)[0]

    def positions(self, rows: Rows) -> Tensor:
        """(C,) flat index of the token at which the score of each completion is read."""
        return rows.ends if self.padding is None else last_tokens(rows, self.padding)


def _find_tail(tokenizer: Any, ends: list[int]) -> tuple[int, ...]:
    """The tokens that the chat template writes after the end of a response; () if there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return ()
    try:
        text = Template.from_tokenizer(tokenizer).render(EXAMPLE, prompted=False)
    except PlauditError:  # it needs another conversation: the score is read at the end of a response
        return ()
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    last = max((index for index, token in enumerate(tokens) if token in ends), default=len(tokens))
    return tuple(tokens[last + 1 :])


def last_tokens(rows: Rows, padding: int) -> Tensor:
    """(C,) flat index of the last token of each completion that is not padding.

    Published reward models often pad with the token that ends a text. Their scores are then read before that token.
    """
    tokens, ends = rows.tokens.flatten(), rows.ends.clone()
    counts = torch.bincount(rows.owners, minlength=len(ends)).tolist()
    starts = np.cumsum([0, *counts]).tolist()
    for completion in (tokens[ends] == padding).nonzero()[:, 0].tolist():
        last, prompt_end = int(ends[completion]), int(rows.sources[starts[completion]])
        begin = int(rows.begins[rows.begins <= prompt_end].max())
        indices = range(last, last - counts[completion], -1)
        earlier = (index for index in (*indices, *range(prompt_end, begin - 1, -1)) if int(tokens[index]) != padding)
        ends[completion] = next(earlier, begin)
    return ends
