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

    def __post_init__(self) -> None:
        if self.lam < 0:
            raise PlauditError(f"lambda must not be negative, got {self.lam}")
        if (self.target is not None and self.target <= 0) or self.horizon <= 0:
            raise PlauditError("an adaptive lambda needs a target and a horizon above 0")


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
        far = divergence(trajectory)
        reward, own, reference = (
            torch.from_numpy(x) for x in (scores, trajectory.log_probs, trajectory.reference_log_probs)
        )
        held = torch.where(torch.from_numpy(trajectory.mask), penalised(reward, own, reference, self.lam), 0.0)
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
        return held.numpy()
