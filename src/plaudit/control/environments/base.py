"""The plumbing that the batched environments share: spaces, seeds, horizon, reset steps, observations, frames.

A subclass says how a batch of states begins, how it moves and how it is drawn; everything else is here.
State is one int16 matrix (S, B), a row per variable, so that every rule of a game is one operation on
contiguous memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from plaudit.control.environments.streams import Streams
from plaudit.types import Array, PlauditError


class BatchedEnv(VectorEnv[Array, Array, Array], ABC):
    """``B`` copies of one game that move together, with ``AutoresetMode.NEXT_STEP``.

    Every array that ``reset`` and ``step`` return is fresh, unless ``copy=False``: then the observations and
    the four arrays of a step are the environment's own and stay valid until the next ``step`` or ``reset``.

    A subclass sets ``variables`` (names of the S state variables), ``actions`` (how many) and ``terminates``, fills
    ``_scale`` and ``_offset`` in ``_ranges`` and defines ``_begin``, ``_advance``, ``_paint`` and ``render_states``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium's own declaration)
        "render_modes": ["rgb_array"],
        "render_fps": 15,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    variables: ClassVar[tuple[str, ...]] = ()
    actions: ClassVar[int] = 0
    terminates: ClassVar[bool] = False  # whether an episode can end before the horizon

    def __init__(
        self,
        num_envs: int = 1,
        *,
        horizon: int,
        observations: str = "state",
        stack: int = 2,
        render_mode: str | None = None,
        copy: bool = True,
    ) -> None:
        """``observations`` are "state" or "pixels", ``stack`` frames of them; ``horizon`` steps make an episode."""
        name = type(self).__name__
        if num_envs < 1 or horizon < 1 or stack < 1:
            raise PlauditError(
                f"{name}: num_envs, horizon and stack must be at least 1, got {num_envs}, {horizon} and {stack}"
            )
        if observations not in ("state", "pixels"):
            raise PlauditError(f"{name}: observations must be 'state' or 'pixels', got {observations!r}")
        if render_mode not in (None, "rgb_array"):
            raise PlauditError(f"{name}: render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.num_envs, self.horizon, self.render_mode, self.copy = num_envs, horizon, render_mode, copy
        self._state = np.zeros((len(self.variables), num_envs), np.int16)
        self._rewards = np.zeros(num_envs, np.float32)
        self._terminated = np.zeros(num_envs, np.bool_)
        self._truncated = np.zeros(num_envs, np.bool_)
        self._episode_over = np.zeros(num_envs, np.bool_)
        self._any_ended = False
        self._elapsed = np.zeros(num_envs, np.int32)
        self._streams: Streams | None = None
        low, high = self._ranges()
        self._spaces(observations == "pixels", stack, np.asarray(low), np.asarray(high))

    def _spaces(self, pixels: bool, stack: int, low: Array, high: Array) -> None:
        """Action and observation spaces, and the buffers that observations are built in."""
        self._scale = (2.0 / (high - low)).astype(np.float32)[:, None]  # low..high -> -1..1
        self._offset = (-1.0 - low * self._scale[:, 0]).astype(np.float32)[:, None]
        self._scaled = np.zeros((self.features, self.num_envs), np.float32)
        self._frames: Array | None = None
        if pixels:
            shape = (stack, *self.frame_shape)
            self._frames = np.zeros((self.num_envs, *shape), np.uint8)
            self.single_observation_space = spaces.Box(0, 255, shape, np.uint8)
        else:
            self.single_observation_space = spaces.Box(-1.0, 1.0, (self.features,), np.float32)
        self.single_action_space = spaces.Discrete(self.actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    # What a game defines -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def frame_shape(self) -> tuple[int, int]:
        """(H, W) of the game in pixels."""

    @property
    def features(self) -> int:
        """Length of an observation in state form."""
        return len(self.variables)

    @abstractmethod
    def _ranges(self) -> tuple[Sequence[int], Sequence[int]]:
        """Least and greatest value of each state variable."""

    @abstractmethod
    def _begin(self, lanes: Array) -> Array:
        """Starting states (S, B) int16 from random ``lanes`` (4, B) uint16."""

    @abstractmethod
    def _advance(self, actions: Array, lanes: Array) -> None:
        """Move ``_state`` on by one step in place; write ``_rewards`` and, if the game ends, ``_terminated``."""

    @abstractmethod
    def _paint(self, frames: Array) -> None:
        """Draw the present state into ``frames`` (B, H, W) uint8, which holds anything."""

    @abstractmethod
    def render_states(self, states: Array, scale: int | None = None) -> Array:
        """Coloured frames (N, H * scale, W * scale, 3) uint8 of ``states`` (N, S)."""

    # Gymnasium's side ----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin ``B`` episodes. Row ``i`` is seeded with ``seed + i``, or with ``seed[i]``."""
        if seed is not None:
            seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, (int, np.integer)) else list(seed)
            if len(seeds) != self.num_envs:
                raise PlauditError(f"{type(self).__name__}.reset: {len(seeds)} seeds for {self.num_envs} environments")
            super().reset(seed=seeds[0])
            self._streams = Streams(seeds)
        elif self._streams is None:
            self._streams = Streams([int(seed) for seed in self.np_random.integers(0, 2**63, self.num_envs)])
        self._state[:] = self._begin(self._streams.next())
        self._elapsed[:] = 0
        self._episode_over[:] = False
        self._any_ended = False
        return self._observe(None, restarted=True), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of all rows; a row whose episode ended at the last step begins anew and ignores its action.

        Returns observations (B, *observation), rewards (B,) float32, terminated (B,), truncated (B,), {}.
        """
        if self._streams is None:
            raise PlauditError(f"{type(self).__name__}.step was called before reset")
        lanes = self._streams.next()
        self._advance(np.asarray(actions), lanes)
        self._elapsed += 1
        np.greater_equal(self._elapsed, self.horizon, out=self._truncated)
        restarted = None
        if self._any_ended:
            restarted = self._episode_over.copy()
            np.copyto(self._state, self._begin(lanes), where=restarted)
            for array in (self._elapsed, self._rewards, self._terminated, self._truncated):
                array[restarted] = 0
        np.logical_or(self._terminated, self._truncated, out=self._episode_over)
        self._any_ended = bool(self._episode_over.any())
        observation = self._observe(restarted)
        if self.copy:
            return observation, self._rewards.copy(), self._terminated.copy(), self._truncated.copy(), {}
        return observation, self._rewards, self._terminated, self._truncated, {}

    def states(self) -> Array:
        """Compact states (B, S) int16, a copy: what ``render_states`` draws."""
        return self._state.T.copy()

    def set_states(self, states: Array) -> Array:
        """Put the rows into ``states`` (B, S), for tests and counterfactuals; returns what they look like.

        Clocks and streams run on.
        """
        states = np.asarray(states)
        if states.shape != self._state.T.shape:
            raise ValueError(f"states must be (B, S) = {self._state.T.shape}, got {states.shape}")
        self._state[:] = states.T
        return self._observe(None, restarted=True)

    def render(self) -> tuple[Array, ...] | None:
        """A frame per row when ``render_mode="rgb_array"``, else None."""
        if self.render_mode is None:
            return None
        return tuple(self.render_states(self.states()))

    def _vector(self) -> Array:
        """The state observation, (features, B) float32, in the buffer ``_scaled``: each variable from -1 to 1."""
        np.multiply(self._state, self._scale, out=self._scaled)
        self._scaled += self._offset
        return self._scaled

    def _observe(self, rows: Array | None, restarted: bool = False) -> Array:
        """The present observation; ``rows`` (B,) bool, or all if ``restarted``, have just begun an episode."""
        if self._frames is None:
            vector = self._vector().T
            return vector.copy() if self.copy else vector
        self._frames[:, :-1] = self._frames[:, 1:]
        self._paint(self._frames[:, -1])
        if restarted:
            self._frames[:, :-1] = self._frames[:, -1:]
        elif rows is not None:  # no frame of the old episode may show in the new one
            self._frames[rows, :-1] = self._frames[rows, -1:]
        return self._frames.copy() if self.copy else self._frames


class SingleEnv(gymnasium.Env[Array, Any]):
    """One game as a plain ``gymnasium.Env``: a batch of one. It truncates itself at the horizon."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012
    batched: ClassVar[type[BatchedEnv]]

    def __init__(self, **settings: Any) -> None:
        """Any setting of the batched environment but ``num_envs`` and ``copy``."""
        self.batch = self.batched(num_envs=1, **settings)
        self.render_mode = self.batch.render_mode
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode; the same as row 0 of the batched environment with this seed."""
        super().reset(seed=seed)
        observations, _ = self.batch.reset(seed=seed, options=options)
        return observations[0], {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step; after an end call ``reset`` (a further ``step`` would be a reset step)."""
        observations, rewards, terminated, truncated, _ = self.batch.step(np.array([action]))
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def states(self) -> Array:
        """The compact state (S,) int16."""
        return self.batch.states()[0]

    def render(self) -> Any:
        """An RGB frame, or None without a render mode."""
        frames = self.batch.render()
        return None if frames is None else frames[0]
