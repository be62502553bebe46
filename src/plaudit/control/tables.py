"""Environments whose states can be counted, as tables, from which exact optima and side effects are computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from plaudit.control.ends import RowEnvs
from plaudit.control.solve import Model, value_iteration
from plaudit.types import Array, PlauditError

LARGEST = 2000  # states
PRECISION = 1e-4  # by which a number that stands for an observation may differ from the table's


@dataclass(frozen=True, eq=False)
class Table:
    """A table of ``S`` states and ``A`` actions with ``K`` outcomes; an episode that is over stays where it ended.

    Attributes:
        observations: what an agent sees in each state, (S, *observation).
        noop: the action that does nothing, if there is one.
        features: what the reward is linear in, (S, A, F), if the environment says so; ``feature_names`` names them.
    """

    next_state: Array  # (S, A, K)
    probabilities: Array  # (S, A, K)
    reward: Array  # (S, A) expected
    start: Array  # (S,) probabilities
    terminal: Array  # (S,) bool
    observations: Array
    noop: int | None = None
    features: Array | None = None
    feature_names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(S, A)."""
        return self.reward.shape

    def solve(self, reward: Array, gamma: float, tolerance: float = 1e-3) -> tuple[Array, Array]:
        """V* and Q* of rewards (..., S, A), discounted; a state where an episode is over earns its reward for ever."""
        return value_iteration(self._model(reward), gamma, tolerance)

    def optimal_return(self, horizon: int) -> float:
        """The expected return of the best policy over ``horizon`` steps, undiscounted."""
        return float(self.start @ value_iteration(self._model(self.reward), horizon=horizon)[0])

    def expected_return(self, policy: Array, horizon: int) -> float:
        """The expected return over ``horizon`` steps of a policy (S, A) of action probabilities, undiscounted."""
        return float(self.visits(policy, horizon) @ (policy * self.reward).sum(axis=1))

    def process(self, reward: Array | None = None) -> Model:
        """The decision problem whose episodes end: a terminal state is worth 0. reward: None for the table's."""
        return Model(self.next_state, self.reward if reward is None else reward, self.terminal, self.probabilities)

    def visits(self, policy: Array, steps: int) -> Array:
        """The number of the first ``steps`` steps (S,) that a policy (S, A) is expected to spend in each state."""
        count = len(self.start)
        moves = np.zeros((count, count))
        weights = policy[..., None] * self.probabilities
        np.add.at(moves, (np.arange(count)[:, None, None], self.next_state), weights)
        present, total = self.start, np.zeros(count)
        for _ in range(steps):
            total += present
            present = present @ moves
        return total

    def locate(self, observations: Array) -> Array:
        """The states (N,) in which observations (N, *observation) are seen.

        Raises:
            PlauditError: one is seen in no state.
        """
        weights, keys, order = self._keys
        queries = observations.reshape(len(observations), -1) @ weights
        rows = np.searchsorted(keys, queries - PRECISION, sorter=order).clip(max=len(keys) - 1)
        states = order[rows]
        if (np.abs(keys[states] - queries) > PRECISION).any():
            raise PlauditError("the environment shows an observation that none of its counted states has")
        return states

    @cached_property
    def _keys(self) -> tuple[Array, Array, Array]:
        """Random weights, the number that they make of each observation, and the order of these numbers."""
        weights = np.random.default_rng(0).standard_normal(self.observations[0].size)
        keys = self.observations.reshape(len(self.observations), -1) @ weights
        return weights, keys, np.argsort(keys)

    def _model(self, reward: Array) -> Model:
        return Model(self.next_state, reward, np.zeros(len(self.start), bool), self.probabilities)


def table_of(envs: VectorEnv) -> Table | None:
    """The table of an environment of ours that has one, or of one with Gymnasium's ``P``, such as FrozenLake and Taxi.

    None: the states cannot be counted, or are not what is observed.
    """
    rows = envs.unwrapped
    make_table = getattr(rows, "table", None)
    if make_table is not None:
        table = cast(Table, make_table())
        return table if envs.single_observation_space.shape == table.observations.shape[1:] else None
    env = cast(Any, rows.envs[0].unwrapped) if isinstance(rows, RowEnvs) else None
    if env is None or not hasattr(env, "P") or not isinstance(env.observation_space, spaces.Discrete):
        return None
    count, actions = int(env.observation_space.n), int(env.action_space.n)
    if count > LARGEST or envs.single_observation_space.shape != (count,):
        return None
    start = np.asarray(env.initial_state_distrib, np.float64)
    observations = np.eye(count, dtype=envs.single_observation_space.dtype)
    return read_transitions(env.P, (count, actions), start / start.sum(), observations)


def read_transitions(transitions: Any, shape: tuple[int, int], start: Array, observations: Array) -> Table:
    """Gymnasium's P[state][action] = [(probability, next state, reward, over), ...] as arrays."""
    count, actions = shape
    outcomes = max(len(transitions[state][action]) for state in range(count) for action in range(actions))
    next_state = np.zeros((count, actions, outcomes), np.int64)
    probabilities, reward = np.zeros((count, actions, outcomes)), np.zeros((count, actions))
    terminal = np.zeros(count, bool)
    for state in range(count):
        for action in range(actions):
            for index, (chance, target, gain, is_end) in enumerate(transitions[state][action]):
                next_state[state, action, index], probabilities[state, action, index] = target, chance
                reward[state, action] += chance * gain
                terminal[target] |= bool(is_end)
    rows = np.flatnonzero(terminal)
    next_state[rows], probabilities[rows], reward[rows] = rows[:, None, None], 0.0, 0.0
    probabilities[rows, :, 0] = 1.0
    return Table(next_state, probabilities, reward, start, terminal, observations)
