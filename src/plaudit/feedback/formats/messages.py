"""Conversations to imitate, as trainers of chat models read them: ``messages``, a list of roles and contents.

Also read: ShareGPT's ``conversations`` (``from``, ``value``), lists of texts by turns (LIMA, UltraChat), exchanges with
an ``input`` and an ``output`` (Capybara), and a column ``system``.

Each turn of the assistant is a demonstration of what to say to all that comes before it. The turns of one conversation
come back as one object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import (
    CONVERSATIONS,
    chat,
    find_conversation,
    find_opening,
    read_turns,
    texts,
    with_system,
)
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Omissions, Record, Setting, make
from plaudit.feedback.formats._verdicts import check_good, find_verdicts, is_judged, parse_verdict
from plaudit.feedback.formats.prompt_completion import COMPLETIONS, is_correction
from plaudit.feedback.formats.rated import FORMAT as RATED
from plaudit.types import Dialogue, Message


class Messages(Format):
    """One conversation an object."""

    name = "messages"
    title = "Conversations (messages)"
    kinds = ("demonstration",)
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "roles": "written as system, user and assistant; turns of tools are counted and left out",
        "turns called bad, of weight 0": "kept before what comes after them, and not imitated",
        "turns behind the assistant's last": "not kept: nothing answers them",
        "annotator": "not in the file",
        "model": "not written",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A conversation that was not judged."""
        if {"chosen", "rejected", "completion", "label"} & set(first) or is_judged(first) or RATED.sniff(first):
            return False
        return find_conversation(first) is not None and not (
            find_opening(first) and (set(COMPLETIONS) & set(first) or any(map(is_correction, first)))
        )

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """A demonstration for each turn of the assistant that answers something."""
        check_good(row)
        name = row.find(CONVERSATIONS, required=True) or CONVERSATIONS[0]
        turns = read_turns(row, name)
        conversation = with_system(row, tuple(message for message, _ in turns))
        refused = {len(conversation) - len(turns) + index for index, (_, turn) in enumerate(turns) if _is_refused(turn)}
        if not any(message.role == "assistant" for message in conversation):
            raise Empty(f"field '{name}' has no turn of the assistant: there is nothing to imitate")
        yield from demonstrate(row, conversation, setting, refused)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One object a demonstration; one that the next continues is within it."""
        before: tuple[Message, ...] = ()
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            for judgement in record.judgements:
                whole = (*items[0].messages, Message("assistant", judgement.value["text"]))
                if before and (len(before) == len(whole) or before != whole[: len(before)]):
                    yield {"messages": chat(before)}
                before = whole
        if before:
            yield {"messages": chat(before)}


def demonstrate(
    row: Fields, conversation: tuple[Message, ...], setting: Setting, refused: Collection[int] = ()
) -> Iterator[Record]:
    """A demonstration for each turn of the assistant that answers something, except those at ``refused``."""
    for position, message in enumerate(conversation):
        if message.role != "assistant":
            continue
        if not position:
            row.note("a conversation begins with the assistant: that turn is kept, and not imitated")
        elif position in refused:
            row.note("a turn of the assistant that is called bad, or has no weight, is kept, and not imitated")
        elif not message.content.strip():
            row.note("a turn of the assistant is empty: it is not imitated")
        else:
            answer = Answer(setting.annotator, {"text": message.content})
            yield make("demonstration", [Dialogue(conversation[:position])], [answer], setting)


def _is_refused(turn: Fields) -> bool:
    """Whether a turn's own fields say that it is not one to imitate."""
    ignored = turn.value.get("weight") == 0 or any(turn.value.get(name) is False for name in ("train", "training"))
    return ignored or any(parse_verdict(name, turn.value[name]) is False for name in find_verdicts(turn.value))


FORMAT = Messages()
