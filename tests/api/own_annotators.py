"""A user's module with annotators, good and bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.types import Answer, Dialogue, Question


class Upright:
    """Prefers the clip of CartPole in which the pole leans less."""

    name = "upright"

    def judge(self, question: Question, items: Sequence[Any]) -> Answer:
        lean = [float(abs(item.observations[:, 2]).mean()) for item in items]
        return Answer({"strength": 4 if lean[0] < lean[1] else -4})


@dataclass
class Counting(Upright):
    """Upright, and counts what it is asked."""

    asked: int = 0

    def judge(self, question: Question, items: Sequence[Any]) -> Answer:
        self.asked += 1
        return super().judge(question, items)


class Longest:
    """Prefers the longer response."""

    name = "longest"

    def judge(self, question: Question, items: Sequence[Dialogue]) -> Answer:
        lengths = [len(item.response or "") for item in items]
        if question.kind == "ranking":
            order = sorted(set(lengths), reverse=True)
            return Answer({"ranks": [order.index(length) + 1 for length in lengths]})
        return Answer({"strength": 4 * ((lengths[0] > lengths[1]) - (lengths[0] < lengths[1]))})


class Wordless(Upright):
    name = "wordless"

    def judge(self, question: Question, items: Sequence[Any]) -> Any:
        return {"strength": 4}


class Nameless(Upright):
    name = " "


def fail() -> None:
    raise OSError("no such\nscale")


NUMBER = 3
