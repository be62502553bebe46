"""Rewards of texts: a reward model as a function of prompts and responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from plaudit.language.reward import TextReward
from plaudit.language.rows import Tokens, Tree
from plaudit.language.text import Chat
from plaudit.types import Array, Message, PlauditError

Text = str | Sequence[Mapping[str, Any]]  # plain text, or messages with role and content


class TextScore:
    """A reward model of texts, as a function of prompts and responses.

    Attributes:
        reward: the model, with its heads and their normalisation.
    """

    def __init__(self, reward: TextReward, name: str = "reward") -> None:
        self.reward = reward
        self.__name__ = name  # TRL's trainers log a reward function under its name
        self._chat = Chat(reward.model)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__name__!r})"

    @property
    def remarks(self) -> list[str]:
        """A line about texts in which special tokens of the model were read as text; [] if there were none."""
        return self._chat.special_tokens.describe_refused()

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float]:
        """Rewards of completions, as TRL's trainers (GRPO, RLOO) call a reward function.

        Args:
            prompts: B prompts, each a text or a list of messages.
            completions: B completions, each a text or a list of one message.
            columns: what else a trainer passes; not used.

        Returns:
            B rewards, as `score` returns them.

        Raises:
            PlauditError: as `score`.
        """
        return self.score(prompts, completions).tolist()

    def score(self, prompts: Sequence[Text], responses: Sequence[Text]) -> Array:
        """Rewards (B,) float32 of B responses to B prompts, normalised as for the run's own policy.

        A reward has no unit: over responses such as those that the model learned from, its mean is about 0 and its
        standard deviation about 1. Every response counts as finished. If a prompt and its response are longer than the
        model's window, the prompt loses its oldest tokens.

        Args:
            prompts: each a text, which is one message of a user, or a list of messages ``{"role", "content"}``.
            responses: each a text, or a list of one message of the assistant.

        Raises:
            PlauditError: the numbers of prompts and responses differ; a message is none; the model's chat template
                refuses a conversation.
        """
        raw = torch.from_numpy(self.raw_scores(prompts, responses))
        with torch.no_grad():
            return (
                self.reward.pool(raw.to(self.reward.mean.device)).cpu().numpy() if len(raw) else np.empty(0, np.float32)
            )

    def raw_scores(self, prompts: Sequence[Text], responses: Sequence[Text]) -> Array:
        """Scores (B, O, M) float32 of every head, before they are normalised and pooled; as :meth:`score` otherwise."""
        for name, texts in (("prompts", prompts), ("responses", responses)):
            if not _is_list(texts):
                raise PlauditError(f"{name} must be a list of texts or of conversations, got {texts!r:.80}")
        if len(prompts) != len(responses):
            raise PlauditError(
                f"there are {len(prompts)} prompts and {len(responses)} responses: give one response to each prompt"
            )
        groups: dict[tuple[Message, ...], list[int]] = {}  # responses to one prompt share its computation
        for index, prompt in enumerate(prompts):
            groups.setdefault(_conversation(prompt, f"prompts[{index}]"), []).append(index)
        trees = [
            self._tree(prompt, [_response(responses[index], f"responses[{index}]") for index in indices])
            for prompt, indices in groups.items()
        ]
        scores = np.empty((len(prompts), *self.reward.mean.shape), np.float32)
        if trees:
            scores[np.concatenate(list(groups.values()))] = self.reward.score(trees)
        return scores

    def _tree(self, prompt: tuple[Message, ...], responses: Sequence[str]) -> Tree:
        """The prompt and the responses as tokens; a response without text is the token that ends it."""
        tokens = iter(self._chat.tree(prompt, [text for text in responses if text.strip()]).completions)
        end: Tokens = np.array(self._chat.ends[:1], np.int64)
        completions = tuple(next(tokens) if text.strip() else end for text in responses)
        return Tree(self._chat.prompt(prompt), completions).cut(self.reward.model.window)[0]


def _conversation(text: Text, field: str) -> tuple[Message, ...]:
    if isinstance(text, str):
        return (Message("user", text),)
    messages = tuple(_message(turn, f"{field}[{index}]") for index, turn in enumerate(_turns(text, field)))
    if not messages:
        raise PlauditError(f"{field} is an empty conversation")
    return messages


def _response(text: Text, field: str) -> str:
    if isinstance(text, str):
        return text
    turns = _turns(text, field)
    if len(turns) != 1:
        raise PlauditError(f"{field} must be a text or a list of one message, got {len(turns)} messages")
    return _message(turns[0], field).content


def _turns(text: Any, field: str) -> Sequence[Any]:
    if not _is_list(text):
        raise PlauditError(f"{field} must be a text or a list of messages, got {text!r:.80}")
    return text


def _is_list(value: object) -> bool:
    """Whether it is a list, or a column of another library."""
    return hasattr(value, "__len__") and not isinstance(value, str | bytes | Mapping)


def _message(turn: Any, field: str) -> Message:
    try:
        role, content = turn["role"], turn["content"]
        if not isinstance(content, str):
            raise TypeError(f"content is {type(content).__name__}, not text")
        return Message(role, content)
    except (KeyError, TypeError, ValueError) as error:
        raise PlauditError(f"{field} must be a text, or messages with role and content: {error}") from error
