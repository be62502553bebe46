"""Pendulum fragments for the reward-fitting workload, the same numbers for us and for the peer.

The dynamics are Gymnasium's Pendulum-v1 (g 10, mass 1, length 1, dt 0.05, torque within 2, speed within 8)
written over a batch, so that both virtual environments fit one reward to one data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparisons:
    """``N`` pairs of fragments of ``L`` steps under a random policy, and which one is better."""

    observations: np.ndarray  # (N, 2, L, 3) float32: cos, sin, angular speed
    actions: np.ndarray  # (N, 2, L, 1) float32: torque
    rewards: np.ndarray  # (N, 2, L) float32: the true reward
    first_better: np.ndarray  # (N,) float32: 1 where the first return is larger, else 0


def pendulum_observation(theta: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """(B, 3) float32: cos, sin, angular speed."""
    return np.stack([np.cos(theta), np.sin(theta), speed], axis=-1).astype(np.float32)


def pendulum_step(
    theta: np.ndarray, speed: np.ndarray, torque: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Next angle, next angular speed and the reward, each (B,); torque lies within 2."""
    angle = (theta + np.pi) % (2 * np.pi) - np.pi
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = np.clip(speed + (15.0 * np.sin(theta) + 3.0 * torque) * 0.05, -8.0, 8.0)
    return theta + speed * 0.05, speed, reward


def pendulum_comparisons(count: int, length: int, seed: int) -> Comparisons:
    """Roll ``2 * count`` pendulums for ``length`` steps from Gymnasium's starting distribution."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-np.pi, np.pi, 2 * count)
    speed = rng.uniform(-1.0, 1.0, 2 * count)
    actions = rng.uniform(-2.0, 2.0, (2 * count, length)).astype(np.float32)
    observations = np.empty((2 * count, length, 3), np.float32)
    rewards = np.empty((2 * count, length), np.float32)
    for t in range(length):
        observations[:, t] = pendulum_observation(theta, speed)
        theta, speed, rewards[:, t] = pendulum_step(theta, speed, actions[:, t])
    returns = rewards.sum(1).reshape(count, 2)
    return Comparisons(
        observations.reshape(count, 2, length, 3),
        actions.reshape(count, 2, length, 1),
        rewards.reshape(count, 2, length),
        (returns[:, 0] > returns[:, 1]).astype(np.float32),
    )
