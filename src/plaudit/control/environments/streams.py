"""Random numbers of a batch of environments: one stream per row, so that row i does not depend on B.

Row ``i`` of an environment seeded with ``s`` draws what a single environment seeded with ``s + i`` draws
(Gymnasium's convention for vector environments). The generator is SplitMix64 (Steele, Lea and Flood 2014,
"Fast splittable pseudorandom number generators", figure 17) run as a counter, a block of steps at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plaudit.types import Array

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_BLOCK = 64  # steps drawn at once


def mix(numbers: Array) -> Array:
    """SplitMix64's finaliser on uint64, any shape; a new array."""
    mixed = numbers ^ (numbers >> _SHIFT_30)
    mixed *= _MIX_1
    mixed ^= mixed >> _SHIFT_27
    mixed *= _MIX_2
    mixed ^= mixed >> _SHIFT_31
    return mixed


class Streams:
    """One stream of 64-bit numbers for each of ``B`` seeds, handed out step by step as 16-bit lanes."""

    def __init__(self, seeds: Sequence[int]) -> None:
        if not len(seeds):
            raise ValueError("Streams needs at least one seed")
        bits = np.array([seed & 0xFFFFFFFFFFFFFFFF for seed in seeds], dtype=np.uint64)
        self._origins = mix(mix(bits + _GAMMA))  # (B,): neighbouring seeds start far apart
        self._counter = 0
        self._lanes = np.empty((_BLOCK, 4, len(seeds)), np.uint16)

    def next(self) -> Array:
        """The next step's lanes, (4, B) uint16, independent and uniform; valid until the next call."""
        index = self._counter % _BLOCK
        if index == 0:
            steps = np.arange(self._counter + 1, self._counter + 1 + _BLOCK, dtype=np.uint64) * _GAMMA
            numbers = mix(steps[:, None] + self._origins)  # (_BLOCK, B)
            lanes = numbers.astype("<u8").view("<u2").reshape(_BLOCK, -1, 4)
            self._lanes[:] = lanes.transpose(0, 2, 1)
        self._counter += 1
        return self._lanes[index]


def draw_below(lane: Array, bound: int) -> Array:
    """Map uint16 numbers to integers in [0, bound), int16; the bias is below bound / 65536."""
    return ((lane.astype(np.uint32) * np.uint32(bound)) >> np.uint32(16)).astype(np.int16)
