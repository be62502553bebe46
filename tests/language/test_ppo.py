"""The classic faults of PPO on language models, each with a test that catches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from plaudit.functional.returns import group_advantages
from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.improve import TokenImproveConfig, TokenImprover, divergence
from plaudit.language.lora import merge_lora
from plaudit.language.models import LanguageModel
from plaudit.language.penalty import KLPenalty, KLPenaltyConfig
from plaudit.language.policy import Completions, TokenPolicy, Writer
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.rows import Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.policy.improve import Targets

Tiny = Callable[..., LanguageModel]
PROMPTS = [np.array([5, 6, 7, 8, 9, 10]), np.array([20]), np.array([30, 31, 32])]


def written(policy: TokenPolicy, steps: int = 6, n: int = 2, tokens: int = 12) -> Completions:
    writer = Writer(policy, PROMPTS, SamplingConfig(tokens, temperature=policy.temperature), n)
    writer.reset(np.random.SeedSequence(0))
    return writer.collect(steps)


@pytest.mark.parametrize("method", ["full", "upper", "lora"])
def test_at_the_start_the_ratio_is_1_and_the_divergence_0(tiny: Tiny, method: str) -> None:
    policy = TokenPolicy(tiny(method), temperature=0.7)
    trajectory = written(policy)
    assert divergence(trajectory)["kl"] == 0.0 and divergence(trajectory)["kl_token"] == 0.0
    assert divergence(trajectory)["mismatch"] < 1e-4  # of the decoder
    for batch in trajectory.batches:
        rows, real = batch.completions, trajectory.mask[batch.completions]
        for now, was in zip(policy.evaluate(batch)[:2], (trajectory.log_probs, trajectory.values), strict=True):
            torch.testing.assert_close(now.detach(), torch.from_numpy(was[rows][real]), rtol=0, atol=1e-6)
    twice = TokenImprover(policy, TokenImproveConfig(epochs=2))
    pieces = policy.pieces(trajectory)
    targets = twice.targets(trajectory, np.zeros(trajectory.mask.shape, np.float32), pieces)
    for batch in trajectory.batches:
        _, first = twice.losses(batch, pieces, targets, 0.0)
        assert float(first["moved"]) == pytest.approx(0.0, abs=1e-6) and float(first["clipped"]) == 0.0
    improver = TokenImprover(policy, TokenImproveConfig(epochs=1, learning_rate=1e-3))
    rewards = np.where(trajectory.ends, 1.0, 0.0).astype(np.float32)
    improver(trajectory, rewards, 0.0, torch.Generator())
    again = written(policy)
    assert divergence(again)["kl_token"] > 0.0  # and the reference has stayed where it was


def test_the_reference_is_the_model_that_training_started_from(tiny: Tiny) -> None:
    for method in ("full", "upper", "lora"):
        policy = TokenPolicy(tiny(method))
        start = {name: value.clone() for name, value in policy.reference.model.state_dict().items()}
        improver = TokenImprover(policy, TokenImproveConfig(epochs=2, learning_rate=1e-2))
        trajectory = written(policy)
        rng = np.random.default_rng(0)
        improver(trajectory, rng.normal(size=trajectory.mask.shape).astype(np.float32), 0.0, torch.Generator())
        for name, value in policy.reference.model.state_dict().items():
            assert torch.equal(value, start[name]), name
        ours = merge_lora(policy.model.model)
        began = tiny("full").model.state_dict()
        moved = [name for name, value in ours.state_dict().items() if not torch.equal(value, began[name])]
        assert moved, method


def test_frozen_tensors_are_shared_and_learning_ones_are_not(tiny: Tiny) -> None:
    for method, shared in (("full", 0.0), ("upper", 0.6), ("lora", 0.5)):
        model = tiny(method)
        twin = model.twin()
        pairs = list(zip(model.model.parameters(), twin.model.parameters(), strict=True))
        same = sum(one.numel() for one, other in pairs if one.data_ptr() == other.data_ptr())
        assert same / sum(one.numel() for one, _ in pairs) >= shared
        for one, other in pairs:
            assert (one.data_ptr() == other.data_ptr()) == (not one.requires_grad)
        assert not twin.trainable_parameters()


def test_the_end_receives_gradient(tiny: Tiny) -> None:
    model = tiny()
    policy = TokenPolicy(model)
    rows = lay([Tree(PROMPTS[0], (np.array([40, 41, 0]),))])
    hidden = model.hidden(rows)
    hidden.retain_grad()
    token_log_probs(hidden.flatten(0, 1)[rows.sources], model.output, rows.targets)[-1].backward()
    assert hidden.grad is not None
    assert hidden.grad[0, rows.sources[-1]].abs().sum() > 0
    assert policy.model.output.grad is not None and policy.model.output.grad[0].abs().sum() > 0


def test_how_a_step_is_split_does_not_matter(tiny: Tiny) -> None:
    after = []
    for budget in (10_000, 24):
        policy = TokenPolicy(tiny(), budget=budget)
        trajectory = written(policy)
        improver = TokenImprover(policy, TokenImproveConfig(epochs=1, learning_rate=1e-2))
        rewards = np.random.default_rng(0).normal(size=trajectory.mask.shape).astype(np.float32) * trajectory.mask
        improver(trajectory, rewards, 0.0, torch.Generator())
        after.append(
            (len(trajectory.batches), [p.grad.clone() for p in policy.trainable_parameters() if p.grad is not None])
        )
    assert after[0][0] == 1 and after[1][0] > 2
    for one, other in zip(after[0][1], after[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_advantages_of_a_group_sum_to_zero() -> None:
    returns = torch.tensor([1.0, 3.0, 5.0, 2.0, 2.0, 9.0], dtype=torch.float64)
    groups = torch.tensor([0, 0, 0, 1, 1, 2])
    rloo = group_advantages(returns, groups, scale=False)
    assert rloo.tolist() == [1 - 4, 0.0, 5 - 2, 0.0, 0.0, 0.0]  # less the mean of the others; one alone has none
    grpo = group_advantages(returns, groups, scale=True)
    torch.testing.assert_close(grpo[:3], torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), atol=1e-5, rtol=0)
    for advantages in (rloo, grpo):
        torch.testing.assert_close(torch.zeros(3).double().index_add_(0, groups, advantages), torch.zeros(3).double())


def slow_loss(model: torch.nn.Module, value: torch.nn.Linear, one: dict[str, np.ndarray], config: TokenImproveConfig):
    """PPO's loss of one completion, token after token in float64, written out from the papers."""
    prompt, completion = one["prompt"], one["completion"]
    ids = torch.from_numpy(np.concatenate((prompt, completion)))[None]
    states = model.model(ids).last_hidden_state[0]  # type: ignore[operator]
    policy = critic = torch.zeros((), dtype=torch.float64)
    for t, token in enumerate(completion):
        state = states[len(prompt) - 1 + t]
        logits = model.lm_head(state)  # type: ignore[operator]
        ratio = torch.exp(logits[token] - torch.logsumexp(logits, 0) - one["log_probs"][t])
        advantage = one["advantages"][t]
        now = float(ratio.detach())
        bounded = min(max(now, 1 - config.clip), 1 + config.clip)
        policy = policy - (ratio * advantage if now * advantage <= bounded * advantage else bounded * advantage)
        estimate, was, target = value(state)[0], one["values"][t], one["targets"][t]
        assert config.value_clip is not None
        near = was + (estimate - was).clamp(-config.value_clip, config.value_clip)
        critic = critic + 0.5 * torch.maximum((estimate - target) ** 2, (near - target) ** 2)
    return policy, critic


