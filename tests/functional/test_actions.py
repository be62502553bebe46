"""Action spaces by hand: probabilities, entropies, gradients, and what networks and environments get."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from gymnasium import spaces

from plaudit.functional.actions import Choices, Numbers, actions_of


def test_two_choices_are_independent() -> None:
    """Probabilities (1/4, 3/4) and (1/2, 1/4, 1/4): products, sums of logarithms, sums of entropies."""
    choices = Choices(spaces.MultiDiscrete([2, 3]))
    logits = torch.tensor([1.0, 3.0, 2.0, 1.0, 1.0]).log().expand(2, 5).clone().requires_grad_()
    log_probs, entropy = choices.evaluate(logits, torch.tensor([[0, 0], [1, 2]]))
    assert log_probs.tolist() == pytest.approx([log(1 / 8), log(3 / 16)])
    first, second = log(4) / 4 + 0.75 * log(4 / 3), log(2) / 2 + log(4) / 2
    assert entropy.tolist() == pytest.approx([first + second] * 2)
    (gradient,) = torch.autograd.grad(log_probs.sum(), logits)  # of a softmax: 1[option] - p
    expected = [[3 / 4, -3 / 4, 1 / 2, -1 / 4, -1 / 4], [-1 / 4, 1 / 4, -1 / 2, -1 / 4, 3 / 4]]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_bits_are_bernoulli() -> None:
    bits = Choices(spaces.MultiBinary(2))
    assert bits.width == 2
    logits = torch.tensor([[0.0, log(3)]], requires_grad=True)  # p = 1/2 and 3/4
    log_probs, entropy = bits.evaluate(logits, torch.tensor([[1, 0]]))
    assert log_probs.item() == pytest.approx(log(1 / 8))
    assert entropy.item() == pytest.approx(log(2) + log(4) / 4 + 0.75 * log(4 / 3))
    (gradient,) = torch.autograd.grad(log_probs.sum(), logits)  # bit - p
    np.testing.assert_allclose(gradient, [[1 / 2, -3 / 4]], atol=1e-6)
    (gradient,) = torch.autograd.grad(bits.evaluate(logits, torch.tensor([[1, 0]]))[1].sum(), logits)
    np.testing.assert_allclose(gradient, [[0, -3 / 16 * log(3)]], atol=1e-6)  # -p (1 - p) logit


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3, 1]), spaces.MultiBinary(3), spaces.Discrete(4)])
def test_samples_come_as_often_as_their_probability(space: spaces.Space) -> None:
    choices = actions_of(space)
    assert isinstance(choices, Choices)
    logits = np.random.default_rng(0).normal(size=choices.width).astype(np.float32)
    actions, log_probs = choices.sample(np.tile(logits, (20_000, 1)), np.random.default_rng(1), greedy=False)
    evaluated, _ = choices.evaluate(torch.from_numpy(np.tile(logits, (20_000, 1))), torch.from_numpy(actions))
    np.testing.assert_allclose(log_probs, evaluated, rtol=1e-4, atol=1e-5)
    outcomes, first, counts = np.unique(actions.reshape(20_000, -1), axis=0, return_index=True, return_counts=True)
    np.testing.assert_allclose(counts / 20_000, np.exp(log_probs[first]), atol=0.015)  # four standard errors
    assert np.exp(log_probs[first]).sum() == pytest.approx(1, abs=0.01) and len(outcomes) in (4, 6, 8)
    _, best = choices.sample(logits[None], np.random.default_rng(1), greedy=True)
    assert best[0] == pytest.approx(log_probs.max(), abs=1e-5)


def test_what_a_network_reads_of_an_action() -> None:
    several, bits = Choices(spaces.MultiDiscrete([2, 3])), Choices(spaces.MultiBinary(3))
    assert several.encode(torch.tensor([[1, 2], [0, 0]])).tolist() == [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]]
    assert bits.encode(torch.tensor([[1, 0, 1]])).tolist() == [[1, 0, 1]]
    assert Choices(spaces.Discrete(3)).encode(torch.tensor([2])).tolist() == [[0, 0, 1]]


def test_numbers_of_every_shape_and_bound() -> None:
    """Bounded: halves of the range. Unbounded: as they are. One bound: from one unit inside of it."""
    low = np.array([[-2, -np.inf], [3, -np.inf]], np.float32)
    high = np.array([[4, np.inf], [np.inf, -1]], np.float32)
    numbers = Numbers(spaces.Box(low, high))
    stored = np.array([[0.5, 7, 0, 0], [9, -7, -9, 9]], np.float32)
    received = numbers.to_environment(stored)
    assert received.tolist() == [[[2.5, 7], [4, -2]], [[4, -7], [3, -1]]] and received.dtype == np.float32
    assert numbers.encode(torch.from_numpy(stored)).tolist() == [[0.5, 7, 0, 0], [1, -7, -1, 1]]
    np.testing.assert_allclose(numbers.from_environment(received), [[0.5, 7, 0, 0], [1, -7, -1, 1]])
    whole = Numbers(spaces.Box(0, 10, (2,), np.int64))
    assert whole.to_environment(np.array([[0.1, -3.0]])).tolist() == [[6, 0]]
    largest = Numbers(spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (1,)))
    assert largest.to_environment(np.array([[2.5]], np.float32)).tolist() == [[2.5]]
