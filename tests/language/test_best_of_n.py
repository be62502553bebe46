"""Best of n: the responses that the reward model likes best of those that the model wrote, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.language.best_of_n import BestOfN
from plaudit.language.evaluate import Contestant, EvaluateConfig, HeldOutMeasures, evaluate
from plaudit.language.evaluation import Estimate
from plaudit.language.fast.decode import sample
from plaudit.language.measures import words
from plaudit.language.models import LanguageModel
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.rows import Tree
from plaudit.language.sampling import SamplingConfig
from plaudit.language.text import Chat
from plaudit.types import Message, PlauditError

Tiny = Callable[..., LanguageModel]
PROMPTS = [np.array([5, 6, 7, 8]), np.array([20]), np.array([30, 31, 32])]


def longest(reward: TextReward) -> None:
    """Let a completion's reward be its length."""

    def score(trees: Sequence[Tree], budget: int = 4096) -> Any:
        return np.array([len(completion) for tree in trees for completion in tree.completions], np.float32)

    reward.reward = score  # type: ignore[method-assign]


def test_the_best_of_each_group_by_hand(tiny: Tiny) -> None:
    reward = TextReward(tiny(), HeadsConfig(missing_end=-1.0))
    scores = np.array([0.1, 0.5, -2.0, 9.0, 0.3, 0.2, -3.0, -4.0], np.float32)
    reward.reward = lambda trees, budget=4096: scores  # type: ignore[method-assign]
    texts = [np.array([1])] * 8
    chosen = BestOfN(reward.model, reward, 4).best(PROMPTS[:2], texts, np.ones(8, bool))
    assert chosen.tolist() == [3, 4]
    cut = np.array([True, True, True, False, True, True, True, False])
    assert BestOfN(reward.model, reward, 4).best(PROMPTS[:2], texts, cut).tolist() == [1, 4]
    assert BestOfN(reward.model, reward, 2).best(PROMPTS[:2], texts, cut).tolist() == [1, 3, 4, 7]  # -1 beats -2 and -3


@pytest.mark.parametrize("n", [1, 2])
def test_what_is_kept_was_among_what_was_written(tiny: Tiny, n: int) -> None:
    model = tiny()
    reward = TextReward(model, HeadsConfig(missing_end=None))
    longest(reward)
    sampling = SamplingConfig(8)
    chosen, finished = BestOfN(model, reward, 4, batch=10_000).write(
        PROMPTS, sampling, n, torch.Generator().manual_seed(3)
    )
    sampled = sample(model, PROMPTS, sampling, torch.Generator().manual_seed(3), 4 * n)
    groups = [sampled.completions()[4 * index : 4 * index + 4] for index in range(len(PROMPTS) * n)]
    assert [len(completion) for completion in chosen] == [max(map(len, group)) for group in groups]
    assert all(
        any(np.array_equal(completion, candidate) for candidate in group)
        for completion, group in zip(chosen, groups, strict=True)
    )
    assert finished.shape == (len(chosen),)
    parts, _ = BestOfN(model, reward, 4, batch=4).write(PROMPTS, sampling, n, torch.Generator().manual_seed(3))
    assert len(parts) == len(chosen)


def test_it_is_a_column_of_an_evaluation(tiny: Tiny) -> None:
    model = tiny()
    reward = TextReward(model, HeadsConfig(missing_end=None))
    chat = Chat(model)

    def wordy(trees: Sequence[Tree], budget: int = 4096) -> Any:
        return np.array(
            [len(words(chat.text(completion))) for tree in trees for completion in tree.completions], np.float32
        )

    reward.reward = wordy  # type: ignore[method-assign]
    best = BestOfN(model, reward, 8)
    assert isinstance(best, Contestant) and best.model is None
    config = EvaluateConfig(SamplingConfig(10), resamples=100)
    prompts = [(Message("user", f"say {word}"),) for word in ("cat", "mat", "on", "go")]
    evaluation = evaluate(
        model, {"best of 8": best}, prompts, config, HeldOutMeasures(texts=["the cat sat on the mat"])
    )
    assert evaluation.measure(1, "kl") == Estimate(log(8) - 7 / 8)
    assert evaluation.measure(1, "loss") is None and evaluation.measure(0, "loss") is not None
    difference = evaluation.difference(1, "words")
    assert difference is not None and difference.value > 0


def test_one_of_one_is_the_model_itself(tiny: Tiny) -> None:
    model = tiny()
    reward = TextReward(model, HeadsConfig())
    prompts = [(Message("user", "say cat"),), (Message("user", "please"),)]
    evaluation = evaluate(model, {"best of 1": BestOfN(model, reward, 1)}, prompts, EvaluateConfig(), HeldOutMeasures())
    assert evaluation.difference(1, "words") == Estimate(0.0, 0.0, 0.0) and evaluation.measure(1, "kl") == Estimate(0.0)
    with pytest.raises(PlauditError, match="at least 1"):
        BestOfN(model, reward, 0)
