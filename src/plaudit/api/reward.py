"""``plaudit.load_reward``: a learned reward of texts, also as the reward function of TRL's trainers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from plaudit import layout
from plaudit.api.paths import check_path
from plaudit.language.classifiers import read_labels
from plaudit.language.heads import HEADS
from plaudit.language.models import ModelConfig, device_of
from plaudit.language.reward import TextReward
from plaudit.language.rows import Tokens, Tree
from plaudit.language.template import TemplateConfig
from plaudit.language.text import Chat
from plaudit.run.language.saved import find_model
from plaudit.run.record import RunFolder, kind_of
from plaudit.types import Array, Message, PlauditError

Device = Literal["auto", "cpu", "cuda"]
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
        scores = np.empty(len(prompts), np.float32)
        if trees:
            scores[np.concatenate(list(groups.values()))] = self.reward.reward(trees)
        return scores

    def _tree(self, prompt: tuple[Message, ...], responses: Sequence[str]) -> Tree:
        """The prompt and the responses as tokens; a response without text is the token that ends it."""
        tokens = iter(self._chat.tree(prompt, [text for text in responses if text.strip()]).completions)
        end: Tokens = np.array(self._chat.ends[:1], np.int64)
        completions = tuple(next(tokens) if text.strip() else end for text in responses)
        return Tree(self._chat.prompt(prompt), completions).cut(self.reward.model.window)[0]


def load_reward(
    run: RunFolder[Any] | str | os.PathLike[str],
    *,
    device: Device = "auto",
    template_kwargs: str | Sequence[str] = (),
    special_tokens: Literal["text", "learn"] = "text",
) -> TextScore:
    """Load the reward model of a run on a language model.

    Args:
        run: the folder of a run of ``plaudit train chat`` or ``plaudit tune reward``, the run that
            `plaudit.train` returned, or a reward model: the folder of a saved one, or the folder or hub id of a
            sequence classifier.
        device: ``"auto"`` is the GPU if there is one.
        template_kwargs: one variable for the chat template, such as ``"enable_thinking=false"``, or several; those
            that the model was fitted with are in its saved template.
        special_tokens: what a special token becomes that a text spells out, such as ``<|im_end|>``: plain text, or
            (``"learn"``) the token. A model that was trained with ``--special-tokens learn`` needs no setting.

    Returns:
        A function of prompts and completions. A reward of passages (``passages``) that the run added is not part of it.

    Raises:
        PlauditError: the folder holds no reward model of texts, or a damaged one; its chat template does not read a
            variable.
    """
    if device not in get_args(Device):
        raise PlauditError(f"device must be one of {', '.join(get_args(Device))}, got {device!r}")
    folder = run.folder if isinstance(run, RunFolder) else check_path(run, "run")
    reward = TextReward.load(_find_reward(folder), ModelConfig(method="frozen"), device=device_of(device))
    variables = (template_kwargs,) if isinstance(template_kwargs, str) else tuple(template_kwargs)
    TemplateConfig(variables, special_tokens=special_tokens).apply(reward.model.tokenizer, "own")
    return TextScore(reward.eval(), f"{folder.resolve().name}_reward")


def _find_reward(folder: Path) -> Path:
    """The folder of a reward model: the folder itself, or the one in a run's folder."""
    if _is_reward(folder):
        return folder
    if not folder.is_dir():
        raise PlauditError(f"there is no folder {folder}: name a run or a saved reward model")
    model = find_model(folder, layout.REWARD)
    if not _is_reward(model):
        raise PlauditError(f"{folder} is a run of {kind_of(folder)}, and {model} holds no reward model")
    return model


def _is_reward(folder: Path) -> bool:
    return (folder / f"{HEADS}.json").exists() or read_labels(str(folder)) is not None


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
