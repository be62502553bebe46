"""Deep RL from human preferences (Christiano et al. 2017, section 2), on one screen.

    trajectories -> segments -> questions -> judgements -> reward model -> rewards -> policy

There is no I/O here: the collector, the feedback and the annotators behind it are handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from plaudit.interfaces import Collector, Experience_co, Experience_contra, RewardModel
from plaudit.types import Array, Trajectory

Experience = TypeVar("Experience", bound=Trajectory)
# An improver: experience, rewards (B, T), share of the run that is over, generator -> metrics
Improve = Callable[[Experience, Array, float, torch.Generator], Mapping[str, Any]]


@dataclass(frozen=True)
class Plan:
    """How a run is divided: ``rounds`` of ``rollouts`` of ``rollout_steps`` steps in each environment.

    A round is the unit of asking, fitting and saving. Everything random in it is a function of (seed, round), and
    episodes begin anew with it, so a run that was killed continues exactly as if it had not been.
    """

    seed: int
    rounds: int
    rollouts: int
    rollout_steps: int
    pool: int  # rollouts at the end of a round that may be asked about
    looks: int = 1  # rounds at the start that only look, ask and fit: the paper's pretraining; 0 for a known reward

    def __post_init__(self) -> None:
        if min(self.rounds, self.rollouts, self.rollout_steps, self.pool) < 1 or self.looks < 0:
            raise ValueError(f"Plan: every number must be positive (looks may be 0), got {self}")

    def done(self, round: int, rollout: int = 0) -> float:
        """The share of the run that is over before that rollout of that round."""
        return (round + rollout / self.rollouts) / self.rounds

    def rounds_from(self, first: int) -> Iterator[int]:
        """The rounds that are left."""
        return iter(range(first, self.rounds))


@runtime_checkable
class Schedule(Protocol):
    """Decides how far a run is: the plan itself or, where people set the pace, their answers."""

    def done(self, round: int, rollout: int = 0) -> float:
        """The share of the run that is over before that rollout of that round, in [0, 1]."""
        ...

    def rounds_from(self, first: int) -> Iterator[int]:
        """The rounds that are left: the next one is decided when it is asked for."""
        ...


@runtime_checkable
class RewardLearner(Protocol[Experience_contra]):
    """The reward's side of a round: look at experience, ask, fit."""

    def learn(
        self, recent: Sequence[Experience_contra], round: int, done: float, seed: np.random.SeedSequence
    ) -> dict[str, Any]:
        """Ask about recent rollouts and refit; ``done`` in (0, 1] is the share of the run that is over."""
        ...


@runtime_checkable
class RoundCollector(Collector[Experience_co], Protocol[Experience_co]):
    """A collector that can begin anew."""

    def reset(self, seed: np.random.SeedSequence) -> None:
        """Begin every episode anew."""
        ...


def iterate(
    collector: RoundCollector[Experience],
    reward_model: RewardModel[Experience],
    improve: Improve[Experience],
    learner: RewardLearner[Experience],
    plan: Plan,
    first: int = 0,
    schedule: Schedule | None = None,
) -> Iterator[dict[str, Any]]:
    """The loop. Yields the metrics of each round; the first ``plan.looks`` only look, ask and fit."""
    schedule = schedule or plan
    for round in schedule.rounds_from(first):
        seeds = np.random.SeedSequence((plan.seed, round)).spawn(3)
        shuffle = torch.Generator().manual_seed(int(seeds[1].generate_state(1)[0]))
        collector.reset(seeds[0])
        recent: deque[Experience] = deque(maxlen=plan.pool)
        metrics: dict[str, Any] = {}
        for rollout in range(plan.rollouts):
            experience = collector.collect(plan.rollout_steps)  # tau ~ pi
            recent.append(experience)
            if round >= plan.looks:
                rewards = reward_model.rewards(experience)  # r_theta - lambda * KL
                metrics |= improve(experience, rewards, schedule.done(round, rollout), shuffle)  # actor-critic
        # ask, then Bradley-Terry
        metrics |= learner.learn(list(recent), round, schedule.done(round + 1), seeds[2])
        yield {"round": round, **{name: float(value) for name, value in metrics.items()}}
