"""The baseline that preferences are held against: the same loop on the environment's own reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.run.control.assemble import Agent, assemble
from plaudit.run.control.config import Run
from plaudit.run.session import Session
from plaudit.types import Array, Trajectory


class TrueRewardModel(nn.Module):
    """r(o, a) = the true reward, normalised over recent experience like a learned reward."""

    def __init__(self, truth: Callable[[int], Array], std: float = 1.0) -> None:
        """truth: true rewards (B, T) of a rollout by its number. std: of the reward handed to the policy."""
        super().__init__()
        self.truth, self.std = truth, std
        self.round_rewards: list[Array] = []  # this round's real rewards
        self.register_buffer("moments", torch.tensor([0.0, 1.0], dtype=torch.float64))
        self.moments: Tensor

    def rewards(self, trajectory: Trajectory) -> Array:
        """(B, T) float32."""
        mean, scale = self.moments.tolist()
        truth = self.truth(trajectory.rollout)
        self.round_rewards.append(truth[trajectory.mask])
        return ((truth - mean) * (self.std / scale)).astype(np.float32)

    def rescale(self) -> None:
        """Take the scale from this round's rewards, as a learned reward's is; a constant reward keeps the last one."""
        if not self.round_rewards:
            return
        rewards, self.round_rewards = np.concatenate(self.round_rewards), []
        mean, std = float(rewards.mean()), float(rewards.std())
        if std > 0:
            self.moments.copy_(torch.tensor([mean, std], dtype=torch.float64))


class KnownReward:
    """The reward's side of the loop where the reward is known: only its scale is taken, once a round."""

    def __init__(self, reward_model: TrueRewardModel) -> None:
        self.reward_model = reward_model

    def learn(
        self, recent: Sequence[Trajectory], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Rescale; there is nothing to ask and nothing to fit."""
        self.reward_model.rescale()
        return {}

    def state(self) -> dict[str, Tensor]:
        """Nothing: the scale is the model's."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to put back."""


def true_reward_session(run: Run) -> tuple[Session[Trajectory, Agent], Callable[[], None]]:
    """A session that learns from the environment's reward, and the function that closes it."""
    agent = assemble(run.config)
    # what is known need not be looked at first, and no question is asked about clips of the end of a round
    agent.plan = dataclasses.replace(agent.plan, looks=0, pool=1)
    model = TrueRewardModel(agent.ledger.rewards, run.config.reward.std)
    return agent.session(run, model, KnownReward(model)), agent.envs.close
