"""A critic of side effects: a term of the reward where states can be counted.

The policy is trained on the reward less ``weight`` times the penalty of each step, which is computed exactly, once,
from the environment's table. The reward model and the questions to annotators are as they are without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.control.tables import Table, table_of
from plaudit.functional.side_effects import attainable_utility, reachability, relative_reachability, spare_ends
from plaudit.types import Array, PlauditError, Trajectory

MOST_CELLS = 2 * 10**8  # numbers in the largest array of a critic: 1.6 GB


@dataclass(frozen=True)
class SideEffectsConfig:
    """The critic of side effects."""

    method: Literal["none", "aup", "reachability"] = "none"
    """Penalty of side effects, only for environments whose states can be counted. aup: the change of what random goals
    can earn (Turner et al. 2020); reachability: the states that can no longer be reached (Krakovna et al. 2018)."""
    weight: float = 1.0
    """Weight of the penalty, in standard deviations of the reward."""
    baseline: Literal["stepwise", "inaction"] = "stepwise"
    """State that an action is compared with. stepwise: the one after doing nothing now; inaction: the start, as if the
    agent had done nothing in the whole episode."""
    auxiliary: int = 20
    """Number of random goals (with aup only)."""
    gamma: float = 0.99
    """Discount of what can be attained later."""
    noop: int | None = None
    """Number of the action that does nothing; None: the environment's own, otherwise the state stays as it is."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise PlauditError(f"side_effects.weight must not be negative, got {self.weight}")
        if self.auxiliary < 1:
            raise PlauditError(f"side_effects.auxiliary must be at least 1, got {self.auxiliary}")
        if not 0 < self.gamma < 1:
            raise PlauditError(f"side_effects.gamma lies between 0 and 1, got {self.gamma}")
        if self.noop is not None and self.noop < 0:
            raise PlauditError(f"side_effects.noop is the number of an action, from 0 on, got {self.noop}")


@dataclass(frozen=True, eq=False)
class SideEffects:
    """The penalty of each step of experience."""

    table: Table
    penalty: Array  # (S, A), of one standard deviation of the reward
    weight: float
    means: list[float] = field(default_factory=list)  # of the penalties since the list was last cleared

    def charge(self, trajectory: Trajectory, std: float) -> Array:
        """Penalties (B, T) float32 of a batch of trajectories, in units of a reward with standard deviation ``std``."""
        shape = trajectory.mask.shape
        observations = trajectory.observations.reshape(-1, *trajectory.observations.shape[2:])
        steps = self.penalty[self.table.locate(observations), trajectory.actions.reshape(-1)].reshape(shape)
        self.means.append(float(steps[trajectory.mask].mean()) if trajectory.mask.any() else 0.0)
        return (self.weight * std * steps).astype(np.float32)


def side_effects_of(config: SideEffectsConfig, envs: VectorEnv, name: str, seed: int) -> SideEffects | None:
    """The critic that the settings describe; None for none. name: of the environment. seed: of the random goals.

    Raises:
        PlauditError: the environment's states cannot be counted, or its actions or starts do not suit the settings.
    """
    if config.method == "none":
        return None
    table = table_of(envs)
    if table is None:
        raise PlauditError(
            f"side_effects.method {config.method}: the states of {name} cannot be counted, which needs an environment "
            "such as Vase, Delivery, MovingDot, FrozenLake or Taxi; use --side-effects.method none"
        )
    count, actions = table.shape
    numbers = count**2 * actions * table.next_state.shape[2] if config.method == "reachability" else 0
    if numbers > MOST_CELLS:
        raise PlauditError(f"side_effects.method reachability: {name} has {count} states, which are too many; use aup")
    return SideEffects(table, penalty_of(config, table, seed), config.weight)


def penalty_of(config: SideEffectsConfig, table: Table, seed: int) -> Array:
    """The penalty (S, A) of each action in each state.

    Raises:
        PlauditError: as :func:`side_effects_of`.
    """
    idle = _idle(config, table)
    if config.method == "aup":
        goals = np.random.default_rng((seed, 18)).random((config.auxiliary, len(table.start), 1))
        rewards = np.broadcast_to(goals, (*goals.shape[:2], table.shape[1]))
        values, action_values = table.solve(rewards, config.gamma)
        penalty = attainable_utility(action_values, goals[..., 0] + config.gamma * idle(values))
    else:
        reach = reachability(table.next_state, table.probabilities, config.gamma)
        penalty = relative_reachability(reach, idle(reach), table.next_state, table.probabilities)
    return spare_ends(penalty, table.next_state, table.probabilities, table.terminal)


def _idle(config: SideEffectsConfig, table: Table) -> Callable[[Array], Array]:
    """What values (N, S) of states are expected to be (N, S) after the step that the baseline makes from each state."""
    noop = table.noop if config.noop is None else config.noop
    count, actions = table.shape
    if noop is not None and noop >= actions:
        raise PlauditError(f"side_effects.noop is the number of an action, 0 to {actions - 1} here, got {noop}")
    if noop is None:
        next_state, probabilities = np.arange(count)[:, None], np.ones((count, 1))
    else:
        next_state, probabilities = table.next_state[:, noop], table.probabilities[:, noop]
    if config.baseline == "inaction":
        start = int(table.start.argmax())
        if table.start[start] < 1 or (next_state[start][probabilities[start] > 0] != start).any():
            raise PlauditError(
                "side_effects.baseline inaction needs an environment with one start that stays as it is if nothing is "
                "done: use stepwise"
            )
        return lambda values: np.repeat(values[:, start, None], count, axis=1)
    return lambda values: (values[:, next_state] * probabilities).sum(axis=2)
