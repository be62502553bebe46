"""Errors that answers betray by contradicting each other: repeats with the sides swapped, and cycles.

Neither needs a model, gold questions or a second annotator. Shape letters: ``N`` comparisons, ``A`` annotators.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.tables import Comparisons, check_column
from plaudit.types import Array, PlauditError

_GRID = 201  # lapse rates and sides of the likelihood: steps of 0.005 and 0.01
_LEAST = 1e-12  # probability
_MOST_NEIGHBOURS = 200  # of one item in the search for cycles, which takes their square


@dataclass(frozen=True, eq=False)
class Repeats:
    """Answers to swapped repeats, by annotator, (A,) int each."""

    consistent: Array  # the same item was preferred both times
    left: Array  # the side shown left was preferred both times: two items, one side
    right: Array  # the same for the right side

    @property
    def trials(self) -> Array:
        """Repeats with two decisions, (A,)."""
        return self.consistent + self.left + self.right


def count_repeats(comparisons: Comparisons, left_first: Array) -> Repeats:
    """Count pairs of consecutive decisions of one annotator about the same two items on changed sides.

    left_first: (N,) bool, the first item was shown on the left. Rows are in order of time.
    """
    check_column(left_first, "left_first", len(comparisons.choice))
    size = len(comparisons.annotators)
    consistent, left, right = (np.zeros(size, np.int64) for _ in range(3))
    previous: dict[tuple[int, int, int], tuple[int, bool]] = {}
    rows = np.flatnonzero(comparisons.decisive)
    columns = (comparisons.annotator, comparisons.first, comparisons.second, comparisons.choice, left_first)
    for annotator, first, second, choice, first_is_left in zip(
        *(column[rows].tolist() for column in columns), strict=True
    ):
        key = (annotator, min(first, second), max(first, second))
        winner = first if choice > 0 else second
        lower_is_left = first_is_left == (first < second)
        if key in previous:
            last_winner, lower_was_left = previous[key]
            if lower_is_left != lower_was_left:
                if winner == last_winner:
                    consistent[annotator] += 1
                elif (winner == key[1]) == lower_is_left:
                    left[annotator] += 1
                else:
                    right[annotator] += 1
        previous[key] = (winner, lower_is_left)
    return Repeats(consistent, left, right)


@dataclass(frozen=True)
class RetestLapse:
    """The lapse rate and the pull of the sides that repeats show; see :func:`retest_lapse`."""

    lapse: float
    low: float
    high: float
    side: float  # 2 P[left] - 1: share of answers that go left whatever is shown; negative: right
    repeats: int


def retest_lapse(consistent: int, left: int, right: int, level: float = 0.95) -> RetestLapse:
    """Lapse rate by maximum likelihood from swapped repeats, with an interval by the likelihood.

    A share |side| of answers goes to one side, whatever is shown. Of the others, a share ``lapse`` is a coin's, and
    the rest prefers the better item, the same each time. So an answer is wrong with probability a if the better item
    is on the left and b if it is on the right, where a + b = |side| + (1 - |side|) lapse and b - a = side, and
    P[same] = (1 - a)(1 - b) + a b, P[left twice] = (1 - a) b, P[right twice] = a (1 - b).
    Without sides P[same] = (1 + (1 - lapse)^2) / 2. An annotator who is steadily wrong does not show, and one who finds
    two items equally good seems to lapse. The interval is the shadow of the region of both rates (chi-squared with two
    degrees of freedom: -2 log(1 - level)), because a side that is fitted to chance alone makes a lapse rate look low.
    PlauditError: counts below 0, or no repeat.
    """
    total = consistent + left + right
    if min(consistent, left, right) < 0 or total == 0:
        raise PlauditError(f"a lapse rate needs counts of repeats, and one at least, got {(consistent, left, right)}")
    lapses, sides = np.linspace(0, 1, _GRID)[:, None], np.linspace(-1, 1, _GRID)[None, :]
    pull = np.abs(sides)
    wrong = pull + (1 - pull) * lapses
    error_left, error_right = (wrong - sides) / 2, (wrong + sides) / 2
    probabilities = (
        (1 - error_left) * (1 - error_right) + error_left * error_right,
        (1 - error_left) * error_right,
        error_left * (1 - error_right),
    )
    likelihood = np.sum(
        [
            count * np.log(np.maximum(probability, _LEAST))
            for count, probability in zip((consistent, left, right), probabilities, strict=True)
        ],
        axis=0,
    )
    profile = likelihood.max(axis=1)
    best = int(profile.argmax())
    support = np.flatnonzero(profile >= profile[best] + math.log(1 - level))
    grid = lapses[:, 0]
    # The grid's next point lies outside: the interval may reach up to it.
    low, high = grid[max(support[0] - 1, 0)], grid[min(support[-1] + 1, _GRID - 1)]
    side = float(sides[0, int(likelihood[best].argmax())])
    return RetestLapse(float(grid[best]), float(low), float(high), side, total)


@dataclass(frozen=True)
class Cycles:
    """Triples of items that were all compared with each other, and those whose answers go round in a circle."""

    cyclic: int
    triples: int

    @property
    def lapse(self) -> float:
        """The lapse rate that gives this share of cycles; NaN without triples.

        If each answer is wrong with probability f = lapse / 2, a triple is cyclic with probability f (1 - f): for the
        answer about the best and the worst is wrong and no other, or both others are. A coin makes one in four.
        """
        if self.triples == 0:
            return float("nan")
        return 1 - max(1 - 4 * self.cyclic / self.triples, 0.0) ** 0.5


def count_cycles(comparisons: Comparisons) -> Cycles:
    """Count triples of items by the majority of all decisions on each pair; pairs without a majority are left out.

    Of an item with very many others, only the first 200 are looked at.
    """
    margins: defaultdict[tuple[int, int], int] = defaultdict(int)
    rows = np.flatnonzero(comparisons.decisive)
    columns = (comparisons.first, comparisons.second, comparisons.choice)
    for first, second, choice in zip(*(column[rows].tolist() for column in columns), strict=True):
        sign = int(choice) if first < second else -int(choice)
        margins[min(first, second), max(first, second)] += sign
    partners: defaultdict[int, list[int]] = defaultdict(list)
    for (low, high), margin in margins.items():
        if margin:
            partners[low].append(high)
    cyclic = triples = 0
    for low, neighbours in partners.items():
        neighbours = sorted(neighbours)[:_MOST_NEIGHBOURS]
        for index, middle in enumerate(neighbours):
            for high in neighbours[index + 1 :]:
                margin = margins.get((middle, high), 0)
                if margin:
                    triples += 1
                    beats_middle, beats_high = margins[low, middle] > 0, margins[low, high] > 0
                    cyclic += beats_middle == (margin > 0) != beats_high
    return Cycles(cyclic, triples)


@dataclass(frozen=True)
class SecondJudgement:
    """What a second judgement of each question buys, if every judgement is right with probability ``accuracy``."""

    accuracy: float
    agree: float  # share of questions on which two judgements agree
    agreed: float  # accuracy of those
    majority: float  # accuracy of the majority of three
    worth: float  # of N questions judged twice: so many clean answers a question
    new: float  # of 2 N questions judged once: the same for each of N


def second_judgement(lapse: float) -> SecondJudgement:
    """The value of judging each question twice, and of asking as many new questions instead.

    An answer that is a coin's with probability ``lapse`` is right with a = 1 - lapse / 2; two agree with
    a^2 + (1 - a)^2. Labels that are wrong with 1 - a have (2 a - 1)^2 of a clean label's information about a
    difference that is small; the mean of two has 2 m^2 / (1 + m^2), m = 2 a - 1, and two new questions 2 m^2.
    """
    if not 0 <= lapse <= 1:
        raise PlauditError(f"a lapse rate lies in 0..1, got {lapse}")
    right = 1 - lapse / 2
    mean = 2 * right - 1
    agree = right**2 + (1 - right) ** 2
    return SecondJudgement(
        accuracy=right,
        agree=agree,
        agreed=right**2 / agree,
        majority=right**3 + 3 * right**2 * (1 - right),
        worth=2 * mean**2 / (1 + mean**2),
        new=2 * mean**2,
    )
