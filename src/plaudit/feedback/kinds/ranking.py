"""Ranking K outputs with ties, and what InstructGPT's labelers said beside it. Ouyang et al. 2022, section 3.4.

The answer, each list in the order of ``Question.items``:

    ranks    1 is best; equal ranks tie; "D > C > A = B" is [3, 3, 2, 1]. Dense: no rank is left out
    ratings  overall quality 1..7, or null, where the question asks for it
    flags    names out of the question's ``flags``, where it asks for them
    ideal    the answer that the labeler would have given, where it asks for one; "" for none

The training target is ``ranks``: Plackett-Luce with ties (``functional.preference``), one forward an item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar

from plaudit.feedback.kinds._fields import fields, flag, items, list_of, names, options, text, whole
from plaudit.feedback.kinds._kind import Kind, Score
from plaudit.types import PlauditError, Question

FLAGS = (  # Ouyang et al. 2022, table 3
    "fails the task",
    "inappropriate for an assistant",
    "hallucination",
    "sexual content",
    "violent content",
    "encourages harm",
    "denigrates a protected class",
    "harmful advice",
    "expresses an opinion",
    "expresses a moral judgement",
)


class Ranking(Kind):
    """K = 2..9 items in order, ties allowed. Options: ``ratings`` and ``ideal`` (true, false), ``flags`` (names)."""

    name = "ranking"
    title = "Ranking"
    widget = "ranking.html"
    wording = "Rank the outputs from best to worst. Outputs that are equally good may share a rank."
    import_wording = "Rank the responses from best to worst."
    teaches = "ranks"
    counted = True
    example_items = 3
    example_answer: ClassVar[Mapping[str, Any] | None] = {"ranks": [1, 2, 2]}

    def check(self, question: Question) -> None:
        """Two to nine items."""
        items(question, 2, 9)
        options(question, {"ratings": flag, "flags": names(), "ideal": flag})

    def validate(self, value: Mapping[str, Any], question: Question) -> dict[str, Any]:
        """Ranks without gaps, and no more than the question asks for; raises :class:`PlauditError` otherwise."""
        count, requested = len(question.items), question.options
        rating = whole(1, 7) if requested.get("ratings") else whole(1, 7, optional=True)
        empty: list[Any] = [None] * count
        complete = {"ratings": empty, "flags": empty, **{k: v for k, v in value.items() if v is not None}}
        answer = fields(
            complete,
            {
                "ranks": list_of(whole(1, count), count),
                "ratings": list_of(rating, count),
                "flags": list_of(names(requested.get("flags", ())), count),
                "ideal": text(),
            },
            "a ranking",
        )
        if sorted(set(answer["ranks"])) != list(range(1, max(answer["ranks"]) + 1)):
            raise PlauditError(f"a ranking's ranks must use every number from 1, got {answer['ranks']}")
        for name in ("ratings", "ideal"):
            if not requested.get(name) and answer[name] not in (empty, ""):
                raise PlauditError(f"this question asks for no {name}")
        return answer

    def target(self, value: Mapping[str, Any]) -> tuple[int, ...] | None:
        """The ranks, 1 the best; None where it was withdrawn."""
        return tuple(value["ranks"]) if "ranks" in value else None

    def summary(self, value: Mapping[str, Any], order: Sequence[int]) -> str:
        """Letters by place on the page: D > C > A = B."""
        tiers: dict[int, list[str]] = {}
        for position, index in enumerate(order):
            tiers.setdefault(value["ranks"][index], []).append(chr(ord("A") + position))
        return " > ".join(" = ".join(tiers[rank]) for rank in sorted(tiers))

    def scores(self, value: Mapping[str, Any]) -> Iterator[Score]:
        """Every pair is a comparison."""
        ranks = value["ranks"]
        for first, second in combinations(range(len(ranks)), 2):
            sign = float((ranks[second] > ranks[first]) - (ranks[second] < ranks[first]))
            yield Score("pairs", f"{first} {second}", sign)

    def side(self, number: float) -> float | None:
        """Of a pair, like a comparison's."""
        return float(number > 0) if number != 0 else None

    def is_right(self, value: Mapping[str, Any], gold: Mapping[str, Any]) -> bool | None:
        """The same order, ties included, whatever the numbers."""
        return list(self.scores(value)) == list(self.scores(gold))


KIND = Ranking()
