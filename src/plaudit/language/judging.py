"""Which of two policies a judge prefers, prompt by prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.interfaces import Annotator
from plaudit.language.evaluation import JudgeSummary
from plaudit.types import Array, Dialogue, Question

Judge = Annotator | Callable[[Dialogue, Dialogue], float | None]  # P[first better]; None: cannot tell


@dataclass(frozen=True, eq=False)
class Wins:
    """One policy's wins against another, response by response."""

    outcomes: Array  # (B,) 1, 0.5 for a tie, 0; in between if the two orders differ; NaN: undecided
    judging: JudgeSummary


def name_of(judge: object) -> str:
    """The name of a judge or a rule."""
    name = getattr(judge, "name", None) or getattr(judge, "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" else "a function"


def count_wins(
    judge: Judge,
    responses: Sequence[Dialogue],
    opponents: Sequence[Dialogue],
    both_orders: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> Wins:
    """How often ``responses`` beat ``opponents``. Two equal responses are a tie; the judge is not asked about them.

    both_orders: ask about each pair in both orders, and average, because a judge may prefer what it reads first.
    """
    outcomes = np.full(len(responses), np.nan)
    flipped, asked_twice = 0, 0
    for index, (response, opponent) in enumerate(zip(responses, opponents, strict=True)):
        if response.id == opponent.id:
            outcomes[index] = 0.5
        else:
            answers = [_win(judge, response, opponent)]
            if both_orders:
                swapped = _win(judge, opponent, response)
                answers.append(None if swapped is None else 1 - swapped)
            decided = [win for win in answers if win is not None]
            outcomes[index] = sum(decided) / len(decided) if decided else np.nan
            asked_twice += len(decided) == 2
            flipped += len(decided) == 2 and decided[0] != decided[1]
        progress(index + 1)
    unknown = int(np.isnan(outcomes).sum())
    share = flipped / asked_twice if asked_twice else None
    return Wins(outcomes, JudgeSummary(name_of(judge), len(outcomes) - unknown, unknown, share))


def _win(judge: Judge, first: Dialogue, second: Dialogue) -> float | None:
    """1 if the judge prefers the first, however clearly; 0.5 for a tie; None if it cannot tell."""
    if isinstance(judge, Annotator):
        question = Question("comparison", (first.id, second.id), RESPONSES)
        mu = KINDS["comparison"].target(judge.judge(question, (first, second)).value)
    else:
        mu = judge(first, second)
    return None if mu is None else float(np.sign(mu - 0.5) + 1) / 2
