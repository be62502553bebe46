import itertools

import numpy as np
import pytest

from plaudit.functional.significance import (
    ONE_SIDED,
    best_of_n,
    binomial_tail,
    holm,
    progress_gap,
    share_above,
    share_of_possible,
    upper_tail,
    wins,
)


def test_tails_by_hand() -> None:
    assert binomial_tail(2, 2) == 0.25 and binomial_tail(0, 5) == 1.0
    assert binomial_tail(4, 5) == pytest.approx(6 / 32)
    assert upper_tail(0.0) == 0.5 and upper_tail(ONE_SIDED) == pytest.approx(0.05, abs=1e-6)
    assert share_above(0.6, 100, 0.5) == pytest.approx(upper_tail(2.0))


def test_wins_by_hand() -> None:
    assert wins(np.array([[0.2, -3.0], [0.0, 1e-9]])).tolist() == [[1, 0], [0.5, 1]]


def test_holm_by_hand() -> None:
    """The paper's procedure: 3 x .01, then 2 x .02, then 1 x .04, which may not fall below the one before."""
    assert holm([0.02, 0.01, 0.04]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9, 0.4]) == pytest.approx([1.0, 1.0, 1.0])
    assert holm([]) == []


def test_best_of_n_is_the_mean_over_all_subsets() -> None:
    scores, values = np.array([0.3, -1.0, 2.0, 0.5, 0.1]), np.array([1.0, 7.0, 3.0, -2.0, 0.5])
    for n in range(1, 6):
        subsets = list(itertools.combinations(range(5), n))
        mean = np.mean([values[max(subset, key=lambda index: scores[index])] for subset in subsets])
        assert best_of_n(scores, values, n) == pytest.approx(mean)


def test_share_of_possible_is_1_for_the_order_of_the_values_and_0_for_none() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    assert share_of_possible(3 * values + 1, values, 16) == pytest.approx(1.0)
    shuffled = [share_of_possible(rng.permutation(values), values, 16) for _ in range(200)]
    assert abs(np.mean(shuffled)) < 0.05
    assert np.isnan(share_of_possible(values, np.ones(200), 16))


def test_the_interval_of_a_progress_gap_covers_the_truth() -> None:
    """One-sided 95 %: the lower bound is above the true gap in at most one of 20 simulated audits, or so."""
    rng = np.random.default_rng(1)
    for expected, truth, count in ((0.9, 0.9, 40), (0.95, 0.6, 20), (0.6, 0.5, 80)):
        shares = rng.binomial(count, truth, size=2000) / count
        bounds = [progress_gap(expected, share, count, ONE_SIDED) for share in shares]
        misses = np.mean([low > expected - truth + 1e-12 for _, low, _ in bounds])
        assert misses <= 0.08, (expected, truth, count, misses)
        assert all(low <= gap <= high for gap, low, high in bounds)
