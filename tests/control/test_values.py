"""What odd environments return, draw and take: the right number, or one line that names what was wrong."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from plaudit.cli import main
from plaudit.control.checks import CheckedApi, CheckedVector
from plaudit.control.collect import evaluate
from plaudit.control.environments import DuelVector
from plaudit.control.film import Film, reduce, rgb_frame
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.control.observations import flattening_of, warn_of_misfits
from plaudit.control.registry import resolve
from plaudit.control.values import read_array, read_flag, read_reward
from plaudit.extensions import import_module
from plaudit.functional.actions import actions_of
from plaudit.functional.pictures import picture_shape, shows_pictures
from plaudit.types import PlauditError

BOX, TWO = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)


BOOLEAN: Any = np.bool_  # Gymnasium has such spaces, its types have not


class Odd(gym.Env[Any, Any]):
    """Returns, raises and draws what it is told to."""

    observation_space, action_space = BOX, TWO
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, frame: Any = None, fault: str = "", render_mode: str | None = None) -> None:
        self.frame, self.fault, self.render_mode = frame, fault, render_mode
        self.frames = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        if self.fault == "exit":
            raise SystemExit(3)
        return np.zeros(3, np.float32), 1.0, False, False, {}

    def render(self) -> Any:
        self.frames += 1
        return self.frame if self.frame is not None else np.zeros((40 + self.frames, 60, 3), np.uint8)

    def close(self) -> None:
        if self.fault == "close":
            raise RuntimeError("twice")


@pytest.mark.parametrize("reward", [2, 2.0, np.float64(2), np.array(2, np.int8), torch.tensor(2.0), np.uint8(2)])
def test_rewards_that_are_numbers(reward: Any) -> None:
    assert read_reward(reward) == 2.0
    assert read_reward(True) == 1.0


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (None, "must be a number, got NoneType"),
        ("3", "must be a number, got str '3'"),
        (1 + 2j, "must be a number, got complex"),
        (np.complex64(1 + 2j), "must be a number, got complex64"),
        (np.array([1.0]), r"must be a number, got an array of shape \(1,\)"),
        ([1.0, 2.0], "must be a number, got list"),
        (float("nan"), "the reward is nan"),
        (1e300, r"the reward is 1e\+300, which is too large for float32"),
        (10**400, "the reward"),
        (torch.tensor(1.0, requires_grad=True), "must be a number, got Tensor"),
    ],
)
def test_rewards_that_are_none(reward: Any, words: str) -> None:
    with pytest.raises(PlauditError, match=words):
        read_reward(reward)


def test_ends_are_true_or_false() -> None:
    for value in (True, np.bool_(True), 1, 1.0, np.array([1]), np.array(True)):
        assert read_flag(value, "terminated") is True
    assert read_flag(0, "truncated") is False
    for value in (None, "False", {}, 2, 0.5, np.array([True, False])):
        with pytest.raises(PlauditError, match="terminated must be True or False, got"):
            read_flag(value, "terminated")


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([0, 1, 1], np.float32, [0, 1, 1]),
        (np.array([0.0, 3.0, 255.0]), np.uint8, [0, 3, 255]),
        (np.array([0, 1, 1]), np.bool_, [False, True, True]),
        (np.array([0.5, 0, 0]), np.uint8, r"the picture\[0\]|picture\[0\] is 0.5, which is no value of uint8"),
        (np.array([0, 300, 0]), np.uint8, r"picture\[1\] is 300, which is no value of uint8"),
        (np.array([0, 0, -1]), np.uint8, r"picture\[2\] is -1"),
        (np.array([0, 1e300, 0]), np.float32, r"picture\[1\] is 1e\+300, which is no value of float32"),
        (np.array(["1", "2", "3"]), np.float32, "must be numbers of float32, got an array .* dtype <U1"),
        (np.array([1, None, 3], object), np.float32, "must be numbers of float32"),
        (np.array([1, 2j, 3]), np.float32, "must be numbers of float32"),
        ([[1], [2, 3]], np.float32, "must be numbers of float32, got list"),
        (np.zeros(4), np.float32, r"the picture has the shape \(4,\), its space \(3,\)"),
    ],
)
def test_numbers_are_kept_or_refused(value: Any, dtype: Any, expected: Any) -> None:
    space = spaces.Box(0, 1, (3,), dtype)
    if isinstance(expected, str):
        with pytest.raises(PlauditError, match=expected):
            read_array(value, space, "picture")
    else:
        array = read_array(value, space, "picture")
        assert array.dtype == dtype and array.tolist() == expected


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Discrete(5, start=1), 0),  # Gymnasium flattens it to the last option
        (spaces.Discrete(5), 5),
        (spaces.Discrete(5), 1.0),
        (spaces.MultiDiscrete([3, 4]), np.array([3, 0])),  # to the first option of the second choice
        (spaces.MultiDiscrete([3, 4], start=[1, 0]), np.array([0, 0])),
        (spaces.MultiBinary(2), np.array([0, 2])),
        (spaces.Dict(a=spaces.Box(0, 255, (2,), np.uint8)), {"a": np.array([0.5, 0.5])}),
        (spaces.Dict(a=TWO), {"a": -1}),
        (spaces.Tuple((TWO, BOX)), (0, np.zeros((3, 1), np.float32))),
    ],
)
def test_parts_outside_of_their_space_are_not_flattened_to_others(space: spaces.Space, value: Any) -> None:
    flattening = flattening_of(space)
    assert flattening is not None
    with pytest.raises(PlauditError, match="observation"):
        flattening(value)
    space.seed(0)
    for _ in range(5):
        sample = space.sample()
        np.testing.assert_array_equal(flattening(sample), spaces.flatten(space, sample))


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((84, 96), (1, 84, 96)),
        ((4, 84, 84, 3), (12, 84, 84)),
        ((2, 3, 84, 84), (6, 84, 84)),
        ((10, 12), None),
        ((4, 7, 7, 3), None),
    ],
)
def test_pictures_without_channels_or_in_a_stack(shape: tuple[int, ...], picture: tuple[int, ...] | None) -> None:
    space = spaces.Box(0, 255, shape, np.uint8)
    flattening = flattening_of(space)
    if picture is None:
        assert flattening is None
        return
    assert flattening is not None and shows_pictures(flattening.target)
    assert picture_shape(flattening.target.shape) == picture
    assert ActorCritic(flattening.target, TWO, NetworkConfig()).pixels
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    channels = np.stack([frames]) if len(shape) == 2 else frames
    if len(shape) == 4 and shape[-1] == 3:
        channels = frames.transpose(0, 3, 1, 2)
    arranged = flattening(frames)
    last = arranged.shape == (*picture[1:], picture[0])
    np.testing.assert_array_equal(arranged.transpose(2, 0, 1) if last else arranged, channels.reshape(picture))
    batch, single = flattening.batch(frames[None])
    assert not single and batch.shape == (1, *arranged.shape)


def test_pictures_that_are_no_bytes_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"Lake are float32 of shape \(84, 84, 3\), .*return bytes"):
        warn_of_misfits(spaces.Box(0, 1, (84, 84, 3), np.float32), None, "Lake")
    warn_of_misfits(spaces.Box(0, 1, (10, 10, 4), BOOLEAN), None, "MinAtar")


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Box(-1, 1, (0,)), "has no numbers"),
        (spaces.Dict({}), "has no numbers"),
        (spaces.Discrete(10**9), "becomes 1,000,000,000 numbers, at most 1,000,000"),
        (spaces.Graph(BOX, None), "has no fixed size"),
    ],
)
def test_spaces_without_numbers_or_with_too_many(space: spaces.Space, words: str) -> None:
    with pytest.raises(PlauditError, match=f"{words}.*wrap the environment in a gymnasium.ObservationWrapper"):
        flattening_of(space)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-0.1, 0.3, (2,), np.float64),
        spaces.Box(-0.1, 0.3, (2,), np.float16),
        spaces.Box(-0.1, 0.7, (2, 3), np.float32),
        spaces.Box(0, 255, (2,), np.uint8),
        spaces.Box(-5, 2, (2,), np.int32),
        spaces.Box(0, 1, (2,), BOOLEAN),
        spaces.Box(np.array([0, -np.inf], np.float32), np.array([np.inf, 1], np.float32)),
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
        spaces.MultiDiscrete([2, 3], start=[1, -2]),
        spaces.MultiBinary((2, 2)),
    ],
)
def test_actions_are_of_their_space(space: Any) -> None:
    rng = np.random.default_rng(0)
    actions = actions_of(space)
    stored: Any = rng.normal(0, 3, (200, actions.width)).astype(np.float32)
    if not isinstance(space, spaces.Box):
        stored, _ = actions.sample(stored, rng, False)  # type: ignore[union-attr]
    for action in actions.to_environment(stored):
        assert space.contains(action), action


def test_actions_without_or_with_too_many_options() -> None:
    with pytest.raises(PlauditError, match=r"Discrete\(1000000000\) has 1,000,000,000 options"):
        actions_of(spaces.Discrete(10**9))
    with pytest.raises(PlauditError, match=r"Box\(\[\], .* is not supported"):
        actions_of(spaces.Box(-1, 1, (0,)))


@pytest.mark.parametrize(
    ("frame", "pixel"),
    [
        (np.full((4, 6, 3), 200, np.uint8), [200, 200, 200]),
        (np.full((4, 6, 4), 200, np.uint8), [200, 200, 200]),
        (np.full((4, 6), 7, np.uint8), [7, 7, 7]),
        (np.full((4, 6, 1), 7, np.int64), [7, 7, 7]),
        ([np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 9, np.uint8)], [9, 9, 9]),
        (None, "Odd drew nothing"),
        ("+--+", "got str"),
        (np.full((4, 6, 3), 0.5), "dtype float64"),
        (np.full((4, 6, 3), 300), "dtype int64"),
        (np.zeros((3, 4, 6), np.uint8), r"got an array of shape \(3, 4, 6\)"),
        (np.zeros((0, 0, 3), np.uint8), "got an array"),
        ([], "got list"),
    ],
)
def test_frames(frame: Any, pixel: Any) -> None:
    if isinstance(pixel, str):
        with pytest.raises(PlauditError, match=pixel):
            rgb_frame(frame, "Odd")
    else:
        picture = rgb_frame(frame, "Odd")
        assert picture.shape == (4, 6, 3) and picture.dtype == np.uint8 and picture[0, 0].tolist() == pixel


def test_frames_of_a_film_have_the_size_of_the_first() -> None:
    gym.register("Growing-v0", cast(Any, Odd), max_episode_steps=9)
    try:
        envs = make(EnvironmentConfig("Growing-v0", num_envs=2), render_mode="rgb_array")
        film = Film(envs, 10)
        envs.reset(seed=0)
        assert film().shape == film().shape == (2, 41, 60, 3)
        envs.close()
    finally:
        del gym.registry["Growing-v0"]
    assert reduce(np.zeros((2000, 3000, 3), np.uint8), 1024).shape == (667, 1000, 3)


def test_an_environment_that_exits_or_fails_to_close() -> None:
    env = CheckedApi(Odd(fault="exit"), "Odd-v0", 0)
    env.reset()
    with pytest.raises(PlauditError, match=r"Odd-v0 \(environment 0, episode 1, step 1\): step raised SystemExit: 3"):
        env.step(0)
    with pytest.warns(UserWarning, match="Odd-v0: close raised RuntimeError: twice"):
        CheckedApi(Odd(fault="close"), "Odd-v0", 0).close()


def test_a_module_that_exits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_that_exits.py").write_text("import sys; sys.exit(4)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PlauditError, match="'module_that_exits' fails when it is imported: SystemExit: 4"):
        import_module("module_that_exits")


def test_a_vector_class_of_another_package_returns_what_it_must() -> None:
    class Wrong(DuelVector):
        def step(self, actions: Any) -> Any:
            observations, rewards, terminated, truncated, infos = super().step(actions)
            return observations, rewards[:1], terminated, truncated, infos

    envs = CheckedVector(Wrong(2), "Wrong-v0")
    envs.reset(seed=0)
    with pytest.raises(PlauditError, match=r"Wrong-v0 \(step 1 of all\): the reward has the shape \(1,\), its space"):
        envs.step(np.zeros(2, int))


@pytest.mark.parametrize("limit", ["many", "-1", "0", "2.5", "true"])
def test_time_limits_are_whole_numbers(limit: str) -> None:
    with pytest.raises(PlauditError, match=r"max_episode_steps must be a whole number from 1, got|cannot make"):
        make(EnvironmentConfig("CartPole-v1", 2, kwargs=(f"max_episode_steps={limit}",)))


def test_arguments_that_are_not_the_environments() -> None:
    for name in ("id", "num_envs", "vectorization_mode", "disable_env_checker", "render_mode"):
        with pytest.raises(PlauditError, match=rf"environment\.kwargs has no {name}: "):
            EnvironmentConfig("CartPole-v1", kwargs=(f"{name}=3",))
    with pytest.raises(PlauditError, match="cannot make environment FrozenLake-v1: KeyError: '9x9'"):
        make(EnvironmentConfig("FrozenLake-v1", kwargs=("map_name=9x9",)))


def test_minatar_is_named_where_it_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("minatar") is None:
        with pytest.raises(PlauditError, match="MinAtar/Breakout-v1 needs minatar: pip install minatar"):
            resolve("MinAtar/Breakout-v1")
    assert main(["train", ""]) == 2
    assert "name an environment before the options" in capsys.readouterr().err


def test_an_episode_without_an_end_counts_as_far_as_it_came() -> None:
    envs = make(EnvironmentConfig("Duel", num_envs=2))
    policy = ActorCritic(envs.single_observation_space, envs.single_action_space, NetworkConfig())
    returns = evaluate(envs, policy, 2, seed=0, max_steps=5)
    assert returns.shape == (2,) and np.isfinite(returns).all()
    envs.close()
    gym.register("Endless-v0", cast(Any, Odd), max_episode_steps=10**9)
    try:
        envs = make(dataclasses.replace(EnvironmentConfig("Endless-v0"), num_envs=1))
        policy = ActorCritic(BOX, TWO, NetworkConfig())
        assert evaluate(envs, policy, 1, seed=0, max_steps=7).tolist() == [7.0]
        envs.close()
    finally:
        del gym.registry["Endless-v0"]
