"""After a response was regenerated: is the new one better, worse or the same?

Items are (the earlier response, the new one). The answer is ``{"choice": "better" | "worse" | "same"}``, about the new
one. The target is mu, the probability that the first item, the earlier one, is better: 0, 1 or one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from plaudit.feedback.kinds._choice import Choice, ChoiceKind


class Regeneration(ChoiceKind):
    """Two items: the earlier response and the new one."""

    name = "regeneration"
    title = "Regeneration"
    widget = "regeneration.html"
    wording = "Was this response better or worse?"
    shuffled = False  # the question is about "the new one"
    example_answer: ClassVar[Mapping[str, Any] | None] = {"choice": "worse"}
    choices: ClassVar[Mapping[str, Choice]] = {
        "better": Choice(0.0, "the new one is better"),
        "worse": Choice(1.0, "the new one is worse"),
        "same": Choice(0.5, "about the same"),
    }


KIND = Regeneration()
