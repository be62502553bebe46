"""Agreement: examples of the papers, values worked by hand, invariants, and beside statsmodels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from plaudit.feedback.quality import (
    Ratings,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from plaudit.feedback.quality.agreement import Metric, Weights
from plaudit.types import Array, PlauditError

METRICS = get_args(Metric)

# Krippendorff 2011, section C: 4 observers, 12 units, 0 for a missing value. He finds 0.743, 0.815 and 0.849.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)

# Fleiss 1971's formulas on a table that is much used to check them: 10 items, 14 judgements each, 5 categories.
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def from_table(table: Array, missing: int = 0) -> Ratings:
    """Annotators by items -> long; ``missing`` marks an absent judgement."""
    annotator, item = np.nonzero(table != missing)
    return Ratings.from_numbers(item, annotator, table[annotator, item])


def from_counts(counts: Array) -> Ratings:
    """Items by categories -> long; who judged what is made up."""
    item, category = (axis.repeat(counts.ravel()) for axis in np.indices(counts.shape).reshape(2, -1))
    annotator = np.concatenate([np.arange(count) for count in counts.sum(axis=1)])
    return Ratings.from_numbers(item, annotator, category)


def random_ratings(seed: int, items: int = 40, annotators: int = 5, categories: int = 4) -> Ratings:
    """Noisy readings of a true category, a third of them missing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, categories, items)
    table = np.where(rng.random((annotators, items)) < 0.6, truth, rng.integers(0, categories, (annotators, items)))
    return from_table(np.where(rng.random(table.shape) < 0.33, -1, table), missing=-1)


# --- percent agreement ---------------------------------------------------------------------------------------------


def test_percent_agreement_by_hand() -> None:
    # Item 0: (0, 0, 1) has 1 pair of 3 that agrees; item 1: (1, 1) 1 of 1; item 2 was judged once: no pair.
    ratings = Ratings.from_numbers(
        np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 0, 1, 0]), np.array([0, 0, 1, 1, 1, 0])
    )
    assert percent_agreement(ratings) == pytest.approx(2 / 4)


# --- Cohen ---------------------------------------------------------------------------------------------------------


def two(table: list[list[int]]) -> Ratings:
    """Two annotators from a table of counts, rows the first's category."""
    counts = np.array(table)
    pairs = np.repeat(np.indices(counts.shape).reshape(2, -1), counts.ravel(), axis=1)
    return from_table(pairs, missing=-1)


def test_cohen_by_hand() -> None:
    # p_o = 35 / 50 = 0.7; p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5; kappa = 0.2 / 0.5.
    kappa = cohen_kappa(two([[20, 5], [10, 15]]), "0", "1")
    assert (kappa.observed, kappa.expected, kappa.kappa) == pytest.approx((0.7, 0.5, 0.4))
    assert kappa.items == 50


def test_cohen_with_linear_weights_by_hand() -> None:
    # Pairs (0,0) (1,1) (2,1) (2,2); agreement 1 - |difference| / 2: p_o = (1 + 1 + 1/2 + 1) / 4 = 7/8.
    # Margins (1/4, 1/4, 1/2) and (1/4, 1/2, 1/4): p_e = 1/4 * 1/2 + 1/4 * 3/4 + 1/2 * 1/2 = 9/16.
    # kappa = (14/16 - 9/16) / (7/16) = 5/7.
    kappa = cohen_kappa(two([[1, 0, 0], [0, 1, 0], [0, 1, 1]]), "0", "1", "linear")
    assert (kappa.observed, kappa.expected, kappa.kappa) == pytest.approx((7 / 8, 9 / 16, 5 / 7))


def test_cohen_with_quadratic_weights_by_hand() -> None:
    # The same pairs with 1 - difference^2 / 4: p_o = (3 + 3/4) / 4 = 15/16.
    # Rows of expected agreement: 1/4 + 1/2 * 3/4 = 5/8; 3/16 + 1/2 + 3/16 = 7/8; 3/8 + 1/4 = 5/8.
    # p_e = 5/32 + 7/32 + 10/32 = 22/32; kappa = (30/32 - 22/32) / (10/32) = 4/5.
    kappa = cohen_kappa(two([[1, 0, 0], [0, 1, 0], [0, 1, 1]]), "0", "1", "quadratic")
    assert kappa.kappa == pytest.approx(4 / 5)


@pytest.mark.parametrize("weights", get_args(Weights))
def test_cohen_beside_statsmodels(peer: Callable[[str], Any], weights: Weights) -> None:
    counts = np.random.default_rng(1).integers(1, 30, (4, 4)) + 20 * np.eye(4, dtype=np.int64)
    ours = cohen_kappa(two(counts.tolist()), "0", "1", weights)
    peers = {"unweighted": None, "linear": "linear", "quadratic": "quadratic"}
    theirs = peer("statsmodels.stats.inter_rater").cohens_kappa(counts, wt=peers[weights])
    assert ours.kappa == pytest.approx(theirs.kappa, abs=1e-12)
    assert ours.standard_error == pytest.approx(theirs.std_kappa, abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=1e-9)


