"""Discounted returns and advantages over ``(B, T)`` experience.

``ends[b, t]`` says that the episode ended, or was cut, after step t; ``next_values[b, t]`` is V(o_{t+1}), 0 where the
episode terminated visibly. The last step of the batch is a cut too.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def discounted_returns(
    rewards: Float[Tensor, "batch time"],
    next_values: Float[Tensor, "batch time"] | None,
    ends: Bool[Tensor, "batch time"],
    gamma: float,
) -> Float[Tensor, "batch time"]:
    """G_t = r_t + gamma G_{t+1}; after an end, and after the last step, G_{t+1} is next_values_t (None: zero).

    Sutton & Barto 2018, eq. 3.9. Returned without gradient.
    """
    if next_values is None:
        next_values = torch.zeros_like(rewards)
    with torch.no_grad():
        bootstrap = torch.where(ends, next_values, 0.0)
        bootstrap[:, -1:] = next_values[:, -1:]
        return _scan(torch.add(rewards, bootstrap, alpha=gamma), ends, gamma)


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
