"""Responses with an edit of theirs: ``prompt, response, edited_response`` and the like, in the columns of any table.

A response that somebody mended must not be taken for one to imitate: the edit is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._dialogues import PROMPTS, find_opening, read_prompt
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Answer, Empty, Fields, Record, Setting, make
from plaudit.feedback.formats._verdicts import split_name
from plaudit.feedback.formats.prompt_completion import COMPLETIONS, is_correction
from plaudit.types import Dialogue, Message

ORIGINALS = frozenset(("original", "initial", "first", "model", "draft", "old"))


class Corrections(Format):
    """One correction an object."""

    name = "corrections"
    title = "Responses with their corrections"
    suffixes = (".jsonl", ".json", ".csv", ".parquet")
    scope = "layout"
    lossy: ClassVar[Mapping[str, str]] = {
        "edited_response, corrected_answer, revision, ...": "the correction, whatever its name",
        "annotator": "not in the file",
        "model": "not read",
        "other columns": "not read; the summary names them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A prompt, a response and its correction."""
        prompted = bool(set(PROMPTS) & set(first)) or find_opening(first) is not None
        return prompted and "rejected" not in first and None not in _find_pair(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """One correction."""
        original, edited = _find_pair(row.value)
        original, edited = original or COMPLETIONS[0], edited or "edited_response"
        row.mark(edited, "correction")
        row.mark(original, "response")
        correction, response = row.text(edited), row.text(original)
        prompt = read_prompt(row, required=True)
        for name, text in ((original, response), (edited, correction)):
            if not text.strip():
                raise Empty(f"field '{name}' is an empty response")
        item = Dialogue((*prompt, Message("assistant", response)))
        yield make("correction", [item], [Answer(setting.annotator, {"text": correction})], setting)


def _find_pair(columns: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The columns of a response and of its correction; None for one that is missing."""
    texts = [name for name, value in columns.items() if isinstance(name, str) and isinstance(value, str | None)]
    edited = next((name for name in texts if is_correction(name)), None)
    responses = {word for name in COMPLETIONS for word in name.split("_")}
    originals = [name for name in texts if split_name(name) & ORIGINALS and split_name(name) & responses]
    original = next((name for name in (*originals, *COMPLETIONS) if name in texts and name != edited), None)
    return original, edited


FORMAT = Corrections()
