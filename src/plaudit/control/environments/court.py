"""What Rally and Duel share: a court of cells, a ball, and paddles that aim it.

All rules work in place on the rows of the state matrix, (B,) int16 each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from plaudit.control.environments.base import BatchedEnv
from plaudit.control.environments.streams import draw_below
from plaudit.types import Array, PlauditError

_MOVES = np.array([0, -1, 1], np.int16)  # stay, up, down
_ZERO, _STEP = np.int16(0), np.int16(1)


class CourtVector(BatchedEnv):
    """``B`` courts of ``height`` by ``width`` cells; the first four variables are the ball's x, y, dx and dy."""

    actions = 3

    def __init__(self, num_envs: int, *, height: int, width: int, paddle: int, **settings: Any) -> None:
        """``paddle`` is its height in cells; other settings as in :class:`BatchedEnv`."""
        if not (2 <= paddle < height and width >= 6):
            name = type(self).__name__
            raise PlauditError(f"{name}: needs 2 <= paddle < height and 6 <= width, got {paddle}, {height}, {width}")
        self.height, self.width, self.paddle = height, width, paddle
        super().__init__(num_envs, **settings)
        # Room for intermediate results: a step allocates next to nothing.
        self._row, self._slope, self._move = np.empty((3, num_envs), np.int16)
        self._at_paddle, self._hit, self._miss, self._upper, self._lower = np.empty((5, num_envs), np.bool_)
        end = max(1, paddle // 3)  # cells at either end of a paddle that deflect the ball
        self._upper_end, self._lower_end = np.int16(end), np.int16(paddle - end)
        self._lowest = np.int16(height - paddle)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def _serve(self, lanes: Array) -> tuple[Array, Array]:
        """Row and slope of a served ball, uniform."""
        return draw_below(lanes[2], self.height), draw_below(lanes[3], 3) - _STEP

    def _strike(self, paddle: Array) -> None:
        """Part the balls ``_at_paddle`` into ``_hit`` and ``_miss``, and turn the struck ones round.

        The upper end of a paddle sends the ball up, the lower end down, the middle straight.
        """
        _, y, dx, dy = self._state[:4]
        offset = np.subtract(y, paddle, out=self._row)
        covered = np.less(offset.view(np.uint16), np.uint16(self.paddle), out=self._hit)  # 0 <= offset < paddle
        np.greater(self._at_paddle, covered, out=self._miss)
        hit = np.logical_and(self._at_paddle, covered, out=self._hit)
        np.less(offset, self._upper_end, out=self._upper)
        np.greater_equal(offset, self._lower_end, out=self._lower)
        np.subtract(self._lower, self._upper, out=self._slope, dtype=np.int16)
        np.copyto(dy, self._slope, where=hit)
        np.negative(dx, out=dx, where=hit)

    def _fly(self) -> None:
        """Move the ball by one cell; it turns at the upper and lower wall instead of leaving the court."""
        x, y, dx, dy = self._state[:4]
        row = np.add(y, dy, out=self._row)
        beyond = np.greater_equal(row.view(np.uint16), np.uint16(self.height), out=self._upper)  # -1 is 65535
        np.negative(dy, out=dy, where=beyond)
        x += dx
        y += dy

    def _act(self, paddle: Array, actions: Array) -> None:
        """Move ``paddle`` as the agent says."""
        self._shift(paddle, np.take(_MOVES, actions, out=self._move, mode="clip"))

    def _shift(self, paddle: Array, move: Array) -> None:
        """Move ``paddle`` by ``move`` cells; the walls stop it."""
        paddle += move
        np.maximum(paddle, _ZERO, out=paddle)
        np.minimum(paddle, self._lowest, out=paddle)

    def _paint(self, frames: Array) -> None:
        rows = np.arange(self.num_envs)
        frames[:] = 0
        for column, top in zip((-1, 0), self._state[4:], strict=False):
            for offset in range(self.paddle):
                frames[rows, top + offset, column] = 255
        frames[rows, self._state[1], self._state[0]] = 255
