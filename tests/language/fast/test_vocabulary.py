"""Chunked log-probabilities equal the table of logits written out, values and gradients."""

from __future__ import annotations

import pytest
import torch

from plaudit.language.fast import vocabulary
from plaudit.language.fast.vocabulary import CHUNK, token_log_probs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("count", [0, 1, CHUNK, 2 * CHUNK + 3])
@pytest.mark.parametrize("saved", [True, False])
def test_values_and_gradients(count: int, temperature: float, saved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MAX_GRADIENT_BYTES", vocabulary.MAX_GRADIENT_BYTES if saved else -1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(count, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets, upstream = torch.randint(50, (count,)), torch.randn(count)
    log_probs = token_log_probs(hidden, weight, targets, temperature)
    exact = token_log_probs(hidden.double(), weight.double(), targets, temperature)
    torch.testing.assert_close(log_probs.double(), exact, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad((log_probs * upstream).sum(), (hidden, weight))
    exact_gradients = torch.autograd.grad((exact * upstream.double()).sum(), (hidden, weight))
    for gradient, expected in zip(gradients, exact_gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
    frozen = token_log_probs(hidden, weight.detach(), targets, temperature)  # keeps other things
    torch.testing.assert_close(
        torch.autograd.grad((frozen * upstream).sum(), hidden)[0], exact_gradients[0], rtol=1e-4, atol=1e-5
    )


def test_under_autocast_the_gradient_points_the_same_way() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 64, requires_grad=True), torch.randn(500, 64, requires_grad=True)
    targets = torch.randint(500, (300,))
    with torch.autocast("cpu", torch.bfloat16):
        half = torch.autograd.grad(token_log_probs(hidden, weight, targets).sum(), (hidden, weight))
    full = torch.autograd.grad(token_log_probs(hidden, weight, targets).sum(), (hidden, weight))
    for gradient, expected in zip(half, full, strict=True):
        assert gradient.dtype == torch.float32
        assert torch.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.999


def test_a_token_that_is_all_but_certain_keeps_its_small_gradient_under_autocast() -> None:
    """onehot - softmax is taken before it is rounded: 1 - p would be lost between two rounded vectors."""
    torch.manual_seed(0)
    weight = torch.randn(500, 64)
    hidden = (0.35 * weight[:300]).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        log_probs = token_log_probs(hidden, weight, torch.arange(300))
    assert float(log_probs.detach().median()) > -1e-3
    (half,) = torch.autograd.grad(log_probs.sum(), hidden)
    (full,) = torch.autograd.grad(token_log_probs(hidden, weight, torch.arange(300)).sum(), hidden)
    assert torch.cosine_similarity(half.flatten(), full.flatten(), dim=0) > 0.98


def test_frozen_vocabulary_gets_no_gradient() -> None:
    hidden, weight = torch.randn(5, 8, requires_grad=True), torch.randn(20, 8)
    token_log_probs(hidden, weight, torch.arange(5)).sum().backward()
    assert hidden.grad is not None and weight.grad is None
