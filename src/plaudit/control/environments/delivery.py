"""plaudit/Delivery-v0: the delivery gridworld of Knox et al. 2022, "Models of human preference for learning
reward functions" (section 5 and appendix), on the board that their subjects saw.

A vehicle drives on 10 by 10 tiles. Entering a tile costs petrol, more on brick; a coin adds and a roadblock takes
away, each time (coins are not used up); the goal and the sheep replace the cost and end the episode. Houses and
the border are solid: who bumps stays, and pays the petrol of the tile. Everything is deterministic, gamma is 1.
Actions: up, down, left, right; ``DIRECTIONS`` holds them as (row, column) steps, the coding of the human data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from plaudit.control.environments import drawing
from plaudit.control.environments.base import BatchedEnv, SingleEnv
from plaudit.control.environments.streams import draw_below
from plaudit.control.solve import Model
from plaudit.control.tables import Table
from plaudit.types import Array, PlauditError

BOARD = (
    "0050000000 0000400006 0030000666 4050233660 6600000000 6040000000 6203520000 0400000(10)66 0050000667 0000005004"
)
BLANK, HOUSE, SHEEP, COIN, ROADBLOCK, BRICK, GOAL, COIN_ON_BRICK = 0, 2, 3, 4, 5, 6, 7, 10
DIRECTIONS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])  # up, down, left, right
FEATURES = ("gas", "goal", "sheep", "coin", "roadblock", "brick")
WEIGHTS = np.array([-1.0, 50.0, -50.0, 1.0, -1.0, -2.0])  # of FEATURES
_COLOURS = {
    BLANK: (233, 229, 216),
    HOUSE: (92, 99, 112),
    SHEEP: (214, 69, 80),
    COIN: (240, 196, 64),
    ROADBLOCK: (226, 143, 74),
    BRICK: (188, 132, 108),
    GOAL: (74, 171, 125),
    COIN_ON_BRICK: (240, 196, 64),
}


@dataclass(frozen=True, eq=False)
class Board:
    """A board and what follows from it; states are numbered row * columns + column."""

    tiles: Array  # (R, C) int: BLANK, HOUSE, ...

    def __post_init__(self) -> None:
        if self.tiles.ndim != 2 or self.tiles.size == 0:
            raise ValueError(f"Board.tiles must be (R, C), got {self.tiles.shape}")
        if not np.isin(self.tiles, list(_COLOURS)).all():
            raise PlauditError(f"Delivery: unknown tiles {sorted(set(self.tiles.flat) - set(_COLOURS))} on the board")
        if not len(self.starts):
            raise PlauditError("Delivery: the board has no tile to start from")

    @classmethod
    def parse(cls, text: str) -> Board:
        """Read rows separated by spaces, a digit a tile; a tile above 9 stands in brackets: ``0400000(10)66``."""
        rows = []
        for row in text.split():
            pieces = [piece.partition(")") for piece in row.split("(")]
            numbers = [*pieces[0][0]]
            for number, bracket, rest in pieces[1:]:
                numbers += [number if bracket else "?", *rest]
            if not all(number.isdecimal() for number in numbers):
                raise PlauditError(f"Delivery: cannot read row {row!r} of the board: write digits, or (10)")
            rows.append([int(number) for number in numbers])
        if len({len(row) for row in rows}) != 1:
            raise PlauditError(f"Delivery: the rows of the board differ in length: {[len(row) for row in rows]}")
        return cls(np.array(rows))

    @cached_property
    def terminal(self) -> Array:
        """(S,) bool: sheep and goal."""
        return np.isin(self.tiles, (SHEEP, GOAL)).ravel()

    @cached_property
    def starts(self) -> Array:
        """(N,) int: states that an episode can begin in, all but houses and terminal ones; 92 on Knox's board."""
        return np.flatnonzero(~np.isin(self.tiles, (HOUSE, SHEEP, GOAL)).ravel())

    @cached_property
    def _destinations(self) -> tuple[Array, Array]:
        """The tile an action leads to, as (S, 4) states, and whether it was a bump, (S, 4) bool."""
        rows, columns = self.tiles.shape
        positions = np.stack(np.divmod(np.arange(self.tiles.size), columns), axis=-1)  # (S, 2)
        target = positions[:, None] + DIRECTIONS  # (S, 4, 2)
        on_board = np.asarray(((target >= 0) & (target < (rows, columns))).all(axis=-1))
        target = np.where(on_board[..., None], target, positions[:, None])
        entered = target[..., 0] * columns + target[..., 1]
        house: Array = self.tiles.ravel() == HOUSE
        bump = ~on_board | house[entered]
        return np.where(bump, np.arange(self.tiles.size)[:, None], entered), bump

    @cached_property
    def next_state(self) -> Array:
        """(S, 4) int; a terminal state leads to itself."""
        return np.where(self.terminal[:, None], np.arange(self.tiles.size)[:, None], self._destinations[0])

    @cached_property
    def features(self) -> Array:
        """(S, 4, 6) float: how often the step meets each of ``FEATURES``; the reward is features @ weights.

        Brick is instead of gas, coin and roadblock are on top of either, goal and sheep are alone, and a bump
        meets the tile's gas or brick only. Zero in terminal states.
        """
        entered, bump = self._destinations
        tile = self.tiles.ravel()[entered]
        ends = np.isin(tile, (GOAL, SHEEP))
        brick = np.isin(tile, (BRICK, COIN_ON_BRICK))
        marks = (
            ~brick & ~ends,
            (tile == GOAL) & ~bump,
            (tile == SHEEP) & ~bump,
            np.isin(tile, (COIN, COIN_ON_BRICK)) & ~bump,
            (tile == ROADBLOCK) & ~bump,
            brick,
        )
        return np.stack(marks, axis=-1) * ~self.terminal[:, None, None] * 1.0

    def model(self, weights: Array | None = None) -> Model:
        """The board as a table; ``weights`` (..., 6) of ``FEATURES``, Knox's own by default."""
        weights = WEIGHTS if weights is None else np.asarray(weights, dtype=float)
        if weights.shape[-1:] != (len(FEATURES),):
            raise ValueError(f"weights must end with {len(FEATURES)} entries, {FEATURES}, got {weights.shape}")
        reward = np.einsum("saf,...f->...sa", self.features, weights)
        return Model(next_state=self.next_state, reward=reward, terminal=self.terminal)


