"""Ends of episodes, hidden from the learner: the last observation repeats, and nothing is ever terminated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import concatenate, iterate

from plaudit.types import Array

REPEATS = 16  # steps for which a terminal observation still counts as experience


class AbsorbAfterEnd(VectorWrapper):
    """Every episode lasts ``horizon`` steps: after termination the last observation repeats with reward 0.

    All environments start together, so one reset serves all of them; NEXT_STEP semantics are kept. ``resting`` (B,)
    says where the observation has repeated for more than ``repeats`` steps: hundreds of copies of one picture, in which
    no action matters, would drown the steps that teach something.
    """

    def __init__(self, env: VectorEnv, horizon: int) -> None:
        super().__init__(env)
        self.horizon, self.repeats = horizon, REPEATS
        self._step = 0
        self._absorbed = np.zeros(env.num_envs, bool)
        self._repeated = np.zeros(env.num_envs, np.int32)
        self._last: Array = np.empty(0)
        self._last_states: Array = np.empty(0)
        if hasattr(env.unwrapped, "states"):
            self.states = self._states
        self._all_false, self._all_true = np.zeros(env.num_envs, bool), np.ones(env.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start ``num_envs`` fresh episodes."""
        observations, infos = self.env.reset(seed=seed, options=options)
        self._step = 0
        self._absorbed = np.zeros(self.num_envs, bool)
        self._repeated = np.zeros(self.num_envs, np.int32)
        return observations, infos

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step; terminated is always False, truncated is True for all at the horizon."""
        if self._step == self.horizon:  # NEXT_STEP: this call resets, and its reward is 0
            observations, infos = self.reset()
            return observations, np.zeros(self.num_envs, np.float32), self._all_false, self._all_false, infos
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._step += 1
        if self._absorbed.any():
            observations = observations.copy()
            observations[self._absorbed] = self._last[self._absorbed]
            rewards = np.where(self._absorbed, 0, rewards)
        self._repeated += self._absorbed
        episode_over = (terminated | truncated) & ~self._absorbed
        if episode_over.any():
            self._last = observations.copy() if not self._absorbed.any() else observations
            if hasattr(self, "states"):
                self._last_states = self._states()
            self._absorbed = self._absorbed | episode_over
        done = self._all_true if self._step == self.horizon else self._all_false
        return observations, rewards, self._all_false, done, {}

    @property
    def resting(self) -> Array:
        """Where the present observation has repeated long enough, (B,) bool."""
        return self._repeated > self.repeats

    def _states(self) -> Array:
        """Compact states (B, S): the last one of an episode repeats as its observation does."""
        states = cast(Any, self.env.unwrapped).states()
        if self._absorbed.any():
            states[self._absorbed] = self._last_states[self._absorbed]
        return states


class RowEnvs(SyncVectorEnv):
    """Environments that are stepped one by one: rows may rest for a while, and begin anew when they are told."""

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        super().__init__(env_fns, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
        self.resting = np.zeros(self.num_envs, bool)  # (B,): rows that steps leave as they are

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in each row."""
        self.resting[:] = False
        return super().reset(seed=seed, options=options)

    def restart(self, rows: Array) -> None:
        """Let ``rows`` (B,) bool begin a new episode at the next step."""
        self._autoreset_envs |= rows

    def step(self, actions: Array) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """One step of all rows that do not rest; a row whose episode ended at its last step begins anew instead."""
        for row, action in enumerate(iterate(self.action_space, actions)):
            self._rewards[row], self._terminations[row], self._truncations[row] = 0.0, False, False
            if self.resting[row]:
                continue
            if self._autoreset_envs[row]:
                self._env_obs[row], _ = self.envs[row].reset()
                self._autoreset_envs[row] = False
                continue
            if not isinstance(action, np.ndarray) and isinstance(self.single_action_space, spaces.Box):
                action = np.asarray(action)  # of the shape (): numpy gives a bare number
            observation, reward, terminated, truncated, _ = self.envs[row].step(action)
            self._env_obs[row], self._rewards[row] = observation, cast(float, reward)
            self._terminations[row], self._truncations[row] = terminated, truncated
        self._observations = concatenate(self.single_observation_space, self._env_obs, self._observations)
        self._autoreset_envs |= self._terminations | self._truncations
        return self._observations, self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), {}


def can_restart(envs: VectorEnv) -> bool:
    """Whether single rows of the environments can be told to begin a new episode."""
    return isinstance(envs.unwrapped, RowEnvs | CartPoleVectorEnv)


class RestartAfterEnd(VectorWrapper):
    """After an episode's end the last observation repeats for a while without reward; then the row begins anew.

    Nothing is ever terminated. An episode is truncated at the ``horizon``, or after it has repeated its end for
    ``repeats`` steps and has shown ``length`` steps in all, so that it holds a whole clip. A row that repeats is not
    stepped: ``stepped`` (B,) says in which rows the last step was one of the environment.
    """

    def __init__(self, env: VectorEnv, horizon: int) -> None:
        super().__init__(env)
        self.horizon, self.repeats, self.length = horizon, REPEATS, 0
        self._last: Array = np.empty(0)
        self._all_false = np.zeros(env.num_envs, bool)
        self._clear()

    def _clear(self) -> None:
        self._clock = np.zeros(self.num_envs, np.int64)  # (B,): steps that this episode has shown
        self._limit = np.full(self.num_envs, self.horizon)  # (B,): steps that it will have shown when it is truncated
        self._absorbed = np.zeros(self.num_envs, bool)
        self._truncated = np.zeros(self.num_envs, bool)
        self.stepped = np.ones(self.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start ``num_envs`` fresh episodes."""
        self._clear()
        return self.env.reset(seed=seed, options=options)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step; terminated is always False. A row that was truncated begins anew, with reward 0."""
        begins = self._truncated
        rests = self._absorbed & ~begins
        self._direct(rests, begins)
        observations, rewards, terminated, truncated, _ = self.env.step(actions)
        self.stepped = ~(rests | begins)
        if rests.any():
            observations = observations.copy()
            observations[rests] = self._last[rests]
            rewards = np.where(rests, 0, rewards)
        self._clock = np.where(begins, 0, self._clock + 1)
        self._limit[begins] = self.horizon
        ending = (terminated | truncated) & self.stepped
        if ending.any():
            self._last = observations.copy()
            clip_end = np.maximum(self._clock[ending] + self.repeats, self.length)
            self._limit[ending] = np.minimum(clip_end, self.horizon)
        self._absorbed = rests | ending
        self._truncated = self._clock >= self._limit
        return observations, rewards, self._all_false, self._truncated, {}

    def _direct(self, rests: Array, begins: Array) -> None:
        """Tell the environments which rows rest, and which begin anew, at the coming step."""
        envs = self.env.unwrapped
        if isinstance(envs, RowEnvs):
            envs.resting[:] = rests
            envs.restart(begins)
        else:  # all of its rows move: what a resting row does is not shown
            cast(CartPoleVectorEnv, envs).prev_done |= begins
