"""Those who show what to do: exact optima where states can be counted, and the policies of runs."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.control.networks import ActorCritic
from plaudit.control.solve import greedy, soft_value_iteration
from plaudit.control.tables import Table, table_of
from plaudit.types import Array, PlauditError

GAMMA = 0.99  # of the optimal expert: of two paths of equal return it takes the shorter one
EXACT = ("optimal", "soft")
ExactName = Literal["optimal", "soft"]


class Expert(Protocol):
    """Chooses actions that are worth imitating."""

    name: str

    def act(self, observations: Array, step: int) -> Array:
        """Actions (B, *action), as the environment takes them, at step ``step`` of the episodes."""
        ...


class OptimalExpert:
    """Takes the action that an exact solution of the table says is best; the first of equals."""

    name = "optimal"

    def __init__(self, table: Table) -> None:
        self.table = table
        self.actions = greedy(table.solve(table.reward, GAMMA, tolerance=1e-4)[1])  # (S,)

    def act(self, observations: Array, step: int) -> Array:
        """As :class:`Expert`."""
        return self.actions[self.table.locate(observations)]


class SoftExpert:
    """Takes each action with the probability exp(Q - V) of maximum causal entropy: better actions more often.

    Inverse RL takes its demonstrators to be such experts (Ziebart 2010).
    """

    name = "soft"

    def __init__(self, table: Table, horizon: int, seed: int) -> None:
        self.table, self.rng = table, np.random.default_rng(seed)
        self.policy = soft_value_iteration(table.process(), horizon)[1]  # (H, S, A)

    def act(self, observations: Array, step: int) -> Array:
        """As :class:`Expert`."""
        chances = self.policy[min(step, len(self.policy) - 1), self.table.locate(observations)]  # (B, A)
        draws = self.rng.random((len(chances), 1)) > chances.cumsum(axis=1)
        return np.minimum(draws.sum(axis=1), chances.shape[1] - 1)


class PolicyExpert:
    """The likeliest action of a policy network."""

    def __init__(self, policy: ActorCritic, name: str) -> None:
        self.policy, self.name = policy, name
        self.rng = np.random.default_rng(0)  # which likeliest actions do not need

    def act(self, observations: Array, step: int) -> Array:
        """As :class:`Expert`."""
        actions, _, _ = self.policy.act(np.ascontiguousarray(observations), self.rng, greedy=True)
        return self.policy.to_environment(actions)


def exact_expert(name: str, envs: VectorEnv, horizon: int, seed: int) -> Expert:
    """The expert ``optimal`` or ``soft`` of environments whose states can be counted.

    Raises:
        PlauditError: the states cannot be counted.
    """
    table = table_of(envs)
    if table is None:
        raise PlauditError(
            f"expert {name} needs an environment whose states can be counted (Delivery, MovingDot, Vase, or one with "
            "Gymnasium's table P, such as FrozenLake-v1): name the folder of a run as the expert"
        )
    return OptimalExpert(table) if name == "optimal" else SoftExpert(table, horizon, seed)
