"""Penalties of side effects: values by hand on a line of three states, the last of which cannot be left."""

import numpy as np
import pytest

from plaudit.functional.side_effects import attainable_utility, reachability, relative_reachability, spare_ends

# 0 <-> 1 -> 2; actions: stay, on, back
NEXT_STATE = np.array([[0, 1, 0], [1, 2, 0], [2, 2, 2]])[..., None]
CERTAIN = np.ones((3, 3, 1))


def test_reachability_by_hand() -> None:
    reach = reachability(NEXT_STATE, CERTAIN, 0.5)
    expected = [[1, 0.5, 0], [0.5, 1, 0], [0.25, 0.5, 1]]  # of state x (row) from state s (column)
    np.testing.assert_allclose(reach, expected)
    # a step that succeeds half of the time: R = 0.5 (R / 2 + 1 / 2), so R = 1/3
    slippery = np.stack([NEXT_STATE[:, :, 0], np.arange(3)[:, None].repeat(3, axis=1)], axis=-1)
    assert reachability(slippery, np.full((3, 3, 2), 0.5), 0.5)[1, 0] == pytest.approx(1 / 3, abs=1e-5)


def test_what_a_step_makes_unreachable_is_penalised() -> None:
    reach = reachability(NEXT_STATE, CERTAIN, 0.5)
    penalty = relative_reachability(reach, reach, NEXT_STATE, CERTAIN)  # doing nothing leaves the state as it is
    assert penalty[:, 0].tolist() == [0, 0, 0]
    assert penalty[0, 1] == pytest.approx(0.5 / 3)  # state 0 is a step further, and states 1 and 2 are nearer
    assert penalty[1, 1] == pytest.approx((0.5 + 1) / 3)  # state 0, a step away, and state 1 itself are lost
    kept = spare_ends(penalty, NEXT_STATE, CERTAIN, np.array([False, False, True]))
    assert kept[1, 1] == 0 and kept[0, 1] == penalty[0, 1] and (kept[2] == 0).all()


def test_attainable_utility_by_hand() -> None:
    action_values = np.array([[[1.0, 3.0]], [[4.0, 2.0]]])  # two goals, one state, two actions
    penalty = attainable_utility(action_values, np.array([[1.0], [4.0]]))
    assert penalty.tolist() == [[0.0, (2 / 1 + 2 / 4) / 2]]
    assert attainable_utility(np.ones((1, 1, 2)), np.zeros((1, 1))).tolist() == [[1.0, 1.0]]  # nothing is divided by 0
