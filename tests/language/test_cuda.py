"""On a GPU the same comes out as on the processor: written, scored, improved. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from plaudit.language.fast.decode import sample
from plaudit.language.improve import TokenImproveConfig, TokenImprover
from plaudit.language.models import LanguageModel
from plaudit.language.penalty import KLPenalty, KLPenaltyConfig
from plaudit.language.policy import TokenPolicy, Writer
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.tune import TuneConfig, Tuner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
Tiny = Callable[..., LanguageModel]
PROMPTS = [np.array([5, 9, 40]), np.array([7, 7]), np.array([30, 31, 32, 33, 34])]
GREEDY = SamplingConfig(tokens=12, temperature=0.0)


def trees(count: int) -> list[Tree]:
    rng = np.random.default_rng(0)
    return [Tree(rng.integers(4, 250, 6), (rng.integers(4, 250, 5), rng.integers(4, 250, 3))) for _ in range(count)]


@pytest.mark.parametrize("method", ["full", "lora", "upper"])
def test_greedy_text_and_its_log_probabilities(tiny: Tiny, method: str) -> None:
    on_gpu, on_cpu = tiny(method).to("cuda"), tiny(method)
    gpu_sample = sample(on_gpu, PROMPTS, GREEDY, torch.Generator("cuda").manual_seed(0), 2)
    cpu_sample = sample(on_cpu, PROMPTS, GREEDY, torch.Generator().manual_seed(0), 2)
    np.testing.assert_array_equal(gpu_sample.tokens, cpu_sample.tokens)
    np.testing.assert_allclose(gpu_sample.log_probs, cpu_sample.log_probs, atol=2e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sampled_log_probabilities_are_those_of_a_forward(tiny: Tiny, precision: str) -> None:
    policy = TokenPolicy(tiny("full", precision=precision).to("cuda"))
    writer = Writer(policy, PROMPTS, replace(GREEDY, temperature=1.0), 4)
    writer.reset(np.random.SeedSequence(0))
    trajectory = writer.collect(3)
    difference = np.abs(trajectory.sampled_log_probs - trajectory.log_probs)[trajectory.mask]
    assert difference.max() < (2e-3 if precision == "fp32" else 0.3) and difference.mean() < 0.05


def test_a_reward_is_fitted_and_scores_as_on_the_processor(tiny: Tiny) -> None:
    scores = []
    for device in ("cuda", "cpu"):
        torch.manual_seed(0)
        reward = TextReward(tiny("full").to(device), HeadsConfig()).to(device)
        examples = [JudgedCompletions(tree, mu=float(index % 2)) for index, tree in enumerate(trees(8))]
        config = TuneConfig(batch=4, learning_rate=1e-3, epochs=2, schedule="constant", warmup=0.0)
        tuner = Tuner(reward.model, reward.trainable_parameters(), Preferences(reward), examples, config)
        assert len(list(tuner.run())) == 4
        scores.append(np.asarray(reward.score(trees(8))))
    np.testing.assert_allclose(scores[0], scores[1], atol=0.02)


@pytest.mark.parametrize("advantage", ["gae", "rloo", "grpo"])
def test_a_policy_is_improved(tiny: Tiny, advantage: Literal["gae", "rloo", "grpo"]) -> None:
    torch.manual_seed(0)
    model = tiny("upper", precision="bf16").to("cuda")
    policy = TokenPolicy(model)
    writer = Writer(policy, PROMPTS, replace(GREEDY, temperature=1.0), 4)
    writer.reset(np.random.SeedSequence(1))
    penalty = KLPenalty(TextReward(model.twin(learns=True), HeadsConfig()), KLPenaltyConfig())
    improver = TokenImprover(policy, TokenImproveConfig(advantage=advantage, learning_rate=1e-3, epochs=2))
    trajectory = writer.collect(3)
    assert float(np.abs(trajectory.log_probs - trajectory.reference_log_probs).max()) == 0.0
    metrics = improver(trajectory, penalty.rewards(trajectory), 0.0, torch.Generator().manual_seed(0))
    assert all(np.isfinite(float(value)) for value in metrics.values())
    after = writer.collect(3)
    assert float(np.abs(after.log_probs - after.reference_log_probs)[after.mask].max()) > 0
