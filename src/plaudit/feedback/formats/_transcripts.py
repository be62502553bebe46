r"""Transcripts: conversations as one text, in which a turn begins at "\n\nHuman: " or "\n\nAssistant: "."""

from __future__ import annotations

import re
from collections.abc import Iterable

from plaudit.types import Message

HUMAN, ASSISTANT = "\n\nHuman: ", "\n\nAssistant: "
TURN = re.compile(r"\n\n(?:Human|Assistant): ")


def split(transcript: str) -> tuple[Message, ...]:
    """A transcript as messages; text before the first turn is the system's. () where there is no turn."""
    marks = list(TURN.finditer(transcript))
    if not marks:
        return ()
    ends = [*(mark.start() for mark in marks[1:]), len(transcript)]
    turns = [
        Message("user" if mark[0] == HUMAN else "assistant", transcript[mark.end() : end])
        for mark, end in zip(marks, ends, strict=True)
    ]
    before = transcript[: marks[0].start()]
    return (Message("system", before), *turns) if before else tuple(turns)


def join(messages: Iterable[Message]) -> str:
    """The transcript that :func:`split` has split."""
    marks = {"system": "", "user": HUMAN, "assistant": ASSISTANT}
    return "".join(marks[message.role] + message.content for message in messages)


def split_prompt(text: str) -> tuple[Message, ...]:
    """The turns of a transcript that ends with the opening of the assistant's turn; () for any other text."""
    opening = ASSISTANT.rstrip()
    before = text.rstrip().removesuffix(opening)
    return split(before) if before != text.rstrip() and TURN.search(before) else ()
