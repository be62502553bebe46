"""The collector's bookkeeping in an environment so small that every number is known."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from plaudit.control.collect import VectorCollector, evaluate
from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd, RowEnvs
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.types import Trajectory, TrueReward


class Counting(VectorEnv):
    """Row b's episode lasts ``lengths[b]`` steps. The observation is the step's number; reward is 10 + it.

    Row 0 terminates, the others are truncated. NEXT_STEP: the step after an end resets, with reward 0.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, *lengths: int) -> None:
        self.num_envs, self.lengths = len(lengths), np.array(lengths)
        self.single_observation_space = spaces.Box(0, 1000, (1,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.seeds: list[Any] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.seeds.append(seed)
        self.clock = np.zeros(self.num_envs, np.int64)
        return self._look(), {}

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        over = self.clock == self.lengths
        self.clock = np.where(over, 0, self.clock + 1)
        ended = self.clock == self.lengths
        rewards = np.where(over, 0.0, 10.0 + self.clock)
        first = np.arange(self.num_envs) == 0
        return self._look(), rewards, ended & first, ended & ~first, {}

    def states(self) -> np.ndarray:
        return np.stack([self.clock, -self.clock], axis=1).astype(np.int16)

    def _look(self) -> np.ndarray:
        return self.clock[:, None].astype(np.float32)


class Known(ActorCritic):
    """V(o) = 100 + o, actions at random: what a collector stores of it can be written down by hand."""

    def __init__(self, envs: VectorEnv, normalise: bool = False) -> None:
        config = NetworkConfig(hidden=(4,), normalise=normalise)
        super().__init__(envs.single_observation_space, envs.single_action_space, config)

    def act(self, observations: np.ndarray, rng: np.random.Generator, greedy: bool = False) -> tuple[Any, Any, Any]:
        actions = rng.integers(0, 2, len(observations))
        return actions, np.full(len(actions), np.log(0.5), np.float32), self.value(observations)

    def value(self, observations: np.ndarray) -> np.ndarray:
        return 100 + observations[:, 0]


def collected(envs: VectorEnv, steps: int, **settings: Any) -> tuple[Trajectory, TrueReward]:
    box: list[TrueReward] = []
    collector = VectorCollector(envs, Known(envs), box.append, **settings)
    collector.reset(np.random.SeedSequence(0))
    return collector.collect(steps), box[0]


def ints(array: np.ndarray) -> list[list[int]]:
    return array.astype(int).tolist()


def test_visible_ends() -> None:
    """Row 0 terminates after 2 steps, row 1 is truncated after 3."""
    path, true = collected(Counting(2, 3), 6, visible_ends=True)
    assert ints(path.observations[..., 0]) == [[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 0, 1]]
    assert ints(path.ends) == [[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]]
    assert ints(path.mask) == [[1, 1, 0, 1, 1, 0], [1, 1, 1, 0, 1, 1]]
    assert ints(path.values) == [[100, 101, 102, 100, 101, 102], [100, 101, 102, 103, 100, 101]]
    # a termination is worth nothing more; a truncation is worth what the critic says of the last observation
    assert ints(path.next_values) == [[101, 0, 100, 101, 0, 100], [101, 102, 103, 100, 101, 102]]
    assert ints(true.rewards) == [[11, 12, 0, 11, 12, 0], [11, 12, 13, 0, 11, 12]]
    assert true.episodes == (23.0, 36.0, 23.0)


def test_ends_that_are_hidden_from_the_critic() -> None:
    path, _ = collected(Counting(2, 3), 3)
    assert ints(path.next_values) == [[101, 102, 100], [101, 102, 103]]


def test_an_endless_world() -> None:
    """Continue: nothing says that a new episode began, but true returns are still those of episodes."""
    path, true = collected(Counting(2, 3), 6, endless=True)
    assert not path.ends.any() and path.mask.all()
    assert ints(path.next_values) == [[101, 102, 100, 101, 102, 100], [101, 102, 103, 100, 101, 102]]
    assert true.episodes == (23.0, 36.0, 23.0)


def test_absorbed() -> None:
    """Row 0 ends after 2 of 4 steps: its last observation repeats, its reward is 0; both rows are cut together."""
    envs = AbsorbAfterEnd(Counting(2, 9), 4)
    path, true = collected(envs, 7)
    assert ints(path.observations[..., 0]) == [[0, 1, 2, 2, 2, 0, 1], [0, 1, 2, 3, 4, 0, 1]]
    assert ints(path.ends) == [[0, 0, 0, 1, 0, 0, 0]] * 2
    assert ints(path.mask) == [[1, 1, 1, 1, 0, 1, 1]] * 2
    assert ints(path.next_values) == [[101, 102, 102, 102, 100, 101, 102], [101, 102, 103, 104, 100, 101, 102]]
    assert ints(true.rewards) == [[11, 12, 0, 0, 0, 11, 12], [11, 12, 13, 14, 0, 11, 12]]
    assert true.episodes == (23.0, 50.0)


def test_endless_repeats_are_not_experience() -> None:
    envs = AbsorbAfterEnd(Counting(2, 50), 12)
    envs.repeats = 3
    path, true = collected(envs, 14)
    assert ints(path.mask) == [[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1], [1] * 12 + [0, 1]]
    assert ints(true.rewards)[0] == [11, 12, *[0] * 11, 11]


def test_states_repeat_with_the_observation() -> None:
    """Otherwise a clip drawn from states would show the episode that follows beneath."""
    path, _ = collected(AbsorbAfterEnd(Counting(2, 9), 6), 7, keep_states=True)
    assert path.states is not None
    assert path.states[0, :, 0].tolist() == [0, 1, 2, 2, 2, 2, 2]
    np.testing.assert_array_equal(path.states[..., 0], path.observations[..., 0])
    np.testing.assert_array_equal(path.states[..., 1], -path.states[..., 0])


def test_two_calls_are_one_longer_call() -> None:
    envs = Counting(2, 3)
    collector = VectorCollector(envs, Known(envs), lambda _: None, visible_ends=True)
    collector.reset(np.random.SeedSequence(4))
    parts = [collector.collect(2), collector.collect(4)]
    assert [part.rollout for part in parts] == [0, 1]
    collector.reset(np.random.SeedSequence(4))
    whole = collector.collect(6)
    assert whole.rollout == 2 and whole.steps == 12
    for name in ("observations", "actions", "values", "next_values", "ends", "mask"):
        pieces = np.concatenate([getattr(part, name) for part in parts], axis=1)
        np.testing.assert_array_equal(pieces, getattr(whole, name), err_msg=name)
    assert envs.seeds[0] == envs.seeds[1]


def test_the_normaliser_moves_only_at_a_reset() -> None:
    envs = Counting(5, 5)
    policy = Known(envs, normalise=True)
    collector = VectorCollector(envs, policy, lambda _: None)
    collector.reset(np.random.SeedSequence(0))
    for _ in range(3):
        collector.collect(2)
    assert policy.mean.tolist() == [0.0] and policy.scale.tolist() == [1.0]
    collector.reset(np.random.SeedSequence(1))
    # one observation a rollout and row: 0, 2 and 4
    assert policy.mean.tolist() == pytest.approx([2.0])
    assert policy.scale.tolist() == pytest.approx([(8 / 3) ** -0.5])


def test_a_collector_comes_back_from_a_checkpoint() -> None:
    policies, paths = [], []
    for interrupted in (False, True):
        envs = Counting(5, 7)
        policy = Known(envs, normalise=True)
        collector = VectorCollector(envs, policy, lambda _: None)
        collector.reset(np.random.SeedSequence(0))
        collector.collect(3)
        if interrupted:
            state = {name: value.clone() for name, value in collector.state().items()}
            collector = VectorCollector(Counting(5, 7), policy, lambda _: None)
            collector.restore(state)
        collector.reset(np.random.SeedSequence(1))
        paths.append(collector.collect(4))
        policies.append(policy)
    assert torch.equal(policies[0].mean, policies[1].mean) and torch.equal(policies[0].scale, policies[1].scale)
    assert paths[0].rollout == paths[1].rollout == 1
    np.testing.assert_array_equal(paths[0].observations, paths[1].observations)


def test_evaluation_counts_the_first_episodes_of_each_row() -> None:
    """A row of short episodes does not outvote a row of long ones."""
    envs = Counting(1, 4)
    returns = evaluate(envs, Known(envs), episodes=4, seed=0)
    assert sorted(returns.tolist()) == [11.0, 11.0, 50.0, 50.0]


def pole_envs(*lengths: int, length: int = 0, horizon: int = 50) -> RestartAfterEnd:
    """Poles that fall after ``lengths`` steps at the latest, one for each row."""
    envs = RestartAfterEnd(
        RowEnvs([partial(Falling, steps) for steps in lengths]),
        horizon,
    )
    envs.repeats, envs.length = 2, length
    return envs


class Falling(gym.Env[Any, Any]):
    """An episode of ``length`` steps that terminates: observation and reward are those of `Counting`."""

    observation_space, action_space = spaces.Box(0, 1000, (1,), np.float32), spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length, self.clock, self.calls = length, 0, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.clock = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.clock < self.length, "nobody steps an episode that is over"
        self.clock, self.calls = self.clock + 1, self.calls + 1
        return np.full(1, self.clock, np.float32), 10.0 + self.clock, self.clock == self.length, False, {}


def test_rows_begin_anew_one_by_one() -> None:
    """Row 0 ends after 2 steps and repeats its end twice, row 1 goes on; what is counted is what the rows did."""
    envs = pole_envs(2, 40)
    path, true = collected(envs, 7)
    # seven steps in each of two rows: after ten calls row 1 has made ten of them and row 0 four
    assert ints(path.observations[..., 0]) == [[0, 1, 2, 2, 2, 0, 1, 2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert ints(path.ends) == [[0, 0, 0, 1, 0, 0, 0, 0, 1, 0], [0] * 10]
    assert ints(path.mask) == [[1, 1, 1, 1, 0, 1, 1, 1, 1, 0], [1] * 10]
    assert ints(true.rewards)[0] == [11, 12, 0, 0, 0, 11, 12, 0, 0, 0]
    assert ints(path.next_values)[0] == [101, 102, 102, 102, 100, 101, 102, 102, 102, 100]
    assert true.episodes == (23.0, 23.0)


def test_what_is_counted_is_what_the_environments_did() -> None:
    envs = pole_envs(1, 3, 40, 4, length=12)
    policy = Known(envs)
    truths: list[TrueReward] = []
    collector = VectorCollector(envs, policy, truths.append)
    collector.reset(np.random.SeedSequence(0))
    for rollout in range(1, 6):
        path = collector.collect(10)
        calls = sum(env.calls for env in envs.unwrapped.envs)  # type: ignore[attr-defined]
        assert 40 * rollout <= calls < 40 * rollout + 4  # at most one more for each row, and never more than that
        assert path.mask.shape == truths[-1].rewards.shape == path.values.shape
        assert not path.mask.all()
    # an episode holds a whole clip, however early it ends, and the whole horizon never more
    whole = collector.collect(200)
    for row in range(4):
        ends = np.flatnonzero(whole.ends[row])
        assert set(np.diff(ends)) == {12 + 1} if row != 2 else {42 + 1}
