"""Frames to WebM: what an agent did, as a clip small enough to stand inside a report."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from plaudit.types import Array, PlauditError

ENCODERS = ("libvpx-vp9", "libvpx")  # the order of preference; every browser plays both
OPTIONS: dict[str, object] = {
    "crf": "30",
    "b:v": "0",
    "deadline": "good",
    "cpu-used": "6",
    "row-mt": "1",
    "threads": "1",
}


@dataclass(frozen=True, eq=False)
class Video:
    """An encoded clip: WebM bytes, a PNG of one frame to show before it plays, and its size in pixels."""

    webm: bytes
    poster: bytes
    width: int
    height: int
    frames: int


def encode_clip(frames: Array, fps: float | int = 15, side: int = 320) -> Video:
    """Encode frames as VP9 (VP8 where VP9 is missing) in WebM, with a poster.

    Small frames, as pixel-art games draw them, are enlarged by a whole number so that the longer side
    comes near ``side`` without exceeding it: enlarging by whole pixels keeps edges sharp, and the clip's
    halved colour resolution then costs nothing. An odd width or height is padded by repeating the last
    column or row, since the codecs want even sizes.

    Args:
        frames: (N, H, W, 3) uint8, N >= 1.
        fps: frames a second, positive.
        side: pixels that the longer side may be enlarged to. Larger frames keep their size.

    Raises:
        PlauditError: the frames are not as above, or no VP9 or VP8 encoder is installed.
    """
    frames = _check(frames)
    if not (np.isfinite(fps) and fps > 0):
        raise PlauditError(f"clip: fps must be a positive number, got {fps}")
    frames = _pad_to_even(enlarge(frames, side))
    count, height, width, _ = frames.shape
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="webm") as container:
        stream = cast(VideoStream, container.add_stream(_encoder(), rate=Fraction(fps).limit_denominator(1000)))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = OPTIONS
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return Video(buffer.getvalue(), poster(frames[count // 2]), width, height, count)


def poster(frame: Array) -> bytes:
    """PNG bytes of one frame (H, W, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def enlarge(frames: Array, side: int) -> Array:
    """Repeat pixels of (N, H, W, 3) by the largest whole number that keeps the longer side within ``side``."""
    factor = max(1, side // max(frames.shape[1:3]))
    return frames if factor == 1 else frames.repeat(factor, axis=1).repeat(factor, axis=2)


def side_by_side(left: Array, right: Array, gap: int = 4, colour: tuple[int, int, int] = (128, 128, 128)) -> Array:
    """Two clips (N, H, W, 3) uint8 as one, ``gap`` pixels of ``colour`` between them.

    The shorter clip holds its last frame until the longer ends; the lower one is centred vertically.
    """
    left, right = _check(left), _check(right)
    count, height = max(len(left), len(right)), max(left.shape[1], right.shape[1])
    bar = np.empty((count, height, gap, 3), np.uint8)
    bar[...] = colour
    return np.concatenate([_extend(left, count, height, colour), bar, _extend(right, count, height, colour)], axis=2)


def _extend(frames: Array, count: int, height: int, colour: tuple[int, int, int]) -> Array:
    extended = frames[np.minimum(np.arange(count), len(frames) - 1)]
    canvas = np.empty((count, height, frames.shape[2], 3), np.uint8)
    canvas[...] = colour
    top = (height - frames.shape[1]) // 2
    canvas[:, top : top + frames.shape[1]] = extended
    return canvas


def _pad_to_even(frames: Array) -> Array:
    height, width = frames.shape[1:3]
    if height % 2 == 0 and width % 2 == 0:
        return frames
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _check(frames: Array) -> Array:
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise PlauditError(f"clip: frames must be (N, H, W, 3) uint8 and not empty, got {frames.shape} {frames.dtype}")
    return frames


def _encoder() -> str:
    for name in ENCODERS:
        if name in av.codecs_available:
            return name
    raise PlauditError("clip: this build of FFmpeg has neither VP9 nor VP8; install PyAV's own wheel (pip install av)")
