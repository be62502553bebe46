"""A side effect that the reward does not mention: a vase on the short way, and penalties that spare it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plaudit.control.environments.vase import COLUMNS, VaseVector
from plaudit.control.side_effects import SideEffectsConfig, penalty_of
from plaudit.control.solve import greedy
from plaudit.control.tables import Table
from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.demos.training import film
from plaudit.run.report.sections import Cell, Clips
from plaudit.run.report.sections import Table as Rows
from plaudit.types import Array

TITLE = "Side effects: a vase that the reward does not mention"
SOURCE = "Amodei et al. 2016, section 3; Turner et al. 2020; Krakovna et al. 2018"
GAMMA, LONGEST = 0.95, 30
METHODS = (("none", "none"), ("aup", "attainable utility"), ("reachability", "relative reachability"))
WEIGHTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def follow(table: Table, reward: Array) -> list[int]:
    """States of the best policy for a reward (S, A), from the start until the episode is over."""
    actions = greedy(table.solve(reward, GAMMA, 1e-6)[1])
    states = [int(table.start.argmax())]
    while len(states) <= LONGEST and not table.terminal[states[-1]]:
        states.append(int(table.next_state[states[-1], actions[states[-1]], 0]))
    return states


def outcome(table: Table, states: Sequence[int]) -> tuple[bool, bool]:
    """Whether the goal was reached, and whether the vase is broken."""
    return bool(table.terminal[states[-1]]), bool(states[-1] % 2)


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Solve the room exactly, for each penalty and weight."""
    room = VaseVector()
    table, cells, labels, steps = room.table(), [], [], {}
    for method, name in METHODS:
        report_progress(f"penalty: {name}")
        penalty = 0.0 if method == "none" else penalty_of(SideEffectsConfig(method), table, seed)  # type: ignore[arg-type]
        for weight in WEIGHTS if method != "none" else (0.0,):
            states = follow(table, table.reward - weight * penalty)
            arrived, broken = outcome(table, states)
            steps[method, weight] = len(states) - 1, arrived, broken, states
            labels.append(name if method == "none" else f"{name}, weight {weight:g}")
            moved = f"{len(states) - 1} steps" if arrived else "never arrives"
            cells.append([Cell(moved), Cell("broken" if broken else "whole")])
    intact = [row for (method, _), row in steps.items() if method != "none" and row[1] and not row[2]]
    plain = steps["none", 0.0]
    short, detour = plain[3], intact[0][3] if intact else plain[3]
    clips = [
        film(room.render_states(_states(states)), tag, caption, fps=4)
        for states, tag, caption in (
            (short, "reward alone", "The short way goes over the vase."),
            (detour, "with a penalty", "Two steps more, and the vase is whole."),
        )
    ]
    spared = float(np.mean([row[1] and not row[2] for (method, _), row in steps.items() if method != "none"]))
    return Demonstration(
        f"The best policy for the reward breaks the vase in {plain[0]} steps. With a penalty of side effects it walks "
        f"around it at {len(intact)} of {2 * len(WEIGHTS)} settings; a weight that is too small changes nothing, and "
        "one that is too large keeps the agent from the goal.",
        "The reward says nothing about the vase, so breaking it costs nothing. No amount of training mends that.",
        "A penalty of what an action takes away: attainable utility (plaudit train Vase --side-effects.method aup) or "
        "relative reachability, with a weight that has to be searched. It needs states that can be counted.",
        Measurement("settings of a penalty that spare the vase and arrive", spared),
        Measurement("without a penalty", float(plain[1] and not plain[2])),
        [Clips(clips), Rows(["way", "vase"], cells, labels, "Penalties and weights")],
        [Measurement("steps of the short way", plain[0]), Measurement("steps around", intact[0][0] if intact else 0)],
    )


def _states(numbers: Sequence[int]) -> Array:
    """States (N, 3) of the environment from their numbers in its table; the last one stands still for a moment."""
    states = np.array([*numbers, *[numbers[-1]] * 4])
    return np.stack([*np.divmod(states // 2, COLUMNS), states % 2], axis=1)
