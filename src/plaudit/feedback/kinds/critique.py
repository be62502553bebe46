"""A critique: what is good and bad about one item, in words. Training data for critiques and revisions.

The answer is ``{"text": ...}``; the target is that text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.kinds._fields import fields, items, options, text
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question


class Critique(Kind):
    """One item, judged in words."""

    name = "critique"
    title = "Critique"
    widget = "critique.html"
    wording = "Say what is good about this, and what should be better."
    teaches = "critique"

    def check(self, question: Question) -> None:
        """One item."""
        items(question, 1, 1)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"text": ...}``, not empty; raises :class:`PlauditError` otherwise."""
        return fields(value, {"text": text(1)}, "a critique")

    def target(self, value: Mapping[str, Any]) -> str | None:
        """The critique; None where it was withdrawn."""
        return value.get("text")


KIND = Critique()
