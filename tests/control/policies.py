"""The exact value of a policy in a table, another way than :mod:`plaudit.control.solve` finds the best one's."""

import numpy as np

from plaudit.control.solve import Model
from plaudit.types import Array


def policy_value(model: Model, policy: Array, gamma: float) -> Array:
    """V (..., S) of probabilities ``policy`` (S, A): the solution of V = r + gamma P V, a linear system."""
    states = np.arange(len(model.terminal))
    chances = np.ones((*model.next_state.shape, 1)) if model.probabilities is None else model.probabilities
    outcomes = model.next_state.reshape(chances.shape)
    transition = np.zeros((len(states), len(states)))
    np.add.at(transition, (states[:, None, None], outcomes), policy[..., None] * chances)
    transition[model.terminal] = 0.0
    reward = np.where(model.terminal, 0.0, (policy * model.reward).sum(axis=-1))
    return np.linalg.solve(np.eye(len(states)) - gamma * transition, reward[..., None])[..., 0]


def finite_value(model: Model, policy: Array, horizon: int) -> Array:
    """V (S,) of probabilities ``policy`` (S, A) with ``horizon`` steps to go: as many expected backups."""
    values = np.zeros(len(model.terminal))
    for _ in range(horizon):
        values = (policy * model.backup(values, 1.0)).sum(axis=-1)
    return values
