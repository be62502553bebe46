"""Conversations as one text with the marks of a chat template, as columns called ``text`` hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from plaudit.feedback.formats._roles import ROLES, Role
from plaudit.types import Message


@dataclass(frozen=True)
class Dialect:
    """How a template marks where a turn begins and, if it does, where it ends."""

    opening: re.Pattern[str]  # with a group "role"
    closing: re.Pattern[str] | None = None


DIALECTS = (
    Dialect(re.compile(r"<\|im_start\|>\s*(?P<role>\w+)[ \t]*\n"), re.compile(r"<\|im_end\|>")),
    Dialect(re.compile(r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\s*"), re.compile(r"<\|eot_id\|>")),
    Dialect(re.compile(r"<start_of_turn>(?P<role>\w+)[ \t]*\n"), re.compile(r"<end_of_turn>")),
    Dialect(
        re.compile(r"<\|(?P<role>system|user|human|prompter|assistant|model|bot)\|>:?\s*", re.IGNORECASE),
        re.compile(r"</s>|<\|end\|>|<\|eot\|>|<\|endoftext\|>"),
    ),
    Dialect(re.compile(r"\[(?P<role>/?INST)\]"), re.compile(r"</s>")),
    Dialect(
        re.compile(
            r"###\s*(?P<role>System|User|Human|Instruction|Question|Input|Assistant|Response|Answer|Output):\s*"
        ),
        re.compile(r"</s>|<\|endoftext\|>"),
    ),
    Dialect(re.compile(r"(?<![^\s>])(?P<role>SYSTEM|USER|ASSISTANT):\s*"), re.compile(r"</s>|<\|endoftext\|>")),
    Dialect(re.compile(r"(?:\A|(?<=\n))(?P<role>Human|User|Assistant):\s*")),
)
SPELLINGS: dict[str, Role] = {
    **ROLES,
    **dict.fromkeys(("question", "input", "inst"), "user"),
    **dict.fromkeys(("response", "answer", "output", "/inst"), "assistant"),
}
SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)
BEGIN = re.compile(r"\A\s*(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>)?\s*")  # a token that begins a text
END = re.compile(r"(?:\s|<s>|</s>|<eos>|<\|endoftext\|>|<\|end_of_text\|>)*\Z")


def split_markup(text: str, preamble: bool = False) -> tuple[Message, ...]:
    """The turns of a text that a chat template wrote; () where the person and the assistant do not both have one.

    preamble: whether text may stand before the first turn; it is the system's.
    """
    for dialect in DIALECTS:
        marks = list(dialect.opening.finditer(text))
        before = END.sub("", BEGIN.sub("", text[: marks[0].start()], count=1)) if marks else ""
        if not marks or (before and not preamble):
            continue
        turns = tuple(_merge(_read(dialect, text, marks)))
        roles = [turn.role for turn in turns]
        if "assistant" in roles and "user" in roles[: roles.index("assistant")]:
            return (Message("system", before), *turns) if before and roles[0] != "system" else turns
    return ()


def _read(dialect: Dialect, text: str, marks: list[re.Match[str]]) -> Iterator[Message]:
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=True):
        role = SPELLINGS.get(mark["role"].casefold())
        content = text[mark.end() : end]
        closing = dialect.closing.search(content) if dialect.closing else None
        content = END.sub("", content[: closing.start()] if closing else content).strip()
        system = SYSTEM.match(content)
        if system and role == "user":
            yield Message("system", system[1].strip())
            content = content[system.end() :].strip()
        if role is not None:
            yield Message(role, content)


def _merge(turns: Iterator[Message]) -> Iterator[Message]:
    """Two turns of the user one after another, such as Alpaca's instruction and its input, as one."""
    last: Message | None = None
    for turn in turns:
        if last is not None and last.role == turn.role == "user":
            last = Message("user", f"{last.content}\n\n{turn.content}".strip())
            continue
        if last is not None:
            yield last
        last = turn
    if last is not None:
        yield last
