"""How far a policy has moved from its reference, what that costs it, and how hard to pull.

The estimators need only log-probabilities of what the policy itself sampled, x ~ pi. Names and properties are those
of Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html), for KL(pi || pi_ref).
"""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor


def k1(log_probs: Float[Tensor, "*batch"], reference_log_probs: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """log pi - log pi_ref: unbiased, high variance, negative for some samples.

    The one to put in the reward (:func:`penalise`). As a loss it is useless: its gradient has expectation zero.
    """
    return log_probs - reference_log_probs


def k3(log_probs: Float[Tensor, "*batch"], reference_log_probs: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """(r - 1) - log r with r = pi_ref / pi: unbiased, low variance, never negative. The one to log.

    As a loss it misleads: on samples of the current policy its gradient is that of KL(pi_ref || pi) instead of the
    gradient of KL(pi || pi_ref), which half the square of :func:`k1` has (Schulman's k2).
    """
    log_ratio = reference_log_probs - log_probs
    return torch.expm1(log_ratio) - log_ratio


def top_kl(teacher_log_probs: Float[Tensor, "N K"], log_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N"]:
    """KL(teacher || pi) over K outcomes and all the others taken together, in nats.

    Askell et al. 2021, section 2.2: the 50 likeliest tokens of a prompted model, and one class for what is left. At
    most the KL over every outcome, and equal to it where K is all of them.
    """
    tiny = torch.finfo(log_probs.dtype).eps
    rest = (1 - teacher_log_probs.exp().sum(dim=-1)).clamp_min(0)
    own_rest = (1 - log_probs.exp().sum(dim=-1)).clamp_min(tiny)
    listed = (teacher_log_probs.exp() * (teacher_log_probs - log_probs)).sum(dim=-1)
    return listed + torch.where(rest > tiny, torch.xlogy(rest, rest) - rest * own_rest.log(), 0.0)


def penalise(
    rewards: Float[Tensor, "*batch"],
    log_probs: Float[Tensor, "*batch"],
    reference_log_probs: Float[Tensor, "*batch"],
    lam: float,
) -> Float[Tensor, "*batch"]:
    """The reward that the policy improves against: r - lam (log pi - log pi_ref). Ziegler et al. 2019, eq. 2."""
    return rewards - lam * k1(log_probs, reference_log_probs)


def adaptive_lambda(lam: float, kl: float, target: float, n: int, horizon: float) -> float:
    """lam (1 + clip(kl / target - 1, -0.2, 0.2) n / horizon): pulls the measured KL towards its target.

    kl and target in nats an episode; n episodes since the last call; horizon in episodes. Ziegler et al. 2019,
    section 2.2, scaled by n / horizon as in their implementation. Raises ValueError for a target or a horizon that is
    not above zero.
    """
    if target <= 0 or horizon <= 0:
        raise ValueError(f"adaptive_lambda needs a target and a horizon above zero, got {target} and {horizon}")
    error = min(max(kl / target - 1, -0.2), 0.2)
    return lam * (1 + error * n / horizon)


def best_of_n_kl(n: int) -> float:
    """KL in nats of the best of n samples from the policy it sampled: log n - (n - 1) / n.

    Stiennon et al. 2020, appendix G.3. Exact when no two samples are alike, otherwise an upper bound (Beirami et
    al. 2024). Raises ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"best of {n}: n must be at least 1")
    return log(n) - (n - 1) / n
