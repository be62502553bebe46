"""Observations that are not one array, as one: Gymnasium's own flattening, without the parts that are text."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space

from plaudit.types import Array, PlauditError


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
        """One observation of the environment as an array of ``target``."""
        return flatten(self.source, _select(self.source, observation))  # type: ignore[return-value]

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
        PlauditError: the space, or a part of it, has no fixed size.
    """
    if isinstance(space, spaces.Box) and space.shape:
        return None
    left_out: list[str] = []
    source = _without_text(space, "", left_out)
    if source is None or not source.is_np_flattenable:
        raise PlauditError(
            f"observation space {one_line(space)} has no fixed size: wrap the environment in a "
            "gymnasium.ObservationWrapper whose observation_space is a Box, Dict, Tuple, Discrete, MultiDiscrete or "
            "MultiBinary"
        )
    return Flattening(source, flatten_space(source), tuple(left_out))  # type: ignore[arg-type]


def warn_of_text(flattening: Flattening, name: str) -> None:
    """Say which parts of the observations are left out."""
    if flattening.left_out:
        warnings.warn(
            f"observations of {name} have text in {', '.join(flattening.left_out)}: it is left out", stacklevel=2
        )


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


def _select(space: spaces.Space, observation: Any) -> Any:
    """The parts of an observation that the space has."""
    if isinstance(space, spaces.Dict):
        return {key: _select(part, _part(observation, key)) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_select(part, entry) for part, entry in zip(space.spaces, observation, strict=True))
    return observation


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
