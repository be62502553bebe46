"""Tests and intervals of an audit: shares of answers, several tests at once, and the best of n."""

from collections.abc import Sequence
from math import comb, erfc, sqrt

import numpy as np

from plaudit.functional.calibration import Z, wilson
from plaudit.types import Array

ONE_SIDED = 1.644854  # normal quantile of a one-sided 95 %


def binomial_tail(successes: int, trials: int, probability: float = 0.5) -> float:
    """P[X >= successes] of X ~ Binomial(trials, probability): the exact one-sided p-value."""
    if not 0 <= successes <= trials:
        raise ValueError(f"binomial_tail needs 0 <= successes <= trials, got {successes} of {trials}")
    terms = (comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(successes, trials + 1))
    return min(1.0, float(sum(terms)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected so that one false alarm among all of them is as rare as in one (Holm 1979).

    The k-th smallest of K is multiplied by K - k + 1, and is never below a smaller one.
    """
    order = np.argsort(p_values, kind="stable")
    corrected, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected.tolist()


def exceedance(first: Array, second: Array) -> float:
    """P[a value of ``first`` exceeds one of ``second``] over all pairs, ties one half; NaN if one of them is empty."""
    if len(first) == 0 or len(second) == 0:
        return float("nan")
    ascending = np.sort(second)
    ranks = np.searchsorted(ascending, first, "left") + np.searchsorted(ascending, first, "right")
    return float(ranks.mean() / (2 * len(second)))


def wins(margins: Array) -> Array:
    """1 where a margin is positive, 0 where it is negative, one half for a tie; of any shape."""
    return 0.5 + 0.5 * np.sign(margins)


def share_above(share: float, count: int, level: float) -> float:
    """One-sided p-value of a share above ``level``, by the score test: P[Z >= (share - level) / sd].

    Ties may count one half; the test is then conservative, because they have less variance than a coin.
    """
    if count < 1 or not 0 < level < 1:
        raise ValueError(f"share_above needs a count of at least 1 and a level in (0, 1), got {count} and {level}")
    return upper_tail((share - level) / sqrt(level * (1 - level) / count))


def upper_tail(z: float) -> float:
    """P[Z >= z] of a standard normal Z."""
    return 0.5 * erfc(z / sqrt(2))


def progress_gap(expected: float, share: float, count: int, z: float = Z) -> tuple[float, float, float]:
    """What a model expects minus what people see, with its interval: (gap, low, high).

    expected: the share of pairs in which the model expects the later policy to be better, over so many pairs that it
    is known. share: the same as judged on ``count`` pairs, ties as one half; its Wilson interval is subtracted.
    """
    low, high = wilson(np.array([share]), np.array([count]), z)
    return expected - share, expected - float(high[0]), expected - float(low[0])


def best_of_n(scores: Array, values: Array, n: int) -> float:
    """E[value of the highest-scored of n], drawn without replacement from N: sum_k C(k-1, n-1) / C(N, n) v_(k).

    v_(k) is the value of the item with the k-th smallest score (Nakano et al. 2021, appendix I). The mean for n = 1.
    """
    count = len(scores)
    if not 1 <= n <= count:
        raise ValueError(f"best of {n} of {count}: n must lie in 1..{count}")
    ranked = values[np.argsort(scores, kind="stable")].astype(np.float64)
    ranks = np.arange(count, n, -1)  # from the largest; each weight follows from the one above it
    weights = n / count * np.cumprod(np.concatenate([[1.0], (ranks - n) / (ranks - 1)]))
    return float(weights @ ranked[: n - 2 : -1] if n > 1 else ranked.mean())


def share_of_possible(scores: Array, values: Array, n: int) -> float:
    """How much of what the best of n by ``values`` gains over a random one is gained by the best by ``scores``.

    1 for scores in the order of the values, 0 on average for shuffled ones; NaN if all values are equal.
    """
    mean = float(values.mean())
    possible = best_of_n(values, values, n) - mean
    return (best_of_n(scores, values, n) - mean) / possible if possible > 0 else float("nan")
