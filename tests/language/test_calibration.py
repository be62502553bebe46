"""What a reward model said of held-out judgements, beside a rule that knows nothing but length."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import numpy as np
import pytest
import torch

from plaudit.functional.calibration import share_interval
from plaudit.language.calibration import HeldOutPairs, held_out_pairs, length_sign
from plaudit.language.models import LanguageModel
from plaudit.language.reward import HeadsConfig, JudgedCompletions, TextReward
from plaudit.language.rows import Tree

Tiny = Callable[..., LanguageModel]


def tree(*lengths: int) -> Tree:
    return Tree(np.array([7, 8]), tuple(np.full(length, 9) for length in lengths))


def test_pairs_of_comparisons_and_rankings_by_hand(tiny: Tiny) -> None:
    reward = TextReward(tiny(), HeadsConfig(members=2, objectives=("helpful", "harmless")))
    examples = [
        JudgedCompletions(tree(3, 1), mu=1.0),
        JudgedCompletions(tree(2), ratings=(0.5,)),  # compares nothing
        JudgedCompletions(tree(1, 2, 2), ranks=(0, 1, 1), objective=1),
    ]
    scores = np.zeros((5, 2, 2), np.float32)
    scores[0, 0] = (2.0, 0.0)  # one member prefers the first by 2, one does not care
    scores[2, 1], scores[3, 1] = (1.0, 1.0), (3.0, 3.0)
    reward.score = lambda trees, budget=4096: scores  # type: ignore[method-assign]
    pairs = held_out_pairs(reward, examples)

    def sigmoid(x: float) -> float:
        return 1 / (1 + exp(-x))

    expected = [(sigmoid(2) + 0.5) / 2, sigmoid(-2), sigmoid(1), sigmoid(3)]
    assert pairs.predicted == pytest.approx(expected, rel=1e-6)
    assert pairs.targets.tolist() == [1.0, 1.0, 1.0, 0.5]
    assert pairs.longer.tolist() == [2, -1, -1, 0] and pairs.judgements.tolist() == [0, 1, 1, 1]
    accuracy, length = pairs.accuracy(), pairs.length_accuracy()
    assert accuracy is not None and length is not None
    assert accuracy.value == pytest.approx(2 / 3)  # of the three decided pairs
    assert (accuracy.low, accuracy.high) == share_interval(2 / 3, 2)  # from two judgements
    assert length.value == pytest.approx(1 / 3)
    shorter = pairs.length_accuracy(-1)
    assert shorter is not None and shorter.value == pytest.approx(2 / 3)
    diagram = pairs.reliability()
    assert diagram is not None and diagram.accuracy == pytest.approx(2 / 3) and diagram.counts.sum() == 4


def test_nothing_to_compare_says_nothing(tiny: Tiny) -> None:
    reward = TextReward(tiny(), HeadsConfig())
    pairs = held_out_pairs(reward, [JudgedCompletions(tree(2), ratings=(0.5,))])
    assert len(pairs.predicted) == 0 and pairs.accuracy() is None and pairs.reliability() is None
    tied = HeldOutPairs(np.array([0.9]), np.array([0.5]), np.array([1]), np.array([0]))
    assert tied.accuracy() is None and tied.reliability() is not None


def test_the_probability_is_that_of_the_loss(tiny: Tiny) -> None:
    """Cross-entropy of the pairs equals the objective's own loss on held-out comparisons."""
    rng = np.random.default_rng(0)
    examples = [
        JudgedCompletions(
            Tree(rng.integers(4, 250, 4), (rng.integers(4, 250, 3), rng.integers(4, 250, 5))),
            mu=float(rng.choice([0.0, 1.0])),
        )
        for _ in range(12)
    ]
    reward = TextReward(tiny(), HeadsConfig())
    diagram = held_out_pairs(reward, examples).reliability()
    scores = reward.score([example.tree for example in examples])[:, 0, 0].reshape(-1, 2).astype(np.float64)
    signs = np.array([2 * (example.mu or 0.0) - 1 for example in examples])
    assert diagram is not None
    assert diagram.log_loss == pytest.approx(np.log1p(np.exp(-signs * (scores[:, 0] - scores[:, 1]))).mean(), rel=1e-4)
    assert torch.isfinite(torch.tensor(diagram.error))


def test_which_length_people_prefer_is_learned_from_what_may_be_fitted_to() -> None:
    assert (
        length_sign(
            [
                JudgedCompletions(tree(3, 1), mu=1.0),
                JudgedCompletions(tree(3, 1), mu=1.0),
                JudgedCompletions(tree(1, 3), mu=1.0),
            ]
        )
        == 1
    )
    assert length_sign([JudgedCompletions(tree(1, 2, 3), ranks=(0, 1, 2))]) == -1
    assert (
        length_sign([JudgedCompletions(tree(1, 2), mu=0.5), JudgedCompletions(tree(1), ratings=(1.0,))]) == 1
    )  # nothing said: longer


def test_a_tempered_reward_model_says_other_probabilities_and_the_same_rewards(tiny: Tiny) -> None:
    torch.manual_seed(0)
    reward = TextReward(tiny(), HeadsConfig(members=2, pooling="worst"))
    trees = [tree(2, 3), tree(4, 1), tree(1, 5)]
    reward.normalise(trees)
    scores, rewards = reward.score(trees), reward.reward(trees)
    reward.temper(2.0)
    np.testing.assert_allclose(reward.score(trees), scores / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reward.reward(trees), rewards, rtol=1e-4, atol=1e-5)


def test_a_temperature_is_held_against_the_judgements_that_it_was_not_made_of() -> None:
    # even judgements: right in 4 of 5, odd ones: in 3 of 5, and with one more of each 5 and 4 of 7; all claim 16/17
    right = {0: (1, 1, 1, 1, 0), 1: (1, 1, 1, 0, 0)}
    targets = np.array([right[number % 2][number // 2] for number in range(10)], float)
    pairs = HeldOutPairs(np.full(10, 16 / 17), targets, np.zeros(10, np.int64), np.arange(10))
    after = pairs.calibrate()
    assert after.predicted == pytest.approx([4 / 7, 5 / 7] * 5, rel=1e-9)
    assert pairs.count_decided() == 10 and pairs.temperature() == pytest.approx(np.log(16) / np.log(2), rel=1e-9)
    alone = HeldOutPairs(np.array([0.9]), np.ones(1), np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert alone.calibrate().predicted.tolist() == [0.9]  # there is no other half
