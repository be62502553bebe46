"""A correction: the person edits a response until it is right.

The answer is ``{"text": ...}``, the whole response as it should be. The target is that text, to imitate, and to prefer
to what it corrects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.kinds._fields import fields, items, options, text
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question


class Correction(Kind):
    """One item: a dialogue that ends with the response to correct."""

    name = "correction"
    title = "Correction"
    widget = "correction.html"
    wording = "Edit the response until you would be content with it. Leave it as it is where nothing is wrong."
    teaches = "response"

    def check(self, question: Question) -> None:
        """One response."""
        items(question, 1, 1)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"text": ...}``, not empty; raises :class:`PlauditError` otherwise."""
        return fields(value, {"text": text(1)}, "a correction")

    def target(self, value: Mapping[str, Any]) -> str | None:
        """The corrected response; None where it was withdrawn."""
        return value.get("text")


KIND = Correction()