def test_gradient_of_the_loss_against_a_slow_reference_in_float64(tiny: Tiny) -> None:
    config = TokenImproveConfig(epochs=2)  # so that the policy may have moved
    policy = TokenPolicy(tiny())
    trajectory = written(policy, steps=3, n=2, tokens=6)
    policy.double()
    rng = np.random.default_rng(0)
    with torch.no_grad():  # move away from what was sampled, so that something is clipped
        for parameter in policy.trainable_parameters():
            parameter += torch.from_numpy(rng.normal(size=tuple(parameter.shape))) * 0.05
    flat = {
        "log_probs": trajectory.log_probs.astype(np.float64),
        "values": rng.normal(size=trajectory.mask.shape),
        "advantages": rng.normal(size=trajectory.mask.shape),
        "targets": rng.normal(size=trajectory.mask.shape),
    }
    improver, pieces = TokenImprover(policy, config), policy.pieces(trajectory)
    arrays = (torch.from_numpy(flat[name]) for name in ("log_probs", "values", "advantages", "targets"))
    targets = Targets(*arrays)
    total = int(trajectory.mask.sum())
    loss = torch.zeros((), dtype=torch.float64)
    for batch in trajectory.batches:
        piece_loss, terms = improver.losses(batch, pieces, targets, 0.0)
        assert 0 < float(terms["clipped"]) < 1
        loss = loss + piece_loss * len(batch.rows.targets) / total
    fast = torch.autograd.grad(loss, policy.trainable_parameters())
    slow = torch.zeros((), dtype=torch.float64)
    for row, prompt in enumerate(trajectory.prompts):
        real = trajectory.mask[row]
        one = {name: value[row][real] for name, value in flat.items()}
        one |= {"prompt": prompt, "completion": trajectory.actions[row][real]}
        actor, critic = slow_loss(policy.model.model, policy.value, one, config)
        slow = slow + (actor + config.value * critic) / total
    torch.testing.assert_close(loss, slow, rtol=1e-6, atol=1e-9)
    for one, other in zip(fast, torch.autograd.grad(slow, policy.trainable_parameters()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)  # the value head computes in float32


def test_advantages_and_targets_by_plain_arithmetic(tiny: Tiny) -> None:
    """GAE backward through each completion alone, nothing after its last token; then mean 0 and deviation 1."""
    config = TokenImproveConfig(gamma=0.99, gae_lambda=0.9)
    policy = TokenPolicy(tiny())
    with torch.no_grad():
        policy.value.weight.normal_(generator=torch.Generator().manual_seed(0))
        policy.model.output[0] += 0.6  # so that some end early
    trajectory = written(policy)
    assert len({int(real.sum()) for real in trajectory.mask}) > 1 and np.abs(trajectory.values).max() > 0.1
    rewards = np.random.default_rng(0).normal(size=trajectory.mask.shape).astype(np.float32) * trajectory.mask
    improver = TokenImprover(policy, config)
    found = improver.targets(trajectory, rewards, policy.pieces(trajectory))
    advantages, targets = [], []
    for row, real in enumerate(trajectory.mask):
        running, after, backward = 0.0, 0.0, []
        for t in reversed(np.flatnonzero(real)):
            value = float(trajectory.values[row, t])
            running = float(rewards[row, t]) + config.gamma * after - value + config.gamma * config.gae_lambda * running
            backward.append((running, running + value))
            after = value
        advantages += [each for each, _ in backward[::-1]]
        targets += [each for _, each in backward[::-1]]
    mask = trajectory.mask
    np.testing.assert_allclose(found.returns.numpy()[mask], targets, rtol=1e-4, atol=1e-5)
    whitened = (np.array(advantages) - np.mean(advantages)) / np.std(advantages)
    np.testing.assert_allclose(found.advantages.numpy()[mask], whitened, rtol=1e-4, atol=1e-5)
    plain = TokenImprover(policy, replace(config, whiten=False))
    unwhitened = plain.targets(trajectory, rewards, policy.pieces(trajectory)).advantages.numpy()
    np.testing.assert_allclose(unwhitened[mask], advantages, rtol=1e-4, atol=1e-5)
    assert improver.optimiser.defaults["eps"] == 1e-5


def test_the_score_lands_on_the_last_token_and_a_cut_completion_is_set(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny())
    with torch.no_grad():
        policy.model.output[0] += 0.6
    trajectory = written(policy, steps=12)
    assert 0 < trajectory.finished.sum() < len(trajectory.finished)
    reward = TextReward(tiny(), HeadsConfig(missing_end=-1.0))
    rewards = reward.rewards(trajectory)
    assert (rewards[~trajectory.ends] == 0).all()
    assert (rewards[trajectory.ends][~trajectory.finished] == -1.0).all()
    trees = [
        Tree(prompt, (tokens[mask],))
        for prompt, tokens, mask in zip(trajectory.prompts, trajectory.actions, trajectory.mask, strict=True)
    ]
    expected = reward.reward(trees)
    np.testing.assert_allclose(
        rewards[trajectory.ends][trajectory.finished], expected[trajectory.finished], rtol=1e-4, atol=1e-5
    )


def test_the_kl_penalty_by_hand(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny())
    trajectory = written(policy, steps=2, n=1)
    assert trajectory.reference_log_probs is not None
    trajectory.reference_log_probs[...] = trajectory.log_probs - 0.5  # as if every token were likelier by half a nat
    reward = TextReward(tiny(), HeadsConfig(missing_end=None))
    penalty = KLPenalty(reward, KLPenaltyConfig(kl_coefficient=0.1, target=1.0, horizon=20.0))
    held, free = penalty.rewards(trajectory), reward.rewards(trajectory)
    np.testing.assert_allclose(held[trajectory.mask], free[trajectory.mask] - 0.05, atol=1e-6)
    assert (held[~trajectory.mask] == 0).all()
    assert penalty.metrics["kl"] == pytest.approx(0.5 * trajectory.mask.sum() / 2)
    assert penalty.kl_coefficient == pytest.approx(0.1 * (1 + 0.2 * 2 / 20))  # far above its target: the largest step


@pytest.mark.learning
def test_rewarded_tokens_become_likelier(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny())
    improver = TokenImprover(policy, TokenImproveConfig(learning_rate=1e-2, anneal=False, epochs=2, stop_kl=None))
    shares = []
    writer = Writer(policy, PROMPTS, SamplingConfig(8), 8)
    for round in range(12):
        writer.reset(np.random.SeedSequence((0, round)))
        trajectory = writer.collect(3)
        wanted = (trajectory.actions >= 200) & trajectory.mask
        shares.append(wanted.sum() / trajectory.mask.sum())
        improver(trajectory, wanted.astype(np.float32), 0.0, torch.Generator())
    assert np.mean(shares[-3:]) > np.mean(shares[:3]) + 0.12  # over 5 seeds it rose by 0.22 to 0.38


def test_experience_is_a_trajectory_of_prompts(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny())
    trajectory = written(policy, steps=3, n=2)
    assert len(trajectory.prompts) == 6 and trajectory.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert {tuple(prompt) for prompt in trajectory.prompts} == {tuple(prompt) for prompt in PROMPTS}  # no repeats
    for row, prompt in enumerate(trajectory.prompts):
        assert trajectory.observations[row, 0] == prompt[-1]
        assert trajectory.ends[row].sum() == 1 and trajectory.ends[row, trajectory.mask[row].sum() - 1]
