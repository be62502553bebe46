"""Thumbs up or down on one response, with tags and free text, as chat products ask.

The answer is ``{"thumb": "up" | "down", "tags": [...], "text": ...}``. The target is 1.0 or 0.0: the probability that
the response is good, for a reward model with a threshold. It is not a comparison, and nothing makes it one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, items, names, one_of, options, text
from plaudit.feedback.kinds._kind import Kind, Score
from plaudit.types import Question

TAGS = ("harmful / unsafe", "isn't true", "isn't helpful")


class Thumbs(Kind):
    """One item: a dialogue that ends with the response. Option ``tags``: names offered after a thumb down."""

    name = "thumbs"
    title = "Thumbs"
    widget = "thumbs.html"
    wording = "Is this response good or bad?"
    teaches = "approval"
    defaults: ClassVar[Mapping[str, Any]] = {"tags": TAGS}
    counted = True
    own_words = True
    example_answer: ClassVar[Mapping[str, Any] | None] = {"thumb": "up"}

    def check(self, question: Question) -> None:
        """One response."""
        items(question, 1, 1)
        options(question, {"tags": names()})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """A thumb, and tags that were offered; raises :class:`PlauditError` otherwise."""
        tags = question.options.get("tags", TAGS)
        return fields(value, {"thumb": one_of("up", "down"), "tags": names(tags), "text": text()}, "a thumb")

    def target(self, value: Mapping[str, Any]) -> float | None:
        """1.0 for up, 0.0 for down; None where it was withdrawn."""
        return {"up": 1.0, "down": 0.0}.get(value.get("thumb", ""))

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """The thumb and its tags."""
        return ", ".join([f"thumb {value['thumb']}", *value.get("tags", [])])

    def scores(self, value: Mapping[str, Any]) -> Iterator[Score]:
        """1 for up, 0 for down."""
        yield Score("", "", 1.0 if value["thumb"] == "up" else 0.0)

    def side(self, number: float) -> float | None:
        """Up or down."""
        return number

    def is_right(self, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
        """The same thumb."""
        return value["thumb"] == gold["thumb"]


KIND = Thumbs()
