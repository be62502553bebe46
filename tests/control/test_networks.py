"""Policies: what acts is what is evaluated, densities are exact, and unusable spaces are one clear line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium import spaces

from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.interfaces import Policy
from plaudit.policy.steps import Steps
from plaudit.types import PlauditError

STATES = spaces.Box(-np.inf, np.inf, (3,), np.float32)
PICTURES = spaces.Box(0, 255, (2, 12, 16), np.uint8)
SPACES: dict[str, tuple[spaces.Box, spaces.Space]] = {
    "discrete": (STATES, spaces.Discrete(4)),
    "offset": (STATES, spaces.Discrete(4, start=2)),
    "continuous": (STATES, spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))),
    "several": (STATES, spaces.MultiDiscrete(np.array([[2, 3], [4, 1]]), start=np.array([[0, 1], [0, 5]]))),
    "bits": (STATES, spaces.MultiBinary((2, 2))),
    "matrix": (STATES, spaces.Box(-2, 2, (2, 3), np.float64)),
    "unbounded": (STATES, spaces.Box(-np.inf, np.inf, (2,))),
    "pixels": (PICTURES, spaces.Discrete(3)),
    "channels last": (spaces.Box(0, 255, (64, 64, 12), np.uint8), spaces.Discrete(3)),
    "car racing": (spaces.Box(0, 255, (96, 96, 3), np.uint8), spaces.Box(-1, 1, (3,))),
    "tiny picture": (spaces.Box(0, 255, (7, 7, 3), np.uint8), spaces.Discrete(3)),
    "atari": (spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6)),
}


def policy_of(name: str) -> ActorCritic:
    torch.manual_seed(0)
    observation_space, action_space = SPACES[name]
    policy = ActorCritic(observation_space, action_space, NetworkConfig(hidden=(16,)))
    with torch.no_grad():
        policy.head.weight[:-1] *= 50
    return policy


def observations_of(name: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    box = SPACES[name][0]
    if box.dtype == np.uint8:
        return rng.integers(0, 256, (count, *box.shape), dtype=np.uint8)
    return rng.normal(size=(count, *box.shape)).astype(np.float32)


def separate(name: str) -> ActorCritic:
    """A policy whose critic has layers of its own."""
    return ActorCritic(*SPACES[name], NetworkConfig(hidden=(16,), critic="separate"))


@pytest.mark.parametrize(
    ("name", "make"), [*((name, policy_of) for name in SPACES), ("discrete", separate), ("continuous", separate)]
)
def test_acting_and_evaluating_agree(name: str, make: Callable[[str], ActorCritic]) -> None:
    policy, observations = make(name), observations_of(name, 6)
    assert isinstance(policy, Policy)
    actions, log_probs, values = policy.act(observations, np.random.default_rng(1))
    steps = Steps(torch.from_numpy(observations), torch.from_numpy(actions))
    for acted, evaluated in zip((log_probs, values), policy.evaluate(steps)[:2], strict=True):
        assert acted.dtype == np.float32 and acted.shape == (6,)
        np.testing.assert_allclose(acted, evaluated.detach().numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(values, policy.value(observations))
    one, _, _ = policy.act(observations, np.random.default_rng(1))
    np.testing.assert_array_equal(actions, one)


def test_discrete_actions_come_as_often_as_their_probability() -> None:
    policy, observations = policy_of("discrete"), observations_of("discrete", 1)
    many = np.repeat(observations, 20_000, axis=0)
    actions, log_probs, _ = policy.act(many, np.random.default_rng(0))
    shares = np.bincount(actions, minlength=4) / len(actions)
    chances = np.array([np.exp(log_probs[actions == action][0]) for action in range(4)])
    assert chances.sum() == pytest.approx(1, abs=1e-5) and chances.max() - chances.min() > 0.02
    np.testing.assert_allclose(shares, chances, atol=0.015)  # four standard errors


def test_continuous_actions_and_their_density() -> None:
    policy, observations = policy_of("continuous"), observations_of("continuous", 5)
    actions, log_probs, _ = policy.act(observations, np.random.default_rng(0))
    mean, _, _ = policy.act(observations, np.random.default_rng(0), greedy=True)
    normal = torch.distributions.Normal(torch.from_numpy(mean), policy.log_std.detach().exp())
    expected = normal.log_prob(torch.from_numpy(actions)).sum(1)
    np.testing.assert_allclose(log_probs, expected.numpy(), rtol=1e-4, atol=1e-5)
    entropy = policy.evaluate(Steps(torch.from_numpy(observations), torch.from_numpy(actions)))[2]
    torch.testing.assert_close(entropy, normal.entropy().sum(1))


def test_every_action_of_its_space() -> None:
    for name in ("several", "bits", "matrix", "unbounded"):
        policy = policy_of(name)
        actions, _, _ = policy.act(observations_of(name, 50), np.random.default_rng(0))
        received = policy.to_environment(actions)
        space = SPACES[name][1]
        assert all(space.contains(action) for action in received), name
        stored = policy.actions.from_environment(received)
        inside = np.abs(actions) <= 1 if name == "matrix" else np.ones(actions.shape, bool)  # the rest was clipped
        np.testing.assert_allclose(stored[inside], actions[inside], rtol=1e-6)


@pytest.mark.parametrize("side", [9, 10, 12, 30, 39, 40, 42, 43, 96, 210])
def test_pictures_of_every_size(side: int) -> None:
    """Channels last or first: the same numbers from the same picture, wherever its channels stand."""
    first = spaces.Box(0, 255, (3, side, side + 1), np.uint8)
    last = spaces.Box(0, 255, (side, side + 1, 3), np.uint8)
    policies = []
    for box in (first, last):
        torch.manual_seed(0)
        policies.append(ActorCritic(box, spaces.Discrete(2), NetworkConfig()))
        assert policies[-1].pixels
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, side, side + 1), dtype=np.uint8)
    values = [policies[0].value(frames), policies[1].value(np.ascontiguousarray(frames.transpose(0, 2, 3, 1)))]
    np.testing.assert_allclose(*values, rtol=2e-2, atol=2e-2)  # bfloat16 where the processor has it


def test_a_separate_critic_leaves_the_policy_alone() -> None:
    """What the value learns moves no layer of the policy, and the reverse; with shared layers it does."""
    observations = torch.from_numpy(observations_of("discrete", 6))
    for policy, is_shared in ((separate("discrete"), False), (policy_of("discrete"), True)):
        steps = Steps(observations, torch.zeros(6, dtype=torch.int64))
        log_probs, values, _ = policy.evaluate(steps)
        parameters = list(policy.trunk.parameters())
        by_value = torch.autograd.grad(values.sum(), parameters, retain_graph=True)
        assert all(bool(gradient.abs().sum() > 0) == is_shared for gradient in by_value)
        assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(log_probs.sum(), parameters))
        assert policy.value(observations.numpy()).shape == (6,)
    with pytest.raises(PlauditError, match="pictures need critic shared"):
        separate("atari")


def test_what_the_environment_receives() -> None:
    discrete, continuous = policy_of("offset"), policy_of("continuous")
    assert discrete.to_environment(np.array([0, 3])).tolist() == [2, 5]
    received = continuous.to_environment(np.array([[-1.0, -1.0], [0.5, 0.5], [9.0, 9.0]], np.float32))
    assert received.tolist() == [[-2, 0], [1, 0.75], [2, 1]] and received.dtype == np.float32


def test_the_first_policy_is_nearly_uniform() -> None:
    torch.manual_seed(3)
    policy = ActorCritic(STATES, spaces.Discrete(4), NetworkConfig())
    _, log_probs, _ = policy.act(observations_of("discrete", 50), np.random.default_rng(0))
    np.testing.assert_allclose(np.exp(log_probs), 0.25, atol=0.02)


def test_observations_are_normalised_with_what_was_installed() -> None:
    policy, observations = policy_of("discrete"), observations_of("discrete", 4)
    before = policy.value(observations)
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 0.5])
    policy.set_normaliser(mean, std)
    np.testing.assert_allclose(policy.value(observations * std.numpy() + mean.numpy()), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "words"),
    [
        (spaces.Discrete(5), spaces.Discrete(2), "observation space .* is not a Box"),
        (STATES, spaces.Dict({"a": spaces.Discrete(2)}), "action space Dict.* is not supported: .*ActionWrapper"),
        (STATES, spaces.Text(3), "action space Text.* is not supported: .*ActionWrapper"),
    ],
)
def test_spaces_that_it_cannot_have(observation_space: spaces.Space, action_space: spaces.Space, words: str) -> None:
    with pytest.raises(PlauditError, match=words):
        ActorCritic(observation_space, action_space, NetworkConfig())
