"""Worst-group weighting: values by hand, and gradients in float64."""

import pytest
import torch

from plaudit.functional.groups import group_losses, raise_worst, shared_loss

LOSSES = torch.tensor([[1.0, 2.0, 6.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)
GROUPS = torch.tensor([0, 0, 1])


def test_means_and_shares_by_hand() -> None:
    means, totals = group_losses(LOSSES, WEIGHTS, GROUPS, 3)
    assert means.tolist() == [[7 / 4, 6.0, 0.0]] and totals.tolist() == [[4.0, 2.0, 0.0]]
    shares = raise_worst(torch.tensor([[0.5, 0.5]]), torch.log(torch.tensor([[1.0, 3.0]])), 1.0)
    assert shares.tolist() == [pytest.approx([0.25, 0.75])]
    third = torch.full((1, 3), 1 / 3, dtype=torch.float64)
    assert shared_loss(means, totals, third).tolist() == [pytest.approx((7 / 4 + 6) / 2)]  # the empty group is left out
    assert shared_loss(means * 0, totals * 0, third).tolist() == [0.0]


def test_gradients() -> None:
    losses = LOSSES.clone().requires_grad_()
    shares = torch.tensor([[0.2, 0.8]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: shared_loss(*group_losses(x, WEIGHTS, GROUPS, 2), shares), losses)
    assert not raise_worst(shares, losses[:, :2], 0.1).requires_grad
