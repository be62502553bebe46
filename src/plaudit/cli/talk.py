"""`plaudit chat`: talk to a model that was trained, in the terminal or in the browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from rich.markup import escape

from plaudit.api.console import console, optional, say
from plaudit.cli.arguments import parse
from plaudit.cli.models import ModelArguments
from plaudit.cli.sources import model_of
from plaudit.language.sampling import SamplingConfig
from plaudit.language.speaker import Speaker
from plaudit.language.template import TemplateConfig
from plaudit.types import Message, PlauditError, printable

HELP = """Talk to a language model: a run's policy, or any model.

Write a message and press Enter. /new begins a new conversation; /quit or Ctrl-D ends. If the input is not a terminal,
every line of it is a message. If a conversation is longer than the model's window, its oldest turns are left out.

With --browser the conversation takes place on a page, where responses stream in. A run's policy can answer there next
to the model that it started from, and each response has the run's learned reward.

examples:
  plaudit chat runs/chat
  plaudit chat runs/chat --before
  plaudit chat runs/chat --browser
  plaudit chat smollm2 --temperature 0
  echo "Name a fruit." | plaudit chat runs/chat"""


@dataclass(frozen=True)
class ChatArguments(ModelArguments):
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
    template_kwargs: tuple[str, ...] = ()
    """Variables for the chat template, such as enable_thinking=false; those of the run are used without it."""
    seed: int = 0
    """Seed of the responses in the terminal; on the page each response has a new one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; auto: the GPU if there is one."""
    browser: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Serve a page on this machine for the conversation, and open it in the browser."""
    port: int = 0
    """Port of the page, with --browser; 0: a free one."""

    def __post_init__(self) -> None:
        if self.port and not self.browser:
            raise PlauditError("--port needs --browser: the terminal has no port")


def chat(arguments: list[str]) -> int:
    """`plaudit chat MODEL`."""
    parsed = parse(ChatArguments, arguments, "chat", HELP)
    sampling, template = SamplingConfig(parsed.tokens, parsed.temperature), TemplateConfig(parsed.template_kwargs)
    if parsed.browser:
        page = optional("plaudit.cli.chat_page", "serve")
        request = page.Request(
            parsed.model, parsed.before, parsed.device, parsed.port, template, parsed.trust_remote_code
        )
        page.serve(request, sampling, parsed.system)
        return 0
    source = model_of(parsed.model, parsed.before)
    with console.status(escape(printable(f"loading {source}"))):
        speaker = Speaker(source, parsed.device, config=template, trust=parsed.trust_remote_code)
    generator = speaker.generator(parsed.seed)
    opening = [Message("system", parsed.system)] if parsed.system is not None else []
    conversation = list(opening)
    for line in _lines():
        if line == "/new":
            conversation = list(opening)
            say("a new conversation")
            continue
        conversation.append(Message("user", line))
        with console.status("writing"):
            reply = speaker.respond(conversation, sampling, generator, len(opening))
        if reply.omitted:
            say(f"the window is full: {reply.omitted} of the oldest messages were left out")
        print(printable(reply.text), flush=True)
        conversation.append(Message("assistant", reply.text))
    for remark in speaker.remarks:
        say(remark)
    return 0


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
