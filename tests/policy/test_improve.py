"""The actor-critic update against a slow reference, and what must not influence it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.policy.improve import ImproveConfig, Improver
from plaudit.policy.steps import Steps, flat
from plaudit.types import PlauditError, Trajectory

BATCH, TIME, STATE = 3, 5, 4
ACTIONS = {"discrete": spaces.Discrete(3), "continuous": spaces.Box(-2.0, 2.0, (2,), np.float32)}


def policy_of(kind: str = "discrete", dtype: torch.dtype = torch.float32) -> ActorCritic:
    torch.manual_seed(0)
    observation_space = spaces.Box(-np.inf, np.inf, (STATE,), np.float32)
    policy = ActorCritic(observation_space, ACTIONS[kind], NetworkConfig(hidden=(8,), normalise=False))
    with torch.no_grad():
        policy.head.weight.normal_()  # the nearly uniform start would hide mistakes
    return policy.to(dtype)


def experience(policy: ActorCritic, seed: int = 0, masked: bool = True) -> tuple[Trajectory, np.ndarray]:
    """What a collector would return for random observations, with an end and two steps that are not real."""
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(BATCH, TIME + 1, STATE)).astype(np.float32)
    actions, log_probs, values = policy.act(observations.reshape(-1, STATE), rng)
    cut = {
        "observations": observations[:, :-1],
        "actions": actions.reshape(BATCH, TIME + 1, *actions.shape[1:])[:, :-1],
        "log_probs": log_probs.reshape(BATCH, -1)[:, :-1],
        "values": values.reshape(BATCH, -1)[:, :-1],
        "next_values": values.reshape(BATCH, -1)[:, 1:],
    }
    ends, mask = np.zeros((BATCH, TIME), bool), np.ones((BATCH, TIME), bool)
    if masked:
        ends[1, 1], mask[1, 2], ends[2, 3], mask[2, 4] = True, False, True, False
    return Trajectory(**cut, ends=ends, mask=mask), rng.normal(size=(BATCH, TIME)).astype(np.float32)


def reference_step(policy: ActorCritic, trajectory: Trajectory, rewards: np.ndarray, config: ImproveConfig) -> None:
    """One A2C step in float64, one number at a time, with plain gradient descent."""
    advantages, targets = {}, {}
    for b in range(BATCH):
        running = 0.0
        for t in reversed(range(TIME)):
            v, after = float(trajectory.values[b, t]), float(trajectory.next_values[b, t])
            delta = float(rewards[b, t]) + config.gamma * after - v
            going = 0.0 if trajectory.ends[b, t] or t == TIME - 1 else 1.0
            running = delta + config.gamma * config.gae_lambda * going * running
            if trajectory.mask[b, t]:
                advantages[b, t], targets[b, t] = running, running + v
    mean = sum(advantages.values()) / len(advantages)
    spread = (sum((a - mean) ** 2 for a in advantages.values()) / len(advantages)) ** 0.5
    loss = torch.zeros((), dtype=torch.float64)
    for (b, t), advantage in advantages.items():
        step = Steps(
            torch.from_numpy(trajectory.observations[b, t][None]), torch.from_numpy(trajectory.actions[b, t][None])
        )
        log_prob, value, entropy = policy.evaluate(step)
        loss = loss - (advantage - mean) / spread * log_prob[0]
        loss = loss + config.value * 0.5 * (value[0] - targets[b, t]) ** 2 - config.entropy * entropy[0]
    (loss / len(advantages)).backward()
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.grad is not None:
                parameter -= config.learning_rate * parameter.grad


class InDouble(ActorCritic):
    """Observations arrive as float32; the reference computes in float64."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(observations.double()))


@pytest.mark.parametrize("kind", ACTIONS)
def test_an_a2c_step_is_the_reference_step(kind: str) -> None:
    policy, reference = policy_of(kind), policy_of(kind, torch.float64)
    reference.__class__ = InDouble
    # a quarter of the way from 0.2 to -0.2 is the reference's constant 0.1
    config = ImproveConfig(learning_rate=0.05, anneal=False, max_grad_norm=1e9, entropy=0.2, final_entropy=-0.2)
    trajectory, rewards = experience(policy)
    improve = Improver(policy, config)
    improve.optimiser = torch.optim.SGD(policy.parameters(), lr=config.learning_rate)
    improve(trajectory, rewards, 0.25, torch.Generator())
    reference_step(reference, trajectory, rewards, dataclasses.replace(config, entropy=0.1))
    for mine, its in zip(policy.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.double(), its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ACTIONS)
def test_the_ratio_is_one_at_first(kind: str) -> None:
    """What the policy said while acting is what it says now: acting and learning compute the same density."""
    policy = policy_of(kind)
    trajectory, _ = experience(policy)
    log_probs, values, _ = policy.evaluate(Steps(flat(trajectory.observations), flat(trajectory.actions)))
    torch.testing.assert_close(log_probs, flat(trajectory.log_probs))
    torch.testing.assert_close(values, flat(trajectory.values))


@pytest.mark.parametrize("kind", ACTIONS)
def test_clipping_changes_nothing_where_the_ratio_is_one(kind: str) -> None:
    ends = []
    for clip in (None, 0.2):
        policy = policy_of(kind)
        trajectory, rewards = experience(policy)
        Improver(policy, ImproveConfig(clip=clip))(trajectory, rewards, 0.0, torch.Generator())
        ends.append(policy)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"clip": 0.2, "epochs": 3, "minibatches": 2}], ids=["a2c", "ppo"])
