"""The batched Pendulum against Gymnasium's own, step by step."""

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control import PendulumEnv

from plaudit.control.environments.pendulum import PendulumVector
from plaudit.control.make import EnvironmentConfig, make


def test_every_row_moves_and_pays_as_gymnasiums_does() -> None:
    batched, singles = PendulumVector(4), [PendulumEnv() for _ in range(4)]
    batched.reset(seed=1)
    for single, state in zip(singles, batched.state.T, strict=True):
        single.reset()
        single.state = state.copy()
    rng = np.random.default_rng(0)
    for _ in range(200):
        action = rng.uniform(-3, 3, (4, 1)).astype(np.float32)  # some beyond the limit, where both clip
        observations, rewards, *_ = batched.step(action)
        for row, single in enumerate(singles):
            observation, reward, *_ = single.step(action[row])
            np.testing.assert_allclose(observations[row], observation, atol=1e-5)
            np.testing.assert_allclose(rewards[row], reward, atol=1e-5)


def test_spaces_and_length_are_gymnasiums() -> None:
    single, envs = gym.make("Pendulum-v1"), make(EnvironmentConfig("Pendulum-v1", num_envs=2))
    assert isinstance(envs.unwrapped, PendulumVector)
    assert (envs.single_observation_space, envs.single_action_space) == (
        single.observation_space,
        single.action_space,
    )
    assert single.spec is not None and single.spec.max_episode_steps == envs.unwrapped.horizon == 200


def test_it_starts_anywhere_and_the_seed_decides() -> None:
    envs = PendulumVector(1000)
    first, _ = envs.reset(seed=3)
    angle, speed = envs.state
    assert angle.min() < -3.1 and angle.max() > 3.1 and abs(angle.mean()) < 0.2
    assert speed.min() < -0.98 and speed.max() > 0.98 and abs(speed.mean()) < 0.07
    np.testing.assert_array_equal(envs.reset(seed=3)[0], first)
    assert (envs.reset()[0] != first).any()
