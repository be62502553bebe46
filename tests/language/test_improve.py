"""What an update is made of: minibatches of prompts, what a group says, pretraining mixed in, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from plaudit.language.fast import vocabulary
from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.improve import TokenImproveConfig, TokenImprover, divergence
from plaudit.language.models import LanguageModel
from plaudit.language.penalty import KLPenalty, KLPenaltyConfig
from plaudit.language.policy import Completions, TokenPolicy, Writer, iterate_batches, regroup
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.rows import Tree, lay
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import completion_log_probs
from plaudit.language.windows import set_mode
from plaudit.types import PlauditError

Tiny = Callable[..., LanguageModel]
PROMPTS = [np.array([5, 6, 7, 8, 9, 10]), np.array([20]), np.array([30, 31, 32]), np.array([40, 41])]
TEXT = Tree(np.array([50]), (np.array([60, 61, 62, 63]),))


def written(policy: TokenPolicy, n: int = 3, tokens: int = 8) -> Completions:
    writer = Writer(policy, PROMPTS, SamplingConfig(tokens), n)
    writer.reset(np.random.SeedSequence(0))
    return writer.collect(len(PROMPTS))


def scored(trajectory: Completions, scores: list[float]) -> np.ndarray:
    """(B, T): each completion's score at its last token."""
    return np.where(trajectory.ends, np.array(scores, np.float32)[:, None], 0.0).astype(np.float32)


def gradients(policy: TokenPolicy) -> list[Tensor]:
    return [
        torch.zeros_like(each) if each.grad is None else each.grad.clone() for each in policy.trainable_parameters()
    ]


def config(**settings: Any) -> TokenImproveConfig:
    return TokenImproveConfig(**({"epochs": 1, "max_grad_norm": 1e9, "learning_rate": 1e-6} | settings))


