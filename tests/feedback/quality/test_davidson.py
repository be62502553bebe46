"""Davidson's model against values worked by hand, its symmetry, and its limit without ties."""

from __future__ import annotations

from math import log

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.quality.davidson import log_likelihood, log_probabilities, slopes

reals = st.floats(-20, 20)


def test_by_hand() -> None:
    # p1 = 4, p2 = 1, nu = 1: weights 4, sqrt(4), 1 of 7
    np.testing.assert_allclose(np.exp(log_probabilities(np.array([log(4)]), 0.0)), [[4 / 7, 2 / 7, 1 / 7]])
    # nu = 3: weights 4, 6, 1 of 11
    np.testing.assert_allclose(np.exp(log_probabilities(np.array([log(4)]), log(3))), [[4 / 11, 6 / 11, 1 / 11]])
    votes = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]])
    first, tie, second = log(4 / 7), log(2 / 7), log(1 / 7)
    likelihood = log_likelihood(votes, log_probabilities(np.full(4, log(4)), 0.0))
    np.testing.assert_allclose(likelihood, first + tie + second + (first + tie) / 2)


@given(delta=reals, log_nu=st.floats(-20, 5))
def test_it_is_a_distribution_and_symmetric(delta: float, log_nu: float) -> None:
    outcomes = log_probabilities(np.array([delta]), log_nu)
    np.testing.assert_allclose(np.exp(outcomes).sum(), 1.0)
    np.testing.assert_allclose(outcomes[:, ::-1], log_probabilities(np.array([-delta]), log_nu), atol=1e-12)


@given(delta=st.floats(-6, 6), log_nu=st.floats(-3, 3))
def test_slopes_are_the_differences_of_the_likelihood(delta: float, log_nu: float) -> None:
    votes, step = np.array([[0.5, 0.3, 0.2]]), 1e-5

    def likelihood(delta: float, log_nu: float) -> float:
        return log_likelihood(votes, log_probabilities(np.array([delta]), log_nu))

    derivative = slopes(votes, log_probabilities(np.array([delta]), log_nu))
    by_delta = (likelihood(delta + step, log_nu) - likelihood(delta - step, log_nu)) / (2 * step)
    by_log_nu = (likelihood(delta, log_nu + step) - likelihood(delta, log_nu - step)) / (2 * step)
    np.testing.assert_allclose((derivative.delta[0], derivative.log_nu[0]), (by_delta, by_log_nu), atol=1e-8)
