"""The annotator that is always right, because it sees the true reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from plaudit.annotators.draws import sides
from plaudit.types import Answer, Array, PlauditError, Question, Segment


@runtime_checkable
class Truth(Protocol):
    """A source of true rewards: a :class:`~plaudit.annotators.truth.Ledger`, or a few numbers in a test."""

    def rewards_of(self, segment: Segment) -> Array:
        """True rewards (L,) of a segment."""
        ...

    def reward_per_step(self, round: int) -> float | None:
        """Mean recent reward per step when ``round`` was asked."""
        ...


@dataclass(frozen=True)
class Oracle:
    """Prefers the segment with the larger true partial return, strength 4; equal returns are a tie.

    Christiano et al. 2017, section 3.1: the synthetic oracle's preferences reflect the reward in the underlying task.
    """

    truth: Truth
    name: str = "oracle"

    def judge(self, question: Question, items: Sequence[Segment]) -> Answer:
        """``{"strength": 4 | 0 | -4}``; PlauditError unless it compares two segments with stored true rewards."""
        first, second = pair(question, items)
        difference = partial_return(self.truth.rewards_of(first)) - partial_return(self.truth.rewards_of(second))
        return Answer({"strength": 4 * sign(difference)}, order=sides(question.id, 2))


def pair(question: Question, items: Sequence[Segment]) -> tuple[Segment, Segment]:
    """The two segments of a comparison; PlauditError for anything else."""
    if question.kind != "comparison" or len(items) != 2:
        raise PlauditError(
            f"oracle: question {question.id} is a {question.kind} of {len(items)} items; "
            "simulated annotators judge comparisons of two"
        )
    return items[0], items[1]


def partial_return(rewards: Array, gamma: float = 1.0) -> float:
    """sum_t gamma^(L-1-t) r_t, rounded once, so that the same rewards in another order are exactly a tie."""
    last = len(rewards) - 1
    return math.fsum(gamma ** (last - t) * reward for t, reward in enumerate(rewards.tolist()))


def sign(difference: float) -> int:
    """1, 0 or -1."""
    return (difference > 0) - (difference < 0)
