"""A table of states as environments that can be played, for tables that no environment stands behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from plaudit.control.tables import Table
from plaudit.types import Array


class TableEnvs(VectorEnv[Array, Array, Array]):
    """``B`` agents in the states of one table, with ``AutoresetMode.NEXT_STEP``; episodes last ``horizon`` steps."""

    def __init__(self, table: Table, num_envs: int, horizon: int) -> None:
        self._table, self.num_envs, self.horizon = table, num_envs, horizon
        self.metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        observations = table.observations
        self.single_observation_space = spaces.Box(
            float(observations.min()), float(observations.max()), observations.shape[1:], np.float32
        )
        self.single_action_space = spaces.Discrete(table.shape[1])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rng = np.random.default_rng(0)
        self._states = np.zeros(num_envs, np.int64)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._episode_over = np.zeros(num_envs, bool)

    def table(self) -> Table:
        """The table."""
        return self._table

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode in every row."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._begin(np.ones(self.num_envs, bool))
        return self._observe(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step; a row whose episode has ended begins anew instead."""
        beginning = self._episode_over
        chances = self._table.probabilities[self._states, actions]  # (B, K)
        outcome = (self._rng.random((self.num_envs, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        outcome = np.minimum(outcome, chances.shape[1] - 1)
        rewards = np.where(beginning, 0.0, self._table.reward[self._states, actions]).astype(np.float32)
        self._states = self._table.next_state[self._states, actions, outcome]
        self._elapsed = self._elapsed + 1
        self._begin(beginning)
        terminated = self._table.terminal[self._states] & ~beginning
        truncated = (self._elapsed >= self.horizon) & ~terminated
        self._episode_over = terminated | truncated
        return self._observe(), rewards, terminated, truncated, {}

    def _begin(self, rows: Array) -> None:
        self._states = np.where(
            rows, self._rng.choice(len(self._table.start), self.num_envs, p=self._table.start), self._states
        )
        self._elapsed = np.where(rows, 0, self._elapsed)
        self._episode_over = self._episode_over & ~rows

    def _observe(self) -> Array:
        return self._table.observations[self._states].astype(np.float32)
