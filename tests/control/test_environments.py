"""What holds for every environment: Gymnasium's rules, seeds, the horizon, frames, and limits that no play can pass."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st

from plaudit.control.environments import (
    BatchedEnv,
    DeliveryVector,
    DuelVector,
    GraspVector,
    MovingDotVector,
    OffSwitchVector,
    RallyVector,
    VaseVector,
)
from plaudit.control.environments.streams import Streams, draw_below
from plaudit.types import PlauditError

NAMES = ("Rally", "Duel", "Delivery", "MovingDot", "Vase", "Grasp", "OffSwitch")
VECTORS: tuple[Any, ...] = (
    RallyVector,
    DuelVector,
    DeliveryVector,
    MovingDotVector,
    VaseVector,
    GraspVector,
    OffSwitchVector,
)
every_name = pytest.mark.parametrize("name", NAMES)
every_vector = pytest.mark.parametrize("vector", VECTORS)
both_forms = pytest.mark.parametrize("observations", ["state", "pixels"])


def play(environment: BatchedEnv, steps: int, seed: int, actions: int) -> list[Any]:
    """Observations, rewards and flags of a random policy from a seeded reset."""
    rng = np.random.default_rng(7)
    log: list[Any] = [environment.reset(seed=seed)[0]]
    for _ in range(steps):
        log.append(environment.step(rng.integers(0, actions, environment.num_envs))[:4])
    return log


@every_name
@both_forms
def test_gymnasiums_checker_has_nothing_to_say(name: str, observations: str) -> None:
    environment = gymnasium.make(f"plaudit/{name}-v0", observations=observations, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(environment.unwrapped)


@every_name
@both_forms
def test_a_row_of_a_batch_is_the_single_game_with_its_seed(name: str, observations: str) -> None:
    settings: dict[str, Any] = {"observations": observations, "horizon": 11}
    batch = gymnasium.make_vec(f"plaudit/{name}-v0", 3, vectorization_mode="vector_entry_point", **settings)
    singles = gymnasium.make_vec(f"plaudit/{name}-v0", 3, vectorization_mode="sync", **settings)
    assert batch.metadata["autoreset_mode"] == singles.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    np.testing.assert_array_equal(batch.reset(seed=5)[0], singles.reset(seed=5)[0])
    rng = np.random.default_rng(1)
    for _ in range(80):  # past several horizons and a block of random numbers
        actions = rng.integers(0, batch.single_action_space.n, 3)  # type: ignore[attr-defined]
        for ours, theirs in zip(batch.step(actions)[:4], singles.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@every_vector
def test_the_seed_decides_everything(vector: Any) -> None:
    logs = [play(vector(4, horizon=30), 70, seed, vector.actions) for seed in (3, 3, 4)]
    flat = [np.concatenate([np.ravel(part) for step in log for part in step]) for log in logs]
    np.testing.assert_array_equal(flat[0], flat[1])
    assert (flat[0] != flat[2]).any() == (
        vector not in (VaseVector, OffSwitchVector)
    )  # in which nothing is random so early


@every_vector
@both_forms
def test_lent_arrays_hold_what_copies_hold(vector: Any, observations: str) -> None:
    lent, copied = (vector(3, observations=observations, copy=copy) for copy in (False, True))
    np.testing.assert_array_equal(lent.reset(seed=2)[0], copied.reset(seed=2)[0])
    kept = []
    for step in range(20):
        actions = np.full(3, step % vector.actions)
        ours, theirs = lent.step(actions), copied.step(actions)
        for one, other in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        kept.append((theirs[0], theirs[0].copy(), theirs[1], theirs[1].copy()))
    for observation, as_it_was, reward, reward_as_it_was in kept:  # a copy is never written over
        np.testing.assert_array_equal(observation, as_it_was)
        np.testing.assert_array_equal(reward, reward_as_it_was)


@pytest.mark.parametrize("vector", [RallyVector, DuelVector, MovingDotVector])
def test_an_episode_is_cut_at_the_horizon_and_the_next_step_resets(vector: Any) -> None:
    environment = vector(2, horizon=5)
    environment.reset(seed=0)
    for _ in range(3):
        for step in range(1, 6):
            _, _, terminated, truncated, _ = environment.step(np.zeros(2, int))
            assert not terminated.any()
            assert truncated.tolist() == [step == 5] * 2
        before = environment.states()
        observation, rewards, terminated, truncated, _ = environment.step(np.ones(2, int))
        assert not rewards.any() and not terminated.any() and not truncated.any()
        assert (environment.states() != before).any()
        assert observation.shape == environment.observation_space.shape


def test_the_single_game_truncates_itself_at_the_horizon() -> None:
    environment = gymnasium.make("plaudit/Rally-v0", horizon=3)
    environment.reset(seed=0)
    assert [environment.step(0)[3] for _ in range(3)] == [False, False, True]


@every_vector
def test_a_new_episode_shows_no_frame_of_the_old(vector: Any) -> None:
    environment = vector(2, horizon=3, observations="pixels", stack=4)
    assert (np.ptp(environment.reset(seed=0)[0], axis=1) == 0).all()
    ended, resets = np.zeros(2, bool), 0
    for step in range(12):
        observation, _, terminated, truncated, _ = environment.step(np.full(2, step % 3))
        assert (np.ptp(observation[ended], axis=1) == 0).all()
        resets += ended.sum()
        ended = terminated | truncated
    assert resets >= 6


@every_vector
def test_pixels_show_the_latest_frame_last(vector: Any) -> None:
    environment = vector(2, observations="pixels", stack=3)
    environment.reset(seed=0)
    first = environment.step(np.full(2, 1))[0]
    second = environment.step(np.full(2, 2))[0]
    np.testing.assert_array_equal(second[:, :-1], first[:, 1:])


@every_vector
def test_states_can_be_kept_put_back_and_drawn(vector: Any) -> None:
    environment = vector(6, render_mode="rgb_array")
    environment.reset(seed=0)
    states = environment.states()
    assert states.dtype == np.int16 and states.shape == (6, len(vector.variables))
    frames = environment.render()
    environment.step(np.ones(6, int))
    environment.set_states(states)
    np.testing.assert_array_equal(environment.states(), states)
    again = environment.render_states(states)
    np.testing.assert_array_equal(np.stack(frames), again)
    height, width = environment.frame_shape
    assert again.dtype == np.uint8 and again.shape[0] == 6 and again.shape[3] == 3
    assert 160 <= again.shape[2] <= 320
    assert environment.render_states(states[:2], scale=4).shape == (2, height * 4, width * 4, 3)
    with pytest.raises(ValueError, match="states must be"):
        environment.set_states(states[:2])


def test_without_a_render_mode_nothing_is_drawn() -> None:
    environment = RallyVector(1)
    environment.reset(seed=0)
    assert environment.render() is None


@pytest.mark.parametrize(
    ("vector", "settings", "complaint"),
    [
        (DuelVector, {"num_envs": 0}, "at least 1"),
        (DuelVector, {"horizon": 0}, "at least 1"),
        (RallyVector, {"observations": "sound"}, "'state' or 'pixels'"),
        (RallyVector, {"render_mode": "human"}, "render_mode"),
        (RallyVector, {"paddle": 10}, "paddle < height"),
        (DuelVector, {"opponent_skill": 1.5}, "probability"),
        (MovingDotVector, {"size": 4}, "odd"),
        (MovingDotVector, {"gust": -0.1}, "probability"),
        (DeliveryVector, {"board": "00 0"}, "differ in length"),
        (DeliveryVector, {"board": "0(1"}, "cannot read row"),
        (DeliveryVector, {"board": "0x"}, "cannot read row"),
        (DeliveryVector, {"board": "09"}, "unknown tiles"),
        (DeliveryVector, {"board": "23"}, "no tile to start from"),
    ],
)
def test_settings_that_make_no_game_are_refused(vector: Any, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PlauditError, match=complaint):
        vector(**settings)


def test_stepping_before_reset_and_too_few_seeds_are_refused() -> None:
    environment = DuelVector(3)
    with pytest.raises(PlauditError, match="before reset"):
        environment.step(np.zeros(3, int))
    with pytest.raises(PlauditError, match="2 seeds for 3"):
        environment.reset(seed=[1, 2])


def test_a_list_of_seeds_seeds_each_row() -> None:
    listed, counted = DuelVector(3), DuelVector(3)
    np.testing.assert_array_equal(listed.reset(seed=[4, 5, 6])[0], counted.reset(seed=4)[0])


@given(
    height=st.integers(4, 15),
    width=st.integers(6, 20),
    paddle=st.integers(2, 5),
    skill=st.floats(0, 1),
    seed=st.integers(0, 2**64),
)
def test_whatever_is_played_the_ball_and_paddles_stay_in_the_court(
    height: int, width: int, paddle: int, skill: float, seed: int
) -> None:
    paddle = min(paddle, height - 1)
    court: dict[str, Any] = {"height": height, "width": width, "paddle": paddle, "horizon": 45}
    rng = np.random.default_rng(seed)
    for environment in (DuelVector(8, opponent_skill=skill, **court), RallyVector(8, **court)):
        environment.reset(seed=seed)
        for _ in range(60):
            observation, rewards, terminated, _, _ = environment.step(rng.integers(0, 3, 8))
            x, y, dx, dy, *paddles = environment.states().T
            assert (x >= 0).all() and (x <= width - 2).all()
            assert (y >= 0).all() and (y < height).all()
            assert set(dx.tolist()) <= {-1, 1} and set(dy.tolist()) <= {-1, 0, 1}
            assert all((top >= 0).all() and (top <= height - paddle).all() for top in paddles)
            assert set(rewards.tolist()) <= {-1.0, 0.0, 1.0} and not terminated.any()
            assert (np.abs(observation) <= 1.0 + 1e-6).all()


def test_random_streams_do_not_depend_on_the_batch_and_are_uniform() -> None:
    wide, narrow = Streams(list(range(40))), Streams([7])
    drawn = []
    for _ in range(200):
        lanes = wide.next().copy()
        np.testing.assert_array_equal(lanes[:, 7], narrow.next()[:, 0])
        drawn.append(lanes)
    numbers = np.stack(drawn)  # (200, 4, 40)
    counts = np.bincount(draw_below(numbers, 10).ravel(), minlength=10)
    expected = numbers.size / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-squared, 9 degrees of freedom, p = 0.001
    rows = numbers.transpose(2, 0, 1).reshape(40, -1) / 65535.0
    assert np.abs(np.corrcoef(rows) - np.eye(40)).max() < 0.2  # 5.6 standard deviations
    with pytest.raises(ValueError, match="at least one seed"):
        Streams([])
