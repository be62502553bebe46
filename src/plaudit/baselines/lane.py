"""A lane in which errors compound: what Ross and Bagnell 2010 prove, small enough to be computed exactly.

An agent in the middle of a lane is nudged aside now and then. Each step off the middle costs 1, and the expert steers
back at once. Demonstrations of a calm day never leave the middle, so a clone knows nothing of the rest: once it is
off, it stays off, and its expected cost grows as epsilon T^2. DAgger's grows as epsilon T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from plaudit.baselines.bc import CloningConfig, clone
from plaudit.baselines.dagger import DaggerConfig, dagger
from plaudit.baselines.demonstrations import play
from plaudit.baselines.experts import OptimalExpert
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.control.table_envs import TableEnvs
from plaudit.control.tables import Table
from plaudit.types import Array

HALF = 10  # cells on either side of the middle
SLIP = 0.01
HORIZONS = (4, 8, 16, 32, 64, 128)
NETWORK = NetworkConfig(normalise=False)
CLONING = CloningConfig(learning_rate=2e-2, batch=128, steps=150)
EPISODES, LENGTH = 5, 60  # of the demonstrations
DAGGER = DaggerConfig(rounds=6, episodes=10)


def lane(slip: float) -> Table:
    """2 * HALF + 1 cells; actions go left, stay or go right; with probability ``slip`` a nudge moves one cell more."""
    count = 2 * HALF + 1
    cells = np.arange(count)[:, None, None] + np.arange(-1, 2)[:, None] + np.arange(-1, 2)  # (S, A, K)
    probabilities = np.broadcast_to([slip / 2, 1 - slip, slip / 2], cells.shape)
    reward = np.repeat(np.where(np.arange(count) == HALF, 0.0, -1.0)[:, None], 3, axis=1)
    start = (np.arange(count) == HALF) * 1.0
    observations = np.eye(count, dtype=np.float32)
    terminal = np.zeros(count, bool)
    return Table(cells.clip(0, count - 1), probabilities, reward, start, terminal, observations, noop=1)


@dataclass(frozen=True)
class Slopes:
    """Expected costs (T,) over HORIZONS steps, and the slopes of their logarithms from each horizon to its double."""

    cost: Array

    @property
    def slopes(self) -> Array:
        """(T - 1,): 1 for costs that grow as T, 2 for T^2."""
        return np.diff(np.log(self.cost)) / np.diff(np.log(HORIZONS))

    @property
    def slope(self) -> float:
        """The slope from 8 to 32 steps."""
        first, last = HORIZONS.index(8), HORIZONS.index(32)
        return float(np.log(self.cost[last] / self.cost[first]) / np.log(4))


def action_probabilities(policy: ActorCritic, table: Table) -> Array:
    """pi(a|s) of a policy in every state, (S, A)."""
    with torch.no_grad():
        outputs = policy(torch.from_numpy(table.observations))[:, :-1]
    return outputs.double().softmax(dim=1).numpy()


def measure_costs(policy: Array) -> Array:
    """The exact expected cost (T,) of action probabilities (S, A) in the lane with nudges."""
    table = lane(SLIP)
    return np.array([-table.expected_return(policy, horizon) for horizon in HORIZONS])


def compare_cloning(seeds: int, first: int = 0, report: Callable[[int], None] = lambda done: None) -> dict[str, Slopes]:
    """Costs of the expert, of behaviour cloning and of DAgger, each a mean over seeds; ``first`` is the first one."""
    calm, nudged = lane(0.0), lane(SLIP)
    expert = OptimalExpert(nudged)
    costs: dict[str, list[Array]] = {"expert": [measure_costs(np.eye(3)[expert.actions])], "bc": [], "dagger": []}
    for seed in range(first, first + seeds):
        envs = TableEnvs(calm, EPISODES, LENGTH)
        cloned = clone(envs, play(envs, expert.act, EPISODES, seed), NETWORK, CLONING, seed)
        costs["bc"].append(measure_costs(action_probabilities(cloned, nudged)))
        envs = TableEnvs(nudged, DAGGER.episodes, LENGTH)
        last = list(dagger(envs, expert, NETWORK, CLONING, DAGGER, seed))[-1]
        costs["dagger"].append(measure_costs(action_probabilities(last.policy, nudged)))
        report(seed - first + 1)
    return {name: Slopes(np.mean(values, axis=0)) for name, values in costs.items()}
