"""Conversations to imitate, as trainers of chat models read them: ``messages``, a list of roles and contents.

Also read: ShareGPT's ``conversations`` (``from``, ``value``), and a column ``system``.

Each turn of the assistant is a demonstration of what to say to all that comes before it. The turns of one conversation
come back as one object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import CONVERSATIONS, chat, messages, texts, with_system
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Omissions, Record, Setting, make, parse_cell
from plaudit.types import Dialogue, Message


class Messages(Format):
    """One conversation an object."""

    name = "messages"
    title = "Conversations (messages)"
    kinds = ("demonstration",)
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "roles": "written as system, user and assistant; turns of tools are counted and left out",
        "turns behind the assistant's last": "not kept: nothing answers them",
        "annotator": "not in the file",
        "model": "not written",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A conversation that was not judged."""
        turns = next((parse_cell(first[name]) for name in CONVERSATIONS if first.get(name)), None)
        if {"chosen", "rejected", "completion", "label"} & set(first) or not isinstance(turns, list):
            return False
        keys = [set(turn) for turn in turns if isinstance(turn, Mapping)]
        return bool(keys) and all({"role"} <= key or {"from", "value"} <= key for key in keys)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """A demonstration for each turn of the assistant that answers something."""
        name = row.find(CONVERSATIONS, required=True) or CONVERSATIONS[0]
        conversation = with_system(row, messages(row, name))
        turns = [position for position, message in enumerate(conversation) if message.role == "assistant"]
        if not turns:
            raise Empty(f"field '{name}' has no turn of the assistant: there is nothing to imitate")
        if turns[0] == 0:
            row.note("a conversation begins with the assistant: that turn is kept, and not imitated")
        for position in turns:
            text = conversation[position].content
            if not position:
                continue
            if not text.strip():
                row.note("a turn of the assistant is empty: it is not imitated")
                continue
            answer = Answer(setting.annotator, {"text": text})
            yield make("demonstration", [Dialogue(conversation[:position])], [answer], setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
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
