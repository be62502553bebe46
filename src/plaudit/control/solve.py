"""Tabular decision problems solved exactly: the true optimum that learned policies are compared with.

Every array is batched: a reward with leading axes is solved for all of them at once, in one sweep over the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.types import Array, PlauditError


@dataclass(frozen=True, eq=False)
class Model:
    """A Markov decision process of ``S`` states and ``A`` actions, with ``K`` possible outcomes a step.

    A terminal state is worth 0: its rewards and successors are never used.
    """

    next_state: Array  # (S, A) int, or (S, A, K) int with probabilities
    reward: Array  # (..., S, A): expected reward of the action; leading axes hold further reward functions
    terminal: Array  # (S,) bool
    probabilities: Array | None = None  # (S, A, K), each row summing to 1

    def __post_init__(self) -> None:
        shape = self.next_state.shape
        if self.next_state.ndim != (2 if self.probabilities is None else 3):
            raise ValueError(f"Model.next_state must be (S, A), or (S, A, K) with probabilities, got {shape}")
        if not np.issubdtype(self.next_state.dtype, np.integer):
            raise ValueError(f"Model.next_state must hold integers, got {self.next_state.dtype}")
        if self.next_state.size == 0 or self.next_state.min() < 0 or self.next_state.max() >= shape[0]:
            raise ValueError(f"Model.next_state must name states 0..{shape[0] - 1}, and at least one")
        if self.reward.shape[-2:] != shape[:2] or not np.isfinite(self.reward).all():
            raise ValueError(f"Model.reward must be finite and end with (S, A) = {shape[:2]}, got {self.reward.shape}")
        if self.terminal.shape != shape[:1] or self.terminal.dtype != np.bool_:
            raise ValueError(f"Model.terminal must be (S,) bool, got {self.terminal.shape} {self.terminal.dtype}")
        if self.probabilities is not None:
            if self.probabilities.shape != shape:
                raise ValueError(f"Model.probabilities must be {shape}, got {self.probabilities.shape}")
            if (self.probabilities < 0).any() or not np.allclose(self.probabilities.sum(axis=-1), 1.0):
                raise ValueError("Model.probabilities must be at least 0 and sum to 1 over the outcomes")

    def backup(self, values: Array, gamma: float) -> Array:
        """Q (..., S, A) = r + gamma * E[V(s')] for ``values`` (..., S); 0 in terminal states."""
        if self.probabilities is None:
            expected = values[..., self.next_state]
        else:
            # Most tables are deterministic but for a few rows: only those are summed over outcomes.
            first = self.probabilities[..., 0] == 1.0
            expected = values[..., self.next_state[..., 0]]
            chances, outcomes = self.probabilities[~first], self.next_state[~first]  # (R, K)
            expected[..., ~first] = np.einsum("...rk,rk->...r", values[..., outcomes], chances)
        action_values = self.reward + gamma * expected
        action_values[..., self.terminal, :] = 0.0
        return action_values


def value_iteration(
    model: Model, gamma: float = 1.0, tolerance: float = 1e-9, *, horizon: int | None = None, limit: int = 100_000
) -> tuple[Array, Array]:
    """Optimal values V* (..., S) and Q* (..., S, A), by repeating V <- max_a Q (Sutton and Barto 2018, (4.10)).

    Without ``horizon``, V* is within ``tolerance`` for gamma < 1; for gamma = 1 sweeps stop when no value moves
    by more than ``tolerance``. With ``horizon`` they are the values with exactly that many steps to go.

    Raises:
        PlauditError: the values still move after ``limit`` sweeps (gamma = 1 and a loop that pays).
    """
    if not 0.0 <= gamma <= 1.0 or tolerance <= 0.0:
        raise ValueError(f"gamma must be in [0, 1] and tolerance above 0, got {gamma} and {tolerance}")
    values, action_values = np.zeros(model.reward.shape[:-1]), np.zeros(model.reward.shape)
    # |V - V*| <= gamma / (1 - gamma) * |V - V_before|
    stop = tolerance if gamma in (0.0, 1.0) else tolerance * (1.0 - gamma) / gamma
    moved = np.inf
    for _ in range(limit if horizon is None else horizon):
        action_values = model.backup(values, gamma)
        swept = action_values.max(axis=-1)
        moved = np.abs(swept - values).max()
        values = swept
        if horizon is None and moved <= stop:
            return values, action_values
    if horizon is None:
        raise PlauditError(
            f"solve: values still move by {moved:.3g} after {limit} sweeps at gamma = {gamma}: "
            "a loop earns or costs reward for ever; give a horizon or a smaller gamma"
        )
    return values, action_values


def soft_value_iteration(model: Model, horizon: int) -> tuple[Array, Array]:
    """V (S,) and pi (H, S, A) of maximum causal entropy, with ``horizon`` steps to go (Ziebart 2010, theorem 6.8).

    Backwards in time: Q = r + E[V(s')], V = log sum_a exp Q, pi = exp(Q - V). Chance is averaged and not maximised
    over, which is what "causal" says. A terminal state is worth 0, and its actions are uniform.
    """
    if model.reward.ndim != 2 or horizon < 1:
        raise ValueError(f"one reward (S, A) and a horizon from 1, got {model.reward.shape} and {horizon}")
    values, policy = np.zeros(len(model.terminal)), np.empty((horizon, *model.reward.shape))
    for step in reversed(range(horizon)):
        action_values = model.backup(values, 1.0)
        highest = action_values.max(axis=1)
        values = highest + np.log(np.exp(action_values - highest[:, None]).sum(axis=1))
        policy[step] = np.exp(action_values - values[:, None])
        values[model.terminal] = 0.0
    return values, policy


def occupancy(model: Model, policy: Array, start: Array) -> Array:
    """How often (S, A) a policy (H, S, A) is expected to take each action, from start probabilities (S,).

    Actions in terminal states do not count.
    """
    next_state = model.next_state if model.next_state.ndim == 3 else model.next_state[..., None]
    total, present = np.zeros(policy.shape[1:]), np.where(model.terminal, 0.0, start)
    for step_policy in policy:
        flow = present[:, None] * step_policy  # (S, A)
        total += flow
        outcomes = flow[..., None] if model.probabilities is None else flow[..., None] * model.probabilities
        present = np.bincount(next_state.ravel(), outcomes.ravel(), len(start))
        present[model.terminal] = 0.0
    return total


def greedy(action_values: Array) -> Array:
    """The best action in each state, (..., S) int; the first of equals."""
    return np.argmax(action_values, axis=-1)
