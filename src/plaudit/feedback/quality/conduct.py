"""What can be counted of each annotator without a model: sides, repeats, gold questions, haste, monotony.

Shape letters: ``N`` comparisons, ``A`` annotators.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from plaudit.feedback.quality.tables import Comparisons, check_choice, check_column
from plaudit.types import Array, PlauditError

Counts = tuple[Array, Array]  # successes and trials, (A,) int each


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of each comparison besides the answer. Leave out what is not known; NaN where a row has none."""

    left_first: Array | None = None  # (N,) bool: the first item was shown on the left
    seconds: Array | None = None  # (N,) float: from shown to submitted
    fewest_seconds: Array | None = None  # (N,) float: less is too fast, see fewest_seconds()
    gold: Array | None = None  # (N,) float: the right answer, 1, 0 or -1
    probability: Array | None = None  # (N,) float: a reward model's P[first better], not fitted to these answers

    def check(self, length: int) -> None:
        """PlauditError unless every column has that length and holds what it should."""
        for field in fields(self):
            column = getattr(self, field.name)
            if column is not None:
                check_column(column, f"Evidence.{field.name}", length)
        if self.left_first is not None and self.left_first.dtype != np.bool_:
            raise PlauditError(f"Evidence.left_first must be bool, got {self.left_first.dtype}")
        if (self.seconds is None) != (self.fewest_seconds is None):
            raise PlauditError(
                "Evidence needs seconds and fewest_seconds together: what is too fast depends on content"
            )
        if self.seconds is not None and (self.seconds < 0).any():
            raise PlauditError("Evidence.seconds holds an answer from before the question was shown")
        if self.gold is not None:
            check_choice(self.gold, "Evidence.gold")


def fewest_seconds(
    clip_seconds: Array | None = None,
    words: Array | None = None,
    clip_share: float = 0.5,
    words_per_minute: float = 750.0,
) -> Array:
    """The time (N,) below which hardly anybody can have taken in what was shown.

    ``clip_seconds`` (N,) is what it takes to play the clips once, side by side or in turn: half must have been seen.
    ``words`` (N,) counts all words of both texts. Silent reading runs at 238 words a minute (Brysbaert 2019),
    and three times that costs understanding (Rayner et al. 2016). Given both, the times add up.
    PlauditError: neither given, shapes that differ, negative numbers, a rate not above 0.
    """
    if clip_share < 0 or not words_per_minute > 0:
        raise PlauditError(f"needs clip_share >= 0 and words_per_minute > 0, got {clip_share} and {words_per_minute}")
    parts = [(clip_seconds, clip_share, "clip_seconds"), (words, 60 / words_per_minute, "words")]
    columns = [(column, rate, name) for column, rate, name in parts if column is not None]
    if not columns:
        raise PlauditError("fewest_seconds needs the length of clips, the number of words, or both")
    total = np.zeros(len(columns[0][0]))
    for column, rate, name in columns:
        check_column(column, name, len(total))
        if (column < 0).any():
            raise PlauditError(f"{name} must not be negative")
        total = total + rate * column
    return total


def conduct(comparisons: Comparisons, evidence: Evidence) -> dict[str, Counts]:
    """Counts for every rate of :class:`~plaudit.feedback.quality.Health`, by its name; 0 trials without evidence."""
    choice = comparisons.choice
    decided = ~np.isnan(choice)
    left = side_known = right = gold = fast = timed = np.zeros(len(choice), dtype=bool)
    if evidence.left_first is not None:
        left, side_known = (choice == 1) == evidence.left_first, comparisons.decisive
    if evidence.gold is not None:
        right, gold = choice == evidence.gold, decided & ~np.isnan(evidence.gold)
    if evidence.seconds is not None and evidence.fewest_seconds is not None:
        fast = evidence.seconds < evidence.fewest_seconds
        timed = ~np.isnan(evidence.seconds) & ~np.isnan(evidence.fewest_seconds)
    return {
        "left": _count(comparisons, left, side_known),
        "consistency": _count_repeats(comparisons, evidence.left_first),
        "gold": _count(comparisons, right, gold),
        "too_fast": _count(comparisons, fast, timed),
        "most_frequent": _most_frequent(comparisons, evidence.left_first),
        "tie": _count(comparisons, choice == 0, decided),
        "cant_tell": _count(comparisons, ~decided, np.ones(len(choice), dtype=bool)),
    }


def _count(comparisons: Comparisons, success: Array, trial: Array) -> Counts:
    """How often ``success`` (N,) held where ``trial`` (N,) did, for each annotator."""
    size = len(comparisons.annotators)
    hits = np.bincount(comparisons.annotator[success & trial], minlength=size)
    return hits, np.bincount(comparisons.annotator[trial], minlength=size)


def _count_repeats(comparisons: Comparisons, left_first: Array | None) -> Counts:
    """Of answers to two items that the same person had last seen the other way around, how many are the same."""
    answers = np.flatnonzero(~np.isnan(comparisons.choice))
    if left_first is None:
        answers = answers[:0]  # without sides nobody knows what was swapped
    annotator, first, second = (
        column[answers] for column in (comparisons.annotator, comparisons.first, comparisons.second)
    )
    reversed_pair = first > second  # the same two items may be asked about in either order
    low, high = np.minimum(first, second), np.maximum(first, second)
    answer = np.where(reversed_pair, -comparisons.choice[answers], comparisons.choice[answers])
    low_left = (left_first[answers] != reversed_pair) if left_first is not None else reversed_pair
    order = np.lexsort((np.arange(len(answers)), high, low, annotator))  # rows are in order of time, and stay so
    earlier, later = order[:-1], order[1:]
    same_pair = (annotator[earlier] == annotator[later]) & (low[earlier] == low[later]) & (high[earlier] == high[later])
    swapped = same_pair & (low_left[earlier] != low_left[later])
    consistent = swapped & (answer[earlier] == answer[later])
    size = len(comparisons.annotators)
    return np.bincount(annotator[later[consistent]], minlength=size), np.bincount(
        annotator[later[swapped]], minlength=size
    )


def _most_frequent(comparisons: Comparisons, left_first: Array | None) -> Counts:
    """How often each annotator gave the answer they give most: one of the two sides, a tie, or can't tell."""
    choice = comparisons.choice
    left = (choice == 1) if left_first is None else ((choice == 1) == left_first)
    answer = np.select([np.isnan(choice), choice == 0, left], [3, 2, 1], default=0)
    size = len(comparisons.annotators)
    table = np.bincount(comparisons.annotator * 4 + answer, minlength=size * 4).reshape(size, 4)
    return table.max(axis=1), table.sum(axis=1)
