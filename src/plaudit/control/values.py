"""What an environment returns, as exactly the numbers that its spaces declare: nothing is rounded, cut or wrapped."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from gymnasium import spaces

from plaudit.types import Array, PlauditError

LARGEST = float(np.finfo(np.float32).max)
NUMBERS = "biuf"  # kinds of dtype: booleans, whole numbers and real numbers


def read_reward(value: Any) -> float:
    """A reward as a number.

    Raises:
        PlauditError: it is no real number, or not finite as a 32-bit float.
    """
    array = _read_array(value)
    if array is None or array.shape or not (array.dtype.kind in NUMBERS or isinstance(value, Real)):
        raise PlauditError(f"the reward must be a number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise PlauditError(f"the reward is {number}")
    if abs(number) > LARGEST:
        raise PlauditError(f"the reward is {number}, which is too large for float32")
    return number


def read_flag(value: Any, name: str) -> bool:
    """Whether an episode has ended, from a Boolean or from the numbers 0 and 1.

    Raises:
        PlauditError: it is neither.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    array = _read_array(value)
    if array is None or array.size != 1 or array.dtype.kind not in NUMBERS or array.item() not in (0, 1):
        raise PlauditError(f"{name} must be True or False, got {describe(value)}")
    return bool(array.item())


def read_array(value: Any, space: spaces.Space, name: str) -> Array:
    """An observation, or a part of one, as an array of its space's shape and dtype.

    Raises:
        PlauditError: it has another shape, or numbers that the dtype cannot hold, which numpy would round, cut or wrap.
    """
    array = _read_array(value)
    if array is None or array.dtype.kind not in NUMBERS:
        raise PlauditError(f"the {name} must be numbers of {space.dtype}, got {describe(value)}")
    if array.shape != space.shape:
        raise PlauditError(f"the {name} has the shape {array.shape}, its space {space.shape}")
    if array.dtype == space.dtype:
        return array
    with np.errstate(all="ignore"):
        cast = array.astype(space.dtype)
        wrong = cast != array if cast.dtype.kind in "biu" else np.isfinite(array) & ~np.isfinite(cast)
    if wrong.any():
        index = tuple(int(part) for part in np.argwhere(wrong)[0])
        raise PlauditError(
            f"{name}{list(index)} is {array[index]}, which is no value of {space.dtype}, the dtype of its space"
        )
    return cast


def check_part(space: spaces.Space, value: Any, name: str) -> Any:
    """A part of an observation that has no parts, checked before Gymnasium flattens it.

    Gymnasium takes an option below the first one for one of the last, and one of a MultiDiscrete beyond the last for
    the first of the next.

    Raises:
        PlauditError: the part is not in its space.
    """
    if isinstance(space, spaces.Box):
        return read_array(value, space, name)
    if isinstance(space, spaces.Discrete):
        return _check_options(value, space, space.start, space.start + space.n, name)
    if isinstance(space, spaces.MultiDiscrete):
        return _check_options(value, space, space.start, space.start + space.nvec, name)
    if isinstance(space, spaces.MultiBinary):
        return _check_options(value, space, 0, 2, name)
    return value


def find_infinite(array: Array) -> tuple[int, ...] | None:
    """The index of the first number that is not finite; None if all are."""
    finite = np.isfinite(array)
    return None if finite.all() else tuple(int(part) for part in np.argwhere(~finite)[0])


def describe(value: Any) -> str:
    """The kind of a value: the length of a tuple, the shape and dtype of an array, a short text itself."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, str | int | float | complex | np.generic):
        return f"{type(value).__name__} {value!r:.40}"
    return type(value).__name__


def _check_options(value: Any, space: spaces.Space, first: Any, end: Any, name: str) -> Any:
    array = _read_array(value)
    if array is None or array.dtype.kind not in "biu" or array.size != int(np.prod(space.shape or ())):
        raise PlauditError(f"the {name} must be {space}, got {describe(value)}")
    array = array.reshape(space.shape or ())
    if not ((array >= first) & (array < end)).all():
        raise PlauditError(f"the {name} is {' '.join(str(array).split())}, which is not in its space {space}")
    return array.astype(space.dtype) if space.shape else int(array)


def _read_array(value: Any) -> Array | None:
    """What numpy makes of a value; None if it cannot."""
    try:
        return np.asarray(value)
    except Exception:  # such as a tensor with a gradient, or parts of several shapes: the caller says what it got
        return None
