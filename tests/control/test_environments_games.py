"""Dynamics of Duel, Rally and MovingDot worked by hand, and how good simple policies are at them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.control.policies import finite_value

from plaudit.control.environments import DuelVector, MovingDotVector, RallyVector
from plaudit.control.solve import greedy, value_iteration
from plaudit.types import Array

STAY, UP, DOWN = 0, 1, 2


def after(environment: Any, state: list[int], action: int) -> tuple[list[int], float]:
    """The state that a step leads to, and its reward."""
    environment.reset(seed=0)
    environment.set_states(np.array([state]))
    rewards = environment.step(np.array([action]))[1]
    return environment.states()[0].tolist(), float(rewards[0])


# A state of Duel: ball x, ball y, dx, dy, own top, opponent's top. 12 high, 16 wide, paddles 3 high, the opponent
# never misses its move: columns 0 and 15 are the paddles', the ball flies in 1..14.
@pytest.mark.parametrize(
    ("state", "action", "expected"),
    [
        ([7, 5, 1, 1, 2, 4], STAY, [8, 6, 1, 1, 2, 4]),  # flight to the right: the opponent rests
        ([7, 5, -1, 0, 2, 8], UP, [6, 5, -1, 0, 1, 7]),  # to the left: it follows, its middle towards row 5
        ([7, 5, -1, 0, 2, 4], DOWN, [6, 5, -1, 0, 3, 4]),  # its middle is there
        ([7, 0, 1, -1, 2, 4], STAY, [8, 1, 1, 1, 2, 4]),  # the upper wall
        ([7, 11, 1, 1, 2, 4], STAY, [8, 10, 1, -1, 2, 4]),  # the lower wall
        ([14, 5, 1, 1, 4, 4], STAY, [13, 5, -1, 0, 4, 4]),  # struck with the middle: straight
        ([14, 5, 1, 1, 5, 4], STAY, [13, 4, -1, -1, 5, 3]),  # with the upper end: up
        ([14, 5, 1, 0, 3, 4], STAY, [13, 6, -1, 1, 3, 5]),  # with the lower end: down
        ([14, 5, 1, 0, 3, 4], UP, [13, 6, -1, 1, 2, 5]),  # the strike is decided before the paddle moves
        ([14, 0, 1, -1, 0, 4], STAY, [13, 1, -1, 1, 0, 3]),  # struck up in the corner: the wall turns it
        ([1, 5, -1, 0, 2, 5], STAY, [2, 4, 1, -1, 2, 5]),  # the opponent strikes by the same rule
        ([7, 5, 1, 1, 0, 4], UP, [8, 6, 1, 1, 0, 4]),  # a paddle stops at the walls
        ([7, 5, 1, 1, 9, 4], DOWN, [8, 6, 1, 1, 9, 4]),
    ],
)
def test_duel_by_hand(state: list[int], action: int, expected: list[int]) -> None:
    assert after(DuelVector(1, opponent_skill=1.0), state, action) == (expected, 0.0)


@pytest.mark.parametrize(
    ("state", "points"),
    [
        ([14, 5, 1, 0, 6, 4], -1.0),  # just above the own paddle
        ([14, 5, 1, 0, 2, 4], -1.0),  # just below it
        ([1, 5, -1, 1, 2, 6], 1.0),  # above the opponent's
        ([1, 5, -1, 1, 2, 2], 1.0),  # below it
    ],
)
def test_a_ball_that_passes_is_a_point_and_served_anew(state: list[int], points: float) -> None:
    environment = DuelVector(1, opponent_skill=0.0)
    (x, _, dx, _, own, opponent), reward = after(environment, state, STAY)
    assert reward == points
    assert (x, dx) in {(7, -1), (8, 1)}  # 6 columns from either side
    assert (own, opponent) == (state[4], state[5])
    frame = environment.render_states(np.array([state]))[0]
    calm = environment.render_states(np.array([[7, *state[1:]]]))[0]
    edge = 255 if points < 0 else 0  # the wall that the ball passes glows in the frame before the point
    assert (frame[:, edge] != calm[:, edge]).any()


def test_a_paddle_of_four_has_one_cell_at_either_end() -> None:
    environment = DuelVector(1, paddle=4, opponent_skill=0.0)
    slopes = [after(environment, [14, 5, 1, 0, 5 - offset, 0], STAY)[0][3] for offset in range(4)]
    assert slopes == [-1, 0, 0, 1]


def test_the_opponent_moves_as_often_as_its_skill_says() -> None:
    environment = DuelVector(4096, opponent_skill=0.6)
    environment.reset(seed=0)
    environment.set_states(np.tile([7, 5, -1, 0, 2, 8], (4096, 1)))
    environment.step(np.zeros(4096, int))
    moved = (environment.states()[:, 5] == 7).mean()
    assert abs(moved - 0.6) < 4 * np.sqrt(0.6 * 0.4 / 4096)


def test_serves_reach_every_row_slope_and_side() -> None:
    environment = DuelVector(4096)
    environment.reset(seed=0)
    served = {tuple(state[:4]) for state in environment.states().tolist()}
    assert served == {(7 + (dx > 0), y, dx, dy) for y in range(12) for dx in (-1, 1) for dy in (-1, 0, 1)}


@given(
    x=st.integers(2, 13), y=st.integers(0, 11), dx=st.sampled_from([-1, 1]), dy=st.integers(-1, 1),
    own=st.integers(0, 9), opponent=st.integers(0, 9), action=st.integers(0, 2),
)  # fmt: skip
def test_duel_upside_down_is_duel(x: int, y: int, dx: int, dy: int, own: int, opponent: int, action: int) -> None:
    environment = DuelVector(1, opponent_skill=1.0)
    upright, reward = after(environment, [x, y, dx, dy, own, opponent], action)
    flipped, flipped_reward = after(
        environment, [x, 11 - y, dx, -dy, 9 - own, 9 - opponent], {STAY: STAY, UP: DOWN, DOWN: UP}[action]
    )
    assert flipped == [upright[0], 11 - upright[1], upright[2], -upright[3], 9 - upright[4], 9 - upright[5]]
    assert reward == flipped_reward


def test_the_state_observation_is_the_state_from_minus_one_to_one() -> None:
    environment = DuelVector(2)
    environment.reset(seed=0)
    environment.set_states(np.array([[2, 0, -1, -1, 1, 0], [14, 11, 1, 0, 9, 9]]))
    observation = environment.step(np.array([UP, DOWN]))[0]
    expected = np.array([[1, 1, -1, 1, 0, environment.states()[0, 5]], environment.states()[1]], dtype=float)
    low, high = np.array([1, 0, -1, -1, 0, 0]), np.array([14, 11, 1, 1, 9, 9])
    np.testing.assert_allclose(observation, 2 * (expected - low) / (high - low) - 1, atol=1e-6)


def test_duels_pixels_by_hand() -> None:
    environment = DuelVector(1, observations="pixels", stack=1, opponent_skill=0.0)
    environment.reset(seed=0)
    environment.set_states(np.array([[7, 5, 1, 1, 2, 8]]))
    frame = environment.step(np.array([STAY]))[0][0, 0]
    expected = np.zeros((12, 16), np.uint8)
    expected[2:5, 15] = expected[8:11, 0] = expected[6, 8] = 255
    np.testing.assert_array_equal(frame, expected)


# Policies, on the court of the default size ------------------------------------------------------------


def towards(target: Array, own: Array) -> Array:
    return np.where(target < own, UP, np.where(target > own, DOWN, STAY))


def landing(y: Array, dy: Array, steps: Array | int, height: int) -> Array:
    """Row of a ball after ``steps``, walls unfolded."""
    place = (y + dy * steps) % (2 * (height - 1))
    return np.minimum(place, 2 * (height - 1) - place)


def tracking(states: Array, rng: np.random.Generator) -> Array:
    return towards(states[:, 1] - 1, states[:, 4])


def aiming(states: Array, rng: np.random.Generator) -> Array:
    """Strike where the ball will land, with the cell of the paddle that sends it farthest from the opponent."""
    x, y, dx, dy, own, opponent = states.astype(int).T
    meets = landing(y, dy, 14 - x, 12)
    best, target = np.full(len(states), -1), meets - 1
    for cell, slope in enumerate((-1, 0, 1)):
        distance = np.abs(landing(meets, np.array(slope), 13, 12) - (opponent + 1))
        better = (meets - cell >= 0) & (meets - cell <= 9) & (distance > best)
        target, best = np.where(better, meets - cell, target), np.where(better, distance, best)
    return towards(np.where(dx > 0, target, 4), own)


def score(policy: Callable[[Array, np.random.Generator], Array]) -> tuple[float, float]:
    """Points won and conceded in an episode, means of 64."""
    environment, rng = DuelVector(64), np.random.default_rng(0)
    environment.reset(seed=1)
    rewards = np.stack([environment.step(policy(environment.states(), rng))[1] for _ in range(environment.horizon)])
    return float((rewards > 0).sum() / 64), float((rewards < 0).sum() / 64)


def test_chance_loses_tracking_volleys_and_aiming_wins_every_point() -> None:
    won, lost = score(lambda states, rng: rng.integers(0, 3, len(states)))
    assert lost > 2 * won > 0
    won, lost = score(tracking)
    assert won < 2 and lost < 0.5
    won, lost = score(aiming)
    assert won > 9 and lost < 0.1


# A state of Rally: ball x, ball y, dx, dy, paddle's top. 10 by 10, the paddle in column 9.
@pytest.mark.parametrize(
    ("state", "action", "expected", "reward"),
    [
        ([4, 4, -1, 1, 3], UP, [3, 5, -1, 1, 2], 0.0),
        ([0, 4, -1, 1, 3], STAY, [1, 5, 1, 1, 3], 0.0),  # the wall opposite
        ([0, 9, -1, 1, 3], STAY, [1, 8, 1, -1, 3], 0.0),  # a corner
        ([8, 4, 1, 0, 3], STAY, [7, 4, -1, 0, 3], 1.0),
        ([8, 4, 1, 0, 4], DOWN, [7, 3, -1, -1, 5], 1.0),
        ([8, 4, 1, -1, 2], STAY, [7, 5, -1, 1, 2], 1.0),
    ],
)
def test_rally_by_hand(state: list[int], action: int, expected: list[int], reward: float) -> None:
    assert after(RallyVector(1), state, action) == (expected, reward)


def test_a_missed_ball_of_rally_is_served_from_the_middle_away_from_the_paddle() -> None:
    (x, _, dx, _, own), reward = after(RallyVector(1), [8, 4, 1, 0, 5], DOWN)
    assert (x, dx, own, reward) == (5, -1, 6, -1.0)


def test_rallys_table_numbers_its_states() -> None:
    environment = RallyVector(1, height=6, width=7, paddle=2)
    states = environment.enumerate_states()
    assert len(states) == 6 * 6 * 2 * 3 * 5
    np.testing.assert_array_equal(environment.index(states), np.arange(len(states)))


def test_rallys_optimum_is_what_its_greedy_policy_earns() -> None:
    environment = RallyVector(32, horizon=120)
    table = environment.model()
    environment.reset(seed=0)
    starts = environment.index(environment.states())
    actions = greedy(value_iteration(table, gamma=0.95, tolerance=1e-6)[1])
    total = np.zeros(32)
    for _ in range(environment.horizon):
        total += environment.step(actions[environment.index(environment.states())])[1]
    best = value_iteration(table, horizon=environment.horizon)[0][starts]
    np.testing.assert_array_equal(total, best)
    # By hand: 5 steps to the wall and 8 back, a strike in the 14th, and one every 16 steps from then on.
    assert set(best.tolist()) == {1.0 + (120 - 14) // 16}


def test_rallys_table_predicts_what_chance_earns() -> None:
    environment = RallyVector(512, horizon=120)
    table, rng = environment.model(), np.random.default_rng(0)
    environment.reset(seed=0)
    starts = environment.index(environment.states())
    uniform = np.full((len(table.terminal), 3), 1 / 3)
    expected = finite_value(table, uniform, environment.horizon)[starts].mean()
    totals = np.sum([environment.step(rng.integers(0, 3, 512))[1] for _ in range(environment.horizon)], axis=0)
    assert abs(totals.mean() - expected) < 4 * totals.std() / np.sqrt(512)


@pytest.mark.parametrize(
    ("state", "action", "expected", "reward"),
    [
        ([2, 2], 0, [2, 2], 1.0),
        ([2, 2], 1, [1, 2], 1.0),  # paid for where it was
        ([1, 2], 2, [2, 2], 0.0),
        ([0, 0], 1, [0, 0], 0.0),
        ([4, 4], 4, [4, 4], 0.0),
        ([3, 3], 3, [3, 2], 0.0),
    ],
)
def test_moving_dot_by_hand(state: list[int], action: int, expected: list[int], reward: float) -> None:
    assert after(MovingDotVector(1, size=5, gust=0.0), state, action) == (expected, reward)


def test_gusts_push_the_dot_each_way_as_often_as_they_should() -> None:
    environment = MovingDotVector(8192, gust=0.5)
    environment.reset(seed=0)
    environment.set_states(np.full((8192, 2), 4))
    environment.step(np.zeros(8192, int))
    places, counts = np.unique(environment.states(), axis=0, return_counts=True)
    assert places.tolist() == [[3, 4], [4, 3], [4, 4], [4, 5], [5, 4]]
    np.testing.assert_allclose(counts / 8192, [0.125, 0.125, 0.5, 0.125, 0.125], atol=0.025)
