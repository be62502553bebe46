"""Inverse reinforcement learning by maximum causal entropy, on tables that are solved exactly (Ziebart 2010, 6.2).

The reward whose soft-optimal policy meets the features as often as the demonstrations do. The dual is concave:

    L(w) = w . mu_E - E[V_0(s_0; w)] - l2 / 2 |w|^2,    dL/dw = mu_E - mu(w) - l2 w,

where mu_E are the demonstrations' feature counts per episode and mu(w) those that the soft-optimal policy of w is
expected to have from the same starts. Without chance in the transitions, L is the mean log-likelihood of an episode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from plaudit.baselines.demonstrations import Demonstrations
from plaudit.control.solve import Model, occupancy, soft_value_iteration
from plaudit.control.tables import Table
from plaudit.types import Array, PlauditError

FormName = Literal["linear", "state-action", "next-state", "transition"]
FORM_NAMES: tuple[FormName, ...] = get_args(FormName)
DECAY, SQUARE_DECAY = 0.9, 0.999  # of Adam's moments


@dataclass(frozen=True)
class IrlConfig:
    """How a reward is inferred."""

    steps: int = 300
    """Number of gradient steps (Adam)."""
    learning_rate: float = 0.3
    """Adam's step size."""
    l2: float = 1e-4
    """Weight of the penalty l2 / 2 |w|^2, which keeps unseen weights at zero."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.learning_rate > 0 or not self.l2 >= 0:
            raise PlauditError(
                f"IRL needs steps from 1, a learning rate above 0 and l2 from 0, got {self.steps}, "
                f"{self.learning_rate} and {self.l2}"
            )


@dataclass(frozen=True, eq=False)
class RewardForm:
    """A reward that is linear in ``F`` weights: r(s, a) = sum_k p(s, a, k) w[index(s, a, k)], or features @ w.

    One of two: ``features`` (S, A, F), or ``index`` and ``chances`` (S, A, K). Zero in terminal states.
    """

    name: str
    count: int
    features: Array | None = None
    index: Array | None = None
    chances: Array | None = None

    def reward(self, weights: Array) -> Array:
        """r (S, A)."""
        if self.features is not None:
            return self.features @ weights
        assert self.index is not None and self.chances is not None
        return (self.chances * weights[self.index]).sum(axis=2)

    def count_features(self, visits: Array) -> Array:
        """mu (F,): how often each feature is met by visits (S, A)."""
        if self.features is not None:
            return np.einsum("saf,sa->f", self.features, visits)
        assert self.index is not None and self.chances is not None
        return np.bincount(self.index.ravel(), (self.chances * visits[..., None]).ravel(), self.count)


def make_form(name: str, table: Table) -> RewardForm:
    """What a reward may depend on.

    ``linear``: the environment's features; ``state-action``: a number for each (s, a); ``next-state``: for each s';
    ``transition``: for each pair (s, s').

    Raises:
        PlauditError: there is no such form, or the environment names no features.
    """
    states, actions = table.shape
    running = ~table.terminal[:, None, None]
    if name == "linear":
        if table.features is None:
            raise PlauditError(
                "the environment names no features that its reward is linear in: use --form state-action, next-state "
                "or transition"
            )
        return RewardForm(name, table.features.shape[2], features=table.features * running)
    if name == "state-action":
        index = np.arange(states * actions).reshape(states, actions, 1)
        return RewardForm(name, states * actions, index=index, chances=running * np.ones(index.shape))
    if name == "next-state":
        return RewardForm(name, states, index=table.next_state, chances=table.probabilities * running)
    if name == "transition":  # numbered over all pairs, of which only possible ones are ever met
        index = np.arange(states)[:, None, None] * states + table.next_state
        return RewardForm(name, states * states, index=index, chances=table.probabilities * running)
    raise PlauditError(f"there is no form of reward {name!r}: use one of {', '.join(FORM_NAMES)}")


@dataclass(frozen=True, eq=False)
class Visits:
    """What demonstrations say about a table: visits (S, A) per episode, and the share (S,) of episodes by start."""

    visits: Array
    start: Array


@dataclass(frozen=True, eq=False)
class InferredReward:
    """A reward that explains demonstrations.

    Attributes:
        form: what it depends on.
        weights: (F,).
        reward: (S, A).
        likelihood: the dual at the end, in nats per episode; without chance, the mean log-likelihood of an episode.
        gap: the largest difference of a feature's count, demonstrations against policy, that is left.
    """

    form: RewardForm
    weights: Array
    reward: Array
    likelihood: float
    gap: float


def count_visits(table: Table, demonstrations: Demonstrations) -> Visits:
    """Visits and starts of demonstrations; raises :class:`PlauditError` if one is seen in no state of the table."""
    states = table.locate(demonstrations.observations)
    actions = np.asarray(demonstrations.actions, np.int64)
    if actions.ndim != 1 or (actions < 0).any() or (actions >= table.shape[1]).any():
        raise PlauditError(f"the environment has the actions 0 to {table.shape[1] - 1}, the demonstrations have others")
    flat = np.bincount(states * table.shape[1] + actions, minlength=table.shape[0] * table.shape[1])
    start = np.bincount(states[demonstrations.starts], minlength=table.shape[0])
    return Visits(flat.reshape(table.shape) / demonstrations.episodes, start / demonstrations.episodes)


def exact_visits(model: Model, start: Array, horizon: int) -> Visits:
    """The visits that the soft-optimal policy of a model's reward is expected to have: infinitely many episodes."""
    return Visits(occupancy(model, soft_value_iteration(model, horizon)[1], start), start)


def dual(table: Table, form: RewardForm, visits: Visits, horizon: int, weights: Array) -> tuple[float, Array]:
    """L(w) without its penalty, and its gradient (F,)."""
    model = table.process(form.reward(weights))
    values, policy = soft_value_iteration(model, horizon)
    counts = form.count_features(visits.visits)
    gradient = counts - form.count_features(occupancy(model, policy, visits.start))
    return float(weights @ counts - visits.start @ values), gradient


def infer(
    table: Table,
    form: RewardForm,
    visits: Visits,
    horizon: int,
    config: IrlConfig | None = None,
    report: Callable[[int, int, dict[str, float]], None] = lambda done, total, metrics: None,
) -> InferredReward:
    """Climb the dual from w = 0 by Adam."""
    config = config or IrlConfig()
    weights, mean, square = np.zeros(form.count), np.zeros(form.count), np.zeros(form.count)
    for step in range(1, config.steps + 1):
        value, gradient = dual(table, form, visits, horizon, weights)
        report(step, config.steps, {"likelihood": value, "gap": float(np.abs(gradient).max())})
        gradient = gradient - config.l2 * weights
        mean = DECAY * mean + (1 - DECAY) * gradient
        square = SQUARE_DECAY * square + (1 - SQUARE_DECAY) * gradient**2
        scale = np.sqrt(square / (1 - SQUARE_DECAY**step)) + 1e-8
        weights = weights + config.learning_rate * mean / (1 - DECAY**step) / scale
    value, gradient = dual(table, form, visits, horizon, weights)
    return InferredReward(form, weights, form.reward(weights), value, float(np.abs(gradient).max()))
