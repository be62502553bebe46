"""Frames recorded while an environment acts, for people's clips, if stored observations cannot be drawn later."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from PIL import Image

from plaudit.control.ends import RowEnvs
from plaudit.functional.pictures import shows_pictures
from plaudit.types import Array, PlauditError

DRAWN_FROM_OBSERVATIONS = {  # Gymnasium's environments that the web app puts into the state that an observation tells
    "Acrobot-v1",
    "CartPole-v0",
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
}
FILMED_ROWS = 4  # environments that are filmed: questions are about these
FILM_BYTES = 2 * 2**30  # of all clips that a run may ask about, before compression
LONGEST_SIDE = 256  # pixels


def needs_film(envs: VectorEnv) -> bool:
    """Whether clips of the environments have to be recorded, because nothing draws them from what is stored."""
    rows = envs.unwrapped
    if not isinstance(rows, RowEnvs) or shows_pictures(cast(spaces.Box, rows.single_observation_space)):
        return False
    env, spec = cast(Any, rows.envs[0].unwrapped), rows.envs[0].spec
    if spec is not None and spec.id in DRAWN_FROM_OBSERVATIONS:
        return False
    return not (hasattr(env, "draw") or (hasattr(env, "observation_structure") and hasattr(env, "set_state")))


class Film:
    """The frames of the first rows, as small as the disk wants them: what a collector keeps as compact states."""

    def __init__(self, envs: VectorEnv, frames: int) -> None:
        """frames: the number that a run may store.

        Raises:
            PlauditError: the environment cannot draw itself here.
        """
        self.rows = cast(RowEnvs, envs.unwrapped).envs[:FILMED_ROWS]
        self.name = str(self.rows[0].spec.id if self.rows[0].spec else envs)
        self.factor = 1
        self.rows[0].reset(seed=0)
        height, width = self._draw(0).shape[:2]
        while max(height, width) > LONGEST_SIDE * self.factor or self._size(height, width) * frames > FILM_BYTES:
            self.factor += 1
        self.bytes = self._size(height, width) * frames

    def __call__(self) -> Array:
        """The present frames (rows, H, W, 3) uint8."""
        return np.stack([self._draw(row) for row in range(len(self.rows))])

    def _size(self, height: int, width: int) -> int:
        """Bytes of a frame of that many pixels, as it is reduced."""
        return 3 * -(-height // self.factor) * -(-width // self.factor)

    def _draw(self, row: int) -> Array:
        try:
            frame: Any = np.asarray(cast(Any, self.rows[row].render()))
        except Exception as error:  # a renderer raises whatever its library likes
            raise PlauditError(f"{self.name} cannot be drawn here: {type(error).__name__}: {error}") from error
        if frame.ndim != 3 or frame.shape[-1] != 3:
            raise PlauditError(f"{self.name} must draw frames (H, W, 3) in the mode rgb_array, got {frame.shape}")
        return frame if self.factor == 1 else np.asarray(Image.fromarray(frame.astype(np.uint8)).reduce(self.factor))
