"""After a response was regenerated: is the new one better, worse or the same?

Items are (the earlier response, the new one). The answer is ``{"choice": "better" | "worse" | "same"}``, about the new
one. The target is mu, the probability that the first item, the earlier one, is better: 0, 1 or one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, items, one_of, options
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question

TARGETS = {"better": 0.0, "worse": 1.0, "same": 0.5}
WORDS = {"better": "the new one is better", "worse": "the new one is worse", "same": "about the same"}  # in a summary


class Regeneration(Kind):
    """Two items: the earlier response and the new one."""

    name = "regeneration"
    title = "Regeneration"
    widget = "regeneration.html"
    wording = "Was this response better or worse?"
    teaches = "preference"
    counted = True
    own_words = True
    shuffled = False  # the question is about "the new one"
    example_items = 2
    example_answer: ClassVar[Mapping[str, Any] | None] = {"choice": "worse"}

    def check(self, question: Question) -> None:
        """Two responses."""
        items(question, 2, 2)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"choice": ...}``; raises :class:`PlauditError` otherwise."""
        return fields(value, {"choice": one_of(*TARGETS)}, "a regeneration's answer")

    def target(self, value: Mapping[str, Any]) -> float | None:
        """mu = P[the earlier one is better]; None where it was withdrawn."""
        return TARGETS.get(value.get("choice", ""))

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """The choice in words."""
        return WORDS[value["choice"]]

    def from_strength(self, strength: int) -> dict[str, Any]:
        """The choice that a strength -4..4 stands for."""
        return {"choice": "worse" if strength > 0 else "better" if strength < 0 else "same"}


KIND = Regeneration()
