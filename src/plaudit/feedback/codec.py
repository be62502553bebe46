"""Segments, dialogues and judgements as they lie on disk: nothing here can run code that a file brought along.

A segment is a safetensors file (dtype, shape and bytes by name) deflated with zlib at level 1. Beside
``np.savez_compressed`` this is as portable, smaller for short segments, and 6 to 12 times faster, which is what
lets a loop write and read thousands of segments in the time of one reward fit. A dialogue is deflated JSON.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from plaudit.types import Array, Dialogue, Item, Message, PlauditError, Segment, Source

ENCODING = "safetensors+zlib"
DIALOGUE = "json+zlib"
_NAMES = ("observations", "actions", "states")
_KINDS = "biufc"  # bool, integers, unsigned, floats, complex


def pack(item: Item) -> tuple[str, bytes]:
    """Encoding and bytes of ``item``; raises :class:`PlauditError` for what cannot be stored as it is."""
    return (DIALOGUE, _pack_dialogue(item)) if isinstance(item, Dialogue) else (ENCODING, _pack_segment(item))


def unpack(identity: str, encoding: str, data: bytes, source: Source | None) -> Item:
    """The item that :func:`pack` wrote; its contents must still hash to ``identity``.

    Raises :class:`PlauditError` when they do not, or when the bytes cannot be read.
    """
    if encoding not in (ENCODING, DIALOGUE):
        raise PlauditError(f"item {identity} is stored as {encoding!r}, which this version cannot read: upgrade")
    try:
        raw = zlib.decompress(data)
        item = _dialogue(json.loads(raw)) if encoding == DIALOGUE else _segment(load(raw), source)
    except (zlib.error, SafetensorError, TypeError, ValueError, KeyError, RecursionError) as error:
        raise PlauditError(f"item {identity} cannot be read ({error}): restore the store from a copy") from error
    if item.id != identity:
        raise PlauditError(f"item {identity} has changed on disk: restore the store from a copy")
    return item


def read(data: bytes) -> Segment:
    """A segment from its bytes alone, where nobody wrote its name down; raises :class:`PlauditError` for others."""
    try:
        return _segment(load(zlib.decompress(data)), None)
    except (zlib.error, SafetensorError, TypeError, ValueError, KeyError) as error:
        raise PlauditError(f"these bytes are not a segment: {error}") from error


def _pack_segment(segment: Segment) -> bytes:
    arrays = {name: value for name in _NAMES if (value := getattr(segment, name)) is not None}
    for name, value in arrays.items():
        if value.dtype.kind not in _KINDS or not value.dtype.isnative or value.dtype.itemsize > 8:
            raise PlauditError(
                f"Segment.{name} has dtype {value.dtype.str!r}, which the store cannot keep: "
                "use a bool, integer or floating dtype of at most 8 bytes in native byte order"
            )
    # safetensors writes the buffer as it lies in memory, so a transposed view would come back scrambled.
    return zlib.compress(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}), 1)


def _segment(arrays: Mapping[str, Array], source: Source | None) -> Segment:
    return Segment(arrays["observations"], arrays["actions"], arrays.get("states"), source)


def _pack_dialogue(dialogue: Dialogue) -> bytes:
    body = {"messages": [[message.role, message.content] for message in dialogue.messages], "model": dialogue.model}
    return zlib.compress(to_json(body).encode("utf-8", "surrogatepass"), 1)


def _dialogue(body: Any) -> Dialogue:
    return Dialogue(tuple(Message(role, content) for role, content in body["messages"]), body["model"])


def to_json(value: Mapping[str, Any]) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN. Raises :class:`PlauditError` for anything else."""
    try:
        return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise PlauditError(f"a value that is stored must be plain JSON, got {value!r}: {error}") from error
