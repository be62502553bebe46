"""How far annotators agree: percent agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha.

Kappa and alpha are 1 for perfect agreement and 0 for what chance would give. They differ in what they call chance and
in what they accept: Cohen's two annotators, Fleiss' the same number of judgements of every item, Krippendorff's any.
Shape letters: ``I`` items, ``C`` categories, ``D`` distinct rows of counts, ``R`` resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plaudit.feedback.quality.rates import normal_quantile
from plaudit.feedback.quality.tables import Ratings, check_level, position
from plaudit.types import Array, PlauditError

Weights = Literal["unweighted", "linear", "quadratic"]
Metric = Literal["nominal", "ordinal", "interval"]

_CHUNK = 1_000_000  # numbers in one block of the bootstrap: memory does not grow with the resamples


@dataclass(frozen=True)
class CohenKappa:
    """Agreement of two annotators beyond chance, with its large-sample interval."""

    kappa: float
    observed: float  # p_o: weighted share of agreement
    expected: float  # p_e: what their own habits would give, did they judge independently
    standard_error: float
    low: float
    high: float
    items: int  # that both judged


@dataclass(frozen=True, eq=False)
class FleissKappa:
    """Agreement of many annotators, each item judged equally often."""

    kappa: float
    observed: float  # P-bar: mean share of agreeing pairs
    expected: float  # P_e-bar
    proportions: Array  # (C,) share p_j of all judgements that fell into each category
    items: int
    judgements_per_item: int


@dataclass(frozen=True)
class KrippendorffAlpha:
    """Agreement of any number of annotators, judgements missing or not."""

    alpha: float
    observed_disagreement: float  # D_o
    expected_disagreement: float  # D_e
    items: int  # with at least two judgements
    judgements: int  # of those items: Krippendorff's n
    low: float | None = None  # percentile bootstrap over items, when a generator was given
    high: float | None = None


def _pairable(ratings: Ratings) -> Array:
    """Counts (I', C) of the items with at least two judgements; PlauditError when there is none."""
    counts = ratings.counts()
    counts = counts[counts.sum(axis=1) >= 2]
    if len(counts) == 0:
        raise PlauditError("agreement needs an item with two judgements; give some items to more than one annotator")
    return counts


def percent_agreement(ratings: Ratings) -> float:
    """Of all pairs of judgements of the same item, the share that are equal. Not corrected for chance.

    An item with m judgements has m (m - 1) / 2 pairs, so that one judged by many counts for more.
    PlauditError when no item was judged twice.
    """
    counts = _pairable(ratings)
    sizes = counts.sum(axis=1)
    return float((counts * (counts - 1)).sum() / (sizes * (sizes - 1)).sum())


def cohen_kappa(
    ratings: Ratings, first: str, second: str, weights: Weights = "unweighted", level: float = 0.95
) -> CohenKappa:
    """kappa = (p_o - p_e) / (1 - p_e) of two annotators, given by name, over the items that both judged.

    Cohen 1960; with weights Cohen 1968: a disagreement counts by the distance between ``Ratings.values``, or by its
    square, relative to the largest. The standard error is that of Fleiss, Cohen and Everitt 1969.
    PlauditError: an unknown name, fewer than two items in common, or both always in the same one category.
    """
    z = normal_quantile(level)
    size = len(ratings.categories)
    columns = np.full((2, len(ratings.items)), -1, dtype=np.int64)
    for row, name in enumerate((first, second)):
        by_annotator = ratings.annotator == position(ratings.annotators, name, "annotator")
        columns[row, ratings.item[by_annotator]] = ratings.category[by_annotator]
    left, right = columns[:, (columns >= 0).all(axis=0)]
    items = len(left)
    if items < 2:
        raise PlauditError(f"{first!r} and {second!r} judged {items} items in common; Cohen's kappa needs two or more")
    table = np.bincount(left * size + right, minlength=size * size).reshape(size, size) / items
    agreement = _agreement_weights(ratings.values, weights)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed = float((agreement * table).sum())
    expected = float(rows @ agreement @ columns)
    if expected >= 1 - 1e-12:
        raise PlauditError(f"Cohen's kappa is undefined: {first!r} and {second!r} used one category only")
    kappa = (observed - expected) / (1 - expected)
    mean = (agreement @ columns)[:, None] + (rows @ agreement)[None, :]
    spread = (table * (agreement - mean * (1 - kappa)) ** 2).sum() - (kappa - expected * (1 - kappa)) ** 2
    error = math.sqrt(max(float(spread), 0.0) / items) / (1 - expected)
    return CohenKappa(kappa, observed, expected, error, kappa - z * error, kappa + z * error, items)


def _agreement_weights(values: Array, weights: str) -> Array:
    """(C, C): 1 on the diagonal, falling to 0 for the two categories farthest apart."""
    if weights == "unweighted":
        return np.eye(len(values))
    if weights not in ("linear", "quadratic"):
        raise PlauditError(f"unknown weights {weights!r}; choose one of unweighted, linear, quadratic")
    distance = np.abs(values[:, None] - values[None, :])
    distance = distance / max(float(distance.max()), 1e-300)
    return 1 - (distance if weights == "linear" else distance**2)


def fleiss_kappa(ratings: Ratings) -> FleissKappa:
    """kappa = (P-bar - P_e-bar) / (1 - P_e-bar), Fleiss 1971.

    PlauditError: items judged unequally often (use :func:`krippendorff_alpha`), or everything in one category.
    """
    counts = ratings.counts()
    sizes = counts.sum(axis=1)
    per_item = int(sizes[0]) if len(sizes) else 0
    if per_item < 2 or (sizes != per_item).any():
        raise PlauditError(
            f"Fleiss' kappa needs every item judged equally often and at least twice, "
            f"got {int(sizes.min(initial=per_item))} to {int(sizes.max(initial=0))} judgements; use krippendorff_alpha"
        )
    proportions = counts.sum(axis=0) / counts.sum()
    observed = float((counts * (counts - 1)).sum() / (len(counts) * per_item * (per_item - 1)))
    expected = float(np.square(proportions).sum())
    if expected >= 1 - 1e-12:
        raise PlauditError("Fleiss' kappa is undefined: every judgement is in one category")
    kappa = (observed - expected) / (1 - expected)
    return FleissKappa(kappa, observed, expected, proportions, len(counts), per_item)


def krippendorff_alpha(
    ratings: Ratings,
    metric: Metric = "nominal",
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> KrippendorffAlpha:
    """alpha = 1 - D_o / D_e, Krippendorff 2011, "Computing Krippendorff's alpha-reliability".

    ``nominal`` counts disagreements, ``ordinal`` weighs them by the ranks between, ``interval`` by the squared
    difference of ``Ratings.values``. With ``rng`` there is a percentile interval over items drawn with replacement
    (Efron 1979; Krippendorff draws disagreements instead, as if pairs within an item were independent).
    PlauditError: an unknown metric, no item judged twice, all judgements in one category, resamples below 2.
    """
    check_level(level)
    if metric not in ("nominal", "ordinal", "interval"):
        raise PlauditError(f"unknown metric {metric!r}; choose one of nominal, ordinal, interval")
    counts = _pairable(ratings)
    # Many items have the same counts; what follows only needs each once, and how often.
    rows, times = np.unique(counts, axis=0, return_counts=True)
    observed, expected = _disagreement(rows, times[None, :].astype(np.float64), ratings.values, metric)
    if expected[0] <= 0:
        raise PlauditError(
            "Krippendorff's alpha is undefined: all judgements of items judged twice are in one category"
        )
    alpha = 1 - float(observed[0] / expected[0])
    low = high = None
    if rng is not None:
        low, high = _Bootstrap(rng, resamples, level).interval(rows, times, ratings.values, metric)
    return KrippendorffAlpha(alpha, float(observed[0]), float(expected[0]), len(counts), int(counts.sum()), low, high)


def _disagreement(rows: Array, times: Array, values: Array, metric: str) -> tuple[Array, Array]:
    """D_o and D_e, (R,) each, of items with counts ``rows`` (D, C) that occur ``times`` (R, D) times.

    Krippendorff writes them with a matrix of coincidences. The distance between categories c and k is (x_c - x_k)^2
    for interval data. For ordinal data it is the same with x the mid-rank: sum_{g=c..k} n_g - (n_c + n_k) / 2 is just
    the difference of mid-ranks. So with m judgements in an item both sums over pairs are 2 (m sum x^2 - (sum x)^2).
    """
    sizes = rows.sum(axis=1).astype(np.float64)  # m_u
    totals = times @ rows  # (R, C): n_c
    n = totals.sum(axis=1)
    if metric == "nominal":
        item_pairs = np.broadcast_to(sizes**2 - np.square(rows).sum(axis=1), times.shape)
        all_pairs = n**2 - np.square(totals).sum(axis=1)
    else:
        x = np.cumsum(totals, axis=1) - totals / 2 if metric == "ordinal" else np.broadcast_to(values, totals.shape)
        x = x - (totals * x).sum(axis=1, keepdims=True) / n[:, None]  # centred, or large values would cancel
        item_pairs = 2 * (sizes * (np.square(x) @ rows.T) - np.square(x @ rows.T))
        all_pairs = 2 * n * (totals * np.square(x)).sum(axis=1)
    observed = (times * item_pairs / (sizes - 1)).sum(axis=1) / n
    varied = (totals > 0).sum(axis=1) > 1  # else D_e is 0, which rounding would hide
    return observed, np.where(varied, all_pairs / (n * (n - 1)), 0.0)


@dataclass(frozen=True)
class _Bootstrap:
    """Resampling of items with replacement, and the level of the interval over it."""

    rng: np.random.Generator
    resamples: int
    level: float

    def interval(self, rows: Array, times: Array, values: Array, metric: str) -> tuple[float, float]:
        """Limits of alpha over the resamples; a resample in which nothing varies has no alpha."""
        if self.resamples < 2:
            raise PlauditError(f"a bootstrap interval needs at least 2 resamples, got {self.resamples}")
        items = int(times.sum())
        counts = self.rng.multinomial(items, times / items, size=self.resamples)
        alphas = []
        for block in np.array_split(counts, max(1, math.ceil(counts.size / _CHUNK))):
            observed, expected = _disagreement(rows, block.astype(np.float64), values, metric)
            varied = expected > 0
            alphas.append(1 - observed[varied] / expected[varied])
        tail = (1 - self.level) / 2
        low, high = np.quantile(np.concatenate(alphas), [tail, 1 - tail])
        return float(low), float(high)
