"""The actor-critic objective, of which A2C is the one-epoch, unclipped case and PPO the clipped one; and imitation."""

from math import e, log, pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import mse_loss

from plaudit.functional.masked import masked_mean


def policy_loss(
    log_probs: Float[Tensor, "*batch"],
    old_log_probs: Float[Tensor, "*batch"],
    advantages: Float[Tensor, "*batch"],
    clip: float | None,
    mask: Bool[Tensor, "*batch"] | None = None,
) -> Float[Tensor, ""]:
    """Negated surrogate objective, to be minimised: -mean(min(ratio A, clamp(ratio, 1 - clip, 1 + clip) A)).

    ratio = exp(log_probs - old_log_probs). Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7.
    clip None leaves -mean(ratio A), eq. 6: where the ratio is 1, as in the first epoch, its gradient is that of
    -mean(A log pi), the A2C of Mnih et al. 2016.
    """
    ratio = torch.exp(log_probs - old_log_probs)
    surrogate = ratio * advantages
    if clip is not None:
        surrogate = torch.minimum(surrogate, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return -masked_mean(surrogate, mask)


def value_loss(
    values: Float[Tensor, "*batch"],
    targets: Float[Tensor, "*batch"],
    old_values: Float[Tensor, "*batch"] | None = None,
    clip: float | None = None,
    mask: Bool[Tensor, "*batch"] | None = None,
) -> Float[Tensor, ""]:
    """0.5 mean((V - target)^2); with clip, V may not gain by leaving old_values +- clip.

    Clipped: 0.5 mean(max((V - target)^2, (old + clamp(V - old, -clip, clip) - target)^2)), as in the
    implementations that accompany Schulman et al. 2017 and Ziegler et al. 2019; the papers do not write it out.
    Raises ValueError when only one of old_values and clip is given.
    """
    if (old_values is None) != (clip is None):
        raise ValueError("value_loss clips only when it is given both old_values and clip")
    if old_values is None or clip is None:
        if mask is None:
            return 0.5 * mse_loss(values, targets)
        return 0.5 * masked_mean((values - targets).square(), mask)
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - targets).square(), (clipped - targets).square()), mask)


def imitation_loss(log_probs: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """-log pi(a|o) in nats, of actions that a demonstrator took: behaviour cloning (Pomerleau 1991).

    Supervised fine-tuning of a language model is the same: the action is a token, the observation the text before it.
    With a Categorical it is the cross-entropy, with a Gaussian its negative log-likelihood.
    """
    return -log_probs


def categorical_entropy(log_probs: Float[Tensor, "*batch actions"]) -> Float[Tensor, "*batch"]:
    """Entropy -sum_a pi(a) log pi(a) in nats, from normalised, finite log-probabilities."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def gaussian_entropy(log_std: Float[Tensor, "*batch actions"]) -> Float[Tensor, "*batch"]:
    """Entropy of independent normal actions in nats: sum_a log std_a + log(2 pi e) / 2."""
    return log_std.sum(dim=-1) + 0.5 * log(2 * pi * e) * log_std.shape[-1]
