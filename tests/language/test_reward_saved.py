"""Reward models on disk: the same scores after reloading, whatever learned, and as the start of another fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from plaudit.language.models import LanguageModel, ModelConfig
from plaudit.language.reward import HeadsConfig, JudgedCompletions, Preferences, TextReward
from plaudit.language.rows import Tree
from plaudit.language.spans import SpanConfig, SpanReward
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import PlauditError

Tiny = Callable[..., LanguageModel]


def judged(count: int, seed: int = 0) -> list[JudgedCompletions]:
    """The one that ends in 50 is better than the one that ends in 51."""
    rng, examples = np.random.default_rng(seed), []
    for index in range(count):
        ends = ((50, 51), (51, 50))[index % 2]
        pair = tuple(np.array([*rng.integers(60, 250, rng.integers(1, 5)), end]) for end in ends)
        examples.append(JudgedCompletions(Tree(np.array([5, 6]), pair), mu=float(ends[0] == 50)))
    return examples


def fit(reward: TextReward, count: int, epochs: int = 1, seed: int = 0) -> float:
    """Accuracy on others after a fit."""
    tuner = Tuner(
        reward.model,
        reward.trainable_parameters(),
        Preferences(reward),
        judged(count, seed),
        TuneConfig(3e-3, batch=10, epochs=epochs),
    )
    for _ in tuner.run():
        pass
    return tuner.evaluate(judged(100, 99))["accuracy"]


@pytest.mark.parametrize("method", ["full", "upper", "lora", "frozen"])
def test_the_same_scores_after_reloading(tiny: Tiny, tmp_path: Path, method: str) -> None:
    torch.manual_seed(0)
    reward = TextReward(tiny(method), HeadsConfig(2, ("kind", "true"), (0.75, 0.25), "worst", missing_end=None))
    tuner = Tuner(
        reward.model, reward.trainable_parameters(), Preferences(reward), judged(20), TuneConfig(1e-2, batch=5)
    )
    for _ in tuner.run():
        pass
    trees = [example.tree for example in judged(12, 1)]
    reward.normalise(trees)
    expected = reward.score(trees), reward.reward(trees)
    reward.save(tmp_path)
    loaded = TextReward.load(tmp_path, ModelConfig(method="frozen", precision="fp32"))
    assert loaded.config == reward.config
    actual = loaded.score(trees), loaded.reward(trees)
    for before, after in zip(expected, actual, strict=True):
        if method == "lora":  # additions are merged: the same numbers, added in another order
            np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-4)
        else:
            np.testing.assert_array_equal(before, after)
    AutoModelForCausalLM.from_pretrained(tmp_path)  # the trunk is a plain model


@pytest.mark.learning
def test_a_little_feedback_is_enough_behind_much_other(tiny: Tiny, tmp_path: Path) -> None:
    """Preference-model pretraining: fitted to much, saved, and fitted to little from there."""
    little = []
    for pretrained in (False, True):
        torch.manual_seed(0)
        if pretrained:
            first = TextReward(tiny(), HeadsConfig())
            assert fit(first, 120, 2) > 0.8
            first.save(tmp_path)
            reward = TextReward.load(tmp_path, ModelConfig(method="full", precision="fp32"))
        else:
            reward = TextReward(tiny(), HeadsConfig())
        little.append(fit(reward, 10, seed=7))
    assert little[1] > 0.8 and little[1] > little[0] + 0.1


def test_heads_stay_with_their_objective(tiny: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reward = TextReward(tiny(), HeadsConfig(2, ("kind", "true")))
    reward.save(tmp_path)
    trees = [example.tree for example in judged(4)]
    scores = reward.score(trees)
    reordered = TextReward.load(tmp_path, heads=HeadsConfig(2, ("true", "brief", "kind"))).score(trees)
    np.testing.assert_allclose(reordered[:, [2, 0]], scores, rtol=1e-5)
    assert not np.isclose(reordered[:, 1], scores[:, 0]).any() and not np.isclose(reordered[:, 1], scores[:, 1]).any()


def test_heads_that_are_read_otherwise(tiny: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(0)
    TextReward(tiny(), HeadsConfig()).save(tmp_path)
    loaded_reward = TextReward.load(tmp_path, heads=HeadsConfig(missing_end=-2.0))
    assert loaded_reward.config.missing_end == -2.0
    assert torch.equal(loaded_reward.heads.weight, TextReward.load(tmp_path).heads.weight)
    assert TextReward.load(tmp_path, heads=HeadsConfig(members=3)).heads.weight.shape[0] == 3
    assert not TextReward.load(tmp_path).model.trainable_parameters()


def test_spans_are_saved_too(tiny: Tiny, tmp_path: Path) -> None:
    reward = SpanReward(tiny("upper"), SpanConfig(("wrong", "rude"), (1.0, 2.0), "part"))
    with torch.no_grad():
        reward.heads.weight.normal_(generator=torch.Generator().manual_seed(0))
    reward.save(tmp_path)
    loaded = SpanReward.load(tmp_path, ModelConfig(method="frozen", precision="fp32"))
    assert loaded.config == reward.config
    trees = [example.tree for example in judged(3)]
    for before, after in zip(reward.faults(trees), loaded.faults(trees), strict=True):
        for (ends, faults), (ends_again, faults_again) in zip(before, after, strict=True):
            assert np.array_equal(ends, ends_again) and np.array_equal(faults, faults_again)
    with pytest.raises(PlauditError, match="holds a span-reward, but a text-reward is needed"):
        TextReward.load(tmp_path)


def test_what_is_not_there_or_damaged(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=r"holds no reward model: heads.json is missing"):
        TextReward.load(tmp_path / "nowhere")
    TextReward(tiny(), HeadsConfig()).save(tmp_path)
    whole = (tmp_path / "heads.safetensors").read_bytes()
    (tmp_path / "heads.safetensors").write_bytes(whole[:40])
    with pytest.raises(PlauditError, match=r"the heads in .* are damaged"):
        TextReward.load(tmp_path)
    (tmp_path / "heads.safetensors").write_bytes(whole)
    config = (tmp_path / "heads.json").read_text()
    (tmp_path / "heads.json").write_text(config.replace('"members": 1', '"members": 2'))
    with pytest.raises(PlauditError, match="do not fit the model beside them"):
        TextReward.load(tmp_path)
    (tmp_path / "heads.json").write_text(config.replace('"members"', '"people"'))
    with pytest.raises(PlauditError, match="written by another version"):
        TextReward.load(tmp_path)