@pytest.mark.parametrize("method", ["full", "upper"])
@pytest.mark.parametrize("budget", [10_000, 30])
def test_a_minibatch_is_a_share_of_the_prompts_however_they_were_laid_out(
    tiny: Tiny, method: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = TokenPolicy(tiny(method), budget=budget)
    trajectory = written(policy)
    assert (len(trajectory.batches) > 1) == (budget == 30)
    improver = TokenImprover(policy, config(minibatches=2, epochs=3))
    monkeypatch.setattr(LanguageModel, "lower", lambda *given: pytest.fail("computed again"))
    for seed in range(2):
        parts = list(policy.pieces(trajectory).updates(2, torch.Generator().manual_seed(seed)))
        held = [np.concatenate([batch.completions for batch in part]) for part in parts]
        assert sorted(np.concatenate(held).tolist()) == list(range(12)) and [len(each) for each in held] == [6, 6]
        for part, which in zip(parts, held, strict=True):
            assert sorted(np.bincount(trajectory.groups[which], minlength=4).tolist()) == [0, 0, 3, 3]
            for batch in part:
                with torch.no_grad():
                    found = policy.evaluate(batch)[0].numpy()
                old = trajectory.log_probs[batch.completions][trajectory.mask[batch.completions]]
                np.testing.assert_allclose(found, old, atol=1e-5)
    metrics = improver(trajectory, scored(trajectory, [0.0, 1.0, 2.0] * 4), 0.0, torch.Generator())
    assert float(metrics["updates"]) == 6
    more = TokenImprover(policy, config(minibatches=9))  # than there are prompts
    assert float(more(trajectory, trajectory.log_probs, 0.0, torch.Generator())["updates"]) == 4


def test_a_prompt_with_many_completions_is_split_where_memory_ends(tiny: Tiny) -> None:
    found = {}
    for budget in (10_000, 25):
        policy = TokenPolicy(tiny("upper"), budget=budget)
        found[budget] = written(policy, n=8)
        reward = TextReward(policy.model, HeadsConfig(missing_end=None))
        torch.nn.init.ones_(reward.heads.weight)
        found[-budget] = reward.rewards(found[budget])  # type: ignore[assignment]
    whole, parts = found[10_000], found[25]
    assert max(batch.rows.tokens.shape[1] for batch in parts.batches) <= 25 < 8 * 8
    np.testing.assert_array_equal(whole.groups, parts.groups)
    np.testing.assert_array_equal(whole.actions, parts.actions)
    np.testing.assert_allclose(whole.log_probs, parts.log_probs, atol=1e-4)
    np.testing.assert_allclose(whole.reference_log_probs, parts.reference_log_probs, atol=1e-4)
    np.testing.assert_allclose(found[-10_000], found[-25], atol=1e-3)  # type: ignore[arg-type]
    again = regroup(parts.batches, parts.groups == 2, 25)
    assert sorted(np.concatenate([each.completions for each in again]).tolist()) == list(range(16, 24))


def test_what_was_not_compared_teaches_the_same_once_and_nothing_else(tiny: Tiny) -> None:
    found = []
    for compare in (True, False):
        policy = TokenPolicy(tiny())
        writer = Writer(policy, PROMPTS, SamplingConfig(8), 3, compare=compare)
        writer.reset(np.random.SeedSequence(0))
        trajectory = writer.collect(len(PROMPTS))
        rewards = scored(trajectory, [1.0, 3.0, 5.0] * 4)
        TokenImprover(policy, config(advantage="grpo"))(trajectory, rewards, 0.0, torch.Generator())
        found.append(gradients(policy))
    assert divergence(trajectory) == {} and trajectory.reference_log_probs is None
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for more in ({"advantage": "gae"}, {"advantage": "grpo", "epochs": 2}, {"advantage": "grpo", "minibatches": 2}):
        with pytest.raises(ValueError, match="compare"):
            TokenImprover(policy, config(**more))(trajectory, rewards, 0.0, torch.Generator())
    reward = TextReward(tiny(), HeadsConfig(missing_end=None))
    free = KLPenalty(reward, KLPenaltyConfig(kl_coefficient=0.0, compare=False))
    np.testing.assert_array_equal(free.rewards(trajectory), reward.rewards(trajectory))
    assert "kl" not in free.metrics and free.metrics["kl_coefficient"] == 0.0
    with pytest.raises(ValueError, match="compared with the reference"):
        KLPenalty(reward, KLPenaltyConfig(kl_coefficient=0.1)).rewards(trajectory)
    with pytest.raises(PlauditError, match="kl_coefficient must be 0"):
        KLPenaltyConfig(kl_coefficient=0.1, compare=False)


@pytest.mark.parametrize(
    ("advantage", "by_hand"), [("rloo", [-3.0, 0.0, 3.0]), ("grpo", [-1.0, 0.0, 1.0]), ("cloning", [0.0, 0.0, 1.0])]
)
def test_the_gradient_of_a_group_is_as_worked_by_hand(tiny: Tiny, advantage: str, by_hand: list[float]) -> None:
    """-1/N sum_i A_i grad log pi(completion i): every ratio is 1."""
    policy = TokenPolicy(tiny())
    trajectory = written(policy)
    TokenImprover(policy, config(advantage=advantage))(
        trajectory, scored(trajectory, [1.0, 3.0, 5.0] * 4), 0.0, torch.Generator()
    )
    found = gradients(policy)
    model = tiny().model
    loss = torch.zeros(())
    for row, prompt in enumerate(trajectory.prompts):
        own = torch.from_numpy(trajectory.actions[row][trajectory.mask[row]])
        ids = torch.cat((torch.from_numpy(prompt), own))[None]
        logits = model(ids).logits[0, len(prompt) - 1 : -1]  # type: ignore[operator]
        loss = loss - by_hand[row % 3] * logits.log_softmax(-1).gather(1, own[:, None]).sum()
    (loss / trajectory.mask.sum()).backward()
    expected = [each.grad for each in model.parameters()]
    assert all(float(each.abs().max()) == 0 for each in found[-2:])  # no value function learns
    for one, other in zip(found[:-2], expected, strict=True):
        assert other is not None
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)


@pytest.mark.learning
def test_cloning_the_best_makes_rewarded_tokens_likelier(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny())
    improver = TokenImprover(policy, config(advantage="cloning", learning_rate=1e-2, anneal=False, max_grad_norm=1.0))
    writer, shares = Writer(policy, PROMPTS, SamplingConfig(8), 8), []
    for round in range(12):
        writer.reset(np.random.SeedSequence((0, round)))
        trajectory = writer.collect(4)
        wanted = (trajectory.actions >= 200) & trajectory.mask
        shares.append(wanted.sum() / trajectory.mask.sum())
        improver(trajectory, wanted.astype(np.float32), 0.0, torch.Generator())
    assert np.mean(shares[-3:]) > np.mean(shares[:3]) + 0.08  # over 4 seeds it rose by 0.13 to 0.20


