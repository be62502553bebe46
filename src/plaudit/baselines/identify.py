"""What demonstrations and preferences settle about a reward, and what they do not.

Ng et al. 1999: r'(s, a, s') = r + phi(s') - phi(s) has the optimal policies of r, for any potential phi that is 0 at
ends. Ng and Russell 2000: r = 0 has every policy among its optimal ones. So demonstrations leave the reward open, and
what an inferred reward is worth shows where something has changed. The form in which it is written decides that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from plaudit.baselines.irl import FORM_NAMES, IrlConfig, Visits, infer, make_form
from plaudit.control.environments.delivery import Board, DeliveryVector, knox_board
from plaudit.control.solve import Model, value_iteration
from plaudit.control.tables import Table
from plaudit.types import Array

TIE = 1e-6  # by which the values of equally good actions may differ
SPREAD = 10.0  # standard deviation of random potentials
REACHED = 0.9  # share of the starts of a changed board from which the goal must be worth going to
REWIRED = 1 / 3  # share of the tiles whose controls are permuted


def best_actions(model: Model, horizon: int | None = None) -> Array:
    """Which actions are optimal, (S, A) bool."""
    action_values = value_iteration(model, horizon=horizon)[1]
    return action_values >= action_values.max(axis=1, keepdims=True) - TIE


def greedy_return(table: Table, reward: Array, horizon: int) -> float:
    """The true return of the policy that is optimal for ``reward`` over ``horizon`` steps; equals are drawn from."""
    learned, true = table.process(reward), table.process()
    values, returns = np.zeros(len(table.start)), np.zeros(len(table.start))
    for _ in range(horizon):
        action_values = learned.backup(values, 1.0)
        values = action_values.max(axis=1)
        best = action_values >= values[:, None] - TIE
        returns = (best / best.sum(axis=1, keepdims=True) * true.backup(returns, 1.0)).sum(axis=1)
    return float(table.start @ returns)


def share_of_return(table: Table, reward: Array, horizon: int) -> float:
    """``greedy_return`` where 0 is a random policy and 1 the best one; r = 0 has 0, because it ties all actions."""
    lowest, highest = _return_range(table, horizon)
    return (greedy_return(table, reward, horizon) - lowest) / (highest - lowest)


@lru_cache(128)  # several rewards are compared on each of a few tables
def _return_range(table: Table, horizon: int) -> tuple[float, float]:
    """The true return of a random policy and of the best one."""
    return greedy_return(table, np.zeros(table.shape), horizon), greedy_return(table, table.reward, horizon)


@dataclass(frozen=True)
class Potentials:
    """How many of random potentials keep the optimal actions, and the shaped rewards' mean correlation with r."""

    unchanged: int
    count: int
    correlation: float


def shape_reward(table: Table, potential: Array) -> Array:
    """r + E[phi(s')] - phi(s), (S, A), with phi = 0 in terminal states."""
    potential = np.where(table.terminal, 0.0, potential)
    expected = (table.probabilities * potential[table.next_state]).sum(axis=2)
    return table.reward + np.where(table.terminal[:, None], 0.0, expected - potential[:, None])


def try_potentials(table: Table, count: int, seed: int, spread: float = SPREAD) -> Potentials:
    """Shape the true reward by random potentials, and compare optimal actions where episodes can begin.

    Actions are compared over an endless horizon: at the last step of a finite one phi(s') would be a reward.
    """
    rng, starts = np.random.default_rng(seed), np.flatnonzero(table.start)
    best = best_actions(table.process())[starts]
    unchanged, correlations = 0, []
    for _ in range(count):
        reward = shape_reward(table, rng.normal(0.0, spread, len(table.start)))
        unchanged += int((best_actions(table.process(reward))[starts] == best).all())
        correlations.append(np.corrcoef(reward[starts].ravel(), table.reward[starts].ravel())[0, 1])
    return Potentials(unchanged, count, float(np.mean(correlations)))


def shift_shares(table: Table, shifts: tuple[float, ...], horizon: int) -> dict[float, float]:
    """The share of the return after a constant is added to every step, which comparisons of equal clips cannot see."""
    return {shift: share_of_return(table, table.reward + shift, horizon) for shift in shifts}


