"""Conversations to imitate, as trainers of chat models read them: ``messages``, a list of roles and contents.

Each turn of the assistant is a demonstration of what to say to all that comes before it. The turns of one conversation
come back as one object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.feedback.formats._dialogues import chat, messages, texts
from plaudit.feedback.formats._record import Answer, Fields, LeftOut, Record, Setting, make
from plaudit.types import Dialogue, Message


@dataclass(frozen=True)
class Messages:
    """One conversation an object."""

    name: str = "messages"
    title: str = "Conversations (messages)"
    suffixes: tuple[str, ...] = (".jsonl", ".json", ".parquet")
    kinds: tuple[str, ...] = ("demonstration",)
    array: bool = False
    lossy: Mapping[str, str] = field(
        default_factory=lambda: {
            "roles": "written as system, user and assistant; tools are not read",
            "turns behind the assistant's last": "not kept: nothing answers them",
            "annotator": "not in the file",
            "model": "not written",
            "other columns": "not read",
        }
    )

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """Messages, and nothing that was judged."""
        turns = first.get("messages")
        if {"chosen", "rejected", "prompt", "completion"} & set(first) or not isinstance(turns, list):
            return False
        return bool(turns) and all(isinstance(turn, Mapping) and {"role", "content"} <= set(turn) for turn in turns)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """A demonstration for each turn of the assistant."""
        conversation = messages(row, "messages")
        turns = [position for position, message in enumerate(conversation) if message.role == "assistant"]
        if not turns:
            raise row.fault("messages", "has no turn of the assistant: there is nothing to imitate")
        if turns[0] == 0:
            raise row.fault("messages", "begins with the assistant: there is nothing that it answers")
        for position in turns:
            answer = Answer(setting.annotator, {"text": conversation[position].content})
            yield make("demonstration", [Dialogue(conversation[:position])], [answer], setting)

    def write(self, records: Iterable[Record], left: LeftOut) -> Iterator[dict[str, Any]]:
        """One object a demonstration; one that the next goes on from is within it."""
        before: tuple[Message, ...] = ()
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            for judgement in record.judgements:
                whole = (*items[0].messages, Message("assistant", judgement.value["text"]))
                if before and before != whole[: len(before)]:
                    yield {"messages": chat(before)}
                before = whole
        if before:
            yield {"messages": chat(before)}


FORMAT = Messages()
