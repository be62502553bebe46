from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from plaudit.control import clips
from plaudit.types import PlauditError


def moving_dot(count: int = 12, height: int = 16, width: int = 20) -> np.ndarray:
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[..., 2] = 90
    for index in range(count):
        frames[index, 4:6, index : index + 2] = (250, 240, 40)
    return frames


def decoded(webm: bytes) -> np.ndarray:
    with av.open(io.BytesIO(webm), "r") as container:
        assert container.format.name == "matroska,webm"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_clip_decodes_to_the_frames_that_went_in() -> None:
    frames = moving_dot()
    video = clips.encode_clip(frames, fps=10, side=200)
    back = decoded(video.webm)
    expected = frames.repeat(10, axis=1).repeat(10, axis=2)
    assert (video.frames, video.height, video.width) == (12, 160, 200)
    assert back.shape == expected.shape
    # Lossy, so a mean within a few grey levels; one frame off would differ by the whole dot.
    assert np.abs(back.astype(int) - expected).mean() < 4
    for index in range(12):
        columns = np.flatnonzero(back[index, 50, :, 0] > 125)
        assert (columns.min() + columns.max() + 1) / 20 == pytest.approx(index + 1, abs=0.2)  # the dot's middle


def test_rate_is_kept() -> None:
    with av.open(io.BytesIO(clips.encode_clip(moving_dot(), fps=12.5).webm), "r") as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.diff(times) == pytest.approx(1 / 12.5, abs=2e-3)  # WebM counts milliseconds


@pytest.mark.parametrize(("height", "width"), [(15, 21), (210, 161), (1, 1)])
def test_sizes_become_even_and_the_picture_stays(height: int, width: int) -> None:
    video = clips.encode_clip(np.full((3, height, width, 3), 200, np.uint8), side=33)
    back = decoded(video.webm)
    assert back.shape == (3, video.height, video.width, 3)
    assert video.height % 2 == 0 and video.width % 2 == 0
    assert np.abs(back.astype(int) - 200).max() < 6  # padding repeats the edge: no dark border


def test_poster_is_a_png_of_the_clip() -> None:
    frames = moving_dot()
    video = clips.encode_clip(frames, side=20)
    picture = np.asarray(Image.open(io.BytesIO(video.poster)))
    assert picture.tobytes() == frames[6].tobytes()


def test_enlarging_is_by_whole_pixels_and_never_shrinks() -> None:
    frames = moving_dot(count=1, height=10, width=30)
    assert clips.enlarge(frames, 95).shape == (1, 30, 90, 3)
    assert clips.enlarge(frames, 20) is frames


def test_side_by_side_holds_the_shorter_and_centres_the_lower() -> None:
    left = np.stack([np.full((2, 3, 3), value, np.uint8) for value in (10, 20)])
    right = np.full((4, 4, 5, 3), 99, np.uint8)
    both = clips.side_by_side(left, right, gap=2, colour=(1, 2, 3))
    assert both.shape == (4, 4, 3 + 2 + 5, 3)
    assert both[:, 1, 0, 0].tolist() == [10, 20, 20, 20]
    assert both[0, 0, 0].tolist() == [1, 2, 3] and both[0, 3, 4].tolist() == [1, 2, 3]
    assert (both[:, :, 5:] == 99).all()


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 3), np.float32),
    ],
)
def test_wrong_frames_are_refused_in_one_line(frames: np.ndarray) -> None:
    with pytest.raises(PlauditError, match=r"frames must be \(N, H, W, 3\) uint8"):
        clips.encode_clip(frames)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(PlauditError, match="fps"):
        clips.encode_clip(moving_dot(), fps=0.0)


def test_vp8_serves_where_vp9_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips.av, "codecs_available", {"libvpx"})
    assert len(decoded(clips.encode_clip(moving_dot()).webm)) == 12
    monkeypatch.setattr(clips.av, "codecs_available", {"gif"})
    with pytest.raises(PlauditError, match="neither VP9 nor VP8"):
        clips.encode_clip(moving_dot())
