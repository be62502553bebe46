"""plaudit/Rally-v0: one-sided Pong as in the lecture; +1 a hit, -1 a miss, 0 otherwise.

The paddle stands in the last column; the other three sides are walls. Ball and paddle move one cell a step,
by the rules of :mod:`plaudit.control.environments.duel`: a ball beside the paddle's column is struck if
the paddle covers its row (+1) and missed if not (-1), so the reward is a function of the observation. After
a miss the ball is served from the middle, away from the paddle, in a random row and slope.

There is no termination. The game is small: :meth:`RallyVector.model` tabulates it for exact solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.control.environments import drawing
from plaudit.control.environments.base import SingleEnv
from plaudit.control.environments.court import CourtVector
from plaudit.control.solve import Model
from plaudit.types import Array

_ZERO = np.int16(0)


class RallyVector(CourtVector):
    """``B`` rallies. State: ball x, ball y, dx, dy, paddle's top; actions: stay, up, down."""

    variables = ("ball_x", "ball_y", "dx", "dy", "own")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        height: int = 10,
        width: int = 10,
        paddle: int = 3,
        horizon: int = 200,
        **settings: Any,
    ) -> None:
        """``paddle`` is its height in cells; other settings as in :class:`BatchedEnv`."""
        super().__init__(num_envs, height=height, width=width, paddle=paddle, horizon=horizon, **settings)
        self._right = np.int16(width - 1)

    def _ranges(self) -> tuple[Sequence[int], Sequence[int]]:
        return (0, 0, -1, -1, 0), (self.width - 2, self.height - 1, 1, 1, self.height - self.paddle)

    def _begin(self, lanes: Array) -> Array:
        state = np.full_like(self._state, (self.height - self.paddle) // 2)
        self._restart(state, lanes, np.ones(self.num_envs, np.bool_))
        return state

    def _restart(self, state: Array, lanes: Array, mask: Array) -> None:
        """Serve the balls of the rows in ``where``."""
        y, dy = self._serve(lanes)
        for variable, start in zip(state[:4], (self.width // 2, y, -1, dy), strict=True):
            np.copyto(variable, start, where=mask, casting="unsafe")

    def _advance(self, actions: Array, lanes: Array) -> None:
        self._play(actions)
        if self._miss.any():
            self._restart(self._state, lanes, self._miss)

    def _play(self, actions: Array) -> None:
        """All of a step but the serve, which is the only chance in it."""
        x, _, dx, _, player = self._state
        ahead = np.add(x, dx, out=self._move)  # beside the paddle: the next column would be the paddle's own
        np.equal(ahead, self._right, out=self._at_paddle)
        self._strike(player)
        np.subtract(self._hit, self._miss, out=self._rewards, dtype=np.float32)
        np.abs(dx, out=dx, where=np.equal(x, _ZERO, out=self._upper))
        self._fly()
        self._act(player, actions)

    def index(self, states: Array) -> Array:
        """Number of each state in the table, (...,) int, from ``states`` (..., 5)."""
        low, high = (np.array(bound, dtype=np.intp) for bound in self._ranges())
        x, y, dx, dy, player = np.moveaxis(np.asarray(states).astype(np.intp) - low, -1, 0)
        return np.asarray(np.ravel_multi_index((x, y, dx // 2, dy, player), self._table_shape(low, high)))

    @staticmethod
    def _table_shape(low: Array, high: Array) -> tuple[int, ...]:
        x, y, _, dy, player = (int(size) for size in high - low + 1)
        return x, y, 2, dy, player  # dx is -1 or 1

    def enumerate_states(self) -> Array:
        """All states of the table in the order of :meth:`index`, (S, 5) int16."""
        low, high = (np.array(bound, dtype=np.intp) for bound in self._ranges())
        shape = self._table_shape(low, high)
        cells = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=-1)
        cells[:, 2] *= 2
        return (cells + low).astype(np.int16)

    def model(self) -> Model:
        """The game as a table, made by the game's own rules: ``S`` states, 3 actions, a serve per outcome."""
        states = self.enumerate_states()
        count = len(states)
        game = RallyVector(count * self.actions, height=self.height, width=self.width, paddle=self.paddle)
        game.set_states(states.repeat(self.actions, axis=0))
        game._play(np.tile(np.arange(self.actions), count))
        reached, miss = game.states(), game._miss
        reached[miss, 0], reached[miss, 2] = self.width // 2, -1
        outcomes = np.repeat(reached[:, None], self.height * 3, axis=1)  # (S * A, K, 5)
        outcomes[miss, :, 1] = np.repeat(np.arange(self.height), 3)
        outcomes[miss, :, 3] = np.tile((-1, 0, 1), self.height)
        probabilities = np.zeros(outcomes.shape[:2])
        probabilities[:, 0] = 1.0
        probabilities[miss] = 1.0 / (self.height * 3)
        return Model(
            next_state=self.index(outcomes).reshape(count, self.actions, -1),
            reward=game._rewards.astype(float).reshape(count, self.actions),
            terminal=np.zeros(count, np.bool_),
            probabilities=probabilities.reshape(count, self.actions, -1),
        )

    def render_states(self, states: Array, scale: int | None = None) -> Array:
        """Frames of ``states`` (N, 5), by default about 256 pixels wide; the wall glows where a ball is missed."""
        states = np.asarray(states)
        x, y, _, _, player = states.T.astype(np.intp)
        board = drawing.court(len(states), self.height, self.width)
        missed = (x == self.width - 2) & ~((player <= y) & (y < player + self.paddle))
        board[missed, :, -1] = drawing.ALARM
        drawing.paint_paddle(board, self.width - 1, player, self.paddle, drawing.PLAYER)
        board[np.arange(len(states)), y, x] = drawing.BALL
        return drawing.enlarge(board, scale or max(1, 256 // self.width))


class Rally(SingleEnv):
    """One rally."""

    batched = RallyVector
