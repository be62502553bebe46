"""What Duel's optimal policy, and some simple ones, get: exact, by backward induction over all its states.

    python benchmarks/duel_optimum.py

Writes benchmarks/results/duel_optimum.md. The environment itself makes every step; only the serve after a point, which
is random, is written out again here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from plaudit.control.environments.duel import DuelVector
from plaudit.types import Array

RESULT = Path(__file__).parent / "results" / "duel_optimum.md"
DX, DY = (-1, 1), (-1, 0, 1)
Backup = Callable[[Array], Array]  # values of the actions (actions, N) to values of the states (N,)


class ExactDuel:
    """Every state and what follows each: V is an array over (x, y, dx, dy, own, opponent)."""

    def __init__(self) -> None:
        game = DuelVector(1)
        self.height, self.width, self.paddle, self.skill = game.height, game.width, game.paddle, game.opponent_skill
        self.horizon, self.tops = game.horizon, game.height - game.paddle + 1
        axes = (range(1, self.width - 1), range(self.height), DX, DY, range(self.tops), range(self.tops))
        self.shape = tuple(len(axis) for axis in axes)
        self.states = np.array(list(itertools.product(*axes)), np.int16).T.copy()
        self.steps = [[self._step(action, moves) for moves in (0, 1)] for action in range(DuelVector.actions)]

    def index(self, states: Array) -> Array:
        """Position (N,) of states (6, N) in the flat array of values."""
        x, y, dx, dy, own, opponent = states.astype(np.intp)
        return np.asarray(np.ravel_multi_index((x - 1, y, (dx + 1) // 2, dy + 1, own, opponent), self.shape))

    def _step(self, action: int, opponent_moves: int) -> tuple[Array, Array, Array]:
        """Reward (N,), next state (N,), and the own paddle's next top (N,), which a serve leaves as it is."""
        count = self.states.shape[1]
        game = DuelVector(count, opponent_skill=float(opponent_moves))
        game.reset(seed=0)
        game.set_states(self.states.T)
        _, rewards, *_ = game.step(np.full(count, action))
        after = game.states().T
        return np.array(rewards), self.index(after), after[4].astype(np.intp)

    def served(self, values: Array, opponent_moves: int) -> Array:
        """Mean value over all serves, by the paddles' tops (own, opponent)."""
        back, forth = values[self.width // 2 - 2, :, 0], values[self.width // 2 - 1, :, 1]  # (y, dy, own, opponent)
        if opponent_moves:  # it follows a ball that comes towards it
            row, top = np.arange(self.height)[:, None], np.arange(self.tops)[None]
            moved = np.clip(top + np.sign(row - top - self.paddle // 2), 0, self.tops - 1)  # (y, opponent)
            back = np.take_along_axis(back, moved[:, None, None, :], axis=3)
        return (back.mean((0, 1)) + forth.mean((0, 1))) / 2

    def returns(self, backup: Backup) -> float:
        """Expected undiscounted return of an episode under the policy that ``backup`` describes."""
        values = np.zeros(self.shape)
        opponent = self.states[5].astype(np.intp)
        for _ in range(self.horizon):
            actions = np.zeros((DuelVector.actions, values.size))
            for moves, chance in ((0, 1 - self.skill), (1, self.skill)):
                served = self.served(values, moves)
                for action, outcomes in enumerate(self.steps):
                    rewards, after, own = outcomes[moves]
                    later = np.where(rewards == 0, values.ravel()[after], served[own, opponent])
                    actions[action] += chance * (rewards + later)
            values = backup(actions).reshape(self.shape)
        middle = (self.height - self.paddle) // 2
        return float(self.served(values, opponent_moves=0)[middle, middle])

    def follow(self) -> Array:
        """The action (N,) that brings the paddle's middle to the ball's row."""
        offset = self.states[1] - self.states[4] - self.paddle // 2
        return np.where(offset < 0, 1, np.where(offset > 0, 2, 0))


def main() -> None:
    """Solve, and write the table."""
    duel = ExactDuel()
    follow, everywhere = duel.follow(), np.arange(duel.states.shape[1])
    policies: dict[str, Backup] = {
        "random": lambda actions: actions.mean(axis=0),
        "stay": lambda actions: actions[0],
        "follow the ball": lambda actions: actions[follow, everywhere],
        "optimal": lambda actions: actions.max(axis=0),
    }
    lines = [
        "# Duel, solved exactly",
        "",
        f"Made by `benchmarks/duel_optimum.py`: expected true return of an episode of {duel.horizon} steps, by "
        f"backward induction over the {everywhere.size:,} states.",
        "",
        "| policy | return |",
        "|---|---|",
        *(f"| {name} | {duel.returns(backup):.2f} |" for name, backup in policies.items()),
    ]
    RESULT.write_text("\n".join(lines) + "\n", newline="\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
