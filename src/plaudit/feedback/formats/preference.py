"""Preference pairs as TRL, OpenRLHF and others train on them: ``prompt, chosen, rejected``.

Read: text or lists of messages, the prompt given or within both. Written: lists of messages, with the prompt given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.feedback.formats._dialogues import by_identity, chat, messages, prompt_of, reply, shared_prompt
from plaudit.feedback.formats._pairs import pairs
from plaudit.feedback.formats._record import Answer, Fields, LeftOut, Record, Setting, make
from plaudit.types import Dialogue, Message


@dataclass(frozen=True)
class Preference:
    """Pairs with or without a prompt of their own."""

    name: str = "preference"
    title: str = "Preference pairs (TRL)"
    suffixes: tuple[str, ...] = (".jsonl", ".json", ".parquet")
    kinds: tuple[str, ...] = ("comparison",)
    array: bool = False
    lossy: Mapping[str, str] = field(
        default_factory=lambda: {
            "text or messages": "text is read as one user turn and one response, and written as messages",
            "strength": "written as chosen and rejected; read as 4, the clearest",
            "ties, can't tell": "left out: there is only a better and a worse one",
            "annotator": "not in the file",
            "which was shown first": "not in the file: the two are put in the order of their ids",
            "model": "not written",
            "other columns": "not read",
        }
    )

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A pair that is neither two transcripts nor UltraFeedback's."""
        if not {"chosen", "rejected"} <= set(first) or {"score_chosen", "prompt_id"} & set(first):
            return False
        bare = "prompt" not in first and all(isinstance(first[name], str) for name in ("chosen", "rejected"))
        return not (bare and "\n\nHuman: " in first["chosen"])

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One comparison."""
        prompt = prompt_of(row, "prompt") if row.has("prompt") else ()
        items, strength = by_identity(_dialogue(row, "chosen", prompt), _dialogue(row, "rejected", prompt))
        yield make("comparison", items, [Answer(setting.annotator, {"strength": strength})], setting)

    def write(self, records: Iterable[Record], left: LeftOut) -> Iterator[dict[str, Any]]:
        """One object a judgement."""
        for record in records:
            for pair in pairs(record, left):
                prompt = shared_prompt(pair.chosen, pair.rejected)
                if prompt:
                    last = [chat(dialogue.messages[len(prompt) :]) for dialogue in (pair.chosen, pair.rejected)]
                    yield {"prompt": chat(prompt), "chosen": last[0], "rejected": last[1]}
                else:  # the conversations part before the last response, or have no prompt
                    yield {"chosen": chat(pair.chosen.messages), "rejected": chat(pair.rejected.messages)}


def _dialogue(row: Fields, name: str, prompt: tuple[Message, ...]) -> Dialogue:
    if isinstance(row.get(name), str):
        return reply(prompt, row.get(name))
    turns = messages(row, name)
    if not turns:
        raise row.fault(name, "is an empty conversation")
    return Dialogue((*prompt, *turns))


FORMAT = Preference()
