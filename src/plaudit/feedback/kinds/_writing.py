"""What the kinds share in which the person writes one text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.kinds._fields import fields, items, options, text
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question


class WritingKind(Kind):
    """One item, and an answer ``{"text": ...}`` that is the target."""

    def check(self, question: Question) -> None:
        """One item."""
        items(question, 1, 1)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"text": ...}``, not empty; raises :class:`PlauditError` otherwise."""
        return fields(value, {"text": text(1)}, f"a {self.name}")

    def target(self, value: Mapping[str, Any]) -> str | None:
        """The text; None where it was withdrawn."""
        return value.get("text")
