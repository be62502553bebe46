"""Environments by name, and how their ends look."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.make import BlankRows, EnvironmentConfig, make, warn_if_visible
from plaudit.control.registry import resolve
from plaudit.types import PlauditError


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Duel", "plaudit/Duel-v0"),
        ("plaudit/Rally", "plaudit/Rally-v0"),
        ("CartPole-v1", "CartPole-v1"),
        ("CartPole-v0", "CartPole-v0"),
        ("cartpole", "CartPole-v1"),
        ("duel", "plaudit/Duel-v0"),
    ],
)
def test_names(name: str, id: str) -> None:
    assert resolve(name) == id


def test_the_newest_atari_game_is_meant() -> None:
    pytest.importorskip("ale_py")
    assert [resolve(name) for name in ("Pong", "pong", "Pong-v4")] == ["ALE/Pong-v5", "ALE/Pong-v5", "Pong-v4"]
    guesses = {
        "PONG-v5": "ALE/Pong-v5",
        "ale/pong-v5": "ALE/Pong-v5",
        "cart-pole": "CartPole-v1",
        "duel": "plaudit/Duel-v0",
    }
    assert {name: resolve(name) for name in guesses} == guesses


@pytest.mark.parametrize(("name", "near"), [("Deul", "Duel"), ("CartPoole", "CartPole-v1"), ("zzzzqqqq", "Duel")])
def test_unknown_names_are_answered_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(PlauditError, match=f"unknown environment '{name}': nearest names are .*{near}"):
        resolve(name)


@pytest.mark.parametrize("id", ["Duel", "Rally", "Delivery", "MovingDot", "Pendulum-v1"])
def test_a_fixed_horizon_by_default(id: str) -> None:
    envs = make(EnvironmentConfig(id, num_envs=3))
    assert isinstance(envs, AbsorbAfterEnd)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    rewards = np.ones(3)
    for step in range(1, envs.horizon + 2):
        _, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert not terminated.any() and truncated.all() == truncated.any() == (step == envs.horizon)
    assert not rewards.any()  # the reset step
    envs.close()


def test_an_absorbed_cart_stands_still_without_reward() -> None:
    envs = make(EnvironmentConfig("CartPole-v1", num_envs=2))
    assert isinstance(envs, RestartAfterEnd) and envs.horizon == 500
    envs.length = 30
    envs.reset(seed=1)
    seen, paid, truncated, stepped = [], [], [], []
    for _ in range(60):  # pushing to one side ends an episode within a dozen steps
        observations, rewards, *_ = step = envs.step(np.array([0, 1]))
        seen.append(observations.copy())
        paid.append(rewards)
        truncated.append(step[3].copy())
        stepped.append(envs.stepped.copy())
    alive = np.array(paid)
    for row in range(2):
        last = int(np.argmin(alive[:, row]))  # the first step without reward
        assert 5 < last < 20 and (alive[:last, row] == 1).all()
        repeats = np.array(seen)[last - 1 : 30, row]
        assert (repeats == repeats[0]).all() and len(repeats) > 10 and not alive[last:31, row].any()
        # the clip is whole after 30 steps; the next call begins anew, and has no reward
        assert np.flatnonzero(np.array(truncated)[:, row])[0] == 29
        assert np.abs(np.array(seen)[30, row]).max() <= 0.05 and alive[31, row] == 1
        assert not np.array(stepped)[last:31, row].any() and np.array(stepped)[:last, row].all()
    envs.close()


def test_the_same_seed_gives_the_same_episode_whatever_came_before() -> None:
    envs = make(EnvironmentConfig("CartPole-v1", num_envs=2))
    paths = []
    for _ in range(2):
        observations, _ = envs.reset(seed=7)
        path = [observations.copy()]
        for _ in range(40):
            observations, *_ = envs.step(np.array([0, 1]))
            path.append(observations.copy())
        paths.append(np.array(path))
    np.testing.assert_array_equal(*paths)
    envs.close()


def test_visible_ends_are_visible_and_warned_of() -> None:
    config = EnvironmentConfig("CartPole-v1", num_envs=1, ends="visible")
    envs = make(config)
    envs.reset(seed=0)
    assert any(envs.step(np.array([0]))[2][0] for _ in range(30))
    envs.close()
    with pytest.warns(UserWarning, match="leaks part of the true reward"):
        warn_if_visible(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_visible(EnvironmentConfig("CartPole-v1"))


def test_no_time_limit_is_warned_of() -> None:
    gym.register("NoLimit-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    try:
        with pytest.warns(UserWarning, match="a fixed horizon of 1000 steps"):
            envs = make(EnvironmentConfig("NoLimit-v0", num_envs=1))
        assert isinstance(envs, RestartAfterEnd) and envs.horizon == 1000
        envs.close()
    finally:
        del gym.registry["NoLimit-v0"]


def test_what_is_not_installed_is_one_line() -> None:
    gym.register("Missing-v0", "no_such_package.envs:Env", max_episode_steps=10)
    try:
        with pytest.raises(PlauditError, match=r"cannot make environment Missing-v0: .*no_such_package"):
            make(EnvironmentConfig("Missing-v0"))
    finally:
        del gym.registry["Missing-v0"]


class Pictures(VectorEnv):
    """White pictures."""

    num_envs = 2
    single_observation_space = spaces.Box(0, 255, (4, 10, 6), np.uint8)
    observation_space = batch_space(single_observation_space, 2)
    single_action_space = spaces.Discrete(2)
    action_space = batch_space(single_action_space, 2)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        return np.full((2, 4, 10, 6), 255, np.uint8), {}

    def step(self, actions: Any) -> tuple[Any, ...]:
        no = np.zeros(2, bool)
        return self.reset()[0], np.ones(2), no, no, {}


def test_the_scoreboard_is_black() -> None:
    envs = BlankRows(Pictures(), 3)
    for picture in (envs.reset()[0], envs.step(np.zeros(2, int))[0]):
        assert not picture[:, :, :3].any() and (picture[:, :, 3:] == 255).all()


@pytest.mark.slow
def test_pong_has_no_score() -> None:
    pytest.importorskip("ale_py")
    envs = make(EnvironmentConfig("ALE/Pong-v5", num_envs=2))
    observations, _ = envs.reset(seed=0)
    for _ in range(300):  # an idle player is soon behind
        observations, *_ = envs.step(np.zeros(2, int))
    assert not observations[:, :, :11].any() and observations[:, :, 11:].any()
    envs.close()
    with pytest.raises(PlauditError, match="too long for a fixed horizon"):
        make(EnvironmentConfig("ALE/Pong-v5", ends="absorb"))
