"""Texts to imitate: one column ``text``, which holds a conversation with a chat template's marks, or a plain text.

A conversation becomes a demonstration for each turn of the assistant. A plain text has no prompt, so it answers an
empty one: the loss is on the whole text, as trainers of the column ``text`` have it, and the summary counts such rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import user
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._markup import split_markup
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make
from plaudit.feedback.formats._verdicts import check_good, is_judged
from plaudit.feedback.formats.messages import demonstrate
from plaudit.feedback.formats.pairwise import PAIRS
from plaudit.feedback.formats.prompt_completion import COMPLETIONS
from plaudit.types import Dialogue

JUDGED = {"chosen", "rejected", "label", "labels", "rating", "preference", "winner"}  # a file with one is no such file
RESPONSES = {*COMPLETIONS, *(name for pair in PAIRS for name in pair), "summary", "highlights"}  # to a plain text
PLAIN = "a text without turns is a demonstration that answers an empty prompt; plaudit pretrain learns it as plain text"


class Text(Format):
    """One text an object."""

    name = "text"
    title = "Texts"
    scope = "fallback"
    lossy: ClassVar[Mapping[str, str]] = {
        "marks of a template": "not kept; known are ChatML, Llama, Gemma, Zephyr, `### Human:`, `USER:`, `Human:`",
        "white space around turns": "not kept",
        "a text without turns": "a demonstration that answers an empty prompt; counted",
        "annotator": "not in the file",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A text that was not judged."""
        if not isinstance(first.get("text"), str) or JUDGED & set(first) or is_judged(first):
            return False
        return bool(split_markup(first["text"], preamble=True)) or not RESPONSES & set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """A demonstration for each turn of the assistant, or one for the whole text."""
        check_good(row)
        text = row.text("text")
        turns = split_markup(text, preamble=True)
        if turns:
            yield from demonstrate(row, turns, setting)
            return
        if not text.strip():
            raise Empty("field 'text' is empty")
        row.note(PLAIN)
        yield make("demonstration", [Dialogue(user(""))], [Answer(setting.annotator, {"text": text})], setting)


FORMAT = Text()
