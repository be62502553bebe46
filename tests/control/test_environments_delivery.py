"""Knox's gridworld: its board, its rewards one by one, and the statistics of the human study re-derived."""

from pathlib import Path

import numpy as np
import pytest

from plaudit.control.environments import DeliveryVector
from plaudit.control.environments.delivery import DIRECTIONS, WEIGHTS, Board, knox_board, model
from plaudit.control.solve import greedy, value_iteration

UP, DOWN, LEFT, RIGHT = range(4)
NUMBER = np.array([10, 1])  # (row, column) @ NUMBER is the state's number
CONDITIONS = {"Privileged-Control": 1793, "Pr-Privileged": 2532, "Regret-Privileged": 2531, "Trained-Control": 473}


def test_the_board_is_the_one_of_the_study() -> None:
    board = knox_board()
    assert board.tiles.shape == (10, 10)
    assert board.tiles[7].tolist() == [0, 4, 0, 0, 0, 0, 0, 10, 6, 6]
    assert len(board.starts) == 92
    assert np.flatnonzero(board.terminal).tolist() == [22, 35, 36, 63, 89]  # four sheep and the goal


@pytest.mark.parametrize(
    ("place", "action", "reached", "reward"),
    [
        ((0, 0), RIGHT, (0, 1), -1.0),  # petrol
        ((3, 0), DOWN, (4, 0), -2.0),  # brick instead
        ((0, 4), DOWN, (1, 4), 0.0),  # a coin on top of petrol
        ((6, 7), DOWN, (7, 7), -1.0),  # a coin on brick
        ((0, 1), RIGHT, (0, 2), -2.0),  # a roadblock
        ((9, 9), UP, (8, 9), 50.0),  # the goal alone, though it is on brick
        ((1, 2), DOWN, (2, 2), -50.0),  # a sheep alone
        ((0, 0), UP, (0, 0), -1.0),  # a bump into the border
        ((3, 3), RIGHT, (3, 3), -1.0),  # into a house
        ((4, 0), LEFT, (4, 0), -2.0),  # on brick
        ((3, 0), LEFT, (3, 0), -1.0),  # on a coin, which is not met again
        ((0, 2), UP, (0, 2), -1.0),  # on a roadblock, neither
    ],
)
def test_rewards_by_hand(place: tuple[int, int], action: int, reached: tuple[int, int], reward: float) -> None:
    environment = DeliveryVector(1)
    observation, _ = environment.reset(seed=0)
    environment.set_states(np.array([place]))
    observation, rewards, terminated, truncated, _ = environment.step(np.array([action]))
    assert environment.states()[0].tolist() == list(reached)
    assert rewards[0] == reward
    assert terminated[0] == (abs(reward) == 50.0)
    assert not truncated[0]
    assert np.flatnonzero(observation[0]).tolist() == [reached[0] * 10 + reached[1]]
    table = model()
    assert table.reward[place[0] * 10 + place[1], action] == reward


def test_the_step_after_a_delivery_begins_anew_in_that_row_alone() -> None:
    environment = DeliveryVector(2)
    environment.reset(seed=0)
    environment.set_states(np.array([[9, 9], [0, 0]]))
    environment.step(np.array([UP, RIGHT]))
    _, rewards, terminated, _, _ = environment.step(np.array([UP, RIGHT]))
    assert rewards.tolist() == [0.0, -2.0]
    assert not terminated.any()
    assert environment.states()[1].tolist() == [0, 2]
    assert environment.states()[0] @ NUMBER in environment.board.starts


def test_every_start_is_drawn() -> None:
    environment = DeliveryVector(4096)
    environment.reset(seed=0)
    np.testing.assert_array_equal(np.unique(environment.states() @ NUMBER), environment.board.starts)


def test_a_sheep_out_of_the_way_and_a_small_board_by_hand() -> None:
    board = Board.parse("03 67")  # blank, sheep / brick, goal
    values, _ = value_iteration(board.model())
    assert values.tolist() == [48.0, 0.0, 50.0, 0.0]  # down onto brick (-2), right to the goal (50)
    environment = DeliveryVector(1, board=board)
    environment.reset(seed=0)
    assert environment.frame_shape == (2, 2)


def test_several_weights_are_solved_at_once() -> None:
    weights = np.stack([WEIGHTS, WEIGHTS * [2, 1, 1, 1, 1, 1]])
    together = value_iteration(model(weights=weights))[0]
    for row, alone in zip(together, weights, strict=True):
        np.testing.assert_array_equal(row, value_iteration(model(weights=alone))[0])
    with pytest.raises(ValueError, match="must end with 6"):
        model(weights=np.ones(5))


def test_the_greedy_policy_earns_the_optimal_value_from_every_start() -> None:
    environment = DeliveryVector(512)
    environment.reset(seed=0)
    values, action_values = value_iteration(model())
    best = values[environment.states() @ NUMBER]
    total, live = np.zeros(512), np.ones(512, bool)
    for _ in range(40):
        _, rewards, terminated, _, _ = environment.step(greedy(action_values)[environment.states() @ NUMBER])
        total += rewards * live
        live &= ~terminated
    assert not live.any()
    np.testing.assert_array_equal(total, best)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_statistics_of_the_human_study_follow_from_its_segments(condition: str, shared_data: Path) -> None:
    def load(part: str) -> np.ndarray:
        return np.load(shared_data / "knox" / f"{condition}_full_filtered_{part}.npy")

    pairs, expected = load("segment_pairs"), load("X")
    assert len(pairs) == CONDITIONS[condition]
    table = model()
    values, _ = value_iteration(table)
    at = pairs[:, :, 0] @ NUMBER  # (n, 2)
    start, earned = values[at], np.zeros(at.shape)
    for step in pairs[:, :, 1:].transpose(2, 0, 1, 3):  # after an end: (0, 0), or an action that does nothing
        action = (step[:, :, None] == DIRECTIONS).all(axis=-1).argmax(axis=-1)
        earned += table.reward[at, action] * ~table.terminal[at]
        at = table.next_state[at, action]
    statistics = np.stack([earned, start, values[at]], axis=-1)  # (n, 2, 3)
    np.testing.assert_array_equal(statistics[:, 1] - statistics[:, 0], expected)
