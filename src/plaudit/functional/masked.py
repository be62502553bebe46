"""Statistics that skip padding, and running moments. ``mask`` is True on what counts; None counts everything.

Where nothing counts the mean and the variance are 0. Values under the mask may be anything, NaN included.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def masked_mean(
    x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"] | None = None, dim: int | tuple[int, ...] | None = None
) -> Float[Tensor, "..."]:
    """Mean over ``dim`` (None: over everything) of what counts."""
    if mask is None:
        return x.mean() if dim is None else x.mean(dim)
    return torch.where(mask, x, 0.0).sum(dim) / mask.sum(dim).clamp_min(1)


def masked_var(
    x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"] | None = None, dim: int | tuple[int, ...] | None = None
) -> Float[Tensor, "..."]:
    """Population variance (divided by n) over ``dim`` (None: over everything) of what counts."""
    if mask is None:
        return x.var(dim, correction=0)
    count = mask.sum(dim, keepdim=True).clamp_min(1)
    mean = torch.where(mask, x, 0.0).sum(dim, keepdim=True) / count
    return masked_mean((x - mean).square(), mask, dim)


def whiten(
    x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"] | None = None, shift: bool = True, eps: float = 1e-8
) -> Float[Tensor, "*batch"]:
    """(x - mean) / sqrt(var + eps) over everything that counts; zero elsewhere.

    shift False keeps the mean, as Ziegler et al. 2019 do for rewards.
    """
    if mask is None:
        var, mean = torch.var_mean(x, correction=0)
    else:
        var, mean = masked_var(x, mask), masked_mean(x, mask)
    result = (x - mean) * torch.rsqrt(var + eps)
    if not shift:
        result = result + mean
    return result if mask is None else torch.where(mask, result, 0.0)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and population variance of ``count`` samples seen so far."""

    mean: Float[Tensor, "*shape"]
    var: Float[Tensor, "*shape"]
    count: Int[Tensor, ""]  # an integer, because a float32 count stops growing at 2^24


def initial_moments(
    shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Moments:
    """No samples yet: mean 0 and variance 1, so that :func:`normalise` changes nothing."""
    zeros = torch.zeros(shape, dtype=dtype, device=device)
    return Moments(zeros, torch.ones_like(zeros), torch.zeros((), dtype=torch.int64, device=device))


def update_moments(
    moments: Moments, batch: Float[Tensor, "samples *shape"], mask: Bool[Tensor, " samples"] | None = None
) -> Moments:
    """Moments of the samples so far and of a batch (N, *shape) together, mask (N,); without gradient.

    Chan, Golub & LeVeque 1983: the sums of squares add, plus delta^2 n_a n_b / (n_a + n_b).
    """
    with torch.no_grad():
        if mask is None:
            new = torch.tensor(len(batch), device=batch.device)
            var, mean = torch.var_mean(batch, dim=0, correction=0) if len(batch) else (moments.var, moments.mean)
        else:
            rows = mask.reshape(-1, *[1] * (batch.ndim - 1)).expand_as(batch)
            new, mean, var = mask.sum(), masked_mean(batch, rows, 0), masked_var(batch, rows, 0)
        total = moments.count + new
        share = new.to(batch.dtype) / total.clamp_min(1).to(batch.dtype)
        delta = mean - moments.mean
        # The sums of squares divided by n_a + n_b: two weighted variances and delta^2 share (1 - share).
        variance = torch.lerp(moments.var, var, share) + delta.square() * share * (1 - share)
        return Moments(moments.mean + delta * share, variance, total)


def normalise(
    x: Float[Tensor, "*batch"], moments: Moments, clip: float | None = None, eps: float = 1e-8
) -> Float[Tensor, "*batch"]:
    """(x - mean) / sqrt(var + eps), x (*N, *shape), limited to +-clip when one is given."""
    result = (x - moments.mean) * torch.rsqrt(moments.var + eps)
    return result if clip is None else result.clamp(-clip, clip)
