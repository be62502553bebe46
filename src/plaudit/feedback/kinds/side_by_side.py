"""The original response and a new one beside it: which is better, neither, or skip.

Items are (the original, the new one). The answer is ``{"choice": "original" | "new" | "neither" | "skip"}``. The
target is mu, the probability that the original is better: 1, 0 or one half; skip drops out. "Neither" also says that
both are bad, which the judgement keeps and a comparison's target cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, items, one_of, options
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question

TARGETS = {"original": 1.0, "new": 0.0, "neither": 0.5, "skip": None}
WORDS = {
    "original": "the original is better",
    "new": "the new one is better",
    "neither": "neither",
    "skip": "skipped",
}  # in a summary


class SideBySide(Kind):
    """Two items: the original and the new one."""

    name = "side-by-side"
    title = "Side by side"
    widget = "side-by-side.html"
    wording = "Which answer is better?"
    teaches = "preference"
    counted = True
    own_words = True
    example_items = 2
    example_answer: ClassVar[Mapping[str, Any] | None] = {"choice": "original"}

    def check(self, question: Question) -> None:
        """Two responses."""
        items(question, 2, 2)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"choice": ...}``; raises :class:`PlauditError` otherwise."""
        return fields(value, {"choice": one_of(*TARGETS)}, "a side-by-side answer")

    def target(self, value: Mapping[str, Any]) -> float | None:
        """mu = P[the original is better]; None for skip, and where it was withdrawn."""
        return TARGETS.get(value.get("choice", "skip"))

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """The choice in words."""
        return WORDS[value["choice"]]

    def from_strength(self, strength: int) -> dict[str, Any]:
        """The choice that a strength -4..4 stands for."""
        return {"choice": "original" if strength > 0 else "new" if strength < 0 else "neither"}

    def cannot_tell(self, question: Question) -> dict[str, Any] | None:
        """Skip."""
        return {"choice": "skip"}


KIND = SideBySide()
