"""A local language model as a judge and as an author."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from plaudit.annotators.ai_judge import Opinion
from plaudit.annotators.endpoint import TEMPERATURE, storable
from plaudit.annotators.undecided import UndecidedQuestion
from plaudit.functional.calibration import logistic
from plaudit.language.fast.decode import sample
from plaudit.language.models import LanguageModel
from plaudit.language.policy import iterate_batches
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.language.tune import completion_log_probs
from plaudit.types import Message, PlauditError

MAX_RESPONSE_TOKENS = 256
TRIES = 4  # attempts to write a response that is not empty


class LocalModel:
    """A model that is loaded on first use, with its chat template."""

    def __init__(self, load: Callable[[], LanguageModel], name: str = "local") -> None:
        self.name = name
        self._load = load

    @cached_property
    def _model(self) -> LanguageModel:
        return self._load()

    @cached_property
    def _chat(self) -> Chat:
        return Chat(self._model)

    @property
    def remarks(self) -> list[str]:
        """A line about special tokens that the conversations spelled; [] if they spelled none."""
        return self._chat.special_tokens.describe_refused("") if "_chat" in vars(self) else []

    @torch.no_grad()
    def log_probs(
        self, conversations: Sequence[Sequence[Message]], options: Sequence[str], beginning: str = ""
    ) -> NDArray[np.float64]:
        """log P (N, K) in nats that an answer continues with each option after ``beginning``.

        With the beginning given, a small model puts much more of its probability on the options. Computed in float32,
        whatever precision the model learns in.

        Raises:
            UndecidedQuestion: a conversation is too long for the model.
            PlauditError: two options are the same to its tokenizer.
        """
        first, *ends = (
            np.array(self._chat.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64)
            for text in (beginning, *options)
        )
        if len({tuple(end) for end in ends}) < len(ends) or min(map(len, ends)) == 0:
            raise PlauditError(f"the tokenizer cannot tell {' from '.join(options)}: this model cannot judge")
        trees = [
            Tree(np.concatenate([self._chat.prompt(conversation), first]), tuple(ends))
            for conversation in conversations
        ]
        longest = max(len(tree.prompt) for tree in trees) + max(map(len, ends))
        self._fit(longest)
        model = LanguageModel(self._model.model, self._model.tokenizer)  # the same weights, in float32 throughout
        log_probs = np.empty((len(trees), len(options)))
        for indices, rows, lower in iterate_batches(model, trees):
            summed = completion_log_probs(model, rows, lower)[1]
            log_probs[indices] = summed.reshape(len(indices), len(options)).double().cpu().numpy()
        return log_probs

    def write(self, conversations: Sequence[Sequence[Message]], seed: int) -> list[str]:
        """One sampled response to each conversation, never empty, all of them at once.

        Raises:
            UndecidedQuestion: a conversation is too long for the model, or the model writes nothing in any attempt.
        """
        prompts = [self._chat.prompt(conversation) for conversation in conversations]
        self._fit(max(len(prompt) for prompt in prompts) + MAX_RESPONSE_TOKENS)
        generator = torch.Generator(self._model.device).manual_seed(seed)
        texts = [""] * len(prompts)
        for _ in range(TRIES):
            missing = [index for index, text in enumerate(texts) if not text]
            if not missing:
                return texts
            samples = sample(
                self._model,
                [prompts[index] for index in missing],
                SamplingConfig(MAX_RESPONSE_TOKENS, TEMPERATURE),
                generator,
            )
            for index, completion in zip(missing, samples.completions(), strict=True):
                texts[index] = storable(self._chat.text(completion)).strip()
        if not all(texts):
            raise UndecidedQuestion(f"{self.name}: the model writes nothing, asked {TRIES} times: take another model")
        return texts

    def _fit(self, tokens: int) -> None:
        if tokens > self._model.window:
            raise UndecidedQuestion(
                f"{self.name}: {tokens} tokens do not fit the model's window of {self._model.window}: judge shorter "
                "responses, or take a model with a larger window"
            )


@dataclass(frozen=True)
class LocalReader:
    """Reads the log-probabilities of A and B as the next token, and gives no reasons."""

    model: LocalModel
    instruction: str = "Answer with the letter."

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def remarks(self) -> list[str]:
        """As :attr:`LocalModel.remarks`."""
        return self.model.remarks

    def opinions(self, prompts: Sequence[str], seed: int) -> list[Opinion]:
        """P[A] = p(A) / (p(A) + p(B)) for each prompt; None if a prompt is too long for the model."""
        conversations = [[Message("user", prompt)] for prompt in prompts]
        try:
            log_probs = self.model.log_probs(conversations, (" A", " B"), "The better response is response")
        except UndecidedQuestion as error:
            if len(prompts) == 1:
                return [Opinion(None, str(error))]
            return [opinion for prompt in prompts for opinion in self.opinions([prompt], seed)]  # the others may fit
        chances = logistic(log_probs[:, 0] - log_probs[:, 1])
        return [Opinion(float(p), f"P[A] = {p:.3f}") for p in chances]
