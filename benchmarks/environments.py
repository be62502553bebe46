"""Pendulum-v1 stepped as a batch: what Gymnasium offers only one by one, with the same dynamics.

``bench/Pendulum-v1`` starts as Gymnasium's Pendulum-v1 and lasts 200 steps. Run this file to compare it with
Gymnasium's step by step.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from fragments import pendulum_observation, pendulum_step
from gymnasium import spaces
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class Pendulum(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """``B`` pendulums that start and end together; state is (2, B) float64: angle and angular speed."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  (Gymnasium's declaration)

    def __init__(self, num_envs: int = 1, max_episode_steps: int = 200) -> None:
        limit = np.array([1.0, 1.0, 8.0], np.float32)
        self.num_envs, self.horizon, self._elapsed = num_envs, max_episode_steps, 0
        self.single_observation_space = spaces.Box(-limit, limit)
        self.single_action_space = spaces.Box(-2.0, 2.0, (1,))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._never, self._always = np.zeros(num_envs, bool), np.ones(num_envs, bool)
        self.state: np.ndarray = np.zeros((2, num_envs))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start ``num_envs`` fresh episodes."""
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        self.state = self.np_random.uniform([[-np.pi], [-1.0]], [[np.pi], [1.0]], (2, self.num_envs))
        self._elapsed = 0
        return pendulum_observation(self.state[0], self.state[1]), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step; after the horizon, one that resets."""
        if self._elapsed == self.horizon:
            return self.reset()[0], np.zeros(self.num_envs), self._never, self._never, {}
        torque = np.clip(actions[:, 0], -2.0, 2.0)
        self.state[0], self.state[1], rewards = pendulum_step(self.state[0], self.state[1], torque)
        self._elapsed += 1
        truncated = self._always if self._elapsed == self.horizon else self._never
        return pendulum_observation(self.state[0], self.state[1]), rewards, self._never, truncated, {}


def register() -> None:
    """Make it known to Gymnasium, and so to Plaudit, by id."""
    single = "gymnasium.envs.classic_control:PendulumEnv"
    gym.register("bench/Pendulum-v1", single, max_episode_steps=200, vector_entry_point=f"{__name__}:Pendulum")


def difference(steps: int = 150) -> float:
    """Largest difference of observations and rewards from Gymnasium's own environment over random steps."""
    rng, worst = np.random.default_rng(0), 0.0
    batched, single = Pendulum(1), PendulumEnv()
    batched.reset(seed=1)
    single.reset()
    single.state = batched.state[:, 0].copy()
    for _ in range(steps):
        action = rng.uniform(-2, 2, (1, 1)).astype(np.float32)
        mine, reward, *_ = batched.step(action)
        theirs, expected, *_ = single.step(action[0])
        worst = max(worst, float(np.abs(mine[0] - theirs).max()), abs(float(reward[0]) - float(expected)))
    return worst


if __name__ == "__main__":
    print(f"largest difference from Gymnasium's Pendulum-v1: {difference():.3g}")
