"""Tabular solving against values worked by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.control.policies import finite_value, policy_value

from plaudit.control.solve import Model, greedy, value_iteration
from plaudit.types import PlauditError

# State 0: action 0 stays and earns 1, action 1 goes to the terminal state 1 and earns 3.
STAY_OR_GO = Model(
    next_state=np.array([[0, 1], [1, 1]]),
    reward=np.array([[1.0, 3.0], [7.0, 7.0]]),  # what a terminal state says it pays is never paid
    terminal=np.array([False, True]),
)
# One live state: earns 1 and ends with probability a half.
COIN = Model(
    next_state=np.array([[[0, 1]], [[1, 1]]]),
    reward=np.array([[1.0], [0.0]]),
    terminal=np.array([False, True]),
    probabilities=np.array([[[0.5, 0.5]], [[1.0, 0.0]]]),
)


@pytest.mark.parametrize(
    ("gamma", "values", "action_values"),
    [
        (0.0, 3.0, [1.0, 3.0]),
        (0.5, 3.0, [2.5, 3.0]),
        (0.75, 4.0, [4.0, 3.0]),  # 1 / (1 - gamma)
        (0.9, 10.0, [10.0, 3.0]),
    ],
)
def test_stay_or_go(gamma: float, values: float, action_values: list[float]) -> None:
    best, q = value_iteration(STAY_OR_GO, gamma, 1e-9)
    np.testing.assert_allclose(best, [values, 0.0], atol=1e-9)
    np.testing.assert_allclose(q, [action_values, [0.0, 0.0]], atol=1e-9)
    assert greedy(q)[0] == int(gamma < 2 / 3)


def test_with_a_horizon_values_are_of_the_steps_to_go() -> None:
    for steps, expected in ((0, 0.0), (1, 3.0), (2, 4.0), (10, 12.0)):  # stay until the last step, then go
        assert value_iteration(STAY_OR_GO, horizon=steps)[0][0] == expected
    assert finite_value(STAY_OR_GO, np.eye(2)[[0, 0]], 10)[0] == 10.0


def test_a_loop_that_pays_for_ever_is_reported() -> None:
    with pytest.raises(PlauditError, match="give a horizon or a smaller gamma"):
        value_iteration(STAY_OR_GO, limit=1000)


def test_chance() -> None:
    assert value_iteration(COIN)[0][0] == pytest.approx(2.0)  # 1 + V / 2
    assert value_iteration(COIN, 0.5)[0][0] == pytest.approx(4 / 3)  # 1 + V / 4
    assert value_iteration(COIN, horizon=3)[0][0] == 1.75


@given(seed=st.integers(0, 2**32), gamma=st.floats(0.0, 0.95), stochastic=st.booleans())
def test_the_optimum_satisfies_bellman_and_no_policy_beats_it(seed: int, gamma: float, stochastic: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (6, 3, 4) if stochastic else (6, 3)
    chances = rng.dirichlet(np.ones(4), size=(6, 3)) if stochastic else None
    problem = Model(rng.integers(0, 6, shape), rng.normal(size=(2, 6, 3)), rng.random(6) < 0.2, chances)
    values, action_values = value_iteration(problem, gamma, 1e-8)
    np.testing.assert_allclose(values, problem.backup(values, gamma).max(axis=-1), atol=1e-7)
    np.testing.assert_allclose(values, action_values.max(axis=-1))
    policy = rng.dirichlet(np.ones(3), size=6)
    assert (policy_value(problem, policy, gamma) <= values + 1e-7).all()
    for row in range(2):
        alone = Model(problem.next_state, problem.reward[row], problem.terminal, chances)
        best = np.eye(3)[greedy(action_values[row])]
        np.testing.assert_allclose(policy_value(alone, best, gamma), values[row], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"next_state": np.zeros((2, 2, 1), int)}, "with probabilities"),
        ({"next_state": np.zeros((2, 2))}, "integers"),
        ({"next_state": np.full((2, 2), 2)}, "name states 0..1"),
        ({"reward": np.zeros((2, 3))}, "end with"),
        ({"reward": np.full((2, 2), np.nan)}, "finite"),
        ({"terminal": np.zeros(2)}, "bool"),
        ({"next_state": np.zeros((2, 2, 2), int), "probabilities": np.full((2, 2, 2), 0.6)}, "sum to 1"),
        ({"next_state": np.zeros((2, 2, 2), int), "probabilities": np.ones((2, 2, 1))}, r"must be \(2, 2, 2\)"),
    ],
)
def test_models_that_make_no_sense_are_refused(change: dict[str, Any], complaint: str) -> None:
    fields = {"next_state": np.zeros((2, 2), int), "reward": np.zeros((2, 2)), "terminal": np.zeros(2, bool)}
    with pytest.raises(ValueError, match=complaint):
        Model(**{**fields, **change})


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="gamma"):
        value_iteration(STAY_OR_GO, 1.1)
