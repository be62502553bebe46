"""A language model that answers conversations, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from plaudit.language.fast.decode import stream
from plaudit.language.fast.engines import choose_engine
from plaudit.language.models import ModelConfig, device_of, load
from plaudit.language.rows import Tokens
from plaudit.language.sampling import SamplingConfig
from plaudit.language.template import TemplateConfig
from plaudit.language.text import Chat
from plaudit.types import Message, PlauditError

UNFINISHED = "\ufffd"  # what a tokenizer makes of the first bytes of a character


@dataclass(frozen=True)
class Reply:
    """A response as a whole."""

    text: str
    tokens: int
    is_complete: bool  # by a token that ends it, not by the limit
    omitted: int  # the oldest messages that were left out of the conversation, so that it fits the model's window


class Speaker:
    """A model that answers conversations."""

    def __init__(
        self,
        source: str,
        device: str = "auto",
        template: str = "own",
        config: TemplateConfig | None = None,
        trust: bool = False,
    ) -> None:
        """
        Args:
            source: a folder or a hub id.
            device: as :func:`device_of` names it.
            template: chat template: own (the tokenizer's), transcript, or a file.
            config: variables and date of the template; None: those with which the model was saved.
            trust: run Python code that the model's author put next to the weights.

        Raises:
            PlauditError: the model cannot be loaded, or has no chat template, or one that does not read a variable.
        """
        self._model = load(ModelConfig(source, "frozen", trust_remote_code=trust), device_of(device)).eval()
        (config or TemplateConfig()).apply(self._model.tokenizer, template)
        self._chat = Chat(self._model)
        self._engine = choose_engine(self._model)

    @property
    def window(self) -> int:
        """Largest number of tokens of a conversation with its response."""
        return self._model.window

    @property
    def remarks(self) -> list[str]:
        """A line about special tokens that the conversations spelled; [] if they spelled none."""
        return self._chat.special_tokens.describe_refused("")

    def generator(self, seed: int) -> torch.Generator:
        """A generator of random numbers on the model's device."""
        return torch.Generator(self._model.device).manual_seed(seed)

    def respond(
        self, conversation: Sequence[Message], sampling: SamplingConfig, generator: torch.Generator, opening: int = 0
    ) -> Reply:
        """A response; arguments and faults as :meth:`write`."""
        *_, reply = self.write(conversation, sampling, generator, opening)
        assert isinstance(reply, Reply)
        return reply

    def write(
        self, conversation: Sequence[Message], sampling: SamplingConfig, generator: torch.Generator, opening: int = 0
    ) -> Iterator[str | Reply]:
        """The pieces of a response, one after each token (it may be empty), and last the whole response.

        If the conversation does not fit the model's window, its oldest messages are left out, except for the first
        ``opening``. The whole is what counts: a tokenizer may write the end of a text differently once more follows.

        Raises:
            PlauditError: the last message alone does not fit the model's window.
        """
        prompt, omitted = self._fit(conversation, sampling.tokens, opening)
        tokens: list[int] = []
        text = ""
        for token in stream(self._engine, prompt, replace(sampling, engine="own"), generator, self._chat.ends):
            tokens.append(token)
            longer = self._text(tokens)
            piece = longer.removeprefix(text) if longer.startswith(text) and not longer.endswith(UNFINISHED) else ""
            text += piece
            yield piece
        yield Reply(self._text(tokens), len(tokens), tokens[-1] in self._chat.ends, omitted)

    def _text(self, tokens: Sequence[int]) -> str:
        return self._chat.text(np.array(tokens, np.int64))

    def _fit(self, conversation: Sequence[Message], tokens: int, opening: int) -> tuple[Tokens, int]:
        """The prompt that leaves room for ``tokens``, and the number of messages that were left out of it."""
        omitted = 0
        while True:
            recent = [*conversation[:opening], *conversation[opening + omitted :]]
            prompt = self._chat.prompt(recent)
            if len(prompt) + tokens <= self.window:
                return prompt, omitted
            if len(recent) - opening <= 1:
                raise PlauditError(
                    f"the message has {len(prompt)} tokens, and with {tokens} for the response the model's window has "
                    f"room for {max(self.window - tokens, 0)}: shorten it, or lower the limit of "
                    "the response (--tokens)"
                )
            omitted += min(2, len(recent) - opening - 1)  # a message with its response
