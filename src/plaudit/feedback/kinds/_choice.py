"""What the kinds share that choose between two responses by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from plaudit.feedback.kinds._fields import fields, items, one_of, options
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import Question


class Choice(NamedTuple):
    """One answer to choose."""

    mu: float | None  # the probability that the first response is better; None: nothing is learned
    words: str  # in a summary


class ChoiceKind(Kind):
    """Two responses and an answer ``{"choice": ...}``. A kind sets ``choices``, one of which has mu = 1/2: the tie.

    The target is mu, the probability that the first response is better.
    """

    teaches = "preference"
    counted = True
    own_words = True
    example_items = 2
    choices: ClassVar[Mapping[str, Choice]]

    def check(self, question: Question) -> None:
        """Two responses."""
        items(question, 2, 2)
        options(question, {})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"choice": ...}``; raises :class:`PlauditError` otherwise."""
        return fields(value, {"choice": one_of(*self.choices)}, f"a {self.name} answer")

    def target(self, value: Mapping[str, Any]) -> float | None:
        """mu = P[the first is better]; None where that was not judged or the judgement was withdrawn."""
        choice = self.choices.get(value.get("choice", ""))
        return None if choice is None else choice.mu

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """The choice in words."""
        return self.choices[value["choice"]].words

    def from_strength(self, strength: int) -> dict[str, Any]:
        """The choice that a strength -4..4 stands for."""
        mu = (1 + (strength > 0) - (strength < 0)) / 2
        return {"choice": next(name for name, choice in self.choices.items() if choice.mu == mu)}

    def cannot_tell(self, question: Question) -> dict[str, Any] | None:
        """The choice from which nothing is learned; None where the kind has none."""
        return next(({"choice": name} for name, choice in self.choices.items() if choice.mu is None), None)
