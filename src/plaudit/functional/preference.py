"""Models of what people prefer: segment statistics, and losses on comparisons and rankings.

Every loss is in nats and returned per judgement, so that callers weigh, mask and average as they need. ``delta`` is
the difference of the segment statistic, first minus second, and ``mu`` a person's preference: the probability that
they call the first better (1, 0, or 0.5 for a tie).
"""

from functools import cache
from math import comb

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

# Rankings are averaged over all 2^K subsets of their items; past this they would not fit in memory by surprise.
MAX_RANKED = 12


def partial_return(
    rewards: Float[Tensor, "*batch time"], gamma: float = 1.0, mask: Bool[Tensor, "*batch time"] | None = None
) -> Float[Tensor, "*batch"]:
    """Discounted return within a segment: sum_t gamma^t r_t, t counted from the segment's first step.

    mask: True on real steps; others count as zero. Christiano et al. 2017, eq. 1, which leaves discounting out.
    """
    if mask is not None:
        rewards = torch.where(mask, rewards, 0.0)
    if gamma == 1.0:
        return rewards.sum(dim=-1)
    steps = torch.arange(rewards.shape[-1], dtype=rewards.dtype, device=rewards.device)
    return rewards @ gamma**steps


def end_value(
    rewards: Float[Tensor, "*batch time"], end_values: Float[Tensor, "*batch"], gamma: float = 1.0
) -> Float[Tensor, "*batch"]:
    """Partial return plus what the segment's last state still promises: sum_t gamma^t r_t + gamma^L V(s_L).

    end_values: V of the state *after* the last step, 0 where that state is terminal.
    """
    return partial_return(rewards, gamma) + gamma ** rewards.shape[-1] * end_values


def regret_statistic(
    rewards: Float[Tensor, "*batch time"],
    start_values: Float[Tensor, "*batch"],
    end_values: Float[Tensor, "*batch"],
    gamma: float = 1.0,
) -> Float[Tensor, "*batch"]:
    """Negated deterministic regret, larger is better: sum_t gamma^t r_t + gamma^L V(s_L) - V(s_0).

    Knox et al. 2022, "Models of human preference for learning reward functions", with V = V* of the reward.
    It is zero for an optimal segment and negative otherwise when transitions are deterministic.
    """
    return end_value(rewards, end_values, gamma) - start_values


def bradley_terry(
    delta: Float[Tensor, "*#batch"], lapse: float | Float[Tensor, "*#batch"] = 0.0
) -> Float[Tensor, "*#batch"]:
    """P[first better] = (1 - lapse) sigmoid(delta) + lapse / 2.

    Christiano et al. 2017, eq. 1; a lapse of 0.1 is the 10 % chance of a uniform answer of their section 2.2.3.
    """
    return (1 - lapse) * torch.sigmoid(delta) + lapse / 2


def bradley_terry_loss(
    delta: Float[Tensor, "*#batch"],
    mu: Float[Tensor, "*#batch"],
    lapse: float | Float[Tensor, "*#batch"] = 0.0,
) -> Float[Tensor, "*#batch"]:
    """Cross-entropy of :func:`bradley_terry` against mu: -mu log P - (1 - mu) log(1 - P), in nats.

    The arguments broadcast: delta may be (M, N) for M ensemble members, with mu (N,) and lapse (M, 1).
    A tensor ``lapse`` is differentiable, for fitting. Loss and gradient are finite for every finite delta.
    Christiano et al. 2017, section 2.2.3.
    """
    # lerp is exact at mu = 0 and 1, where -mu*log P - (1-mu)*log(1-P) written out would cost two more kernels.
    return -torch.lerp(_log_probability(-delta, lapse), _log_probability(delta, lapse), mu)


def _log_probability(delta: Tensor, lapse: float | Tensor) -> Tensor:
    if not isinstance(lapse, Tensor):
        # Of a sum of positive terms the logarithm is accurate: P >= lapse / 2 stays clear of zero by itself.
        return logsigmoid(delta) if lapse == 0.0 else bradley_terry(delta, lapse).log()
    # A fitted lapse may be zero for one member; then P can underflow and only the logarithm's own form is finite.
    probability = bradley_terry(delta, lapse)
    tiny = torch.finfo(probability.dtype).tiny
    return torch.where(probability > tiny, probability.clamp_min(tiny).log(), logsigmoid(delta))


