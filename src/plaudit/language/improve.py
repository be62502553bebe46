"""PPO, RLOO, GRPO and filtered cloning: the update of :mod:`plaudit.policy.improve` on completions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from plaudit.functional.divergence import k1, k3
from plaudit.functional.masked import masked_mean
from plaudit.functional.returns import cloning_advantages, group_advantages
from plaudit.language.policy import Batch, Completions, TokenPolicy
from plaudit.policy.improve import ActorCriticConfig, Improver
from plaudit.types import Array, PlauditError

Pretraining = Callable[[torch.Generator], Tensor]  # a mean loss in nats per token on other text, with gradients


@dataclass(frozen=True)
class TokenImproveConfig(ActorCriticConfig):
    """The policy update: PPO on tokens (Ziegler et al. 2019), or advantages within the completions of a prompt."""

    advantage: Literal["gae", "rloo", "grpo", "cloning"] = "gae"
    """Kind of advantage, from a value function with gae (PPO), or among the completions of a prompt. With rloo the mean
    return of the others is subtracted (Ahmadian et al. 2024), with grpo the mean of all, divided by their standard
    deviation (Shao et al. 2024). With cloning, only the best completion is imitated (Dong et al. 2023)."""
    learning_rate: float = 1e-5
    """Adam's step size at the start."""
    gamma: float = 1.0
    """Discount; 1, because a text is judged as a whole."""
    clip: float = 0.2
    """PPO's epsilon."""
    value_clip: float | None = 0.2
    """Largest move of V away from its old value that the value loss rewards; None: no limit."""
    value: float = 0.1
    """Weight of the value loss (with gae only)."""
    epochs: int = 4
    """Passes over each batch of completions."""
    minibatches: int = 1
    """Updates in a pass; each update takes its share of the prompts."""
    max_grad_norm: float = 1.0
    """Clip the norm of the gradient to this."""
    whiten: bool = True
    """Shift and scale advantages to mean 0 and standard deviation 1 (with gae only)."""
    ptx: float = 0.0
    """Weight of the pretraining loss that is mixed in: PPO-ptx (Ouyang et al. 2022, eq. 2)."""
    stop_kl: float | None = 0.1
    """Largest KL, in nats per token (k3), between the policies before and after the passes over a batch; beyond it the
    passes end. None: no limit."""

    @property
    def single_update(self) -> bool:
        """Whether a batch of completions is learned from once, so that the policy is still the one that wrote it."""
        return self.epochs == self.minibatches == 1

    @property
    def needs_comparison(self) -> bool:
        """Whether experience needs log-probabilities and values of the policy as it was when it wrote."""
        return not self.single_update or self.advantage == "gae"


class TokenImprover(Improver[Completions, Batch]):
    """Holds the optimiser; each call improves the policy on one batch of completions."""

    config: TokenImproveConfig
    policy: TokenPolicy

    def __init__(self, policy: TokenPolicy, config: TokenImproveConfig, pretraining: Pretraining | None = None) -> None:
        if config.ptx and pretraining is None:
            raise PlauditError("ptx needs text for its pretraining loss: name a text file")
        super().__init__(policy, config)
        self.pretraining = pretraining

    def learning_parameters(self) -> list[nn.Parameter]:
        """Those of the language model that learn, and those of the value function."""
        return self.policy.trainable_parameters()

    def __call__(
        self, experience: Completions, rewards: Array, progress: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """As :meth:`plaudit.policy.improve.Improver.__call__`."""
        if experience.reference_log_probs is None and self.config.needs_comparison:
            raise ValueError(
                "experience without log-probabilities of the policy that wrote it allows one update without a value "
                "function: compare"
            )
        return super().__call__(experience, rewards, progress, generator)

    def advantages(self, experience: Completions, rewards: Tensor, values: Tensor) -> tuple[Tensor, bool]:
        """GAE, or the same number for every token of a completion, from the returns of the prompt's completions."""
        if self.config.advantage == "gae":
            return super().advantages(experience, rewards, values)
        mask, groups = torch.from_numpy(experience.mask), torch.from_numpy(experience.groups)
        returns = torch.where(mask, rewards.contiguous(), 0.0).sum(1)
        if self.config.advantage == "cloning":
            advantages = cloning_advantages(returns, groups)
        else:
            advantages = group_advantages(returns, groups, scale=self.config.advantage == "grpo")
        return advantages[:, None].expand_as(rewards), False

    @property
    def on_policy(self) -> bool:
        """Whether the policy is still the one that wrote."""
        return self.config.single_update

    @property
    def learns_values(self) -> bool:
        """Whether there is a value function."""
        return self.config.advantage == "gae"

    def precision(self) -> AbstractContextManager[object]:
        """The precision of the language model."""
        return self.policy.model.precision()

    def extra_losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """The pretraining loss of PPO-ptx."""
        if not self.config.ptx or self.pretraining is None:
            return {}
        loss = self.pretraining(generator)
        (self.config.ptx * loss).backward()
        return {"ptx_loss": loss.detach()}


def divergence(trajectory: Completions) -> dict[str, float]:
    """KL from the reference in nats per completion and per token, and the decoder's error in nats.

    {} where the completions were not compared with the reference.
    """
    if trajectory.reference_log_probs is None:
        return {}
    log_probs, reference = (torch.from_numpy(x) for x in (trajectory.log_probs, trajectory.reference_log_probs))
    mask = torch.from_numpy(trajectory.mask)
    kl = torch.where(mask, k1(log_probs, reference), 0.0).sum(1)
    error = torch.where(mask, log_probs - torch.from_numpy(trajectory.sampled_log_probs), 0.0).abs()
    return {
        "kl": float(kl.mean()),
        "kl_token": float(masked_mean(k3(log_probs, reference), mask)),
        "mismatch": float(masked_mean(error, mask)),
    }
