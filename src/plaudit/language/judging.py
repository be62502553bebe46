"""Which of two policies a judge prefers, prompt by prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.kinds.comparison import RESPONSES
from plaudit.interfaces import Annotator
from plaudit.language.evaluation import Judging
from plaudit.types import Array, Dialogue, Question

Judge = Annotator | Callable[[Dialogue, Dialogue], float | None]  # P[first better]; None: cannot tell


@dataclass(frozen=True, eq=False)
class Wins:
    """Of one policy over another, response by response."""

    each: Array  # (B,) 1, 0.5 a tie, 0; between them where the two orders differ; NaN: the judge could not tell
    judging: Judging


def called(named: object) -> str:
    """What a judge or a rule is called."""
    found = getattr(named, "name", None) or getattr(named, "__name__", None)
    return found if isinstance(found, str) and found != "<lambda>" else "a function"


def wins(
    judge: Judge,
    ours: Sequence[Dialogue],
    theirs: Sequence[Dialogue],
    both_orders: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> Wins:
    """How often ``ours`` is better. Two equal responses are a tie, and nobody is asked about them.

    both_orders: ask twice, with either first, and average: a judge may lean to what it reads first.
    """
    each = np.full(len(ours), np.nan)
    flipped, twice = 0, 0
    for place, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if own.id == other.id:
            each[place] = 0.5
        else:
            found = [_win(judge, own, other)]
            if both_orders:
                back = _win(judge, other, own)
                found.append(None if back is None else 1 - back)
            said = [win for win in found if win is not None]
            each[place] = sum(said) / len(said) if said else np.nan
            twice += len(said) == 2
            flipped += len(said) == 2 and said[0] != said[1]
        progress(place + 1)
    unknown = int(np.isnan(each).sum())
    share = flipped / twice if twice else None
    return Wins(each, Judging(called(judge), len(each) - unknown, unknown, share))


def _win(judge: Judge, first: Dialogue, second: Dialogue) -> float | None:
    """1 where the first is called better, however clearly; 0.5 for a tie; None for can't tell."""
    if isinstance(judge, Annotator):
        question = Question("comparison", (first.id, second.id), RESPONSES)
        mu = KINDS["comparison"].target(judge.judge(question, (first, second)).value)
    else:
        mu = judge(first, second)
    return None if mu is None else float(np.sign(mu - 0.5) + 1) / 2