def plackett_luce_loss(
    scores: Float[Tensor, "*batch items"],
    ranks: Int[Tensor, "*batch items"],
    mask: Bool[Tensor, "*batch items"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Negative log-likelihood (nats) of a ranking with ties, averaged exactly over the orders that agree with it.

    scores: the segment statistics. ranks: 0 is best, equal numbers are ties, gaps are allowed. mask: True on real
    items. Luce 1959, Plackett 1975: items are drawn best first, P[order] = prod_i exp(s_i) / sum_{j left} exp(s_j).

    A stage of an order is the set S still to be drawn, and S occurs in an order that agrees with the ties exactly when
    S = A + (all items worse than A), A a non-empty part of one tied group G; then it occurs in 1 / C(|G|, |A|) of them,
    and each item of A is drawn next equally often. So the average over orders, of which there may be K!, is a sum over
    subsets: sum_S [logsumexp(s_S) - mean(s_A)] / C(|G|, |A|). Two items give :func:`bradley_terry_loss` with mu 1, 0
    or (tied) 0.5. Time and memory grow as K 2^K: raises ValueError past 12 items.
    """
    items = scores.shape[-1]
    if items > MAX_RANKED:
        raise ValueError(f"a ranking of {items} items is too long: at most {MAX_RANKED} can be averaged over ties")
    if mask is None:
        mask = torch.ones_like(ranks, dtype=torch.bool)
    next_items, weight = _stages(ranks, mask, scores.dtype)
    scores = torch.where(mask, scores, 0.0)
    mean_next = (next_items @ scores.unsqueeze(-1)).squeeze(-1) / next_items.sum(dim=-1).clamp_min(1)
    # Subtracting before the exponentials, not after, keeps the digits that a common offset would cost.
    relative = scores.unsqueeze(-2) - mean_next.unsqueeze(-1)
    excluded = _exclusion_table(items).to(scores.device)
    return (weight * relative.masked_fill(excluded, -torch.inf).logsumexp(dim=-1)).sum(dim=-1)


def _stages(ranks: Tensor, mask: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """For each subset S: which items are drawn from it next (*N, S, K), and in what share of orders S occurs (*N, S).

    Sets are bit patterns here. Item i is drawn next from S when i is in S and what S holds beyond the items tied with
    i is exactly what is worse than i.
    """
    items = ranks.shape[-1]
    powers = 2 ** torch.arange(items, device=ranks.device)
    pairs = mask.unsqueeze(-1) & mask.unsqueeze(-2)
    tied = (ranks.unsqueeze(-1) == ranks.unsqueeze(-2)) & pairs
    worse = (ranks.unsqueeze(-1) < ranks.unsqueeze(-2)) & pairs
    # 16 bits hold 12 items, and a processor compares four times as many of them at once as of 64; -1 equals no set.
    tied_bits = (tied * powers).sum(dim=-1).short().unsqueeze(-2)
    worse_bits = torch.where(mask, (worse * powers).sum(dim=-1), -1).short().unsqueeze(-2)
    sets = torch.arange(1, 2**items, device=ranks.device).short().unsqueeze(-1)
    next_items = (sets & ~tied_bits == worse_bits) & ~_exclusion_table(items).to(ranks.device)
    next_items = next_items.to(dtype)
    n_next = next_items.sum(dim=-1)
    size = (next_items @ tied.sum(dim=-1, keepdim=True).to(dtype)).squeeze(-1) / n_next.clamp_min(1)
    return next_items, _inverse_binomials(items).to(next_items)[size.long(), n_next.long()] * (n_next > 0)


@cache
def _exclusion_table(items: int) -> Tensor:
    """Which of K items each of the 2^K - 1 non-empty subsets leaves out, as a boolean table (S, K)."""
    return (torch.arange(1, 2**items).unsqueeze(-1) >> torch.arange(items)) % 2 == 0


@cache
def _inverse_binomials(items: int) -> Tensor:
    """1 / C(n, k) at [n, k], 0 where k > n."""
    rows = [[1 / comb(n, k) if k <= n else 0.0 for k in range(items + 1)] for n in range(items + 1)]
    return torch.tensor(rows, dtype=torch.float64)
