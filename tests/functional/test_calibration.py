"""The temperature at which probabilities can be believed."""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.functional.calibration import reliability, temper, temperature


def cross_entropy(predicted: np.ndarray, targets: np.ndarray) -> float:
    return float(-np.mean(targets * np.log(predicted) + (1 - targets) * np.log1p(-predicted)))


def test_a_model_that_is_as_right_as_it_says_keeps_its_scores_and_one_that_is_twice_too_sure_halves_them() -> None:
    # of 10 comparisons, 8 go as foreseen, and 9 of 12 with one more of each: the logit is ln 3, whatever was claimed
    targets = np.array([1.0] * 8 + [0.0] * 2)
    for claimed, expected in ((0.75, 1.0), (9 / 10, 2.0), (3**0.5 / (1 + 3**0.5), 0.5)):
        found = temperature(np.full(10, claimed), targets)
        assert found == pytest.approx(expected, rel=1e-9)
        assert temper(np.full(10, claimed), found) == pytest.approx(np.full(10, 0.75), rel=1e-9)
    assert temperature(np.full(10, 0.25), 1 - targets) == pytest.approx(1.0, rel=1e-9)  # turned round, the same


def test_no_other_temperature_explains_the_comparisons_better() -> None:
    rng = np.random.default_rng(0)
    truth = 1 / (1 + np.exp(-rng.normal(size=400)))
    targets = (rng.random(400) < truth).astype(float)
    targets[::10] = 0.5
    claimed = temper(truth, 1 / 3)  # three times too sure
    found = temperature(claimed, targets)
    assert 2 < found < 5
    targets = (targets * 400 + 1) / 402
    least = cross_entropy(temper(claimed, found), targets)
    assert all(cross_entropy(temper(claimed, found * by), targets) > least for by in (0.5, 0.9, 1.1, 2.0))
    before, after = (reliability(each, targets) for each in (claimed, temper(claimed, found)))
    assert before is not None and after is not None
    assert after.error < before.error and after.accuracy == before.accuracy


def test_bounds_and_nothing() -> None:
    assert temperature(np.zeros(0), np.zeros(0)) == 1.0
    assert temperature(np.full(3, 0.5), np.ones(3)) == 1.0  # scores that say nothing
    # always right, twice: 3 of 4
    assert temperature(np.array([0.9, 0.1]), np.array([1.0, 0.0])) == pytest.approx(np.log(9) / np.log(3))
    assert temperature(np.array([0.9, 0.2]), np.array([0.0, 1.0])) == pytest.approx(16)  # always wrong
    assert temperature(np.full(9, 0.51), np.ones(9)) == pytest.approx(1 / 16)
    assert np.isfinite(temper(np.array([0.0, 1.0]), 2.0)).all()
