"""Chat templates: programs of a model's author, which write a conversation as text.

A template runs in a process of its own, with limits of time, memory and length, and sees the date of its run
instead of the clock, so that a run that resumes on another day writes the same text. Variables that a user passes
become part of the template's text: a saved model then writes conversations as the run did.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from plaudit.feedback.files import read_text
from plaudit.language.special_tokens import Spelling, set_spelling
from plaudit.language.template_sandbox import SANDBOX, EndedProcess
from plaudit.types import Message, PlauditError

# HH-RLHF's own marks, for models that were never taught a template. As expressions: a newline after a block is trimmed.
TRANSCRIPT = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '\n\nHuman: ' + message['content'] }}"
    "{% else %}{{ '\n\nAssistant: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)
STOPS = 2  # times that a template is stopped until it is not run again
SECONDS = 5.0  # a template may take for one conversation; usual ones take less than a millisecond
LENGTH = 1_000_000  # characters that a template may write besides the texts themselves
DATE = "template_date"  # in the settings of a tokenizer
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = ("messages", "add_generation_prompt", "strftime_now", "raise_exception", "tools", "documents")


class StoppedTemplate(PlauditError):
    """A template took too much time or memory, or wrote too much."""


_stops: dict[str, list[StoppedTemplate]] = {}  # by the text of the template


@dataclass(frozen=True)
class TemplateConfig:
    """What a chat template depends on besides the conversation."""

    kwargs: tuple[str, ...] = ()
    """Variables for the chat template, such as enable_thinking=false; values are JSON, or else text."""
    date: str | None = None
    """Date that the chat template sees (YYYY-MM-DD); None: the day on which the run begins, which the run stores."""
    changes: Literal["refuse", "accept"] = "refuse"
    """A chat template that drops, moves or changes text of the data: refuse it, or accept and count the changes."""
    special_tokens: Spelling = "text"
    """Reading of special tokens that the data spell out, such as <|im_end|>. text: as plain text, and such texts are
    counted; learn: as the tokens, which are learned as content and decoded as they are spelled."""
    text: str | None = None
    """Text of the chat template, which a run stores when it begins and uses when it resumes; None: as --template says.
    """

    def __post_init__(self) -> None:
        parse_variables(self.kwargs)
        if self.date is not None:
            parse_date(self.date)

    def pin(self, tokenizer: Any, name: str) -> TemplateConfig:
        """These settings with the template's present text and, if they name no date, today's."""
        pinned = replace(self, text=None, date=self.date or datetime.date.today().isoformat())
        pinned.apply(tokenizer, name)
        return replace(pinned, text=tokenizer.get_chat_template())

    def apply(self, tokenizer: Any, name: str) -> None:
        """Let a tokenizer write conversations by the template of that name, with these variables on this date.

        Raises:
            PlauditError: there is no such template, or it does not read one of the variables.
        """
        set_spelling(tokenizer, self.special_tokens)
        if self.date is not None:
            tokenizer.init_kwargs[DATE] = self.date  # which a saved tokenizer keeps
        if self.text is not None:
            tokenizer.chat_template = self.text
            return
        if name != "own":
            tokenizer.chat_template = read_template(name)
        check_template(tokenizer)
        if self.kwargs:
            variables = parse_variables(self.kwargs)
            for name in variables.keys() & tokenizer.special_tokens_map.keys():
                raise PlauditError(f"--template-kwargs {name}: the tokenizer sets this variable: leave it out")
            tokenizer.chat_template = set_variables(tokenizer.get_chat_template(), variables)


def parse_variables(arguments: Sequence[str]) -> dict[str, Any]:
    """Variables of ``NAME=VALUE`` arguments; a value is JSON, or else the text itself.

    Raises:
        PlauditError: an argument is not of this form, or names a variable twice or one that Plaudit sets.
    """
    variables: dict[str, Any] = {}
    for argument in arguments:
        name, mark, value = argument.partition("=")
        if not mark or not NAME.fullmatch(name):
            raise PlauditError(f"--template-kwargs {argument} must be NAME=VALUE, such as enable_thinking=false")
        if name in variables or name in RESERVED:
            reason = "is named twice" if name in variables else "is set by Plaudit"
            raise PlauditError(f"--template-kwargs {argument}: the variable {name} {reason}: leave it out")
        try:
            variables[name] = json.loads(value, parse_constant=str)
        except (ValueError, RecursionError):
            variables[name] = value
        if isinstance(variables[name], float) and not math.isfinite(variables[name]):
            variables[name] = value
    return variables


def parse_date(text: str) -> datetime.date:
    """The date of ``YYYY-MM-DD``."""
    try:
        return datetime.date.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise PlauditError(f"the date of a chat template must be YYYY-MM-DD, got {text!r}") from error


def check_template(tokenizer: Any) -> None:
    """Raise :class:`PlauditError` unless the tokenizer has a chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise PlauditError(
            "the model's tokenizer has no chat template, which says how the model sees a conversation: use "
            "--template transcript (Human: ... Assistant: ...), or name a file with one"
        )
    if not isinstance(tokenizer.chat_template, str | dict):
        raise PlauditError(
            f"tokenizer_config.json: chat_template must be text, got {tokenizer.chat_template!r:.60}: write one to a "
            "file, and name it as --template"
        )
    try:
        tokenizer.get_chat_template()
    except ValueError as error:
        names = ", ".join(map(str, tokenizer.chat_template))[:200]
        raise PlauditError(
            f"the model's tokenizer has several chat templates ({names}), and none of them is named default: write one "
            "to a file, and name it as --template"
        ) from error


