"""A demonstration: the person writes the ideal response to a prompt. Ouyang et al. 2022, section 3.1, step 1.

The answer is ``{"text": ...}``. The target is that text, for supervised fine-tuning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.kinds._fields import fields, items, options, text
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question


class Demonstration(Kind):
    """One item: the prompt, a dialogue that ends before the response."""

    name = "demonstration"
    title = "Demonstration"
    widget = "demonstration.html"
    wording = "Write the response that you would want to get."
    teaches = "response"
    prompts = True

    def check(self, question: Question) -> None:
        """One prompt."""
        items(question, 1, 1)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"text": ...}``, not empty; raises :class:`PlauditError` otherwise."""
        return fields(value, {"text": text(1)}, "a demonstration")

    def target(self, value: Mapping[str, Any]) -> str | None:
        """The response to imitate; None where it was withdrawn."""
        return value.get("text")


KIND = Demonstration()
