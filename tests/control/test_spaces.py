"""Environments of every kind of space, from registration to a policy and a reward that other programs use."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatten

import plaudit
from plaudit.control.checks import CheckedVector
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.observations import flattening_of
from plaudit.questions import FeedbackConfig
from plaudit.reward.ensemble import RewardConfig
from plaudit.run.control.assemble import check, preference_session
from plaudit.run.control.config import Run, RunConfig
from plaudit.types import PlauditError

NUMBER, BOX = spaces.Discrete(4, start=1), spaces.Box(-1, 1, (2, 2), np.float32)
DICT = spaces.Dict({"place": NUMBER, "view": BOX, "doors": spaces.MultiBinary(3)})
SPACES: dict[str, tuple[spaces.Space, spaces.Space]] = {
    "Dict": (DICT, spaces.MultiDiscrete([3, 2])),
    "Tuple": (spaces.Tuple((NUMBER, spaces.Dict({"inner": BOX}))), spaces.MultiBinary(2)),
    "Discrete": (NUMBER, spaces.Discrete(3, start=-1)),
    "MultiDiscrete": (spaces.MultiDiscrete([3, 4]), spaces.Box(-2, 3, (2, 2))),
    "MultiBinary": (spaces.MultiBinary(5), spaces.Box(-np.inf, np.inf, (2,))),
    "Number": (spaces.Box(-1, 1, ()), spaces.Box(0, 9, (1, 2), np.int64)),
    "Racing": (spaces.Box(0, 255, (24, 24, 3), np.uint8), spaces.Box(-1, 1, (3,))),
    "Text": (spaces.Dict({"a": BOX, "mission": spaces.Text(9)}), spaces.Discrete(2)),
    "TextTuple": (spaces.Tuple((spaces.Text(9), BOX)), spaces.Discrete(2)),
}
FAULTS = ("nan", "raise", "reset", "old", "old-reset", "reward", "shape", "missing")


class Sampled(gym.Env[Any, Any]):
    """Observations are samples of a space; an episode lasts eight steps; actions must be of the action space."""

    def __init__(self, name: str, fault: str = "", **_: Any) -> None:
        self.observation_space, self.action_space = SPACES[name]
        self.fault, self.clock, self.episodes = fault, 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.clock, self.episodes = 0, self.episodes + 1
        if self.fault == "reset" and self.episodes == 2:
            raise RuntimeError("no\nmap")
        observation = self.observation_space.sample()
        return observation if self.fault == "old-reset" else (observation, {})

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.clock += 1
        observation: Any = self.observation_space.sample()
        late = self.episodes == 2 and self.clock == 3
        if self.fault == "raise" and late:
            raise KeyError("door")
        if self.fault == "old":
            return observation, 1.0, False, {}
        if self.fault == "nan" and late:
            observation[1, 0] = np.nan
        if self.fault == "shape" and late:
            observation = observation[0]
        if self.fault == "missing" and late:
            del observation["doors"]
        reward = np.nan if self.fault == "reward" and late else 1.0
        return observation, reward, self.clock == 8, False, {}


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    ids = [f"Sampled{name}-v0" for name in SPACES] + [f"Faulty{name}-v0" for name in FAULTS]
    SPACES["Box"] = (BOX, spaces.Discrete(2))
    for id in ids:
        kind = id.removesuffix("-v0").removeprefix("Sampled").removeprefix("Faulty")
        name = kind if kind in SPACES else "Dict" if kind == "missing" else "Box"
        gym.register(id, partial(Sampled, name, "" if kind in SPACES else kind), max_episode_steps=20)
    yield
    for id in ids:
        del gym.registry[id]


def config_of(name: str, **environment: Any) -> RunConfig:
    return RunConfig(
        EnvironmentConfig(f"Sampled{name}-v0", num_envs=2, **environment),
        feedback=FeedbackConfig(labels=6, length=5),
        reward=RewardConfig(hidden=(4,), members=2, first_epochs=1, epochs=1),
        steps=160,
        rollout_steps=20,
        rounds=2,
    )


@pytest.mark.parametrize("name", ["Dict", "Tuple", "Discrete", "MultiDiscrete", "MultiBinary", "Number", "Racing"])
def test_a_run_and_what_it_learned_in_another_program(name: str, tmp_path: Path) -> None:
    check(config_of(name))
    run = Run.create(tmp_path / "run", config_of(name))
    session, close = preference_session(run)
    rows = list(session.rounds())
    close()
    assert rows[-1]["step"] == 160 and rows[-1]["labels"] >= 2
    policy = plaudit.load_policy(run, seed=0)
    env = gym.make(f"Sampled{name}-v0")
    learned = plaudit.LearnedReward(env, run)
    observation, _ = learned.reset(seed=0)
    for _ in range(12):  # beyond the end of an episode, whose last observation then repeats
        action, _ = policy.predict(observation)
        assert env.action_space.contains(action)
        observation, reward, terminated, _, _ = learned.step(action)
        assert env.observation_space.contains(observation) and np.isfinite(reward) and not terminated


def test_observations_are_flattened_as_gymnasium_does_it() -> None:
    envs = make(EnvironmentConfig("SampledDict-v0", num_envs=2))
    observations, _ = envs.reset(seed=3)
    assert envs.single_observation_space == spaces.flatten_space(DICT)
    for row in range(2):
        DICT.seed(3 + row)
        np.testing.assert_array_equal(observations[row], flatten(DICT, DICT.sample()))
    envs.close()


def test_batches_and_single_observations_are_told_apart() -> None:
    flattening = flattening_of(DICT)
    assert flattening is not None
    DICT.seed(0)
    samples = [DICT.sample() for _ in range(3)]
    batch = {key: np.stack([sample[key] for sample in samples]) for key in DICT.spaces}
    rows, single = flattening.batch(batch)
    assert not single and rows.shape == (3, 4 + 4 + 3)
    for row, sample in zip(rows, samples, strict=True):
        one, single = flattening.batch(sample)
        assert single
        np.testing.assert_array_equal(one[0], row)
    with pytest.raises(PlauditError, match="does not fit Dict"):
        flattening.batch({"place": 1})


@pytest.mark.parametrize(("name", "part"), [("Text", "mission"), ("TextTuple", "0")])
def test_text_is_left_out_and_named(name: str, part: str) -> None:
    with pytest.warns(UserWarning, match=f"observations of Sampled{name}-v0 have text in {part}: it is left out"):
        envs = make(EnvironmentConfig(f"Sampled{name}-v0", num_envs=2))
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (2, 4)
    envs.close()


def test_spaces_without_a_size_are_refused_with_a_way_out() -> None:
    SPACES["Sequence"] = (spaces.Dict({"a": spaces.Sequence(NUMBER)}), spaces.Discrete(2))
    SPACES["Graph"] = (BOX, spaces.Dict({"a": NUMBER}))
    for name, words in (
        ("Sequence", "SampledSequence-v0: observation space Dict.* has no fixed size: wrap .*ObservationWrapper"),
        ("Graph", "action space Dict.* is not supported: wrap .*ActionWrapper"),
    ):
        gym.register(f"Sampled{name}-v0", partial(Sampled, name), max_episode_steps=20)
        with pytest.raises(PlauditError, match=words):
            check(config_of(name))
        del gym.registry[f"Sampled{name}-v0"], SPACES[name]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", r"Faultynan-v0 \(environment 0, episode 2, step 3\): observation\[1, 0\] is nan"),
        ("raise", r"episode 2, step 3\): step raised KeyError: 'door'"),
        ("reset", r"episode 2, step 0\): reset raised RuntimeError: no map"),
        ("old", r"episode 1, step 1\): step must return \(observation, .*\), got a tuple of 4; this is the API of Gym"),
        ("old-reset", r"episode 1, step 0\): reset must return \(observation, info\), got ndarray; this is the API"),
        ("reward", r"episode 2, step 3\): the reward is nan"),
        ("shape", r"episode 2, step 3\): the observation has the shape \(2,\), its space \(2, 2\)"),
        ("missing", r"episode 2, step 3\): the observation does not fit its space: KeyError: 'doors'"),
    ],
)
def test_what_an_environment_does_wrong_is_named(fault: str, words: str) -> None:
    envs = make(EnvironmentConfig(f"Faulty{fault}-v0", num_envs=2, ends="visible"))
    actions = np.zeros((2, 2), np.int64) if fault == "missing" else np.zeros(2, np.int64)
    with pytest.raises(PlauditError, match=words) as raised:
        envs.reset(seed=0)
        for _ in range(20):
            envs.step(actions)
    assert "\n" not in str(raised.value)
    envs.close()


def test_a_vector_class_of_another_package_is_checked() -> None:
    class Broken(gym.vector.VectorEnv):
        single_observation_space, single_action_space = BOX, spaces.Discrete(2)

        def __init__(self, num_envs: int, **options: Any) -> None:
            self.num_envs = num_envs

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return np.zeros((2, 2, 2)), {}

        def step(self, actions: Any) -> Any:
            return np.full((2, 2, 2), np.inf), np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), {}

    gym.register("Broken-v0", vector_entry_point=Broken, max_episode_steps=9)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            envs = make(EnvironmentConfig("Broken-v0", num_envs=2))
        assert isinstance(envs.env, CheckedVector)  # type: ignore[attr-defined]
        envs.reset()
        with pytest.raises(
            PlauditError, match=r"Broken-v0 \(environment 0, step 1 of all\): observation\[0, 0\] is inf"
        ):
            envs.step(np.zeros(2))
    finally:
        del gym.registry["Broken-v0"]
