"""`plaudit chat`: talk to a model that was trained, in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from plaudit import layout
from plaudit.api.console import console, say
from plaudit.cli.arguments import parse
from plaudit.language.fast.decode import sample
from plaudit.language.models import ModelConfig, device_of, load
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, CONTROL
from plaudit.types import Message, PlauditError

HELP = """Talk to a language model: a run's policy, or any model.

Write a message and press Enter. /new begins a new conversation; /quit or Ctrl-D ends. If the input is not a terminal,
every line of it is a message. If a conversation is longer than the model's window, its oldest turns are left out.

examples:
  plaudit chat runs/chat
  plaudit chat runs/chat --before
  plaudit chat smollm2 --temperature 0
  echo "Name a fruit." | plaudit chat runs/chat"""


@dataclass(frozen=True)
class ChatArguments:
    """`plaudit chat MODEL`."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a run, of plaudit train chat or plaudit tune, or a model: a folder or a hub id."""
    before: bool = False
    """Talk to the run's model before reinforcement learning, which was only fine-tuned."""
    system: str | None = None
    """System message of every conversation."""
    tokens: int = 256
    """Largest number of tokens of a response."""
    temperature: float = 0.7
    """Temperature of sampling; 0 takes the likeliest token."""
    seed: int = 0
    """Seed of the responses."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; auto: the GPU if there is one."""


def chat(arguments: list[str]) -> int:
    """`plaudit chat MODEL`."""
    parsed = parse(ChatArguments, arguments, "chat", HELP)
    sampling = SamplingConfig(parsed.tokens, parsed.temperature)
    source = model_of(parsed.model, parsed.before)
    with console.status(f"loading {source}"):
        speaker = Speaker(source, sampling, parsed.seed, parsed.device)
    opening = [Message("system", parsed.system)] if parsed.system is not None else []
    conversation = list(opening)
    for line in _lines():
        if line == "/new":
            conversation = list(opening)
            say("a new conversation")
            continue
        conversation.append(Message("user", line))
        with console.status("writing"):
            response, omitted = speaker.respond(conversation, len(opening))
        if omitted:
            say(f"the window is full: {omitted} of the oldest messages were left out")
        print(_printable(response), flush=True)
        conversation.append(Message("assistant", response))
    return 0


def model_of(name: str, before: bool = False) -> str:
    """The model that ``name`` means: a run's policy (its fine-tuned model if ``before``), or the name itself.

    Raises:
        PlauditError: the run holds an agent, or has no model yet; ``before`` without a run of a chat.
    """
    folder = Path(name)
    if not (folder / layout.CONFIG).exists() or not _is_run(folder):
        if before:
            raise PlauditError(f"--before needs a run of plaudit train chat, and {name} is not one")
        return name
    kind = kind_of(folder)
    if kind == CONTROL:
        raise PlauditError(f"{folder} holds an agent, not a language model: see what it does with plaudit watch")
    if before and kind != CHAT:
        raise PlauditError(f"--before needs a run of plaudit train chat, and {name} is one of {kind}")
    part = (layout.SFT if before else layout.POLICY) if kind == CHAT else layout.MODEL
    if not (folder / part).is_dir():
        raise PlauditError(f"{folder} has no {part}/ yet: finish it with plaudit resume {folder}")
    return str(folder / part)


def _is_run(folder: Path) -> bool:
    """Whether a folder with a config.json holds a run, and not a model, whose settings have that name, too."""
    return (folder / layout.CHECKPOINTS).is_dir()


class Speaker:
    """A model that answers conversations."""

    def __init__(self, source: str, sampling: SamplingConfig, seed: int, device: str) -> None:
        """
        Raises:
            PlauditError: the model cannot be loaded, or has no chat template.
        """
        self._model = load(ModelConfig(source, method="frozen"), device_of(device)).eval()
        self._chat = Chat(self._model)
        self._sampling = sampling
        self._generator = torch.Generator(self._model.device).manual_seed(seed)

    @property
    def window(self) -> int:
        """Largest number of tokens of a conversation with its response."""
        return self._model.window

    def respond(self, conversation: list[Message], opening: int = 0) -> tuple[str, int]:
        """A response to a conversation, and the number of old messages that were left out of it to fit the window.

        The first ``opening`` messages always stay.

        Raises:
            PlauditError: the last message alone does not fit the model's window.
        """
        omitted = 0
        while True:
            recent = [*conversation[:opening], *conversation[opening + omitted :]]
            prompt = self._chat.prompt(recent)
            if len(prompt) + self._sampling.tokens <= self._model.window:
                break
            if len(recent) - opening <= 1:
                raise PlauditError(
                    f"the message has {len(prompt)} tokens, and with {self._sampling.tokens} for the response the "
                    f"model's window has room for {max(self._model.window - self._sampling.tokens, 0)}: shorten it, "
                    "or lower --tokens"
                )
            omitted += min(2, len(recent) - opening - 1)  # a message with its response
        samples = sample(self._model, [prompt], self._sampling, self._generator)
        return self._chat.text(samples.completions()[0]), omitted


def _printable(text: str) -> str:
    """The text without characters that control the terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def _lines() -> Iterator[str]:
    """The messages of the person, without empty ones, until /quit or the end of the input."""
    asking = sys.stdin.isatty()
    while True:
        if asking:
            console.print("[bold]you:[/bold] ", end="")
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            return
        if line.strip():
            yield line.strip()
