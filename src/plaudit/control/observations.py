"""Observations that are not one array of numbers or one picture, as one.

Parts are flattened as Gymnasium does it, without text. Grey pictures get an axis of channels, and the channels of
stacked pictures stand next to each other.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten, flatten_space

from plaudit.control.values import check_part, read_array
from plaudit.functional.pictures import channels_last, picture_shape, shows_pictures
from plaudit.types import Array, PlauditError

MOST_NUMBERS = 1_000_000  # of one observation that is flattened: an option of a Discrete space is one
LEAST_GREY = 43  # pixels of the shorter side from which bytes (H, W) are a picture: those that the paper's layers take


@dataclass(frozen=True)
class Flattening:
    """How observations of one space become arrays of another."""

    source: spaces.Space
    """The space of the environment, without text."""
    target: spaces.Box
    """The space of the arrays."""
    left_out: tuple[str, ...] = ()
    """Parts of the environment's space that are text."""

    def __call__(self, observation: Any) -> Array:
        """One observation of the environment as an array of ``target``.

        Raises:
            PlauditError: a part is not in its space, which Gymnasium would flatten to another value in silence.
        """
        if len(self.target.shape) == 3:
            return _arrange(read_array(observation, self.source, "observation"))
        return flatten(self.source, _select(self.source, observation, "observation"))  # type: ignore[return-value]

    def batch(self, observations: Any) -> tuple[Array, bool]:
        """One observation or several as (B, F), and whether it was one; several have their rows first in each part.

        Raises:
            PlauditError: the observation does not have the parts or the shapes of the space.
        """
        try:
            space, leaf = _first_leaf(self.source, observations)
            single = np.shape(leaf) == (space.shape or ())
            rows = [observations] if single else [_row(self.source, observations, row) for row in range(len(leaf))]
            return np.stack([self(row) for row in rows]), single
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PlauditError(
                f"the observation does not fit {one_line(self.source)}: {type(error).__name__}: {error}"
            ) from error


def flattening_of(space: spaces.Space) -> Flattening | None:
    """How to flatten observations of a space; None: they are arrays as they are.

    Raises:
        PlauditError: the space, or a part of it, has no fixed size, no numbers, or too many.
    """
    if isinstance(space, spaces.Box) and space.shape and 0 not in space.shape:
        return _arrangement_of(space)
    left_out: list[str] = []
    source = _without_text(space, "", left_out)
    count = flatdim(source) if source is not None and source.is_np_flattenable else None
    if source is None or not count or count > MOST_NUMBERS:
        has = "has no fixed size" if source is not None and count is None else "has no numbers"
        has = f"becomes {count:,} numbers, at most {MOST_NUMBERS:,} are possible" if count else has
        raise PlauditError(
            f"observation space {one_line(space)} {has}: wrap the environment in a "
            "gymnasium.ObservationWrapper whose observation_space is a Box, Dict, Tuple, Discrete, MultiDiscrete or "
            "MultiBinary"
        )
    return Flattening(source, flatten_space(source), tuple(left_out))  # type: ignore[arg-type]


def _arrangement_of(space: spaces.Box) -> Flattening | None:
    """How bytes (H, W), (S, H, W, C) or (S, C, H, W) become a picture with channels; None for other arrays."""
    shape = space.shape
    if len(shape) == 2 and min(shape) < LEAST_GREY:
        return None
    if len(shape) not in (2, 4) or (len(shape) == 4 and shape[0] == 1):
        return None
    target = spaces.Box(_arrange(space.low), _arrange(space.high), dtype=space.dtype)  # type: ignore[arg-type]
    picture = len(shape) == 2 or shows_pictures(spaces.Box(0, 255, shape[1:], np.uint8))
    return Flattening(space, target) if picture and shows_pictures(target) else None


def _arrange(pictures: Array) -> Array:
    """A grey picture with an axis of channels, or the channels of stacked pictures in the order of the stack."""
    if pictures.ndim == 2:
        return pictures[:, :, None]
    stack, *rest = pictures.shape
    if channels_last(pictures.shape[1:]):
        return np.moveaxis(pictures, 0, 2).reshape(rest[0], rest[1], stack * rest[2])
    return pictures.reshape(stack * rest[0], rest[1], rest[2])


def warn_of_misfits(space: spaces.Space, flattening: Flattening | None, name: str) -> None:
    """Say which parts of the observations are left out, and which pictures networks read as plain numbers."""
    if _looks_like_pictures(space):
        warnings.warn(
            f"observations of {name} are {space.dtype} of shape {space.shape}, which networks read as plain numbers: "
            "if they are pictures, return bytes (uint8)",
            stacklevel=2,
        )
    if flattening is not None and flattening.left_out:
        warnings.warn(
            f"observations of {name} have text in {', '.join(flattening.left_out)}: it is left out", stacklevel=2
        )


def _looks_like_pictures(space: spaces.Space) -> bool:
    """Whether a space has the shape of large pictures with channels, and another dtype than bytes."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or space.dtype == np.uint8:
        return False
    _, height, width = picture_shape(space.shape)
    return min(height, width) >= LEAST_GREY


def one_line(value: object) -> str:
    """A space, or another value, as text without line breaks."""
    return " ".join(str(value).split())


def _without_text(space: spaces.Space, name: str, left_out: list[str]) -> spaces.Space | None:
    """The space without parts that are text, whose names are added to ``left_out``; None: nothing remains."""
    if isinstance(space, spaces.Text) or (space.dtype is not None and space.dtype.kind == "U"):
        left_out.append(name or "all")
        return None
    if isinstance(space, spaces.Dict):
        parts = {key: _without_text(part, _join(name, key), left_out) for key, part in space.spaces.items()}
        numbers = {key: part for key, part in parts.items() if part is not None}
        return spaces.Dict(numbers) if numbers else None
    if isinstance(space, spaces.Tuple):
        before = len(left_out)
        entries = [_without_text(part, _join(name, str(index)), left_out) for index, part in enumerate(space.spaces)]
        if len(left_out) == before:
            return space
        numbers = {str(index): entry for index, entry in enumerate(entries) if entry is not None}
        return spaces.Dict(numbers) if numbers else None
    return space


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _select(space: spaces.Space, observation: Any, name: str) -> Any:
    """The parts of an observation that the space has, each of which is in its space."""
    if isinstance(space, spaces.Dict):
        return {key: _select(part, _part(observation, key), f"{name}.{key}") for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        pairs = enumerate(zip(space.spaces, observation, strict=True))
        return tuple(_select(part, entry, f"{name}.{index}") for index, (part, entry) in pairs)
    return check_part(space, observation, name)


def _part(observation: Any, key: str) -> Any:
    """A part by its key, or by its place in a tuple that had text in it."""
    return observation[int(key)] if isinstance(observation, tuple | list) else observation[key]


def _first_leaf(space: spaces.Space, observation: Any) -> tuple[spaces.Space, Any]:
    """The first part that has no parts, and its space."""
    if isinstance(space, spaces.Dict):
        key, part = next(iter(space.spaces.items()))
        return _first_leaf(part, _part(observation, key))
    if isinstance(space, spaces.Tuple):
        return _first_leaf(space.spaces[0], observation[0])
    return space, observation


def _row(space: spaces.Space, observations: Any, row: int) -> Any:
    """One observation of several."""
    if isinstance(space, spaces.Dict):
        return {key: _row(part, _part(observations, key), row) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_row(part, entry, row) for part, entry in zip(space.spaces, observations, strict=True))
    return observations[row]