def read_template(name: str) -> str:
    """A chat template: ours for transcripts, or a file's."""
    if name == "transcript":
        return TRANSCRIPT
    return read_text(Path(name))


def set_variables(text: str, variables: Mapping[str, Any]) -> str:
    """A template in which variables have these values, unless a caller passes others.

    Raises:
        PlauditError: the template does not read one of them, or is not a template.
    """
    answer = _run("find_variables", "being read", text=text)
    if "fault" in answer:
        raise PlauditError(f"the chat template cannot be read: {answer['fault']}")
    names = set(answer["result"])
    lines = []
    for name, value in variables.items():
        line = f"{{% set {name} = {name} | default({_spell(value)}) %}}\n"
        if line in text:
            continue
        if name not in names:
            readable = ", ".join(sorted(names - set(RESERVED))) or "none besides the conversation"
            raise PlauditError(f"the chat template does not read the variable {name}. Its variables: {readable}")
        lines.append(line)
    return "".join(lines) + text


def _spell(value: Any) -> str:
    """A JSON value as a template spells it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_spell(key)}: {_spell(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_spell, value)) + "]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Template:
    """A chat template with the date that it sees and the names of the model's special tokens."""

    text: str
    date: datetime.date
    special_tokens: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> Template:
        """The template of a tokenizer; the date is today's unless :class:`TemplateConfig` set another.

        Raises:
            PlauditError: a saved tokenizer has another text in place of a date; as :func:`check_template`.
        """
        check_template(tokenizer)
        date = getattr(tokenizer, "init_kwargs", {}).get(DATE)
        return cls(
            tokenizer.get_chat_template(),
            datetime.date.today() if date is None else parse_date(date),
            tokenizer.special_tokens_map,
        )

    def render(self, messages: Sequence[Message], prompted: bool = True) -> str:
        """A conversation as text; ``prompted``: with the opening of the assistant's turn.

        Raises:
            PlauditError: the template refuses the conversation, is no template, or takes or writes too much.
        """
        limit = LENGTH + 4 * sum(len(message.content) for message in messages)
        answer = _run(
            "write",
            f"one conversation of {len(messages)} messages",
            text=self.text,
            messages=[{"role": message.role, "content": message.content} for message in messages],
            prompted=prompted,
            date=self.date.isoformat(),
            special_tokens=dict(self.special_tokens),
            limit=limit,
        )
        if "fault" in answer:
            raise PlauditError(f"the model's chat template refuses a conversation: {answer['fault']}")
        return answer["result"]


def _run(function: str, task: str, **arguments: Any) -> dict[str, Any]:
    """The answer of the process in which templates run.

    Raises:
        StoppedTemplate: the template takes too much time or memory, or writes too much; also at once, if it was stopped
            before, because each of a thousand conversations would take that time.
    """
    stops = _stops.get(arguments["text"], [])
    if len(stops) >= STOPS:
        raise StoppedTemplate(str(stops[0]))
    try:
        answer = SANDBOX.call(function, SECONDS, **arguments)
        if "excess" not in answer:
            return answer
        fault = StoppedTemplate(f"the model's chat template {answer['excess']}: name another --template")
    except TimeoutError:
        fault = StoppedTemplate(
            f"the model's chat template takes over {SECONDS:g} seconds for {task} and was stopped: name another "
            "--template"
        )
    except EndedProcess:
        fault = StoppedTemplate(
            f"the model's chat template ends the process in which it runs, on {task}: name another --template"
        )
    _stops.setdefault(arguments["text"], []).append(fault)
    raise fault
