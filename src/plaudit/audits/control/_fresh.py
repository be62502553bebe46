"""Fresh pairs that several measures share: each is asked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plaudit.audits.agents import AgentSubject
from plaudit.audits.finding import Finding, Null, not_measurable
from plaudit.functional.significance import exceedance, wins
from plaudit.types import Array, PlauditError

BEST_OF = 16
FEWEST_DECIDED = 6  # of pairs: a coin decides as many alike with probability 1 / 32


class UnansweredError(PlauditError):
    """Nobody answered the fresh pairs that a row needs."""


@dataclass(frozen=True, eq=False)
class FreshPairs:
    """``N`` fresh pairs that were answered.

    Attributes:
        margins: (N,) learned return of the first clip minus that of the second.
        answers: (N,) P[first better] as judged.
        expected: share of pairs in which the reward model prefers the first, over all that could have been drawn.
        count: pairs that were asked; some may have got no answer, or can't tell.
    """

    margins: Array
    answers: Array
    expected: float
    count: int

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def share(self) -> float:
        """Share of pairs in which the first was preferred; ties count one half."""
        return float(wins(self.answers - 0.5).mean())

    @property
    def decided(self) -> Array:
        """(N,) bool: the pairs in which one of the two was preferred."""
        return self.answers != 0.5

    @property
    def telling(self) -> bool:
        """Whether enough pairs were decided to say anything: of clips that are all equally good there is no best."""
        return int(self.decided.sum()) >= min(FEWEST_DECIDED, self.count)

    @property
    def right(self) -> Array:
        """Of the decided pairs, whether the reward model prefers the one that was preferred, (D,) bool."""
        return (self.margins > 0)[self.decided] == (self.answers > 0.5)[self.decided]


def random_pairs(subject: AgentSubject) -> FreshPairs:
    """Random pairs of clips of the final policy."""
    return subject.share("random pairs", lambda: _compare(subject, "random"))


def progress_pairs(subject: AgentSubject) -> FreshPairs:
    """A clip of the last checkpoint and one of the first, at random."""
    return subject.share("progress pairs", lambda: _compare(subject, "progress", 0))


def checkpoint_pairs(subject: AgentSubject, index: int) -> FreshPairs:
    """A clip of the last checkpoint and one of an earlier one, at random."""
    return subject.share(f"checkpoint pairs {index}", lambda: _compare(subject, f"checkpoint {index}", index))


def best_pairs(subject: AgentSubject) -> FreshPairs:
    """The best of 16 clips of the final policy by the learned reward, and a random one."""

    def ask() -> FreshPairs:
        count = subject.config.pairs
        pool = subject.clips(subject.checkpoints[-1], BEST_OF * count, "best of n")
        rng = np.random.default_rng((subject.config.seed, BEST_OF))
        if len(pool) < 2 * BEST_OF:
            raise PlauditError(
                f"there are only {len(pool)} clips of the final policy, too few for the best of {BEST_OF}"
            )
        groups = np.stack([rng.choice(len(pool), BEST_OF, replace=False) for _ in range(count)])
        best = groups[np.arange(count), pool.learned[groups].argmax(axis=1)]
        random = rng.integers(0, len(pool), count)
        margins = pool.learned[best] - pool.learned[random]
        answers = subject.ask([(pool.segments[i], pool.segments[j]) for i, j in zip(best, random, strict=True)])
        return _collect_answers(margins, answers, float((margins > 0).mean()))

    return subject.share("best of n", ask)


def _compare(subject: AgentSubject, name: str, index: int = -1) -> FreshPairs:
    """Clips of the last checkpoint against clips of checkpoint ``index``."""
    count, checkpoints = subject.config.pairs, subject.checkpoints
    first = subject.clips(checkpoints[-1], 2 * count if index == -1 else count, name)
    if index == -1:
        half = len(first) // 2
        pairs = list(zip(first.segments[:half], first.segments[half : 2 * half], strict=True))
        margins = first.learned[:half] - first.learned[half : 2 * half]
        return _collect_answers(margins, subject.ask(pairs), 0.5)
    second = subject.clips(checkpoints[index], count, name)
    size = min(len(first), len(second))
    margins = first.learned[:size] - second.learned[:size]
    answers = subject.ask(list(zip(first.segments[:size], second.segments[:size], strict=True)))
    return _collect_answers(margins, answers, expected_share(subject, index))


def expected_share(subject: AgentSubject, index: int) -> float:
    """The share of pairs in which the reward model prefers the last checkpoint's clip to checkpoint ``index``'s."""
    later, earlier = (subject.clips(subject.checkpoints[number], 2000, "expected").learned for number in (-1, index))
    return exceedance(later, earlier)


def describe_missing(*pairs: FreshPairs) -> str:
    """A sentence about the pairs that do not count, with a space before it; empty if all were answered."""
    count = sum(group.count for group in pairs)
    missing = count - sum(map(len, pairs))
    return f" {missing} of {count} fresh pairs have no answer, or can't tell." if missing else ""


def null_of_random_pairs(subject: AgentSubject, name: str, value: Callable[[FreshPairs], float]) -> Null | None:
    """The null control on random pairs of the final policy; None if nobody answered those."""
    try:
        return Null(name, value(random_pairs(subject)))
    except UnansweredError:
        return None


def row_of_eyes(name: str, title: str, measure: Callable[[], Finding]) -> Finding:
    """The row that rests on fresh answers; what it raises is its reason, and the measure's other row follows."""
    try:
        return measure()
    except PlauditError as error:
        return not_measurable(name, title, str(error))


def _collect_answers(margins: Array, answers: Array, expected: float) -> FreshPairs:
    has_answer = np.isfinite(answers)
    if not has_answer.any():
        raise UnansweredError(f"none of the {len(answers)} fresh pairs was answered: the same command asks them again")
    return FreshPairs(margins[has_answer], answers[has_answer], expected, len(answers))
