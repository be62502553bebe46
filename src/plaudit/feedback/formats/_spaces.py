"""Observations and actions of recorded episodes as plain arrays: Dict and Tuple spaces are flattened.

The order and the values are those of Gymnasium's FlattenObservation: keys sorted, discrete parts as one-hot vectors. So
a policy or a reward model of the flattened environment can take them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from plaudit.types import Array

INDEX = "_index_"  # before the number of a part of a Tuple, in HDF5
NOT_NUMBERS = "its observations and actions are no plain arrays of numbers, and are not read"


def parse_space(text: Any) -> dict[str, Any]:
    """Minari's description of a space, which is JSON, sometimes within a string; {} if there is none."""
    try:
        space = json.loads(text) if isinstance(text, str | bytes) else text
    except ValueError:
        return {}
    return space if isinstance(space, dict) else {}


def to_array(value: Any, space: Mapping[str, Any]) -> Array:
    """Steps of a space as one array: a Box in its shape, a Dict or a Tuple (a nested mapping) flattened, (T, size).

    Raises:
        ValueError: a part holds no numbers, or the parts differ in their steps.
    """
    if isinstance(value, Mapping):
        try:
            return _flatten(value, space)
        except TypeError as error:
            raise ValueError(f"its space is not described as Minari does ({error})") from error
    values = _check(value)
    shape: Any = space.get("shape")
    sized = isinstance(shape, list) and bool(shape) and all(isinstance(size, int) and size > 0 for size in shape)
    if sized and len(values) and int(np.prod(shape)) == values[0].size:
        return values.reshape(-1, *shape)
    return values


def _flatten(value: Any, space: Any) -> Array:
    space = space if isinstance(space, Mapping) else {}
    if isinstance(value, Mapping):
        parts = space.get("subspaces", {})
        columns = [_flatten(value[key], _subspace(parts, key)) for key in sorted(value, key=_order)]
        if not columns or len({len(column) for column in columns}) != 1:
            raise ValueError("the parts of its observations or actions differ in their number of steps")
        return np.concatenate(columns, axis=1)
    values = _check(value)
    values = values.reshape(len(values), -1)
    if space.get("type") == "Discrete":
        return _one_hot(values[:, 0] - int(space.get("start", 0)), int(space.get("n", 0)))
    if space.get("type") == "MultiDiscrete":
        sizes = np.asarray(space.get("nvec", ())).reshape(-1)
        starts = np.asarray(space.get("start", np.zeros_like(sizes))).reshape(-1)
        if not len(sizes) == len(starts) == values.shape[1]:
            raise ValueError(f"has {values.shape[1]} discrete parts, and its space has {len(sizes)}")
        parts = zip(values.T, starts, sizes, strict=True)
        return np.concatenate([_one_hot(column - int(start), int(size)) for column, start, size in parts], axis=1)
    return values


def _subspace(parts: Any, key: str) -> Any:
    if isinstance(parts, Mapping):
        return parts.get(key)
    number = key.removeprefix(INDEX)
    return parts[int(number)] if isinstance(parts, list) and number.isdigit() and int(number) < len(parts) else None


def _order(key: str) -> tuple[int, str]:
    """Keys of a Dict by their spelling, parts of a Tuple by their numbers."""
    number = key.removeprefix(INDEX)
    return (int(number), "") if number.isdigit() else (-1, key)


def _one_hot(values: Array, size: int) -> Array:
    if not np.all((values >= 0) & (values < size)):
        raise ValueError(f"has a discrete value outside its {size} values")
    return np.eye(size, dtype=np.int64)[values.astype(int)]


def _check(value: Any) -> Array:
    values = np.asarray(value)
    if values.dtype.kind not in "biuf" or values.ndim == 0:
        raise ValueError(NOT_NUMBERS)
    return values
