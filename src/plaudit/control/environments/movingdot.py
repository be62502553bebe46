"""plaudit/MovingDot-v0: a dot to be kept in the centre of a small grid; 1 while it is there, 0 otherwise.

The agent pushes the dot by one cell; now and then a gust moves it by one more. The reward of a step is that of
the state that the agent sees before the step. There is no termination.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.control.environments import drawing
from plaudit.control.environments.base import BatchedEnv, SingleEnv
from plaudit.control.environments.streams import draw_below
from plaudit.control.tables import Table
from plaudit.types import Array, PlauditError

_MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)], np.int16).T.copy()  # (2, 5): row, column


class MovingDotVector(BatchedEnv):
    """``B`` dots. State: row, column; actions: stay, up, down, left, right."""

    variables = ("row", "column")
    actions = 5

    def __init__(
        self, num_envs: int = 1, *, size: int = 9, gust: float = 0.1, horizon: int = 100, **settings: Any
    ) -> None:
        """``size`` cells a side, odd; ``gust`` is the probability of a gust in a step."""
        if size < 3 or size % 2 == 0:
            raise PlauditError(f"MovingDot: size must be odd and at least 3, so that there is a centre, got {size}")
        if not 0.0 <= gust <= 1.0:
            raise PlauditError(f"MovingDot: gust is a probability, got {gust}")
        self.size, self.gust = size, gust
        super().__init__(num_envs, horizon=horizon, **settings)
        self._threshold = np.uint32(round(gust * 65536))
        self._centre, self._last = np.int16(size // 2), np.int16(size - 1)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(size, size)."""
        return self.size, self.size

    def table(self) -> Table:
        """All cells, each of which is a state; a gust moves the dot in one of four directions."""
        cells = np.stack(np.divmod(np.arange(self.size**2), self.size)).astype(np.int16)  # (2, S)
        pushed = np.clip(cells[:, :, None] + _MOVES[:, None], 0, self._last)  # (2, S, A)
        blown = np.clip(pushed[..., None] + _MOVES[:, None, None], 0, self._last)  # (2, S, A, 5): no gust first
        next_state = blown[0].astype(np.int64) * self.size + blown[1]
        gust = float(self._threshold) / 65536
        probabilities = np.broadcast_to([1 - gust, *[gust / 4] * 4], next_state.shape)
        reward = np.repeat((cells == self._centre).all(axis=0)[:, None] * 1.0, self.actions, axis=1)
        observations = (cells * self._scale + self._offset).T.astype(np.float32)
        count = len(reward)
        start, terminal = np.full(count, 1 / count), np.zeros(count, bool)
        return Table(next_state, probabilities, reward, start, terminal, observations, noop=0)

    def _ranges(self) -> tuple[Sequence[int], Sequence[int]]:
        return (0, 0), (self.size - 1, self.size - 1)

    def _begin(self, lanes: Array) -> Array:
        return draw_below(lanes[2:], self.size)

    def _advance(self, actions: Array, lanes: Array) -> None:
        position = self._state
        np.copyto(self._rewards, (position == self._centre).all(axis=0))
        position += np.take(_MOVES, actions, axis=1, mode="clip")
        np.clip(position, 0, self._last, out=position)
        position += _MOVES[:, draw_below(lanes[1], 4) + 1] * (lanes[0] < self._threshold)
        np.clip(position, 0, self._last, out=position)

    def _paint(self, frames: Array) -> None:
        frames[:] = 0
        frames[np.arange(self.num_envs), self._state[0], self._state[1]] = 255

    def render_states(self, states: Array, scale: int | None = None) -> Array:
        """Frames of ``states`` (N, 2), by default about 240 pixels wide; the target is the brighter cell."""
        states = np.asarray(states).astype(np.intp)
        scale = scale or max(4, 240 // self.size)
        board = drawing.court(len(states), self.size, self.size)
        board[:, self.size // 2, self.size // 2] = drawing.TARGET
        frames = drawing.enlarge(board, scale)
        drawing.disc(frames, states[:, 0], states[:, 1], scale, 0.38, drawing.BALL)
        return frames


class MovingDot(SingleEnv):
    """One dot."""

    batched = MovingDotVector