def board_table(board: Board) -> Table:
    """The table of Delivery on a board."""
    return DeliveryVector(1, board=board).table()


def rearrange_boards(count: int, seed: int) -> list[Table]:
    """Knox's tiles in other orders, on which the goal is worth going to from nearly every start."""
    rng, tiles, tables = np.random.default_rng(seed), knox_board().tiles, []
    while len(tables) < count:
        board = Board(rng.permutation(tiles.ravel()).reshape(tiles.shape))
        values = value_iteration(board.model(), horizon=100)[0][board.starts]
        if (values > -50).mean() > REACHED and values.mean() > 15:
            tables.append(board_table(board))
    return tables


def rewire(table: Table, seed: int) -> Table:
    """The same states and rewards of transitions, and controls that are permuted in a third of the states."""
    rng, (states, actions) = np.random.default_rng(seed), table.shape
    order = np.tile(np.arange(actions), (states, 1))
    for state in rng.choice(states, round(states * REWIRED), replace=False):
        order[state] = rng.permutation(actions)
    rows = np.arange(states)[:, None]
    return replace(
        table,
        next_state=table.next_state[rows, order],
        probabilities=table.probabilities[rows, order],
        reward=table.reward[rows, order],
        features=None if table.features is None else table.features[rows, order],
    )


@dataclass(frozen=True)
class FormRow:
    """What a reward in one form is worth: shares of the possible return at home and after changes, means.

    Attributes:
        inferred: whether IRL inferred it; otherwise it is the true reward, or a shaped one, in that form.
        correlation: with the true reward at home.
    """

    name: str
    inferred: bool
    home: float
    rearranged: float
    rewired: float
    correlation: float


def compare_forms(
    visits: Visits, horizon: int, changes: int, seed: int, config: IrlConfig | None = None
) -> list[FormRow]:
    """Infer a reward in each form from visits on Knox's board, and use it there and where something has changed."""
    home = board_table(knox_board())
    boards = rearrange_boards(changes, seed)
    wired = [rewire(home, seed + number) for number in range(changes)]
    rows = []
    for name in FORM_NAMES:
        form = make_form(name, home)
        inferred = infer(home, form, visits, horizon, config)
        rows.append(_row(name, True, inferred.weights, home, boards, wired, horizon))
    zero = np.zeros(home.features.shape[2] if home.features is not None else 0)
    rows.append(replace(_row("linear", False, zero, home, boards, wired, horizon), name="r = 0"))
    return rows


def compare_shaping(changes: int, seed: int) -> dict[str, float]:
    """The share of the return on rewired boards, of the true reward and of shaped ones, written in two forms.

    Shaping costs nothing where the form can follow the change, and the true reward fails where it cannot.
    """
    home, rng = board_table(knox_board()), np.random.default_rng(seed)
    shares: dict[str, list[float]] = {
        name: [] for name in ("r(s, a), true", "r(s, a), shaped", "r(s, s'), true", "r(s, s'), shaped")
    }
    for number in range(changes):
        wired, potential = rewire(home, seed + number), rng.normal(0.0, SPREAD, len(home.start))
        rewards = (home.reward, shape_reward(home, potential), wired.reward, shape_reward(wired, potential))
        for name, reward in zip(shares, rewards, strict=True):
            shares[name].append(share_of_return(wired, reward, 100))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _row(
    name: str, inferred: bool, weights: Array, home: Table, boards: list[Table], wired: list[Table], horizon: int
) -> FormRow:
    starts = np.flatnonzero(home.start)
    reward = make_form(name, home).reward(weights)
    at_home = reward[starts].ravel()
    correlation = np.corrcoef(at_home, home.reward[starts].ravel())[0, 1] if at_home.std() > 0 else 0.0
    rearranged, rewired = (
        np.mean([share_of_return(table, make_form(name, table).reward(weights), horizon) for table in tables])
        for tables in (boards, wired)
    )
    return FormRow(
        name, inferred, share_of_return(home, reward, horizon), float(rearranged), float(rewired), float(correlation)
    )
