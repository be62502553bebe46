"""Colours and helpers for frames."""

from __future__ import annotations

import numpy as np

from plaudit.types import Array

COURT = (16, 24, 40)
LINE = (40, 52, 74)
BALL = (250, 250, 245)
PLAYER = (74, 201, 155)
OPPONENT = (240, 138, 93)
ALARM = (214, 69, 80)
SUCCESS = (46, 125, 92)
TARGET = (58, 84, 130)


def court(count: int, height: int, width: int) -> Array:
    """``count`` empty courts, (N, height, width, 3) uint8."""
    return np.broadcast_to(np.array(COURT, np.uint8), (count, height, width, 3)).copy()


def paint_paddle(board: Array, column: int, top: Array, height: int, colour: tuple[int, int, int]) -> None:
    """Colour ``height`` cells of a column from ``top`` (N,) downwards."""
    frames = np.arange(len(board))
    for offset in range(height):
        board[frames, top + offset, column] = colour


def enlarge(board: Array, scale: int) -> Array:
    """Each cell of (N, H, W, 3) becomes a square of ``scale`` pixels."""
    return board.repeat(scale, axis=1).repeat(scale, axis=2)


def disc(frames: Array, rows: Array, columns: Array, scale: int, radius: float, colour: tuple[int, int, int]) -> None:
    """Draw a disc in cell (rows[n], columns[n]) of each enlarged frame (N, H, W, 3); ``radius`` is in cells."""
    ticks = (np.arange(scale) + 0.5) / scale - 0.5
    dy, dx = np.nonzero(ticks[:, None] ** 2 + ticks**2 <= radius**2)
    frame = np.arange(len(frames))[:, None]
    frames[frame, np.asarray(rows)[:, None] * scale + dy, np.asarray(columns)[:, None] * scale + dx] = colour