def test_steps_that_are_not_real_have_no_influence(settings: dict[str, Any]) -> None:
    """A reset step: its observation, action and reward are arbitrary, and so is what is said after it."""
    ends = []
    for change in (False, True):
        policy = policy_of()
        trajectory, rewards = experience(policy)
        if change:
            rewards = np.where(trajectory.mask, rewards, 1e3).astype(np.float32)
            observations, actions = trajectory.observations.copy(), trajectory.actions.copy()
            observations[~trajectory.mask], actions[~trajectory.mask] = 99.0, 1
            log_probs = np.where(trajectory.mask, trajectory.log_probs, -7).astype(np.float32)
            trajectory = dataclasses.replace(
                trajectory, observations=observations, actions=actions, log_probs=log_probs
            )
        Improver(policy, ImproveConfig(**settings))(trajectory, rewards, 0.0, torch.Generator().manual_seed(3))
        ends.append(policy)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_rollout_of_padding_alone_changes_nothing() -> None:
    policy = policy_of()
    trajectory, rewards = experience(policy, masked=False)
    trajectory = dataclasses.replace(trajectory, mask=np.zeros((BATCH, TIME), bool))
    before = [parameter.clone() for parameter in policy.parameters()]
    assert Improver(policy, ImproveConfig())(trajectory, rewards, 0.0, torch.Generator()) == {}
    assert all(torch.equal(*pair) for pair in zip(before, policy.parameters(), strict=True))


def test_what_was_rewarded_becomes_likelier() -> None:
    policy = policy_of()
    trajectory, _ = experience(policy, masked=False)
    rewards = (trajectory.actions == 2).astype(np.float32)
    improve = Improver(policy, ImproveConfig(learning_rate=0.02, gae_lambda=0.0, gamma=0.0, clip=0.2, epochs=5))
    observations = flat(trajectory.observations)
    steps = Steps(observations, torch.full((len(observations),), 2))
    before = policy.evaluate(steps)[0].exp().mean()
    improve(trajectory, rewards, 0.0, torch.Generator())
    assert policy.evaluate(steps)[0].exp().mean() > before + 0.02


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_the_optimiser_comes_back(optimiser: Any) -> None:
    config = ImproveConfig(optimiser=optimiser)
    one, other = policy_of(), policy_of()
    trajectory, rewards = experience(one)
    first = Improver(one, config)
    first(trajectory, rewards, 0.1, torch.Generator())
    other.load_state_dict(one.state_dict())
    second = Improver(other, config)
    second.restore({name: value.clone() for name, value in first.state().items()})
    for improve in (first, second):
        improve(trajectory, rewards, 0.5, torch.Generator())
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_step_size_falls_to_nothing() -> None:
    policy = policy_of()
    trajectory, rewards = experience(policy)
    improve = Improver(policy, ImproveConfig(learning_rate=0.1))
    rates = []
    for progress in (0.0, 0.25, 1.0):
        improve(trajectory, rewards, progress, torch.Generator())
        rates.append(improve.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.075, 0.0])


@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"minibatches": 0}, {"epochs": 2}, {"gamma": 1.1}, {"gae_lambda": -0.1}]
)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(PlauditError, match="ImproveConfig"):
        ImproveConfig(**bad)


def test_a_loss_that_is_no_number_ends_the_update_and_changes_nothing() -> None:
    policy = policy_of()
    trajectory, rewards = experience(policy)
    before = [parameter.clone() for parameter in policy.parameters()]
    rewards[0, 0] = np.inf
    with pytest.raises(PlauditError, match="is not a number: lower"):
        Improver(policy, ImproveConfig())(trajectory, rewards, 0.0, torch.Generator())
    assert all(torch.equal(*pair) for pair in zip(before, policy.parameters(), strict=True))


def test_passes_end_where_the_policy_has_moved_too_far() -> None:
    updates = {}
    for stop_kl in (None, 1e-4):
        policy = policy_of()
        trajectory, rewards = experience(policy)
        config = ImproveConfig(learning_rate=0.05, clip=0.2, epochs=6, stop_kl=stop_kl)
        metrics = Improver(policy, config)(trajectory, rewards, 0.0, torch.Generator())
        updates[stop_kl] = float(metrics["updates"])
    assert updates == {None: 6.0, 1e-4: 2.0}  # the first pass ends where it began: its ratio is 1


def test_metrics_are_means_over_updates() -> None:
    policy = policy_of()
    trajectory, rewards = experience(policy)
    improve, losses = Improver(policy, ImproveConfig(clip=0.2, epochs=3)), []
    update = improve.update

    def spy(*arguments: Any) -> dict[str, torch.Tensor]:
        metrics = update(*arguments)
        losses.append(float(metrics["value_loss"]))
        return metrics

    improve.update = spy  # type: ignore[method-assign]
    metrics = improve(trajectory, rewards, 0.0, torch.Generator())
    assert len(set(losses)) == 3 and float(metrics["value_loss"]) == pytest.approx(np.mean(losses), rel=1e-6)


def test_values_that_leave_the_clip_learn_nothing() -> None:
    """Where V is further from its old value than the clip, and the target further still, the value loss is flat."""
    gradients = {}
    for value_clip in (None, 0.1):
        policy = policy_of()
        trajectory, rewards = experience(policy, masked=False)
        # as if V had been lower by 5 when the policy acted, and the returns far above: V has moved beyond the clip
        trajectory = dataclasses.replace(trajectory, values=trajectory.values - 5)
        config = ImproveConfig(clip=0.2, value_clip=value_clip, entropy=0.0, gamma=0.0, gae_lambda=0.0)
        improve = Improver(policy, config)
        improve.optimiser = torch.optim.SGD(policy.parameters(), lr=0.0)
        improve(trajectory, rewards + 20, 0.0, torch.Generator())
        gradients[value_clip] = policy.head.weight.grad[-1].abs().max()  # type: ignore[index]
    assert gradients[None] > 0 and gradients[0.1] == 0
