"""A language model of ours as a judge and as an author."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from plaudit.language.decode import SamplingConfig, sample
from plaudit.language.models import LanguageModel
from plaudit.language.policy import batched
from plaudit.language.rows import Tree
from plaudit.language.text import Chat
from plaudit.language.tune import completion_log_probs
from plaudit.types import Message, PlauditError

TRIES = 4  # to write something that is not empty


class LocalModel:
    """A model that is loaded when it is first asked, and its way of writing conversations."""

    def __init__(self, load: Callable[[], LanguageModel], name: str = "local") -> None:
        self.name = name
        self._load = load

    @cached_property
    def _model(self) -> LanguageModel:
        return self._load()

    @cached_property
    def _chat(self) -> Chat:
        return Chat(self._model)

    @torch.no_grad()
    def log_probs(self, conversations: Sequence[Sequence[Message]], options: Sequence[str]) -> NDArray[np.float64]:
        """log P (N, K) in nats that the assistant's next words are each of the options, in float32 whatever the model
        learns in.

        Raises:
            PlauditError: a conversation is too long for the model, or two options are the same to its tokenizer.
        """
        ends = [np.array(self._chat.tokenizer(each, add_special_tokens=False)["input_ids"]) for each in options]
        if len({tuple(each) for each in ends}) < len(ends) or min(map(len, ends)) == 0:
            raise PlauditError(f"the tokenizer cannot tell {' from '.join(options)}: this model cannot judge")
        trees = [Tree(self._chat.prompt(each), tuple(ends)) for each in conversations]
        longest = max(len(tree.prompt) for tree in trees) + max(map(len, ends))
        self._fit(longest)
        model = LanguageModel(self._model.model, self._model.tokenizer)  # the same weights, in float32 throughout
        found = np.empty((len(trees), len(options)))
        for indices, rows, lower in batched(model, trees):
            summed = completion_log_probs(model, rows, lower)[1]
            found[indices] = summed.reshape(len(indices), len(options)).double().cpu().numpy()
        return found

    def write(self, conversations: Sequence[Sequence[Message]], seed: int, tokens: int = 256) -> list[str]:
        """One sampled response to each conversation, never empty, all of them at once.

        Raises:
            PlauditError: a conversation is too long for the model, or it writes nothing however often it is asked.
        """
        prompts = [self._chat.prompt(each) for each in conversations]
        self._fit(max(len(each) for each in prompts) + tokens)
        generator = torch.Generator(self._model.device).manual_seed(seed)
        found = [""] * len(prompts)
        for _ in range(TRIES):
            missing = [place for place, text in enumerate(found) if not text]
            if not missing:
                return found
            drawn = sample(self._model, [prompts[place] for place in missing], SamplingConfig(tokens), generator)
            for place, completion in zip(missing, drawn.completions(), strict=True):
                found[place] = self._chat.text(completion)
        if not all(found):
            raise PlauditError(f"{self.name}: the model writes nothing, asked {TRIES} times: take another model")
        return found

    def _fit(self, tokens: int) -> None:
        if tokens > self._model.window:
            raise PlauditError(
                f"{self.name}: {tokens} tokens do not fit the model's window of {self._model.window}: judge shorter "
                "responses, or take a model with a larger window"
            )
