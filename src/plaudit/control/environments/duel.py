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
from plaudit.control.environments.base import SingleEnv
from plaudit.control.environments.court import CourtVector
from plaudit.types import Array, PlauditError

_ZERO, _STEP, _TWO = np.int16(0), np.int16(1), np.int16(2)


class DuelVector(CourtVector):
    """``B`` duels. State: ball x, ball y, dx, dy, own paddle's top, opponent's top; actions: stay, up, down."""

    variables = ("ball_x", "ball_y", "dx", "dy", "own", "opponent")

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
        if not 0.0 <= opponent_skill <= 1.0:
            raise PlauditError(f"Duel: opponent_skill is a probability, got {opponent_skill}")
        super().__init__(num_envs, height=height, width=width, paddle=paddle, horizon=horizon, **settings)
        self.opponent_skill = opponent_skill
        self._skill = np.uint32(round(opponent_skill * 65536))
        self._facing = np.empty(num_envs, np.int16)
        self._right, self._middle = np.int16(width - 1), np.int16(paddle // 2)

    def _ranges(self) -> tuple[Sequence[int], Sequence[int]]:
        lowest = self.height - self.paddle
        return (1, 0, -1, -1, 0, 0), (self.width - 2, self.height - 1, 1, 1, lowest, lowest)

    def _serve_from_middle(self, lanes: Array) -> tuple[Array, Array, Array, Array]:
        """x, y, dx and dy of a ball that has equally far to go to either side; each (B,) int16."""
        dx = (lanes[1] & np.uint16(1)).astype(np.int16) * _TWO - _STEP
        # On an even width there are two middle columns: a ball to the left starts in the left one.
        offset = np.minimum(dx, _ZERO) if self.width % 2 == 0 else _ZERO
        y, dy = self._serve(lanes)
        return np.full_like(dx, self.width // 2) + offset, y, dx, dy

    def _begin(self, lanes: Array) -> Array:
        state = np.full_like(self._state, (self.height - self.paddle) // 2)
        state[:4] = self._serve_from_middle(lanes)
        return state

    def _advance(self, actions: Array, lanes: Array) -> None:
        x, _, dx, _, player, opponent = self._state
        ahead = np.add(x, dx, out=self._move)  # beside a paddle: the next column would be the paddle's own
        right = np.equal(ahead, self._right, out=self._lower)
        np.equal(ahead, _ZERO, out=self._at_paddle)
        self._at_paddle |= right
        np.copyto(self._facing, opponent)
        np.copyto(self._facing, player, where=right)
        self._strike(self._facing)
        np.multiply(dx, self._miss, out=self._move)  # a missed ball has not turned: dx is 1 on the agent's side
        np.negative(self._move, out=self._rewards, casting="unsafe")
        self._fly()
        if self._miss.any():
            for variable, start in zip(self._state[:4], self._serve_from_middle(lanes), strict=True):
                np.copyto(variable, start, where=self._miss)
        self._act(player, actions)
        self._follow(lanes[0])

    def _follow(self, lane: Array) -> None:
        """The opponent's move: towards an approaching ball, with probability ``opponent_skill``."""
        _, y, dx, _, _, opponent = self._state
        move = np.subtract(y, opponent, out=self._move)
        move -= self._middle
        np.sign(move, out=move)
        np.less(dx, _ZERO, out=self._upper)
        np.less(lane, self._skill, out=self._lower)
        self._lower &= self._upper
        move *= self._lower
        self._shift(opponent, move)

    def render_states(self, states: Array, scale: int | None = None) -> Array:
        """Frames of ``states`` (N, 6), by default about 256 pixels wide.

        The side that a ball passes glows: red where the agent concedes, green where it scores.
        """
        states = np.asarray(states)
        x, y, _, _, player, opponent = states.T.astype(np.intp)
        board = drawing.court(len(states), self.height, self.width)
        board[:, ::2, self.width // 2] = drawing.LINE
        for column, neighbour, top, colour, glow in (
            (self.width - 1, self.width - 2, player, drawing.PLAYER, drawing.ALARM),
            (0, 1, opponent, drawing.OPPONENT, drawing.SUCCESS),
        ):
            passes = (x == neighbour) & ~((top <= y) & (y < top + self.paddle))
            board[passes, :, column] = glow
            drawing.paint_paddle(board, column, top, self.paddle, colour)
        board[np.arange(len(states)), y, x] = drawing.BALL
        return drawing.enlarge(board, scale or max(1, 256 // self.width))


class Duel(SingleEnv):
    """One duel."""

    batched = DuelVector
