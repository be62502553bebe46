"""Solutions of which each step was rated, as spans of one response."""

from __future__ import annotations

from collections.abc import Iterable

from plaudit.feedback.formats._dialogues import reply
from plaudit.feedback.formats._record import Answer, Empty, Record, Setting, make
from plaudit.types import Message

CATEGORIES = ("incorrect", "neutral", "correct")
SEPARATOR = "\n"  # what stands between two steps


def mark_steps(
    prompt: tuple[Message, ...], steps: Iterable[tuple[str, str | None]], answer: Answer, setting: Setting
) -> Record:
    """The spans over a solution: one for each step with a category. ``answer``: who rated them, and when.

    Raises:
        Empty: no step has a category.
    """
    texts, spans, start = [], [], 0
    for text, category in steps:
        if category is not None and text:
            spans.append({"start": start, "end": start + len(text), "category": category, "note": ""})
        texts.append(text)
        start += len(text) + len(SEPARATOR)
    if not spans:
        raise Empty("none of its steps is rated")
    value = Answer(answer.annotator, {"spans": spans}, None, answer.shown_at, answer.submitted_at)
    return make("spans", [reply(prompt, SEPARATOR.join(texts))], [value], setting, {"categories": list(CATEGORIES)})
