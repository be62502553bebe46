"""Bradley-Terry with covariates and length bias: by hand, recovery, and beside statsmodels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plaudit.feedback.quality import bradley_terry_covariates, length_bias
from plaudit.types import Array, PlauditError


def simulate(seed: int, count: int, ties: bool) -> tuple[Array, Array]:
    """Choices of a person who likes 100 words more by 0.8 and the one shown first by 0.3."""
    rng = np.random.default_rng(seed)
    covariates = np.stack([rng.normal(0, 120, count), rng.choice([-1.0, 1.0], count)], axis=1)
    delta = covariates @ np.array([0.008, 0.3])
    weights = np.stack([np.exp(delta / 2), np.full(count, 0.5 * ties), np.exp(-delta / 2)], axis=1)
    outcome = (rng.random((count, 1)) > (weights / weights.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    return 1.0 - outcome, covariates


def test_one_covariate_by_hand() -> None:
    # x = 1 always, three of four chosen: coefficient log 3; information 4 * 3/4 * 1/4, so error sqrt(4/3);
    # z = 0.951426, and p = erfc(z / sqrt 2).
    fit = bradley_terry_covariates(np.array([1.0, 1, 1, -1]), np.ones((4, 1)), ["place"])
    assert fit.coefficient[0] == pytest.approx(math.log(3))
    assert fit.standard_error[0] == pytest.approx(math.sqrt(4 / 3))
    assert fit.z[0] == pytest.approx(0.951426, abs=1e-6)
    assert fit.p_value[0] == pytest.approx(math.erfc(fit.z[0] / math.sqrt(2)))
    assert fit.log_likelihood == pytest.approx(3 * math.log(3 / 4) + math.log(1 / 4))
    assert (fit.names, fit.nu, fit.comparisons) == (("place",), 0, 4)


def test_ties_by_hand() -> None:
    # Shares (1/2, 1/4, 1/4) are met exactly: coefficient log 2, nu = 1 / sqrt 2; NaN is left out.
    fit = bradley_terry_covariates(np.array([1.0, 1, 0, -1, np.nan]), np.ones((5, 1)), ["place"])
    assert fit.coefficient[0] == pytest.approx(math.log(2))
    assert fit.nu == pytest.approx(1 / math.sqrt(2))
    assert fit.comparisons == 4


def test_beside_logistic_regression(peer: Callable[[str], Any]) -> None:
    choice, covariates = simulate(0, 800, ties=False)
    ours = bradley_terry_covariates(choice, covariates, ["length", "place"])
    theirs = peer("statsmodels.api").Logit((choice == 1).astype(float), covariates).fit(disp=0)
    np.testing.assert_allclose(ours.coefficient, theirs.params, rtol=1e-6)
    np.testing.assert_allclose(ours.standard_error, theirs.bse, rtol=1e-6)
    np.testing.assert_allclose(ours.p_value, theirs.pvalues, rtol=1e-5)
    np.testing.assert_allclose(np.stack([ours.low, ours.high], axis=1), theirs.conf_int(), rtol=1e-5)
    assert ours.log_likelihood == pytest.approx(theirs.llf)


def test_with_ties_beside_multinomial_regression(peer: Callable[[str], Any]) -> None:
    """Davidson's model is a softmax: a general maximiser must find nothing better, and the same curvature."""
    choice, covariates = simulate(1, 400, ties=True)
    ours = bradley_terry_covariates(choice, covariates, ["length", "place"])

    def loss(theta: Array) -> float:
        delta = covariates @ (theta[:2] * [0.01, 1])
        logits = np.stack([delta / 2, np.full(len(delta), theta[2]), -delta / 2], axis=1)
        chosen = logits[np.arange(len(choice)), (1 - choice).astype(int)]
        return float((np.log(np.exp(logits).sum(axis=1)) - chosen).sum())

    best = peer("scipy.optimize").minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(ours.coefficient, best.x[:2] * [0.01, 1], rtol=1e-4)
    assert ours.nu == pytest.approx(math.exp(best.x[2]), rel=1e-4)
    assert ours.log_likelihood == pytest.approx(-best.fun)
    hessian = peer("statsmodels.tools.numdiff").approx_hess(best.x, loss)
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))[:2] * [0.01, 1]
    np.testing.assert_allclose(ours.standard_error, errors, rtol=1e-3)


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_cover_the_truth(ties: bool) -> None:
    """200 samples at 95 %: 180 to 200 cover, three deviations either way."""
    fits = [bradley_terry_covariates(*simulate(seed, 200, ties), ["length", "place"]) for seed in range(200)]
    truth = np.array([0.008, 0.3])
    covered = np.sum([(fit.low <= truth) & (truth <= fit.high) for fit in fits], axis=0)
    assert ((covered >= 180) & (covered <= 200)).all()