def test_cohen_reads_only_what_both_judged() -> None:
    table = np.array([[0, 1, 1, 0, 1, -1], [0, 1, 0, 0, -1, 1]])
    assert cohen_kappa(from_table(table, -1), "0", "1") == cohen_kappa(from_table(table[:, :4], -1), "0", "1")


# --- Fleiss --------------------------------------------------------------------------------------------------------


def test_fleiss_of_the_literature() -> None:
    kappa = fleiss_kappa(from_counts(FLEISS))
    assert (kappa.observed, kappa.expected, kappa.kappa) == pytest.approx((0.378, 0.213, 0.210), abs=5e-4)
    np.testing.assert_allclose(kappa.proportions, [0.143, 0.200, 0.279, 0.150, 0.229], atol=5e-4)


def test_fleiss_beside_statsmodels(peer: Callable[[str], Any]) -> None:
    counts = np.random.default_rng(2).multinomial(6, [0.5, 0.3, 0.2], 50)
    assert fleiss_kappa(from_counts(counts)).kappa == pytest.approx(
        peer("statsmodels.stats.inter_rater").fleiss_kappa(counts), abs=1e-12
    )


# --- Krippendorff --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_paper(metric: Metric, alpha: float) -> None:
    result = krippendorff_alpha(from_table(KRIPPENDORFF), metric)
    assert result.alpha == pytest.approx(alpha, abs=5e-4)
    assert (result.items, result.judgements) == (11, 40)  # unit 12 has one value, which pairs with nothing


def test_alpha_by_hand() -> None:
    # Items (1, 1) and (1, 2): n = 4, D_o = (0 + 2) / 4; n_1 = 3, n_2 = 1: D_e = 2 * 3 * 1 / (4 * 3). alpha = 0.
    ratings = Ratings.from_numbers(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([1, 1, 1, 2]))
    result = krippendorff_alpha(ratings)
    assert (result.observed_disagreement, result.expected_disagreement) == pytest.approx((0.5, 0.5))
    assert result.alpha == pytest.approx(0.0)


@pytest.mark.parametrize("metric", METRICS)
def test_alpha_is_that_of_the_coincidence_matrix(metric: Metric) -> None:
    """Krippendorff's own way, pair by pair; ours never builds the matrix."""
    ratings = random_ratings(3)
    size = len(ratings.categories)
    coincidences = np.zeros((size, size))
    for item in range(len(ratings.items)):
        own = ratings.category[ratings.item == item].tolist()
        for i, c in enumerate(own):
            for j, k in enumerate(own):
                if i != j:
                    coincidences[c, k] += 1 / (len(own) - 1)
    totals = coincidences.sum(axis=1)
    distance = np.zeros((size, size))
    for c in range(size):
        for k in range(size):
            low, high = min(c, k), max(c, k)
            between = totals[low : high + 1].sum() - (totals[c] + totals[k]) / 2
            distances = {"nominal": float(c != k), "ordinal": between**2, "interval": float(c - k) ** 2}
            distance[c, k] = distances[metric]
    n = totals.sum()
    wanted = 1 - (n - 1) * (coincidences * distance).sum() / (np.outer(totals, totals) * distance).sum()
    assert krippendorff_alpha(ratings, metric).alpha == pytest.approx(wanted, abs=1e-12)


def test_interval_alpha_does_not_lose_large_values() -> None:
    table = KRIPPENDORFF.astype(np.float64)
    far = np.where(table > 0, table + 1e7, 0)
    assert krippendorff_alpha(from_table(far), "interval").alpha == pytest.approx(0.849, abs=5e-4)


def test_bootstrap_interval_covers_and_repeats() -> None:
    ratings = random_ratings(4, items=200)
    results = [krippendorff_alpha(ratings, "ordinal", np.random.default_rng(9), resamples=400) for _ in range(2)]
    assert results[0] == results[1]
    low, high = results[0].low, results[0].high
    assert low is not None
    assert high is not None
    assert low < results[0].alpha < high
    # Four times the items, half the width.
    wide = krippendorff_alpha(random_ratings(4, items=50), "ordinal", np.random.default_rng(9), resamples=400)
    assert wide.low is not None
    assert wide.high is not None
    assert 1.4 < (wide.high - wide.low) / (high - low) < 2.9


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    """80 samples of 60 items; the truth is alpha of 20,000. Of 80 at 90 %, 64 to 79 is within three deviations."""
    rng = np.random.default_rng(5)

    def sample(items: int) -> Ratings:
        truth = rng.integers(0, 3, items)
        table = np.where(rng.random((3, items)) < 0.7, truth, rng.integers(0, 3, (3, items)))
        return from_table(table, missing=-1)

    truth = krippendorff_alpha(sample(20_000)).alpha
    covered = 0
    for _ in range(80):
        result = krippendorff_alpha(sample(60), "nominal", rng, resamples=300, level=0.9)
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= truth <= result.high
    assert 64 <= covered <= 79


