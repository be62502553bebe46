"""Conversations as others write them, into dialogues and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from plaudit.feedback.formats._record import Fault, Fields, LeftOut, Record
from plaudit.types import Dialogue, Message

Role = Literal["system", "user", "assistant"]
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
CLIPS = "their items are clips, and the format holds text"


def user(text: str) -> tuple[Message, ...]:
    """A prompt of one turn."""
    return (Message("user", text),)


def reply(prompt: Sequence[Message], response: str, model: str | None = None) -> Dialogue:
    """A prompt with a response to it."""
    return Dialogue((*prompt, Message("assistant", response)), model)


def messages(row: Fields, name: str) -> tuple[Message, ...]:
    """A list of ``{"role": ..., "content": ...}``."""
    turns = []
    for turn in row.objects(name):
        role = turn.text("role")
        if role not in ROLES:
            raise turn.fault("role", f"must be one of {', '.join(ROLES)}, got {role!r}")
        turns.append(Message(ROLES[role], turn.text("content")))
    return tuple(turns)


def conversation(row: Fields, name: str, model: str | None = None) -> Dialogue:
    """A list of messages that is not empty, as a dialogue."""
    turns = messages(row, name)
    if not turns:
        raise row.fault(name, "is an empty conversation")
    return Dialogue(turns, model)


def prompt_of(row: Fields, name: str) -> tuple[Message, ...]:
    """A prompt given as text (one user turn) or as a list of messages."""
    return user(row.get(name)) if isinstance(row.get(name), str) else messages(row, name)


def chat(sequence: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as ``{"role": ..., "content": ...}``."""
    return [{"role": message.role, "content": message.content} for message in sequence]


def plain(prompt: Sequence[Message]) -> Any:
    """A prompt as text where it is one user turn, else as a list of messages."""
    return prompt[0].content if len(prompt) == 1 and prompt[0].role == "user" else chat(prompt)


def texts(record: Record, left: LeftOut) -> list[Dialogue] | None:
    """The record's items where all of them are text; None, and counted, where one is a clip."""
    dialogues = [item for item in record.items if isinstance(item, Dialogue)]
    if len(dialogues) < len(record.items):
        left.add(CLIPS, len(record.judgements))
        return None
    return dialogues


def shared_prompt(first: Dialogue, second: Dialogue) -> tuple[Message, ...] | None:
    """The prompt of two responses to the same prompt; None where they are no such pair."""
    comparable = first.prompt == second.prompt and first.response is not None and second.response is not None
    return first.prompt if comparable else None


def by_identity(chosen: Dialogue, rejected: Dialogue) -> tuple[tuple[Dialogue, Dialogue], int]:
    """The two in the order of their ids, and the strength that says the first argument is the better one.

    A file of chosen and rejected does not say which was shown first. In this order the same pair is the same question,
    whoever prefers which, and the chosen one does not always stand on the left.
    """
    if chosen.id == rejected.id:
        raise Fault("field 'chosen' is the same as 'rejected': there is nothing to compare")
    return ((chosen, rejected), 4) if chosen.id < rejected.id else ((rejected, chosen), -4)