def test_pretraining_adds_its_gradient_and_at_weight_0_nothing(tiny: Tiny) -> None:
    """PPO-ptx: Ouyang et al. 2022, eq. 2."""
    found: dict[float, list[Tensor]] = {}
    asked = []
    for weight in (0.0, 0.5):
        policy = TokenPolicy(tiny())

        def text(generator: torch.Generator, model: LanguageModel = policy.model) -> Tensor:
            asked.append(1)
            return -completion_log_probs(model, lay([TEXT]), None)[0].mean()

        trajectory = written(policy)
        improver = TokenImprover(policy, config(ptx=weight), text)
        metrics = improver(trajectory, scored(trajectory, [1.0, 3.0, 5.0] * 4), 0.0, torch.Generator())
        found[weight] = gradients(policy)
        assert ("ptx_loss" in metrics) == (weight > 0)
    assert len(asked) == 1
    policy = TokenPolicy(tiny())
    (-0.5 * completion_log_probs(policy.model, lay([TEXT]), None)[0].mean()).backward()
    for one, other, text_alone in zip(found[0.5], found[0.0], gradients(policy), strict=True):
        torch.testing.assert_close(one, other + text_alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(PlauditError, match="ptx needs text for its pretraining loss: name a text file"):
        TokenImprover(policy, config(ptx=0.5))


@pytest.mark.parametrize(("bound", "updates"), [(None, 5.0), (1e-9, 2.0)])
def test_passes_end_once_the_policy_has_moved_too_far(tiny: Tiny, bound: float | None, updates: float) -> None:
    policy = TokenPolicy(tiny())
    trajectory = written(policy)
    improver = TokenImprover(policy, config(epochs=5, learning_rate=1e-3, stop_kl=bound))
    metrics = improver(trajectory, scored(trajectory, [1.0, 3.0, 5.0] * 4), 0.0, torch.Generator())
    assert float(metrics["updates"]) == updates  # in the first pass it is where it was


def test_after_learning_the_reference_still_says_what_the_model_said(tiny: Tiny) -> None:
    for method in ("full", "upper", "lora"):
        policy = TokenPolicy(tiny(method))
        trajectory = written(policy)
        improver = TokenImprover(policy, config(epochs=2, learning_rate=1e-2, stop_kl=None))
        improver(trajectory, scored(trajectory, [1.0, 3.0, 5.0] * 4), 0.0, torch.Generator())
        for batch in trajectory.batches:
            mask = trajectory.mask[batch.completions]
            said = policy.reference_log_probs(batch).numpy()
            np.testing.assert_allclose(said, trajectory.log_probs[batch.completions][mask], atol=1e-6)
            with torch.no_grad():
                assert np.abs(policy.evaluate(batch)[0].numpy() - said).max() > 1e-3


def test_values_are_float32_in_whatever_context_they_are_asked_for(tiny: Tiny) -> None:
    policy = TokenPolicy(tiny(precision="bf16"))
    torch.nn.init.normal_(policy.value.weight, generator=torch.Generator().manual_seed(0))
    trajectory = written(policy)
    with torch.no_grad(), policy.model.precision():
        values = policy.evaluate(trajectory.batches[0])[1]
    assert values.dtype == torch.float32
    assert (values != values.bfloat16().float()).float().mean() > 0.9


class Largest(TorchDispatchMode):
    """The most numbers in any tensor that an operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


@pytest.mark.parametrize("learns", [True, False])
def test_logits_of_all_tokens_never_stand_in_memory_at_once(learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MAX_GRADIENT_BYTES", 0)
    hidden = torch.randn(5 * vocabulary.CHUNK, 4, requires_grad=True)
    weight = torch.randn(1000, 4, requires_grad=learns)
    with Largest() as largest:
        token_log_probs(hidden, weight, torch.arange(len(hidden))).sum().backward()
    assert hidden.grad is not None and largest.numbers == vocabulary.CHUNK * 1000


def test_a_head_begins_small(tiny: Tiny) -> None:
    torch.manual_seed(0)
    model = tiny()
    reward = TextReward(model, HeadsConfig(members=200))
    assert float(reward.heads.weight.detach().std()) == pytest.approx((model.width + 1) ** -0.5, rel=0.02)
    assert not reward.heads.bias.detach().any()
    policy = TokenPolicy(model)
    assert not policy.value.weight.detach().any() and not policy.value.bias.detach().any()


def test_a_text_that_is_longer_than_the_model_can_take_is_refused(tiny: Tiny) -> None:
    model = tiny()
    long = [Tree(np.arange(4, 10), (np.arange(30, 40), np.arange(30, 41)))]
    assert len(list(iterate_batches(model, long))) == 1
    model.model.config.sliding_window = 16  # type: ignore[union-attr]
    assert len(list(iterate_batches(model, long))) == 1
    set_mode(model.model, "limited")
    with pytest.raises(PlauditError, match="a text of 17 tokens is longer than the 16"):
        list(iterate_batches(model, long))
