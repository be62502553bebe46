"""Prompts with a completion to imitate: ``prompt, completion``, texts or lists of messages.

Written: lists of messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.feedback.formats._dialogues import chat, messages, prompt_of, texts
from plaudit.feedback.formats._record import Answer, Fields, LeftOut, Record, Setting, make
from plaudit.types import Dialogue, Message


@dataclass(frozen=True)
class PromptCompletion:
    """One demonstration an object."""

    name: str = "prompt-completion"
    title: str = "Prompts with completions (TRL)"
    suffixes: tuple[str, ...] = (".jsonl", ".json", ".parquet")
    kinds: tuple[str, ...] = ("demonstration",)
    array: bool = False
    lossy: Mapping[str, str] = field(
        default_factory=lambda: {
            "text or messages": "text is read as one user turn and one response, and written as messages",
            "annotator": "not in the file",
            "model": "not written",
            "other columns": "not read; with a label it is another format",
        }
    )

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A prompt and a completion that nobody judged, not even in Argilla."""
        judged = "label" in first or any(name.endswith(".responses") for name in first)
        return {"prompt", "completion"} <= set(first) and not judged

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One demonstration."""
        prompt, text = prompt_of(row, "prompt"), row.get("completion")
        if not isinstance(text, str):
            turns = messages(row, "completion")
            if len(turns) != 1 or turns[0].role != "assistant":
                raise row.fault("completion", "must be a text, or one message of the assistant")
            text = turns[0].content
        if not prompt:
            raise row.fault("prompt", "is an empty conversation")
        yield make("demonstration", [Dialogue(prompt)], [Answer(setting.annotator, {"text": text})], setting)

    def write(self, records: Iterable[Record], left: LeftOut) -> Iterator[dict[str, Any]]:
        """One object a demonstration."""
        for record in records:
            items = texts(record, left)
            if items is None:
                continue
            for judgement in record.judgements:
                completion = [Message("assistant", judgement.value["text"])]
                yield {"prompt": chat(items[0].messages), "completion": chat(completion)}


FORMAT = PromptCompletion()
