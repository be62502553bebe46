"""Shares with intervals, exact tests of a share, and the correction for having tested many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from plaudit.feedback.quality.tables import check_column, check_level
from plaudit.functional.calibration import wilson
from plaudit.types import Array, PlauditError

Alternative = Literal["two-sided", "greater", "less"]

_TIE = 1e-7  # outcomes whose probabilities differ by less than this share are as likely as each other


@dataclass(frozen=True)
class Rate:
    """A share with its Wilson interval. Without trials the rate is NaN and the interval (0, 1)."""

    successes: int
    trials: int
    rate: float
    low: float
    high: float


def rates(successes: Array, trials: Array, level: float = 0.95) -> list[Rate]:
    """One :class:`Rate` for each pair of counts (A,)."""
    low, high = wilson_interval(successes, trials, level)
    share = np.where(trials > 0, successes / np.maximum(trials, 1), np.nan)
    columns = (successes.tolist(), trials.tolist(), share.tolist(), low.tolist(), high.tolist())
    return [Rate(*row) for row in zip(*columns, strict=True)]


def normal_quantile(level: float) -> float:
    """z such that a standard normal lies within -z..z with probability ``level``."""
    check_level(level)
    return NormalDist().inv_cdf(0.5 + level / 2)


def normal_tail(z: Array) -> Array:
    """P[Z >= z] of a standard normal, elementwise, accurate far out where 1 - CDF is not."""
    tails = [0.5 * math.erfc(value / math.sqrt(2)) for value in z.ravel().tolist()]
    return np.array(tails, dtype=np.float64).reshape(z.shape)


def _check_counts(successes: Array, trials: Array) -> None:
    check_column(successes, "successes")
    check_column(trials, "trials", len(successes))
    whole = np.issubdtype(successes.dtype, np.integer) and np.issubdtype(trials.dtype, np.integer)
    if not whole or (successes < 0).any() or (successes > trials).any():
        raise PlauditError("counts must be whole numbers with 0 <= successes <= trials")


def wilson_interval(successes: Array, trials: Array, level: float = 0.95) -> tuple[Array, Array]:
    """:func:`plaudit.functional.calibration.wilson` of the shares ``successes / trials``, (A,) int each: (A,) and (A,).

    Without trials the interval is (0, 1). PlauditError for impossible counts.
    """
    _check_counts(successes, trials)
    count = trials.astype(np.float64)
    low, high = wilson(successes / np.maximum(count, 1), count, normal_quantile(level))
    # At 0 and at all successes the limit is exact; rounding must not put the share outside its interval.
    low = np.where(successes == 0, 0.0, np.maximum(low, 0.0))
    high = np.where(successes == trials, 1.0, np.minimum(high, 1.0))
    return low, high


def binomial_test(
    successes: Array, trials: Array, probability: float = 0.5, alternative: Alternative = "two-sided"
) -> Array:
    """Exact p-values (A,) of ``successes`` in ``trials``, (A,) int each, when each succeeds with ``probability``.

    ``two-sided`` adds up the outcomes that are no more likely than the one seen (as R and SciPy do); ``greater`` those
    with at least as many successes, ``less`` those with at most as many. NaN where there was no trial.
    PlauditError for impossible counts and for a probability outside (0, 1).
    """
    _check_counts(successes, trials)
    if not 0 < probability < 1:
        raise PlauditError(f"a binomial test needs a probability strictly between 0 and 1, got {probability}")
    most = int(trials.max()) if len(trials) else 0
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
    pairs, pair_of = np.unique(np.stack([successes, trials], axis=1), axis=0, return_inverse=True)
    p_values = np.full(len(pairs), np.nan)
    for row, (hits, count) in enumerate(pairs.tolist()):
        if count == 0:
            continue
        k = np.arange(count + 1)
        log_pmf = log_factorial[count] - log_factorial[k] - log_factorial[count - k]
        log_pmf += k * math.log(probability) + (count - k) * math.log1p(-probability)
        if alternative == "two-sided":
            extreme = log_pmf <= log_pmf[hits] + _TIE
        else:
            extreme = k >= hits if alternative == "greater" else k <= hits
        p_values[row] = min(1.0, float(np.exp(log_pmf[extreme]).sum()))
    return p_values[pair_of.reshape(-1)]


def holm(p_values: Array) -> Array:
    """p-values of any shape adjusted for their number, Holm 1979. NaN, a test not made, stays NaN and is not counted.

    Calling those below ``level`` faulty makes the probability of even one false call at most ``level``, however the
    tests depend on each other. PlauditError for values outside 0..1.
    """
    flat = p_values.ravel().astype(np.float64)
    tests = np.flatnonzero(~np.isnan(flat))
    if ((flat[tests] < 0) | (flat[tests] > 1)).any():
        raise PlauditError("p-values must lie in 0..1")
    order = tests[np.argsort(flat[tests], kind="stable")]
    adjusted = np.full(flat.shape, np.nan)
    # The smallest of m is multiplied by m, the next by m - 1, ..., and none may fall below one before it.
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(order), 0, -1) * flat[order]))
    return adjusted.reshape(p_values.shape)
