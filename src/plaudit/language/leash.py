"""r - lambda * KL: what keeps a policy near the model that it started from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from plaudit.functional.divergence import adaptive_lambda, penalised
from plaudit.interfaces import RewardModel
from plaudit.language.improve import divergence
from plaudit.language.policy import Completions
from plaudit.types import Array, PlauditError, Trajectory


@dataclass(frozen=True)
class LeashConfig:
    """How strongly the policy is held."""

    lam: float = 0.05
    """Weight of log pi - log pi_ref, a token, in the reward."""
    target: float | None = None
    """Nats a completion at which an adaptive lambda aims; None: lambda stays."""
    horizon: float = 10_000.0
    """Completions over which an adaptive lambda changes (Ziegler et al. 2019: 10,000)."""
    compare: bool = True
    """Measure KL in every update. False spares two of five forwards, where nothing else needs them: lambda 0, and one
    update a batch (--improve.epochs 1) without a value function (rloo, grpo, cloning)."""

    def __post_init__(self) -> None:
        if self.lam < 0:
            raise PlauditError(f"lambda must not be negative, got {self.lam}")
        if (self.target is not None and self.target <= 0) or self.horizon <= 0:
            raise PlauditError("an adaptive lambda needs a target and a horizon above 0")
        if not self.compare and (self.lam or self.target is not None):
            raise PlauditError("a leash compares with the reference: without that, lambda is 0 and has no target")


class Leash:
    """A reward model whose reward is that of another less lambda times the log-ratio of every token."""

    def __init__(self, reward_model: RewardModel, config: LeashConfig) -> None:
        self.reward_model, self.config, self.lam = reward_model, config, config.lam
        self.metrics: dict[str, float] = {}

    def rewards(self, trajectory: Trajectory) -> Array:
        """(B, T) float32: r_theta - lambda (log pi - log pi_ref), with lambda as it was before this trajectory."""
        if not isinstance(trajectory, Completions):
            raise TypeError("a leash holds a language model")
        scores = self.reward_model.rewards(trajectory)
        far, held = divergence(trajectory), scores
        if trajectory.reference_log_probs is not None:
            arrays = scores, trajectory.log_probs, trajectory.reference_log_probs
            reward, own, reference = (torch.from_numpy(each) for each in arrays)
            less = penalised(reward, own, reference, self.lam)
            held = torch.where(torch.from_numpy(trajectory.mask), less, 0.0).numpy()
        elif self.lam:
            raise ValueError("a leash needs what was written compared with the reference")
        self.metrics = {
            **far,
            "lam": self.lam,
            "score": float(scores.sum(axis=1).mean()),
            "tokens": float(trajectory.mask.sum(axis=1).mean()),
            "ended": float(trajectory.ended.mean()),
        }
        if self.config.target is not None:
            count = len(trajectory.mask)
            self.lam = adaptive_lambda(self.lam, far["kl"], self.config.target, count, self.config.horizon)
        return held
