"""Distances that a few planted rows do not move, and ranks, by hand."""

import math

import numpy as np
import pytest

from plaudit.functional.outliers import area_under_roc, chi2_quantile, robust_distances


def test_planted_rows_are_far_and_the_bulk_is_chi_squared() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1000, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 5]])
    rows[:100] = 8.0 * np.array([-1.0, 1, 0])  # a tenth in one place, against the correlation
    distances = robust_distances(rows)
    planted = np.arange(1000) < 100
    assert area_under_roc(distances, planted) == 1
    assert (distances[~planted] > chi2_quantile(1.645, 3)).mean() == pytest.approx(0.05, abs=0.03)
    constant = robust_distances(np.concatenate([rng.standard_normal((50, 1)), np.ones((50, 1))], axis=1))
    assert np.isfinite(constant).all()


def test_quantiles_and_ranks_by_hand() -> None:
    assert chi2_quantile(0.0, 10) == pytest.approx(9.342, abs=0.01)
    assert chi2_quantile(1.645, 10) == pytest.approx(18.307, abs=0.05)
    # of the four pairs, 3 > 1, 3 > 2, 2 > 1 and 2 = 2
    assert area_under_roc(np.array([3.0, 2, 1, 2]), np.array([True, True, False, False])) == 3.5 / 4
    assert math.isnan(area_under_roc(np.ones(2), np.ones(2, dtype=bool)))
