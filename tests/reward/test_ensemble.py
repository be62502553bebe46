"""The stacked ensemble is M separate networks; each preference model compares what its formula says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.networks import HalfDropout, StackedCNN, StackedMLP
from plaudit.types import PlauditError, Trajectory

STATES = spaces.Box(-1.0, 1.0, (3,), np.float32)


def trajectory(observations: np.ndarray, actions: np.ndarray) -> Trajectory:
    shape = observations.shape[:2]
    zeros = np.zeros(shape, np.float32)
    return Trajectory(observations, actions, zeros, zeros, zeros, np.zeros(shape, bool), np.ones(shape, bool))


def one_by_one(network: StackedMLP, inputs: Tensor, member: int) -> Tensor:
    hidden = inputs
    for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        hidden = hidden @ weight[member] + bias[member, 0]
        if index < len(network.weights) - 1:
            hidden = nn.functional.leaky_relu(hidden, 0.01)
    return hidden[:, 0]


@pytest.mark.parametrize("members", [1, 4])
def test_a_stacked_mlp_is_separate_networks(members: int) -> None:
    torch.manual_seed(0)
    network = StackedMLP(members, 5, (7, 6)).double()
    inputs, weights = torch.randn(11, 5, dtype=torch.float64), torch.randn(members, 11, dtype=torch.float64)
    alone = torch.stack([one_by_one(network, inputs, member) for member in range(members)])
    torch.testing.assert_close(network(inputs), alone)
    parameters = list(network.parameters())
    together = torch.autograd.grad((network(inputs) * weights).sum(), parameters)
    torch.testing.assert_close(together, torch.autograd.grad((alone * weights).sum(), parameters))


def test_members_of_an_mlp_on_inputs_of_their_own() -> None:
    network, inputs = StackedMLP(3, 4, (5,)), torch.randn(3, 6, 4)
    alone = torch.stack([one_by_one(network, inputs[member], member) for member in range(3)])
    torch.testing.assert_close(network(inputs), alone)


def without_dropout(network: StackedCNN) -> StackedCNN:
    for module in network.modules():
        if isinstance(module, HalfDropout):
            module.eval()
    return network


def test_dropout_of_one_half() -> None:
    """Each value, and its gradient, is doubled or dropped; neighbours independently; the same seed, the same draw."""
    dropout = HalfDropout()
    x = torch.randn(7, 5, 9, 11).contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.manual_seed(3)
    y = dropout(x)
    factor = (y / x).detach()
    assert set(factor.unique().tolist()) == {0.0, 2.0}
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.sum().backward()
    torch.testing.assert_close(x.grad, factor)
    kept = dropout(torch.ones(64, 4, 30, 30)) > 0  # 230,400 draws: a share's standard deviation is 0.001
    assert abs(kept.double().mean() - 0.5) < 0.005
    for axis in range(4):  # of two neighbours, one in four pairs is kept whole
        both = kept.narrow(axis, 1, kept.shape[axis] - 1) & kept.narrow(axis, 0, kept.shape[axis] - 1)
        assert abs(both.double().mean() - 0.25) < 0.006
    torch.manual_seed(3)
    torch.testing.assert_close(dropout(x), y)
    assert dropout.eval()(x) is x


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [12, 84])
def test_a_stacked_cnn_is_separate_networks(size: int, training: bool) -> None:
    """Without dropout, whose draws differ; batch normalisation sees the same pictures alone as together."""
    torch.manual_seed(1)
    members = 3
    network = without_dropout(StackedCNN(members, 2, size, size).train(training))
    pictures = torch.randint(0, 256, (5, 2, size, size), dtype=torch.uint8)
    together = network(pictures)
    for member in range(members):
        alone = without_dropout(StackedCNN(1, 2, size, size).train(training))
        mine, its = dict(alone.named_parameters()), dict(network.named_parameters())
        with torch.no_grad():
            for name, value in mine.items():
                part = its[name][member : member + 1] if name.startswith("head") else its[name].chunk(members)[member]
                value.copy_(part)
        torch.testing.assert_close(alone(pictures)[0], together[member], rtol=1e-4, atol=1e-5)


def test_rewards_are_each_member_normalised_then_averaged() -> None:
    torch.manual_seed(2)
    model = RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig(members=2, hidden=(4,), std=0.5))
    rng = np.random.default_rng(0)
    path = trajectory(rng.normal(size=(3, 5, 3)).astype(np.float32), rng.integers(0, 2, (3, 5)))
    model.set_normaliser(path.observations[0])
    raw = model.per_step(path)
    mask = path.mask.copy()
    mask[1] = False
    model.calibrate(raw, mask)
    seen = raw[:, mask]
    expected = (raw - seen.mean(1)[:, None, None]) / seen.std(1, ddof=0)[:, None, None]
    np.testing.assert_allclose(model.rewards(path), 0.5 * expected.mean(0), rtol=1e-4, atol=1e-5)


def test_a_reward_depends_on_its_own_step_alone() -> None:
    model = RewardEnsemble(STATES, spaces.Box(-2, 2, (2,), np.float32), RewardConfig(hidden=(4,)))
    rng = np.random.default_rng(3)
    observations, actions = rng.normal(size=(2, 6, 3)).astype(np.float32), rng.normal(size=(2, 6, 2)).astype(np.float32)
    before = model.rewards(trajectory(observations, actions))
    observations[1, 2], actions[0, 4] = 0.9, 0.3
    changed = before != model.rewards(trajectory(observations, actions))
    assert changed.sum() == 2 and changed[1, 2] and changed[0, 4]


def test_actions_beyond_their_range_count_as_the_range() -> None:
    """The environment received the clipped action, so the reward is of the clipped one."""
    model = RewardEnsemble(STATES, spaces.Box(-2, 2, (1,), np.float32), RewardConfig(hidden=(4,)))
    observations = np.zeros((1, 2, 3), np.float32)
    rewards = model.rewards(trajectory(observations, np.array([[[1.0], [7.0]]], np.float32)))
    assert rewards[0, 0] == rewards[0, 1]


REWARDS = torch.tensor([[[1.0, 2.0, 4.0], [0.0, 1.0, 5.0]]])  # one member, two segments of three steps
VALUES = torch.tensor([[10.0, 20.0], [30.0, 50.0]])  # V at the first and last observation


@pytest.mark.parametrize(
    ("preference", "gamma", "expected"),
    [
        ("partial-return", 1.0, [7.0, 6.0]),
        ("partial-return", 0.5, [1 + 1 + 1, 0 + 0.5 + 1.25]),
        ("end-value", 1.0, [1 + 2 + 20, 0 + 1 + 50]),  # two rewards lie between three observations
        ("end-value", 0.5, [1 + 1 + 5, 0.5 + 12.5]),
        ("regret", 1.0, [3 + 20 - 10, 1 + 50 - 30]),
        ("regret", 0.5, [2 + 5 - 10, 0.5 + 12.5 - 30]),
    ],
)
def test_what_is_compared(preference: str, gamma: float, expected: list[float]) -> None:
    config = RewardConfig(members=1, hidden=(4,), preference=preference, gamma=gamma)  # type: ignore[arg-type]
    model = RewardEnsemble(STATES, spaces.Discrete(2), config)
    assert model.statistic(REWARDS, VALUES).tolist() == [expected]


def test_the_critics_values_are_scaled_back_to_a_members_own_unit() -> None:
    model = RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig(members=1, std=0.5, preference="end-value"))
    model.member_std.fill_(3.0)
    assert model.statistic(REWARDS, VALUES).tolist() == [[3 + 20 * 6, 1 + 50 * 6]]


def test_a_critic_is_needed_where_values_are_compared() -> None:
    model = RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig(preference="regret"))
    with pytest.raises(PlauditError, match="regret needs a critic"):
        model.statistic(REWARDS, None)


@pytest.mark.parametrize(
    "bad", [{"members": 0}, {"batch": 0}, {"lapse": 1.0}, {"std": 0.0}, {"epochs": -1}, {"latest": 0}]
)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="RewardConfig"):
        RewardConfig(**bad)  # type: ignore[arg-type]


def test_a_lapse_rate_that_is_not_fitted_stays() -> None:
    fixed = RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig(lapse=0.2, fit_lapse=False))
    assert float(fixed.lapse) == pytest.approx(0.2)
    assert not fixed.lapse_logit.requires_grad
    none = RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig(lapse=0.0, fit_lapse=False))
    assert float(none.lapse) == 0.0


def test_a_cautious_ensemble_gives_less_where_members_disagree() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    experience = trajectory(rng.uniform(-1, 1, (2, 9, 3)).astype(np.float32), rng.integers(0, 2, (2, 9)))
    model = RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig(members=3, hidden=(8,)))
    model.calibrate(model.per_step(experience), experience.mask)
    rewards = {}
    for pooling in ("mean", "worst", "uncertain"):
        model.config = dataclasses.replace(model.config, pooling=pooling, caution=0.5)
        rewards[pooling] = model.rewards(experience)
    assert (rewards["worst"] < rewards["mean"]).all() and (rewards["uncertain"] < rewards["mean"]).all()


def test_observations_are_brought_to_the_range_that_was_judged() -> None:
    """Outside of it the reward is that of the nearest judged observation; such a model is saved with its range."""
    torch.manual_seed(0)
    config = RewardConfig(members=2, hidden=(8,), clamp=True)
    model = RewardEnsemble(STATES, spaces.Discrete(2), config)
    judged, far = np.array([[-0.5, 0, 0], [0.5, 0.25, 0]], np.float32), np.array([[9, -3, 0.0]], np.float32)
    actions = np.zeros(1, np.int64)
    free = model.step_rewards(far, actions)
    model.set_range(judged)
    assert model.step_rewards(far, actions) == model.step_rewards(np.array([[0.5, 0, 0]], np.float32), actions) != free
    again = RewardEnsemble(STATES, spaces.Discrete(2), config)
    again.load_state_dict(model.state_dict())
    assert again.step_rewards(far, actions) == model.step_rewards(far, actions)
    assert "low" not in RewardEnsemble(STATES, spaces.Discrete(2), RewardConfig()).state_dict()


@pytest.mark.parametrize("changes", [{"smoothing": 1.0}, {"caution": -1.0}])
def test_what_cannot_be_a_reward(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="smoothing"):
        RewardConfig(**changes)
