"""Marking what is wrong, and where: spans of a response, or stretches of a clip, with a category. Wu et al. 2023.

The answer is ``{"spans": [{"start": s, "end": e, "category": c, "note": n}, ...]}`` with 0 <= s < e. In text they count
Unicode characters of the response, in a clip steps. ``[]`` says that nothing is wrong. Spans may overlap. The target is
the list, for a reward per span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, items, list_of, names, one_of, options, text, whole
from plaudit.feedback.kinds._kind import Kind
from plaudit.types import PlauditError, Question

CATEGORIES = ("irrelevant", "unverifiable", "wrong", "repetitive", "incoherent", "incomplete")
MOST = 1_000_000


class Spans(Kind):
    """One item. Option ``categories``: what a span can be called."""

    name = "spans"
    title = "Marked spans"
    widget = "spans.html"
    wording = "Mark each passage that has a fault, and say which. Leave it unmarked where there is none."
    teaches = "spans"
    defaults: ClassVar[Mapping[str, Any]] = {"categories": CATEGORIES}
    example_answer: ClassVar[Mapping[str, Any] | None] = {"spans": []}

    def check(self, question: Question) -> None:
        """One item."""
        items(question, 1, 1)
        options(question, {"categories": names(least=1)})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """Spans in order of their start; raises :class:`PlauditError` for one that is empty or of no known category."""
        categories = question.options.get("categories", CATEGORIES)
        checks = {
            "start": whole(0, MOST),
            "end": whole(1, MOST),
            "category": one_of(*categories),
            "note": text(),
        }

        def span(name: str, mark: Any) -> dict[str, Any]:
            if not isinstance(mark, Mapping):
                raise PlauditError(f"{name} must have start, end and category, got {mark!r}")
            answer = fields(mark, checks, name)
            if answer["end"] <= answer["start"]:
                raise PlauditError(f"{name} ends at {answer['end']}, before it has begun at {answer['start']}")
            return answer

        answer = fields(value, {"spans": list_of(span)}, "an answer")
        return {"spans": sorted(answer["spans"], key=lambda mark: (mark["start"], mark["end"], mark["category"]))}

    def target(self, value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """The spans; None where they were withdrawn."""
        return value.get("spans")

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """How many are marked, and their categories."""
        marks = value["spans"]
        if not marks:
            return "nothing marked"
        return f"{len(marks)} marked: " + ", ".join(dict.fromkeys(str(mark["category"]) for mark in marks))

    def is_right(self, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
        """The same categories: what was found, not where exactly it begins and ends."""
        return {mark["category"] for mark in value["spans"]} == {mark["category"] for mark in gold["spans"]}


KIND = Spans()
