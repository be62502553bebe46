"""Intervals of means over a sample by the bootstrap (Efron 1979), of two that belong together in pairs."""

from math import sqrt

import numpy as np

from plaudit.types import Array

LEVEL = 0.95


def resamples(units: int, count: int, rng: np.random.Generator) -> Array:
    """How often each of N units stands in each of R resamples, (R, N) float64.

    Numbers that were measured on the same units share these, so that a difference of two is resampled in pairs.
    """
    return rng.multinomial(units, np.full(units, 1 / units), size=count).astype(np.float64)


def poisson_counts(members: int, seed: int, unit: int) -> Array:
    """How often each of M members draws a unit, (M,) int: the Poisson(1) bootstrap, one unit at a time.

    The unit's number and the seed decide, so the counts stay what they are when more units come. A member misses a
    unit with probability 1/e: those units are its hold-out.
    """
    return np.random.default_rng((seed, unit)).poisson(1.0, members)


def ratios(numerators: Array, denominators: Array, counts: Array) -> Array:
    """sum(a) / sum(b) of each resample, (R,), from units (N,) and ``counts`` (R, N); NaN where no b was drawn.

    With b = 1 these are means.
    """
    totals = counts @ denominators
    return np.divide(counts @ numerators, totals, out=np.full(len(counts), np.nan), where=totals > 0)


def percentiles(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled values (R,); NaN where there is none."""
    fine = values[np.isfinite(values)]
    if len(fine) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(fine, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def mean_interval(values: Array) -> tuple[float, float]:
    """The normal interval at 95 % of the mean of (N,) independent values; of a single value, that value twice."""
    half = 1.96 * float(values.std(ddof=1)) / sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    return mean - half, mean + half


def newcombe(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float]:
    """Interval of second - first, from (share, low, high) of each: Newcombe 1998, method 10."""
    (p, low_p, high_p), (q, low_q, high_q) = first, second
    margin_below = sqrt((q - low_q) ** 2 + (high_p - p) ** 2)
    margin_above = sqrt((high_q - q) ** 2 + (p - low_p) ** 2)
    return q - p - margin_below, q - p + margin_above
