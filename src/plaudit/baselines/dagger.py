"""DAgger: the learner acts, the expert says what it would have done, and all answers are fitted (Ross et al. 2011).

Algorithm 3.1 with beta_1 = 1 and beta_i = 0 afterwards: the expert plays the first round, the learner all others. The
last policy is returned, and not the best one on validation data. Cloned policies err in states that only their own
errors lead to; here those states are in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.baselines.bc import CloningConfig, clone
from plaudit.baselines.demonstrations import Chooser, Demonstrations, join, play
from plaudit.baselines.experts import Expert
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.types import Array, PlauditError


@dataclass(frozen=True)
class DaggerConfig:
    """Rounds of DAgger."""

    rounds: int = 6
    """Number of rounds; in the first one the expert plays."""
    episodes: int = 10
    """Number of episodes that are played in each round."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.episodes < 1:
            raise PlauditError(f"DAgger needs rounds and episodes from 1, got {self.rounds} and {self.episodes}")


@dataclass(frozen=True, eq=False)
class DaggerRound:
    """A policy, and the data that it was fitted to.

    Attributes:
        agreement: the share of steps of this round at which the policy that played took the expert's action; None if
            actions are continuous, or the expert played.
    """

    number: int
    policy: ActorCritic
    data: Demonstrations
    agreement: float | None


def dagger(
    envs: VectorEnv,
    expert: Expert,
    network: NetworkConfig,
    cloning: CloningConfig,
    config: DaggerConfig,
    seed: int,
) -> Iterator[DaggerRound]:
    """Play, label and fit, round after round; every policy is fitted anew to all data so far."""
    data: list[Demonstrations] = []
    policy: ActorCritic | None = None
    for number in range(config.rounds):
        actor = Actor(policy, seed + number) if policy is not None else None
        first_seed = (seed * config.rounds + number) * 1000 % 2**27
        name = "" if not data else data[0].environment
        choose: Chooser = expert.act if actor is None else actor
        data.append(play(envs, choose, config.episodes, first_seed, expert.act, name))
        agreement = None
        if policy is not None and data[-1].actions.dtype.kind in "biu":
            assert actor is not None
            agreement = actor.agreement(data[-1])
        all_data = join(data)
        policy = clone(envs, all_data, network, cloning, seed + number)
        yield DaggerRound(number, policy, all_data, agreement)


class Actor:
    """Plays a policy as it is evaluated: actions are drawn."""

    def __init__(self, policy: ActorCritic, seed: int) -> None:
        self.policy, self.rng = policy, np.random.default_rng(seed)

    def __call__(self, observations: Array, step: int) -> Array:
        """Actions, as the environment takes them."""
        actions, _, _ = self.policy.act(np.ascontiguousarray(observations), self.rng)
        return self.policy.to_environment(actions)

    def agreement(self, data: Demonstrations) -> float:
        """The share of steps at which the policy's likeliest action is the labelled one."""
        observations = np.ascontiguousarray(data.observations)
        likeliest = self.policy.to_environment(self.policy.act(observations, self.rng, greedy=True)[0])
        return float((likeliest == data.actions).reshape(len(data), -1).all(axis=1).mean())
