"""The actor-critic objective: PPO's cases by hand, A2C as its special case, gradients."""

from math import e, log, pi

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.distributions import Categorical, Normal

from plaudit.functional.objective import categorical_entropy, gaussian_entropy, policy_loss, value_loss


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


ONE = f64(0.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [
        (1.5, 2.0, -2.4, False),  # gained enough: 1.2 * 2
        (1.5, -2.0, 3.0, True),  # a worse action became likelier: no mercy, 1.5 * 2
        (0.5, 2.0, -1.0, True),  # a better action became rarer: 0.5 * 2, pulled back
        (0.5, -2.0, 1.6, False),  # a worse action is rare enough: 0.8 * 2
        (1.1, 2.0, -2.2, True),  # within the clip both ways
        (0.9, -2.0, 1.8, True),
    ],
)
def test_ppo_clips_by_hand(ratio: float, advantage: float, loss: float, moves: bool) -> None:
    log_probs = f64(log(ratio)).requires_grad_()
    actual = policy_loss(log_probs, ONE, f64(advantage), 0.2)
    assert actual.item() == pytest.approx(loss)
    (gradient,) = torch.autograd.grad(actual, log_probs)
    # where it moves, d(-ratio A)/d log pi = -ratio A
    assert gradient.item() == pytest.approx(-ratio * advantage if moves else 0.0)


def test_the_unclipped_first_epoch_is_a2c() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(10, 4, generator=generator, dtype=torch.float64).requires_grad_()
    advantages = torch.randn(10, generator=generator, dtype=torch.float64)
    actions = torch.randint(4, (10, 1), generator=generator)
    log_probs = logits.log_softmax(-1).gather(1, actions)[:, 0]
    (a2c,) = torch.autograd.grad(-(log_probs * advantages).mean(), logits, retain_graph=True)
    for clip in (None, 0.2):
        loss = policy_loss(log_probs, log_probs.detach(), advantages, clip)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        torch.testing.assert_close(gradient, a2c)
        torch.testing.assert_close(loss.detach(), -advantages.mean())


def test_unclipped_loss_by_hand() -> None:
    # ratios 2 and 1/2: -(2 * 3 + 0.5 * 4) / 2 = -4
    assert policy_loss(f64(log(2), -log(2)), f64(0, 0), f64(3, 4), None).item() == pytest.approx(-4)


@pytest.mark.parametrize("clip", [None, 0.2])
def test_masked_steps_count_for_nothing(clip: float | None) -> None:
    log_probs, old, advantages = f64(0.1, -0.2, 9.0), f64(0.0, 0.3, -9.0), f64(1.0, -2.0, 1e9)
    mask = torch.tensor([True, True, False])
    expected = policy_loss(log_probs[:2], old[:2], advantages[:2], clip)
    torch.testing.assert_close(policy_loss(log_probs, old, advantages, clip, mask), expected)
    bounds = {} if clip is None else {"old_values": old, "clip": clip}
    short = {} if clip is None else {"old_values": old[:2], "clip": clip}
    expected = value_loss(log_probs[:2], advantages[:2], **short)
    torch.testing.assert_close(value_loss(log_probs, advantages, **bounds, mask=mask), expected)


def test_value_loss_by_hand() -> None:
    # errors 1 and -3: 0.5 * (1 + 9) / 2 = 2.5
    assert value_loss(f64(2, 1), f64(1, 4)).item() == pytest.approx(2.5)
    # Old value 1, clip 0.5, targets 1 and 4. V = 2 is held at 1.5: max(1, 0.25) = 1. V = 3 is held at 1.5:
    # max(1, 6.25) = 6.25. 0.5 * (1 + 6.25) / 2 = 1.8125
    assert value_loss(f64(2, 3), f64(1, 4), f64(1, 1), 0.5).item() == pytest.approx(1.8125)


def test_value_clipping_needs_both_settings() -> None:
    with pytest.raises(ValueError, match="both old_values and clip"):
        value_loss(f64(1), f64(1), clip=0.2)
    with pytest.raises(ValueError, match="both old_values and clip"):
        value_loss(f64(1), f64(1), f64(1))


def test_gradients() -> None:
    # away from the kinks of min, max and clamp, where there is no derivative to check
    log_probs, old, advantages = f64(0.1, -0.5, 0.6, -0.6).requires_grad_(), f64(0, 0, 0, 0), f64(1, 2, 3, -4)
    mask = torch.tensor([True, False, True, True])
    for clip in (None, 0.2):
        for chosen in (None, mask):
            assert gradcheck(lambda x, c=clip, m=chosen: policy_loss(x, old, advantages, c, m), log_probs)
    for chosen in (None, mask):
        assert gradcheck(lambda x, m=chosen: value_loss(x, advantages, mask=m), log_probs)
        assert gradcheck(lambda x, m=chosen: value_loss(x, advantages, old, 0.2, m), log_probs)


def test_entropies() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(categorical_entropy(logits.log_softmax(-1)), Categorical(logits=logits).entropy())
    torch.testing.assert_close(categorical_entropy(torch.full((1, 4), -log(4)).double()), f64(log(4)))
    # two dimensions of standard deviation 1 and 2: log 2 + log(2 pi e)
    torch.testing.assert_close(gaussian_entropy(f64(0, log(2))), f64(log(2) + log(2 * pi * e))[0])
    torch.testing.assert_close(gaussian_entropy(logits), Normal(0.0, logits.exp()).entropy().sum(-1))
