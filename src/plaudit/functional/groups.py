"""The loss of the group that a model serves worst (Sagawa et al. 2020, "Distributionally robust neural networks")."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def group_losses(
    losses: Float[Tensor, "members N"], weights: Float[Tensor, "members N"], groups: Int[Tensor, " N"], count: int
) -> tuple[Float[Tensor, "members G"], Float[Tensor, "members G"]]:
    """The weighted mean loss of each of ``count`` groups, 0 for a group without weight; and the groups' weights."""
    membership = torch.nn.functional.one_hot(groups, count).to(losses.dtype)
    totals = weights @ membership
    return (weights * losses) @ membership / totals.clamp_min(torch.finfo(losses.dtype).tiny), totals


def raise_worst(
    shares: Float[Tensor, "members G"], losses: Float[Tensor, "members G"], step: float
) -> Float[Tensor, "members G"]:
    """Shares of the groups after one step of exponentiated gradient ascent, q_g exp(step * loss_g) / sum: algorithm 1.

    Returned without gradient.
    """
    with torch.no_grad():
        return torch.softmax(shares.log() + step * losses, dim=1)


def shared_loss(
    losses: Float[Tensor, "members G"], totals: Float[Tensor, "members G"], shares: Float[Tensor, "members G"]
) -> Float[Tensor, " members"]:
    """sum_g q_g loss_g over the groups that have weight, whose shares are scaled to sum to 1."""
    present = shares * (totals > 0)
    return (present * losses).sum(dim=1) / present.sum(dim=1).clamp_min(torch.finfo(losses.dtype).tiny)
