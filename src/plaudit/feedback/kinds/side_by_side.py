"""The original response and a new one beside it: which is better, neither, or skip.

Items are (the original, the new one). The answer is ``{"choice": "original" | "new" | "neither" | "skip"}``. The
target is mu, the probability that the original is better: 1, 0 or one half; skip drops out. "Neither" also says that
both are bad, which the judgement keeps and a comparison's target cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from plaudit.feedback.kinds._choice import Choice, ChoiceKind


class SideBySide(ChoiceKind):
    """Two items: the original and the new one."""

    name = "side-by-side"
    title = "Side by side"
    widget = "side-by-side.html"
    wording = "Which answer is better?"
    example_answer: ClassVar[Mapping[str, Any] | None] = {"choice": "original"}
    choices: ClassVar[Mapping[str, Choice]] = {
        "original": Choice(1.0, "the original is better"),
        "new": Choice(0.0, "the new one is better"),
        "neither": Choice(0.5, "neither"),
        "skip": Choice(None, "skipped"),
    }


KIND = SideBySide()
