"""Comparison: which of two is better, and how clearly. Christiano et al. 2017, section 2.2.2.

The answer is ``{"strength": s}`` in the order of ``Question.items``, whatever the order shown:

    4  the first is far better        -4  the second is far better
    0  a tie                          None  can't tell

Its training target is mu, the probability that the first is better. The paper puts all mass on the one chosen, half
on each for a tie, and drops pairs called incomparable. A strength is read on a line through these three points,
mu = (s + 4) / 8, so a plain left / right answer is 4 / -4, and weaker ones leave the model some doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import one_of, options
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import PlauditError, Question

STRONGEST = 4
RESPONSES = "Which response is better?"  # the wording where no clips are compared, but texts


class Comparison(Kind):
    """Two items, one graded choice.

    A question's ``options`` may hold ``scale``: "choice" (left, right, tie, can't tell; the default) or "eight", the
    scale from A to B without a middle on which Bai et al. 2022 (section 2.2) had conversations judged.
    """

    name = "comparison"
    title = "Comparison"
    widget = "comparison.html"
    # The paper's raters were told to judge only what they saw, not what they supposed would follow.
    wording = "Which clip is better? Judge only what you see happen in the clips."
    text_wording = RESPONSES
    import_wording = RESPONSES
    teaches = "preference"
    counted = True
    own_words = True
    example_items = 2
    example_answer: ClassVar[Mapping[str, Any] | None] = {"strength": 4}

    def question(self, first: str, second: str, round: int = 0, wording: str | None = None) -> Question:
        """Ask which of two segments, given by id, is better."""
        return Question(self.name, (first, second), wording or self.wording, round=round)

    def check(self, question: Question) -> None:
        """A comparison has two items."""
        if len(question.items) != 2:
            raise PlauditError(f"a comparison needs two items, question {question.id} has {len(question.items)}")
        options(question, {"scale": one_of("choice", "eight")})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """``{"strength": None or an int in -4..4}`` and nothing else; raises :class:`PlauditError` otherwise."""
        strength = value.get("strength")
        whole = isinstance(strength, int) and not isinstance(strength, bool)  # True is an int, but no strength
        if set(value) != {"strength"} or not (strength is None or (whole and abs(strength) <= STRONGEST)):
            raise PlauditError(
                f"a comparison's value is {{\"strength\": s}} with s a whole number in -4..4, or null for can't tell; "
                f"got {dict(value)!r}"
            )
        if question.options.get("scale") == "eight" and not strength:
            raise PlauditError("this question has a scale without a middle: strength is -4..-1 or 1..4")
        return {"strength": strength}

    def target(self, value: Mapping[str, Any]) -> float | None:
        """mu = P[first better] = (strength + 4) / 8; None (can't tell, or withdrawn) drops the judgement."""
        strength = value.get("strength")
        return None if strength is None else (strength + STRONGEST) / (2 * STRONGEST)

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """Which side is better, and how clearly."""
        strength = value.get("strength")
        if not strength:
            return "can't tell" if strength is None else "a tie"
        side = "left" if (strength > 0) == (order[0] == 0) else "right"
        degree = {1: "slightly ", 2: "", 3: "clearly ", 4: ""}[abs(strength)]
        return f"{side} is {degree}better"

    def cannot_tell(self, question: Question) -> dict[str, Any] | None:
        """Null; the scale without a middle has no such answer."""
        return None if question.options.get("scale") == "eight" else {"strength": None}


KIND = Comparison()
