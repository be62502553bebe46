"""Observations that are pictures: where their channels stand, and the layers that their size allows."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

Layers = tuple[tuple[int, int], ...]  # (kernel, stride) of each convolution
PAPER: Layers = ((7, 3), (5, 2), (3, 1), (3, 1))  # Christiano et al. 2017, appendix A.2
SMALL: Layers = ((3, 1), (3, 2), (3, 1))  # our own courts: 7x7 at stride 3 would leave nothing


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether a picture's shape is (height, width, channels) rather than (channels, height, width).

    The two equal sides are height and width. Where all sides differ, the shorter outer one holds the channels.
    """
    first, middle, last = shape
    if middle == last:
        return False
    return first == middle or last < first


def picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of a picture's shape, whose channels stand first or last."""
    first, middle, last = shape
    return (last, first, middle) if channels_last(shape) else (first, middle, last)


def shows_pictures(space: spaces.Box) -> bool:
    """Whether observations are pictures that a CNN can take: bytes in three dimensions, of at least 9 x 9 pixels."""
    if space.dtype != np.uint8 or len(space.shape) != 3:
        return False
    _, height, width = picture_shape(space.shape)
    return _leaves(min(height, width), SMALL) >= 1


def convolutions(height: int, width: int) -> Layers:
    """(kernel, stride) of each layer for pictures of a size: the paper's, or small ones if those leave nothing."""
    return PAPER if _leaves(min(height, width), PAPER) >= 1 else SMALL


def _leaves(side: int, layers: Layers) -> int:
    """Pixels that are left of a side after the layers; 0 or less if they do not fit."""
    for kernel, stride in layers:
        side = (side - kernel) // stride + 1
    return side
