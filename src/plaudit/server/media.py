"""Clips as film strips: all frames of a segment in one picture, drawn from what was stored, when a person asks.

Our own environments are drawn from compact states, Atari from the pixels that the agent saw, Gymnasium's classic
control and MuJoCo by putting an environment back into the state that an observation tells. Frames are as small as they
can be without losing anything (a court of 16 by 12 cells is 16 by 12 pixels): the page enlarges them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import gymnasium
import numpy as np
from PIL import Image, features

from plaudit.control.checks import FAULTS
from plaudit.control.environments import BatchedEnv, DuelVector, RallyVector
from plaudit.control.film import reduce, rgb_frame
from plaudit.control.mujoco import WAY_OUT, is_mujoco, prepare_mujoco
from plaudit.control.registry import parse_arguments, resolve, split_name
from plaudit.extensions import one_line
from plaudit.functional.pictures import channels_last
from plaudit.server.remembered import Cache
from plaudit.types import Array, PlauditError, Segment

DRAWING = "1"  # raised when the same segment is drawn differently, so that no browser shows an old strip
SIDE = 256  # pixels: larger frames are made smaller
CELL = 12  # pixels of a grid world's cell, which holds a disc; a court's cell is one colour and needs one
TALL = 4096  # pixels: strips that would be taller get another column; old phones draw nothing larger
LARGEST = 16_383  # WebP's limit, either way
REMEMBERED = 64 * 2**20  # bytes of strips

Draw = Callable[[Segment], Array]


@dataclass(frozen=True)
class Shape:
    """How a strip is laid out: ``frames`` pictures of ``width`` by ``height``, row by row in ``columns``."""

    frames: int
    width: int
    height: int
    columns: int
    fps: float


@dataclass(frozen=True)
class Film:
    """An encoded strip."""

    data: bytes
    type: str  # its MIME type
    etag: str
    shape: Shape


@dataclass(frozen=True)
class Scene:
    """What draws clips: an environment by id, and its settings where they are not the default ones, as JSON."""

    environment: str | None = None  # None: pixels only
    options: str = "{}"
    imports: tuple[str, ...] = ()  # modules that register the environment

    @classmethod
    def of_run(cls, settings: Mapping[str, Any]) -> Scene:
        """The scene of a training run, from its stored settings; raises what broken settings raise."""
        environment = settings["environment"]
        modules, id = split_name(str(environment["id"]))
        options = parse_arguments(environment.get("kwargs", ()))
        return cls(id, json.dumps(options), (*environment.get("imports", ()), *modules))

    @property
    def version(self) -> str:
        """Changes whenever the same segment is drawn differently."""
        name = f"{self.environment} {self.options}".encode()
        return f"{DRAWING}.{hashlib.blake2b(name, digest_size=4).hexdigest()}"


class Drawer:
    """What draws segments of one environment; threads take turns, for the renderers keep a canvas of their own."""

    def __init__(self, draw: Draw, fps: float) -> None:
        self.fps = fps
        self._draw = draw
        self._lock = threading.Lock()
        self._sizes: dict[tuple[int, ...], tuple[int, int]] = {}

    def __call__(self, segment: Segment) -> Array:
        """Frames (N, H, W, 3) uint8, N the segment's steps."""
        try:
            with self._lock:
                frames = cast(Array, segment.states) if _is_film(segment) else self._draw(segment)
        except (IndexError, ValueError) as error:
            raise PlauditError(
                f"segment {segment.id} cannot be drawn ({error}): it comes from another environment than the project's"
            ) from error
        return np.stack([reduce(frame, SIDE) for frame in frames])

    def shape(self, segment: Segment) -> Shape:
        """The layout of the segment's strip, without drawing all of it."""
        like = segment.observations.shape[1:]
        if like not in self._sizes:
            states = None if segment.states is None else segment.states[:1]
            first = Segment(segment.observations[:1], segment.actions[:1], states)
            self._sizes[like] = self(first).shape[1:3]
        height, width = self._sizes[like]
        count = len(segment)
        columns = -(-count * height // TALL)
        if max(columns * width, -(-count // columns) * height) > LARGEST:
            raise PlauditError(
                f"segment {segment.id} has {count} frames of {width} x {height}, too many for one picture: "
                "ask about shorter segments"
            )
        return Shape(count, width, height, columns, self.fps)


def draw(segment: Segment, environment: str | Scene | None) -> Array:
    """Frames (N, H, W, 3) uint8 of a segment from the environment of that id, or with settings; None: pixels only.

    Raises:
        PlauditError: the environment is unknown, cannot draw what was stored, or its renderer is not installed.
    """
    return drawer(environment)(segment)


def drawer(environment: str | Scene | None) -> Drawer:
    """What draws segments of the environment called ``environment``; raises as :func:`draw`."""
    return _drawer(environment if isinstance(environment, Scene) else Scene(environment))


@lru_cache(64)
def _drawer(scene: Scene) -> Drawer:
    options: dict[str, Any] = json.loads(scene.options)
    if scene.environment is None:
        return Drawer(_pixels(None), 15.0)
    if scene.environment.startswith("ALE/"):
        # 60 frames a second, of which the agent sees each fourth
        return Drawer(_pixels(scene.environment), 60.0 / _skip(options.get("frameskip", 4)))
    name = resolve(scene.environment, scene.imports)
    if name.startswith("plaudit/"):
        with _environment_faults(name):
            vector = gymnasium.make_vec(name, 1, vectorization_mode="vector_entry_point", **options).unwrapped
        if isinstance(vector, BatchedEnv):
            return Drawer(_states(name, vector), float(vector.metadata["render_fps"]))
    return _single(name, options)


def _skip(setting: Any) -> float:
    """Frames that are left out, on average where they are drawn from a range."""
    numbers = setting if isinstance(setting, list) else [setting]
    if not numbers or not all(isinstance(number, int) and number >= 1 for number in numbers):
        raise PlauditError(f"frameskip is a whole number from 1, or two of them, got {setting!r}")
    return sum(numbers) / len(numbers)


@contextmanager
def _environment_faults(name: str) -> Iterator[None]:
    try:
        yield
    except PlauditError:
        raise
    except FAULTS as error:
        raise PlauditError(f"cannot make environment {name} to draw its clips: {one_line(error)}") from error


def _single(name: str, options: Mapping[str, Any]) -> Drawer:
    """A Gymnasium environment by id, which draws what it is put into."""
    for driver in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):  # pygame draws in memory: no display is needed
        os.environ.setdefault(driver, "dummy")
    if is_mujoco(gymnasium.spec(name)):
        prepare_mujoco()
    with _environment_faults(name):
        env: Any = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True, **options).unwrapped
        env.reset(seed=0)
    fps = float(env.metadata.get("render_fps") or 30)
    if hasattr(env, "draw"):
        return Drawer(_own_drawer(env, name), fps)
    if name in CLASSIC:
        return Drawer(_pose_drawer(env, CLASSIC[name]), fps)
    if hasattr(env, "observation_structure") and hasattr(env, "set_state"):
        return Drawer(_pose_drawer(env, _mujoco), fps)
    return Drawer(_draw_nothing(name), fps)


def _own_drawer(env: Any, name: str) -> Draw:
    """The method ``draw`` of an environment's class."""

    def frames(segment: Segment) -> Array:
        try:
            pictures = list(env.draw(segment.observations))
        except FAULTS as error:  # the code of a user
            raise PlauditError(f"{name}: draw raised {one_line(error)}") from error
        if len(pictures) != len(segment):
            raise PlauditError(
                f"{name}: draw must return a frame for each of {len(segment)} steps, got {len(pictures)}"
            )
        return np.stack([rgb_frame(picture, name) for picture in pictures])

    return frames


def _draw_nothing(name: str) -> Draw:
    """The fault of an environment whose clips can only be those that were filmed."""

    def fail(segment: Segment) -> Array:
        raise PlauditError(
            f"{name} cannot be drawn from what was stored: give its class a method draw(observations) -> frames "
            "(N, H, W, 3) uint8"
        )

    return fail


def _is_film(segment: Segment) -> bool:
    """Whether the segment holds frames that were recorded: bytes (N, H, W, 3)."""
    states = segment.states
    return states is not None and states.dtype == np.uint8 and states.ndim == 4 and states.shape[-1] == 3


def _states(name: str, env: BatchedEnv) -> Draw:
    scale = 1 if isinstance(env, DuelVector | RallyVector) else CELL
    pixels = _pixels(name)

    def frames(segment: Segment) -> Array:
        return pixels(segment) if segment.states is None else env.render_states(segment.states, scale)

    return frames


def _pixels(name: str | None) -> Draw:
    def frames(segment: Segment) -> Array:
        pixels = segment.observations
        if pixels.dtype == np.uint8 and pixels.ndim == 4:
            if channels_last(pixels.shape[1:]):  # colour, the newest last where several are stacked
                count = 3 if pixels.shape[-1] % 3 == 0 else 1
                return np.repeat(pixels[..., -count:], 3 // count, axis=3)
            return np.repeat(pixels[:, -1, :, :, None], 3, axis=3)  # stacked grey frames, the newest last
        reason = f"of {name} were stored without states" if name else "hold numbers, and no environment is known"
        raise PlauditError(
            f"segment {segment.id} cannot be drawn: its steps {reason}. "
            'Set the project\'s setting "environment" to the id of the environment it is from'
        )

    return frames


# Putting an environment back into the state that an observation tells: (environment, observation, action) -> None.


def _pendulum(env: Any, observation: Array, action: Any) -> None:
    env.state = np.array([np.arctan2(observation[1], observation[0]), observation[2]])
    env.last_u = float(np.ravel(action)[0])  # drawn as an arrow


def _acrobot(env: Any, observation: Array, action: Any) -> None:
    cos1, sin1, cos2, sin2, *speeds = observation
    env.state = np.array([np.arctan2(sin1, cos1), np.arctan2(sin2, cos2), *speeds])


def _as_it_is(env: Any, observation: Array, action: Any) -> None:
    env.state = np.array(observation, np.float64)


def _mujoco(env: Any, observation: Array, action: Any) -> None:
    """Positions that the observation leaves out (how far it has come) stay at 0: the clip runs on the spot."""
    structure = env.observation_structure
    skipped, positions, speeds = (int(structure.get(name, 0)) for name in ("skipped_qpos", "qpos", "qvel"))
    if positions + speeds > len(observation) or speeds == 0:
        raise ValueError(f"its observation of {len(observation)} numbers does not hold all positions and speeds")
    position = np.concatenate([np.zeros(skipped), observation[:positions]])
    env.set_state(position, np.asarray(observation[positions : positions + speeds], np.float64))


CLASSIC: dict[str, Callable[[Any, Array, Any], None]] = {
    "Acrobot-v1": _acrobot,
    "CartPole-v0": _as_it_is,
    "CartPole-v1": _as_it_is,
    "MountainCar-v0": _as_it_is,
    "MountainCarContinuous-v0": _as_it_is,
    "Pendulum-v1": _pendulum,
}


def _pose_drawer(env: Any, pose: Callable[[Any, Array, Any], None]) -> Draw:
    def frames(segment: Segment) -> Array:
        pictures = []
        for observation, action in zip(segment.observations, segment.actions, strict=True):
            pose(env, observation, action)
            try:
                picture = env.render()
            except gymnasium.error.DependencyNotInstalled as error:
                raise PlauditError(f"clips of {env.spec.id} need its renderer: {error}") from error
            except FAULTS as error:  # a renderer raises whatever its library likes
                way_out = f"; {WAY_OUT}" if is_mujoco(env.spec) else ""
                raise PlauditError(f"{env.spec.id} cannot be drawn here: {one_line(error)}{way_out}") from error
            pictures.append(reduce(rgb_frame(picture, env.spec.id), SIDE))
        return np.stack(pictures)

    return frames


def check_drawing(segment: Segment, settings: Mapping[str, Any]) -> None:
    """Draw a segment of a run as people would see it, before anybody is invited.

    Raises:
        PlauditError: as :func:`draw`.
    """
    draw(segment, Scene.of_run(settings))


def film(segment: Segment, environment: str | Scene | None) -> Film:
    """The segment's strip, encoded without loss (WebP; PNG where Pillow was built without it); raises as :func:`draw`.

    Rows of frames from left to right, black where the last row is not full.
    """
    renderer = drawer(environment)
    shape, frames = renderer.shape(segment), renderer(segment)
    rows = -(-shape.frames // shape.columns)
    cells = np.zeros((rows * shape.columns, shape.height, shape.width, 3), np.uint8)
    cells[: shape.frames] = frames
    grid = cells.reshape(rows, shape.columns, shape.height, shape.width, 3).swapaxes(1, 2)
    picture = Image.fromarray(grid.reshape(rows * shape.height, shape.columns * shape.width, 3))
    buffer = io.BytesIO()
    if features.check("webp"):
        picture.save(buffer, "WEBP", lossless=True, quality=100, method=0)  # measured: among the fastest, and smallest
        type = "image/webp"
    else:
        picture.save(buffer, "PNG", compress_level=1)
        type = "image/png"
    data = buffer.getvalue()
    return Film(data, type, hashlib.blake2b(data, digest_size=16).hexdigest(), shape)


class Films:
    """A cache of strips, up to ``capacity`` bytes. Threads may share it."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        self._films: Cache[tuple[str, str | Scene | None], Film] = Cache(capacity, lambda film: len(film.data))

    def get(self, item: str, environment: str | Scene | None, load: Callable[[], Segment]) -> Film:
        """The strip of the segment called ``item``; ``load`` is asked for it where no strip is remembered."""
        key = (item, environment)
        strip = self._films.get(key)
        if strip is None:
            strip = film(load(), environment)
            self._films.add(key, strip)
        return strip
