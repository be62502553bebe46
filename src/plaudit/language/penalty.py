"""r - lambda * KL: the penalty that keeps a policy near the model that it started from (Ziegler et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from plaudit.functional.divergence import adaptive_lambda, penalise
from plaudit.interfaces import RewardModel
from plaudit.language.improve import divergence
from plaudit.language.policy import Completions
from plaudit.types import Array, PlauditError


@dataclass(frozen=True)
class KLPenaltyConfig:
    """The KL penalty, which keeps the policy near its reference."""

    kl_coefficient: float = 0.05
    """Weight of the KL penalty, log pi - log pi_ref per token, in the reward."""
    target: float | None = None
    """Target of an adaptive coefficient, in nats per completion; None: the coefficient is constant."""
    horizon: float = 10_000.0
    """Completions over which an adaptive coefficient changes (Ziegler et al. 2019: 10,000)."""
    compare: bool = True
    """Measure KL in every update. False saves two of five forward passes. False needs a coefficient of 0 and one update
    per batch (--improve.epochs 1) without a value function (rloo, grpo, cloning)."""

    def __post_init__(self) -> None:
        if self.kl_coefficient < 0:
            raise PlauditError(f"kl_coefficient must not be negative, got {self.kl_coefficient}")
        if (self.target is not None and self.target <= 0) or self.horizon <= 0:
            raise PlauditError("an adaptive kl_coefficient needs a target and a horizon above 0")
        if not self.compare and (self.kl_coefficient or self.target is not None):
            raise PlauditError("without a comparison with the reference, kl_coefficient must be 0 and have no target")


class KLPenalty:
    """A reward model whose reward is that of another less the coefficient times the log-ratio of every token."""

    def __init__(self, reward_model: RewardModel[Completions], config: KLPenaltyConfig) -> None:
        self.reward_model, self.config, self.kl_coefficient = reward_model, config, config.kl_coefficient
        self.metrics: dict[str, float] = {}

    def rewards(self, experience: Completions, /) -> Array:
        """(B, T) float32: r_theta - lambda (log pi - log pi_ref), with lambda as it was before this experience."""
        scores = self.reward_model.rewards(experience)
        kl, rewards = divergence(experience), scores
        if experience.reference_log_probs is not None:
            arrays = scores, experience.log_probs, experience.reference_log_probs
            score, log_probs, reference = (torch.from_numpy(array) for array in arrays)
            reward = penalise(score, log_probs, reference, self.kl_coefficient)
            rewards = torch.where(torch.from_numpy(experience.mask), reward, 0.0).numpy()
        elif self.kl_coefficient:
            raise ValueError("a KL penalty needs completions that were compared with the reference")
        self.metrics = {
            **kl,
            "kl_coefficient": self.kl_coefficient,
            "score": float(scores.sum(axis=1).mean()),
            "tokens": float(experience.mask.sum(axis=1).mean()),
            "ended": float(experience.finished.mean()),
        }
        if self.config.target is not None:
            count, horizon = len(experience.mask), self.config.horizon
            self.kl_coefficient = adaptive_lambda(self.kl_coefficient, kl["kl"], self.config.target, count, horizon)
        return rewards

    def state(self) -> dict[str, Tensor]:
        """The coefficient as adapted so far, and as configured, for a checkpoint."""
        return {"kl_coefficient": torch.tensor([self.kl_coefficient, self.config.kl_coefficient], dtype=torch.float64)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave; a coefficient that was configured anew since then stays."""
        adapted, configured = state["kl_coefficient"].tolist()
        if self.config.target is not None and configured == self.config.kl_coefficient:
            self.kl_coefficient = adapted