def test_units_and_sides_do_not_matter() -> None:
    choice, covariates = simulate(2, 300, ties=True)
    fit = bradley_terry_covariates(choice, covariates, ["length", "place"])
    scaled = bradley_terry_covariates(choice, covariates * [1e-6, 1], ["length", "place"])
    turned = bradley_terry_covariates(-choice, -covariates, ["length", "place"])
    np.testing.assert_allclose(scaled.coefficient, fit.coefficient * [1e6, 1], rtol=1e-8)
    np.testing.assert_allclose(scaled.z, fit.z, rtol=1e-8)
    np.testing.assert_allclose(turned.coefficient, fit.coefficient, rtol=1e-8)


def test_refusals() -> None:
    choice = np.array([1.0, -1, 1])
    with pytest.raises(PlauditError, match=r"predict every answer exactly.*l2 above 0"):
        bradley_terry_covariates(choice, choice[:, None], ["cheat"])
    assert np.isfinite(bradley_terry_covariates(choice, choice[:, None], ["cheat"], l2=0.1).coefficient).all()
    with pytest.raises(PlauditError, match="depend on each other"):
        bradley_terry_covariates(choice, np.array([[1.0, 2], [2, 4], [3, 6]]), ["words", "twice"])
    with pytest.raises(PlauditError, match="depend on each other or are all zero"):
        bradley_terry_covariates(choice, np.zeros((3, 1)), ["nothing"])
    with pytest.raises(PlauditError, match="name for each column"):
        bradley_terry_covariates(choice, np.ones((3, 2)), ["one"])
    with pytest.raises(PlauditError, match="must be finite"):
        bradley_terry_covariates(choice, np.array([[1.0], [np.inf], [0]]), ["words"])
    with pytest.raises(PlauditError, match="ties at most"):
        bradley_terry_covariates(np.zeros(3), np.ones((3, 1)), ["words"])


# --- length bias ---------------------------------------------------------------------------------------------------


def test_share_of_the_longer_by_hand() -> None:
    """Of seven answers one is a tie, one can't tell, one of equal lengths; three of the other four chose the longer."""
    choice = np.array([1.0, 1, -1, 1, 0, np.nan, 1])
    first, second = np.array([9.0, 8, 3, 2, 9, 9, 5]), np.array([1.0, 4, 6, 4, 1, 1, 5])
    bias = length_bias(choice, first, second)
    assert (bias.longer.successes, bias.longer.trials) == (3, 4)
    assert bias.p_value == pytest.approx(2 * (4 + 1) / 16)  # 3 or 4 of 4 coins, or 1 or 0
    # Differences of the six told: 8, 4, -3, -2, 8, 0; root mean square sqrt(157 / 6).
    assert bias.scale == pytest.approx(math.sqrt(157 / 6))


def test_length_is_told_from_place() -> None:
    """Longer texts happen to stand first here, and place alone decides: beside place, length means nothing."""
    rng = np.random.default_rng(3)
    place = rng.choice([-1.0, 1.0], 4000)
    first = 500 + 40 * place + rng.normal(0, 30, 4000)
    second = np.full(4000, 500.0)
    choice = np.where(rng.random(4000) < 1 / (1 + np.exp(-1.2 * place)), 1.0, -1.0)
    assert length_bias(choice, first, second).z > 10
    assert abs(length_bias(choice, first, second, other_covariates=place[:, None]).z) < 3


def test_length_bias_is_found_and_measured() -> None:
    choice, covariates = simulate(4, 3000, ties=True)
    bias = length_bias(choice, 1000 + covariates[:, 0], np.full(3000, 1000.0))
    assert bias.coefficient / bias.scale == pytest.approx(0.008, abs=0.001)
    assert bias.longer.low > 0.6
    assert bias.p_value < 1e-6
    assert bias.coefficient_p_value < 1e-6


def test_length_bias_refusals() -> None:
    choice, words = np.array([1.0, -1]), np.array([10.0, 20])
    with pytest.raises(PlauditError, match="different lengths"):
        length_bias(choice, words, words)
    with pytest.raises(PlauditError, match="second_length must be finite and not negative"):
        length_bias(choice, words, -words)
    with pytest.raises(PlauditError, match=r"first_length must have the shape \(2,\)"):
        length_bias(choice, words[:1], words)