def knox_board() -> Board:
    """The board of the human study."""
    return Board.parse(BOARD)


def model(board: Board | None = None, weights: Array | None = None) -> Model:
    """``(board or Knox's board).model(weights)``: 100 states, 4 actions."""
    return (board or knox_board()).model(weights)


class DeliveryVector(BatchedEnv):
    """``B`` vehicles. State: row, column; the observation in state form is one-hot over the tiles, (R * C,).

    Reaching the goal or a sheep terminates the episode; otherwise it is truncated at ``horizon``.
    """

    variables = ("row", "column")
    actions = 4
    terminates = True

    def __init__(
        self, num_envs: int = 1, *, board: Board | str | None = None, horizon: int = 100, **settings: Any
    ) -> None:
        """``board`` is a :class:`Board` or its text; other settings as in :class:`BatchedEnv`."""
        self.board = board if isinstance(board, Board) else Board.parse(board or BOARD)
        self._table = self.board.model()
        self._columns = self.board.tiles.shape[1]
        self._tile = np.zeros(num_envs, np.intp)
        super().__init__(num_envs, horizon=horizon, **settings)
        self._rows = np.arange(num_envs)
        self._reward = self._table.reward.astype(np.float32).ravel()
        self._next = self._table.next_state.ravel()

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(R, C)."""
        rows, columns = self.board.tiles.shape
        return rows, columns

    @property
    def features(self) -> int:
        """One for each tile."""
        return self.board.tiles.size

    def table(self) -> Table:
        """All tiles, each of which is a state."""
        count, starts = self.board.tiles.size, self.board.starts
        start = np.zeros(count)
        start[starts] = 1 / len(starts)
        next_state = self._table.next_state[..., None]
        observations = np.eye(count, dtype=np.float32)
        return Table(
            next_state,
            np.ones(next_state.shape),
            self._table.reward,
            start,
            self.board.terminal,
            observations,
            features=self.board.features,
            feature_names=FEATURES,
        )

    def _ranges(self) -> tuple[Sequence[int], Sequence[int]]:
        rows, columns = self.board.tiles.shape
        return (0, 0), (rows - 1, columns - 1)

    def _begin(self, lanes: Array) -> Array:
        tile = self.board.starts[draw_below(lanes[0], len(self.board.starts))]
        return np.stack(np.divmod(tile, self._columns)).astype(np.int16)

    def _advance(self, actions: Array, lanes: Array) -> None:
        tile = self._state[0].astype(np.intp) * self._columns + self._state[1]
        step = tile * 4 + np.clip(actions, 0, 3)
        np.take(self._reward, step, out=self._rewards)
        tile = self._next[step]
        np.divmod(tile, self._columns, out=(self._state[0], self._state[1]), casting="unsafe")
        np.take(self.board.terminal, tile, out=self._terminated)

    def _vector(self) -> Array:
        self._scaled[:] = 0.0
        self._scaled[self._state[0].astype(np.intp) * self._columns + self._state[1], self._rows] = 1.0
        return self._scaled

    def _paint(self, frames: Array) -> None:
        frames[:] = self.board.tiles * 20
        frames[self._rows, self._state[0], self._state[1]] = 255

    def render_states(self, states: Array, scale: int | None = None) -> Array:
        """Frames of ``states`` (N, 2), by default about 240 pixels wide; the vehicle is the dark square."""
        states = np.asarray(states).astype(np.intp)
        columns = self._columns
        scale = scale or max(4, 240 // columns)
        palette = np.zeros((max(_COLOURS) + 1, 3), np.uint8)
        for tile, colour in _COLOURS.items():
            palette[tile] = colour
        ground = np.where(self.board.tiles == COIN_ON_BRICK, BRICK, self.board.tiles)
        ground = np.where(ground == COIN, BLANK, ground)
        picture = drawing.enlarge(palette[ground][None], scale)[0]
        picture[::scale] = picture[:, ::scale] = (205, 200, 186)
        for row, column in np.argwhere(np.isin(self.board.tiles, (COIN, COIN_ON_BRICK))):
            drawing.disc(picture[None], np.array([row]), np.array([column]), scale, 0.3, _COLOURS[COIN])
        frames = np.repeat(picture[None], len(states), axis=0)
        drawing.disc(frames, states[:, 0], states[:, 1], scale, 0.38, (30, 64, 130))
        return frames


class Delivery(SingleEnv):
    """One vehicle."""

    batched = DeliveryVector
