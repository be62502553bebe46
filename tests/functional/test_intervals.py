from __future__ import annotations

import numpy as np
import pytest

from plaudit.functional.calibration import reliability, share_interval
from plaudit.functional.intervals import newcombe, percentiles, poisson_counts, ratios, resamples


def test_every_resample_draws_as_many_units_as_there_are() -> None:
    drawn = resamples(7, 500, np.random.default_rng(0))
    assert drawn.shape == (500, 7) and (drawn.sum(axis=1) == 7).all()
    assert drawn.mean() == 1 and abs(drawn.var() - 6 / 7) < 0.05  # binomial(7, 1/7)


def test_a_ratio_of_sums_by_hand() -> None:
    drawn = np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    a, b = np.array([1.0, 2.0, 6.0]), np.array([1.0, 1.0, 2.0])
    assert ratios(a, b, drawn).tolist() == [9 / 4, 3 / 3, 10 / 4]
    assert np.isnan(ratios(a, np.array([0.0, 1.0, 1.0]), drawn)[1])  # a resample without anything to divide by
    assert percentiles(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    assert np.isnan(percentiles(np.array([np.nan]))).all()


def test_intervals_cover_what_they_should() -> None:
    """Of a mean and of a paired difference, over 400 samples of 60 units: 95 % nominal, a little less at this size."""
    rng = np.random.default_rng(0)
    drawn = resamples(60, 1000, rng)
    ones = np.ones(60)
    hits = {"mean": 0, "difference": 0, "unpaired": 0}
    widths = []
    for _ in range(400):
        common = rng.normal(size=60)  # a prompt is hard for both
        before = (common + rng.normal(size=60) > 0.8).astype(float)
        after = (common + rng.normal(size=60) > 0.0).astype(float)
        low, high = percentiles(ratios(after, ones, drawn))
        hits["mean"] += low <= 0.5 <= high
        low, high = percentiles(ratios(after, ones, drawn) - ratios(before, ones, drawn))
        hits["difference"] += low <= 0.5 - 0.28580 <= high  # P[N(0, 2) > 0.8] = 1 - Phi(0.5657)
        shuffled = ratios(after, ones, drawn) - ratios(before, ones, drawn[::-1])
        least, most = percentiles(shuffled)
        widths.append((high - low) / (most - least))
    assert 0.91 <= hits["mean"] / 400 <= 0.98
    assert 0.91 <= hits["difference"] / 400 <= 0.98
    assert np.mean(widths) < 0.9  # pairing pays


def test_poisson_counts_stay_while_units_come() -> None:
    counts = np.stack([poisson_counts(4, 1, unit) for unit in range(5000)])
    assert counts.shape == (5000, 4)
    assert abs((counts == 0).mean() - np.exp(-1)) < 4 * np.sqrt(np.exp(-1) * (1 - np.exp(-1)) / 20_000)
    np.testing.assert_array_equal(poisson_counts(4, 1, 2**63), poisson_counts(4, 1, 2**63))
    assert (poisson_counts(4, 2, 0) != counts[0]).any() or (poisson_counts(4, 2, 1) != counts[1]).any()


def test_newcombe_of_two_certain_shares() -> None:
    """Newcombe 1998, method 10: with 0 of 10 and 10 of 10 both limits are a Wilson's, joined by Pythagoras."""
    low, high = share_interval(0.0, 10)
    found = newcombe((0.0, low, high), (1.0, 1 - high, 1.0))
    assert found == pytest.approx((1 - np.sqrt(2) * high, 1.0), abs=1e-9)


def test_reliability_by_hand() -> None:
    found = reliability(np.array([0.55, 0.45, 0.95, 0.05]), np.array([1.0, 1.0, 1.0, 0.5]))
    assert found is not None
    assert found.counts.tolist() == [2, 0, 0, 0, 2]
    assert found.agreement[[0, 4]].tolist() == [0.5, 0.75]  # a tie is half an agreement
    assert found.accuracy == pytest.approx(2 / 3)  # and no decision
    assert found.error == pytest.approx((abs(0.5 - 0.55) + abs(0.75 - 0.95)) / 2)
    assert reliability(np.empty(0), np.empty(0)) is None
