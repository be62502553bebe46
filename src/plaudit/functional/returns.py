"""Discounted returns and advantages over ``(B, T)`` experience.

``ends[b, t]`` says that the episode ended, or was cut, after step t; ``next_values[b, t]`` is V(o_{t+1}), 0 where the
episode terminated visibly. The last step of the batch is a cut too.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def gae(
    rewards: Float[Tensor, "batch time"],
    values: Float[Tensor, "batch time"],
    next_values: Float[Tensor, "batch time"],
    ends: Bool[Tensor, "batch time"],
    gamma: float,
    lam: float,
) -> Float[Tensor, "batch time"]:
    """Generalised advantage estimates: A_t = delta_t + gamma lam (1 - end_t) A_{t+1}.

    delta_t = r_t + gamma V(o_{t+1}) - V(o_t). Schulman et al. 2016, eq. 16. The value target is A_t + V(o_t),
    the lambda-return. Returned without gradient, as a (B, T) view of time-major memory.
    """
    with torch.no_grad():
        return _scan(torch.add(rewards, next_values, alpha=gamma).sub_(values), ends, gamma * lam)


def group_advantages(
    returns: Float[Tensor, " samples"], groups: Int[Tensor, " samples"], scale: bool, eps: float = 1e-6
) -> Float[Tensor, " samples"]:
    """Advantages of several samples of one start against each other, as a baseline without a value function.

    scale False, RLOO: R_i minus the mean of the group's other returns, which is n / (n - 1) times R_i minus the mean of
    all (Kool et al. 2019; Ahmadian et al. 2024, eq. 8). scale True, GRPO: (R_i - mean) / (std + eps) with n - 1 in the
    standard deviation (Shao et al. 2024, section 4.1.2). groups: which start, counted from 0. A group's advantages sum
    to 0, and a group of one has none. Returned without gradient.
    """
    with torch.no_grad():
        size = torch.bincount(groups).to(returns.dtype)
        sums = torch.zeros_like(size).index_add_(0, groups, returns)
        centred = returns - (sums / size.clamp_min(1))[groups]
        peers = (size - 1).clamp_min(1)
        if not scale:
            return centred * (size / peers)[groups]
        squares = torch.zeros_like(size).index_add_(0, groups, centred.square())
        return centred / ((squares / peers).sqrt() + eps)[groups]


def cloning_advantages(
    returns: Float[Tensor, " samples"], groups: Int[Tensor, " samples"]
) -> Float[Tensor, " samples"]:
    """1 for the sample of each group with the highest return, the first of equals, and 0 for the others.

    With these the policy gradient is that of imitating the best of n alone: Dong et al. 2023, "RAFT: Reward ranked
    finetuning", section 3.2. groups: which start, counted from 0. Returned without gradient.
    """
    with torch.no_grad():
        count = len(torch.bincount(groups))
        best = returns.new_full((count,), -torch.inf).scatter_reduce_(0, groups, returns, "amax")
        positions = torch.arange(len(returns), device=returns.device)
        rivals = torch.where(returns == best[groups], positions, len(returns))
        first = positions.new_full((count,), len(returns)).scatter_reduce_(0, groups, rivals, "amin")
        return (positions == first[groups]).to(returns.dtype)


def _scan(inputs: Tensor, ends: Tensor, decay: float) -> Tensor:
    """x_t = inputs_t + decay (1 - end_t) x_{t+1}, backwards over (B, T).

    The scan over time remains. Where it may stop differs from row to row, so a closed form needs either a (T, T)
    matrix per row or cumulative products divided by one another, which underflow. One fused operation a step on a
    contiguous (B,) row costs about a microsecond. Inputs that already lie time-major in memory are not moved.
    """
    result = inputs.mT.clone(memory_format=torch.contiguous_format)
    keep = torch.where(ends.mT, 0.0, torch.full((), decay, dtype=inputs.dtype, device=inputs.device)).contiguous()
    steps, factors = result.unbind(), keep.unbind()
    for t in range(len(steps) - 2, -1, -1):
        steps[t].addcmul_(factors[t], steps[t + 1])
    return result.mT
