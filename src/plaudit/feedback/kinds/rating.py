"""A rating of one item on named scales, such as HelpSteer2's five from 0 to 4 or an overall quality from 1 to 7.

The answer is ``{"ratings": {name: whole number or null}}`` for each of the question's scales; null is can't tell. The
target is the ratings, for a regression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, items, options, whole
from plaudit.feedback.kinds._kind import Kind, Score
from plaudit.types import PlauditError, Question

SCALES: dict[str, list[int]] = {"overall quality": [1, 7]}
TOLERANCE = 1  # points of a scale that a rating may lie from the one that is known to be right


class Rating(Kind):
    """One item. Option ``scales``: ``{name: [least, most]}``."""

    name = "rating"
    title = "Rating"
    widget = "rating.html"
    wording = "Rate this."
    teaches = "ratings"
    defaults: ClassVar[Mapping[str, Any]] = {"scales": SCALES}
    counted = True
    example_answer: ClassVar[Mapping[str, Any] | None] = {"ratings": {"overall quality": 6}}

    def check(self, question: Question) -> None:
        """One item, and scales that have at least two points."""
        items(question, 1, 1)
        options(question, {"scales": _scales})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """A whole number or null on each scale; raises :class:`PlauditError` otherwise."""
        scales = question.options.get("scales", SCALES)

        def ratings(name: str, points: Any) -> dict[str, Any]:
            if not isinstance(points, Mapping):
                raise PlauditError(f"{name} must be an object with {', '.join(scales)}, got {points!r}")
            answer = fields(points, {scale: whole(*ends, optional=True) for scale, ends in scales.items()}, name)
            if all(point is None for point in answer.values()):
                raise PlauditError(f"{name} are all empty: rate at least one of {', '.join(scales)}")
            return answer

        return fields(value, {"ratings": ratings}, "an answer")

    def target(self, value: Mapping[str, Any]) -> dict[str, int | None] | None:
        """The ratings, as given; None where they were withdrawn."""
        return value.get("ratings")

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """Each scale with its number."""
        return ", ".join(f"{scale} {'?' if n is None else n}" for scale, n in value["ratings"].items())

    def scores(self, value: Mapping[str, Any]) -> Iterator[Score]:
        """The number on each scale."""
        for scale, number in value["ratings"].items():
            if number is not None:
                yield Score(scale, "", float(number))

    def is_right(self, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
        """Within a point of the known rating, on every scale that has one."""
        ratings = value["ratings"]
        points = {scale: number for scale, number in gold["ratings"].items() if number is not None}
        return all(ratings.get(s) is not None and abs(ratings[s] - n) <= TOLERANCE for s, n in points.items())


def _scales(name: str, scales: Any) -> None:
    good = isinstance(scales, Mapping) and scales and all(_are_ends(ends) for ends in scales.values())
    if not good:
        raise PlauditError(f"{name} must be like {SCALES}, got {scales!r}")


def _are_ends(ends: Any) -> bool:
    whole_numbers = isinstance(ends, list | tuple) and len(ends) == 2 and all(type(end) is int for end in ends)
    return whole_numbers and ends[0] < ends[1]


KIND = Rating()
