"""Frames recorded while an environment acts, for people's clips, if stored observations cannot be drawn later."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from PIL import Image

from plaudit.control.checks import FAULTS
from plaudit.control.ends import RowEnvs
from plaudit.control.make import PICTURES
from plaudit.control.values import describe
from plaudit.extensions import one_line
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


def rgb_frame(frame: Any, name: str) -> Array:
    """What an environment draws as one frame (H, W, 3) uint8: grey becomes grey RGB, and opacity is left out.

    Raises:
        PlauditError: it is no such picture. Numbers from 0 to 1 are refused, because bytes would make them black.
    """
    if isinstance(frame, list) and frame:  # the mode rgb_array_list: frames since the last call
        frame = frame[-1]
    if frame is None:
        raise PlauditError(
            f"{name} drew nothing: its render() must return a frame (H, W, 3) uint8 in the mode rgb_array"
        )
    picture = np.asarray(frame)
    if picture.ndim == 2:
        picture = picture[:, :, None]
    whole = picture.dtype.kind in "iu" and picture.size and picture.min() >= 0 and picture.max() <= 255
    if picture.ndim != 3 or picture.shape[-1] not in (1, 3, 4) or not whole:
        raise PlauditError(f"{name} must draw frames (H, W, 3) uint8 in the mode rgb_array, got {describe(frame)}")
    if picture.shape[-1] == 1:
        picture = picture.repeat(3, axis=2)
    return picture[..., :3].astype(np.uint8, copy=False)


def reduce(frame: Array, longest: int) -> Array:
    """A frame whose longer side has at most ``longest`` pixels, by averaging whole blocks of pixels."""
    factor = -(-max(frame.shape[:2]) // longest)
    return frame if factor == 1 else np.asarray(Image.fromarray(np.ascontiguousarray(frame)).reduce(factor))


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
        self._shape: tuple[int, ...] = ()  # (H, W) of the first frame
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
            frame: Any = cast(Any, self.rows[row].render())
        except FAULTS as error:  # a renderer raises whatever its library likes
            raise PlauditError(f"{self.name} cannot be drawn here: {one_line(error)}; {PICTURES}") from error
        picture = rgb_frame(frame, self.name)
        self._shape = self._shape or picture.shape[:2]
        height, width = self._shape
        image = Image.fromarray(np.ascontiguousarray(picture))
        if picture.shape[:2] != self._shape:  # all frames of a clip have the size of the first
            image = image.resize((width, height))
        return np.asarray(image if self.factor == 1 else image.reduce(self.factor))
