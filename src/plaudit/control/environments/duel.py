"""plaudit/Duel-v0: Pong with two sides against a scripted opponent; +1 a point, -1 conceded, 0 otherwise.

The court is ``height`` by ``width`` cells. The agent's paddle stands in the last column, the opponent's in the
first; ball and paddles move one cell a step. A step, from the state that the agent sees:

1. A ball beside a paddle's column is struck if the paddle covers its row, and passes if not: a point. So
   the reward is a function of the observation before the step, and a person can see it coming.
2. A struck ball turns round. Its new slope is set by where it met the paddle: the upper end sends it up, the
   lower end down, the middle straight. That is how one aims.
3. The ball moves (it bounces off the upper and lower wall); after a point it is served from the middle, in a
   random row, slope and direction.
4. The paddles move. The opponent follows the ball only while it approaches, and moves with probability
   ``opponent_skill``, so that straight balls are returned and steep ones often pass.

There is no termination: episodes are cut at ``horizon`` steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.control.environments import drawing
from plaudit.control.environments.base import BatchedEnv, SingleEnv
from plaudit.control.environments.streams import below
from plaudit.types import Array, PlauditError

_MOVES = np.array([0, -1, 1], np.int16)  # stay, up, down
_ZERO = np.zeros((), np.int16)


class DuelVector(BatchedEnv):
    """``B`` duels. State: ball x, ball y, dx, dy, own paddle's top, opponent's top; actions: stay, up, down."""

    variables = ("ball_x", "ball_y", "dx", "dy", "own", "opponent")
    actions = 3

    def __init__(
        self,
        num_envs: int = 1,
        *,
        height: int = 12,
        width: int = 16,
        paddle: int = 3,
        opponent_skill: float = 0.6,
        horizon: int = 400,
        **settings: Any,
    ) -> None:
        """``paddle`` is its height in cells; other settings as in :class:`BatchedEnv`."""
        if not (2 <= paddle < height and width >= 6):
            raise PlauditError(f"Duel: needs 2 <= paddle < height and width >= 6, got {paddle}, {height} and {width}")
        if not 0.0 <= opponent_skill <= 1.0:
            raise PlauditError(f"Duel: opponent_skill is a probability, got {opponent_skill}")
        self.height, self.width, self.paddle, self.opponent_skill = height, width, paddle, opponent_skill
        super().__init__(num_envs, horizon=horizon, **settings)
        self._x, self._y, self._dx, self._dy, self._own, self._opponent = self._state
        self._number = np.empty((4, num_envs), np.int16)
        self._flag = np.empty((4, num_envs), np.bool_)
        self._end = np.int16(max(1, paddle // 3))  # cells of a paddle that deflect upwards, and downwards
        self._right, self._left = np.int16(width - 2), np.int16(1)
        self._lowest = np.int16(height - paddle)
        self._skill = np.uint32(round(opponent_skill * 65536))

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def _ranges(self) -> tuple[Sequence[float], Sequence[float]]:
        lowest = self.height - self.paddle
        return (1, 0, -1, -1, 0, 0), (self.width - 2, self.height - 1, 1, 1, lowest, lowest)

    def _serve(self, lanes: Array) -> tuple[Array, Array, Array, Array]:
        """A ball in the middle: x, y, dx, dy, each (B,) int16."""
        dx = (lanes[1] & np.uint16(1)).astype(np.int16) * np.int16(2) - np.int16(1)
        middle = np.int16(self.width // 2)
        x = middle + dx.clip(-1, 0) if self.width % 2 == 0 else np.full_like(dx, middle)
        return x, below(lanes[2], self.height), dx, below(lanes[3], 3) - np.int16(1)

    def _begin(self, lanes: Array) -> Array:
        state = np.full_like(self._state, (self.height - self.paddle) // 2)
        state[:4] = self._serve(lanes)
        return state

    def _advance(self, actions: Array, lanes: Array) -> None:
        x, y, dx, dy = self._x, self._y, self._dx, self._dy
        beside, hit, miss, flag = self._flag
        offset, low, number, move = self._number
        # 1. Struck or passed?
        np.equal(x, self._left, out=beside)
        np.equal(x, self._right, out=flag)
        np.copyto(offset, self._opponent)
        np.copyto(offset, self._own, where=flag)
        np.subtract(y, offset, out=offset)
        beside |= flag
        np.less(offset.view(np.uint16), np.uint16(self.paddle), out=hit)  # 0 <= offset < paddle
        np.greater(beside, hit, out=miss)
        hit &= beside
        np.multiply(dx, miss, out=number)
        np.negative(number, out=self._rewards, casting="unsafe")
        # 2. A struck ball turns round, aimed by where it met the paddle.
        np.greater_equal(offset, self._paddle_end, out=flag)
        np.less(offset, self._end, out=beside)
        np.subtract(flag, beside, out=number, dtype=np.int16)
        np.copyto(dy, number, where=hit)
        np.negative(dx, out=dx, where=hit)
        # 3. The ball moves.
        self._bounce(y, dy, low, flag)
        x += dx
        y += dy
        if miss.any():
            for variable, value in zip((x, y, dx, dy), self._serve(lanes), strict=True):
                np.copyto(variable, value, where=miss)
        # 4. The paddles move.
        np.take(_MOVES, actions, out=move, mode="clip")
        self._shift(self._own, move)
        np.subtract(y, self._opponent, out=move)
        move -= np.int16(self.paddle // 2)
        np.sign(move, out=move)
        np.less(dx, _ZERO, out=flag)
        move *= flag
        np.less(lanes[0], self._skill, out=flag)
        move *= flag
        self._shift(self._opponent, move)

    @property
    def _paddle_end(self) -> np.int16:
        return np.int16(self.paddle - self._end)

    def _bounce(self, y: Array, dy: Array, number: Array, flag: Array) -> None:
        """Turn ``dy`` where the next row would be beyond a wall."""
        np.add(y, dy, out=number)
        np.greater_equal(number.view(np.uint16), np.uint16(self.height), out=flag)
        np.negative(dy, out=dy, where=flag)

    def _shift(self, paddle: Array, move: Array) -> None:
        """Move a paddle, and stop it at the walls."""
        paddle += move
        np.maximum(paddle, _ZERO, out=paddle)
        np.minimum(paddle, self._lowest, out=paddle)

    def _paint(self, frames: Array) -> None:
        rows = np.arange(self.num_envs)
        frames[:] = 0
        for offset in range(self.paddle):
            frames[rows, self._own + offset, -1] = 255
            frames[rows, self._opponent + offset, 0] = 255
        frames[rows, self._y, self._x] = 255

    def render_states(self, states: Array, scale: int | None = None) -> Array:
        """Frames of ``states`` (N, 6), by default about 256 pixels wide; a column glows where a ball passes."""
        states = np.asarray(states)
        x, y, _, _, own, opponent = states.T.astype(np.intp)
        board = np.empty((len(states), self.height, self.width, 3), np.uint8)
        board[:] = drawing.COURT
        board[:, ::2, self.width // 2] = drawing.LINE
        for column, beside, top in ((self.width - 1, self.width - 2, own), (0, 1, opponent)):
            passed = (x == beside) & ~((top <= y) & (y < top + self.paddle))
            board[passed, :, column] = drawing.ALARM
        drawing.paint_paddle(board, self.width - 1, own, self.paddle, drawing.OWN)
        drawing.paint_paddle(board, 0, opponent, self.paddle, drawing.OTHER)
        drawing.paint_row(board, x, y, drawing.BALL)
        return drawing.enlarge(board, scale or max(1, 256 // self.width))


class Duel(SingleEnv):
    """One duel."""

    batched = DuelVector