# --- invariants ----------------------------------------------------------------------------------------------------


def test_perfect_agreement_is_one() -> None:
    table = np.tile(np.array([0, 1, 2, 1, 0]), (3, 1))
    ratings = from_table(table, missing=-1)
    assert percent_agreement(ratings) == 1
    assert cohen_kappa(ratings, "0", "2").kappa == pytest.approx(1)
    assert fleiss_kappa(ratings).kappa == pytest.approx(1)
    assert [krippendorff_alpha(ratings, metric).alpha for metric in METRICS] == pytest.approx([1, 1, 1])


def test_chance_is_zero_in_expectation() -> None:
    """200 samples of three people who throw dice: means are within 0.025 of 0, three standard errors."""
    rng = np.random.default_rng(6)
    values = []
    for _ in range(200):
        ratings = from_table(rng.choice(3, size=(3, 50), p=[0.5, 0.3, 0.2]), missing=-1)
        alphas = [krippendorff_alpha(ratings, metric).alpha for metric in METRICS]
        values.append([cohen_kappa(ratings, "0", "1").kappa, fleiss_kappa(ratings).kappa, *alphas])
    np.testing.assert_allclose(np.mean(values, axis=0), 0, atol=0.025)


@pytest.mark.parametrize("seed", range(5))
def test_names_and_order_do_not_matter(seed: int) -> None:
    """Items and annotators renamed, rows shuffled, and for nominal data categories exchanged."""
    rng = np.random.default_rng(seed)
    ratings = random_ratings(seed)
    rows = rng.permutation(len(ratings.item))
    shuffled = Ratings.from_numbers(
        rng.permutation(len(ratings.items))[ratings.item][rows],
        rng.permutation(len(ratings.annotators))[ratings.annotator][rows],
        ratings.category[rows],
    )
    for metric in METRICS:
        before, after = (krippendorff_alpha(table, metric).alpha for table in (ratings, shuffled))
        assert after == pytest.approx(before, abs=1e-12)
    assert percent_agreement(shuffled) == pytest.approx(percent_agreement(ratings))
    exchange = rng.permutation(len(ratings.categories))
    renamed = Ratings.from_numbers(ratings.item, ratings.annotator, exchange[ratings.category])
    assert krippendorff_alpha(renamed).alpha == pytest.approx(krippendorff_alpha(ratings).alpha)
    assert cohen_kappa(renamed, "0", "1").kappa == pytest.approx(cohen_kappa(ratings, "1", "0").kappa)


def test_ordinal_alpha_sees_only_the_order_and_interval_alpha_only_ratios_of_differences() -> None:
    ratings = random_ratings(7)
    curved = Ratings.from_numbers(ratings.item, ratings.annotator, ratings.values[ratings.category] ** 3)
    moved = Ratings.from_numbers(ratings.item, ratings.annotator, 5 - 0.1 * ratings.values[ratings.category])
    same = krippendorff_alpha(ratings, "ordinal").alpha
    assert krippendorff_alpha(curved, "ordinal").alpha == pytest.approx(same)
    assert krippendorff_alpha(moved, "interval").alpha == pytest.approx(krippendorff_alpha(ratings, "interval").alpha)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_say_what_to_do() -> None:
    lonely = Ratings.from_names(["a", "b"], ["x", "y"], ["0", "1"])
    constant = from_table(np.ones((2, 4), dtype=np.int64))
    with pytest.raises(PlauditError, match="more than one annotator"):
        percent_agreement(lonely)
    with pytest.raises(PlauditError, match="more than one annotator"):
        krippendorff_alpha(lonely)
    with pytest.raises(PlauditError, match="0 items in common"):
        cohen_kappa(lonely, "x", "y")
    with pytest.raises(PlauditError, match="no annotator called 'z'"):
        cohen_kappa(lonely, "x", "z")
    with pytest.raises(PlauditError, match="use krippendorff_alpha"):
        fleiss_kappa(from_table(KRIPPENDORFF))
    with pytest.raises(PlauditError, match="one category only"):
        cohen_kappa(constant, "0", "1")
    with pytest.raises(PlauditError, match="in one category"):
        fleiss_kappa(constant)
    for metric in METRICS:
        with pytest.raises(PlauditError, match="undefined"):
            krippendorff_alpha(constant, metric)
    with pytest.raises(PlauditError, match="at least 2 resamples"):
        krippendorff_alpha(from_table(KRIPPENDORFF), rng=np.random.default_rng(0), resamples=1)
