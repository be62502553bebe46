"""Segments and judgements as they lie on disk: nothing here can run code that a file brought along.

A segment is a safetensors file (dtype, shape and bytes by name) deflated with zlib at level 1. Beside
``np.savez_compressed`` this is as portable, smaller for short segments, and 6 to 12 times faster, which is what
lets a loop write and read thousands of segments in the time of one reward fit.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from plaudit.types import PlauditError, Segment, Source

ENCODING = "safetensors+zlib"
_NAMES = ("observations", "actions", "states")
_KINDS = "biufc"  # bool, integers, unsigned, floats, complex


def pack(segment: Segment) -> bytes:
    """The arrays of ``segment`` as bytes; raises :class:`PlauditError` for a dtype that cannot be stored as it is."""
    arrays = {name: value for name in _NAMES if (value := getattr(segment, name)) is not None}
    for name, value in arrays.items():
        if value.dtype.kind not in _KINDS or not value.dtype.isnative or value.dtype.itemsize > 8:
            raise PlauditError(
                f"Segment.{name} has dtype {value.dtype.str!r}, which the store cannot keep: "
                "use a bool, integer or floating dtype of at most 8 bytes in native byte order"
            )
    # safetensors writes the buffer as it lies in memory, so a transposed view would come back scrambled.
    return zlib.compress(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}), 1)


def unpack(identity: str, encoding: str, data: bytes, source: Source | None) -> Segment:
    """The segment that :func:`pack` wrote; its contents must still hash to ``identity``.

    Raises :class:`PlauditError` when they do not, or when the bytes cannot be read.
    """
    if encoding != ENCODING:
        raise PlauditError(f"segment {identity} is stored as {encoding!r}, which this version cannot read: upgrade")
    try:
        segment = Segment(**load(zlib.decompress(data)), source=source)
    except (zlib.error, SafetensorError, TypeError, ValueError) as error:
        raise PlauditError(f"segment {identity} cannot be read ({error}): restore the store from a copy") from error
    if segment.id != identity:
        raise PlauditError(f"segment {identity} has changed on disk: restore the store from a copy")
    return segment


def to_json(value: Mapping[str, Any]) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. Raises :class:`PlauditError` for anything else."""
    try:
        return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise PlauditError(f"a judgement's value must be plain JSON, got {value!r}: {error}") from error
