"""Gymnasium's Pendulum-v1 stepped as a batch: same dynamics, same start.

Gymnasium has a batched CartPole of its own and none of Pendulum, which people compare methods on. Gravity 10, mass 1,
length 1, 0.05 s a step, torque within 2, angular speed within 8, episodes of 200 steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from plaudit.types import Array

TORQUE, SPEED = 2.0, 8.0


class PendulumVector(VectorEnv[Array, Array, Array]):
    """``B`` pendulums that start and end together, with ``AutoresetMode.NEXT_STEP``.

    ``state`` (2, B) float64 holds the angle from upright and the angular speed. Every array returned is fresh.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  (Gymnasium's declaration)

    def __init__(self, num_envs: int = 1, horizon: int = 200) -> None:
        limit = np.array([1.0, 1.0, SPEED], np.float32)
        self.num_envs, self.horizon, self._elapsed = num_envs, horizon, 0
        self.single_observation_space = spaces.Box(-limit, limit)
        self.single_action_space = spaces.Box(-TORQUE, TORQUE, (1,))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.state: Array = np.zeros((2, num_envs))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start ``B`` episodes at any angle, with a speed within 1."""
        if seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        self.state = self.np_random.uniform([[-np.pi], [-1.0]], [[np.pi], [1.0]], (2, self.num_envs))
        self._elapsed = 0
        return self._observations(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step; after the horizon, one that resets, with reward 0."""
        terminations = np.zeros(self.num_envs, bool)
        if self._elapsed == self.horizon:
            observations, infos = self.reset()
            return observations, np.zeros(self.num_envs), terminations, terminations.copy(), infos
        theta, speed = self.state
        torque = np.clip(actions[:, 0], -TORQUE, TORQUE)
        angle = (theta + np.pi) % (2 * np.pi) - np.pi
        rewards = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
        np.clip(speed + (15.0 * np.sin(theta) + 3.0 * torque) * 0.05, -SPEED, SPEED, out=speed)
        theta += speed * 0.05
        self._elapsed += 1
        return self._observations(), rewards, terminations, np.full(self.num_envs, self._elapsed == self.horizon), {}

    def _observations(self) -> Array:
        theta, speed = self.state
        observations = np.empty((self.num_envs, 3), np.float32)
        observations[:, 0], observations[:, 1], observations[:, 2] = np.cos(theta), np.sin(theta), speed
        return observations
