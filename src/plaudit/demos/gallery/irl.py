"""Demonstrations leave the reward open, and the form in which it is written decides what it is worth after a change."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plaudit.baselines.identify import (
    FormRow,
    best_actions,
    board_table,
    compare_forms,
    compare_shaping,
    try_potentials,
)
from plaudit.baselines.irl import IrlConfig, exact_visits
from plaudit.control.environments.delivery import knox_board
from plaudit.control.tables import Table as States
from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.run.report.sections import Cell, Key, Plot, Plots, Table
from plaudit.run.report.svg import BASELINE, MUTED, PREFERENCE, inline, panels

TITLE = "Demonstrations leave the reward open"
SOURCE = "Ng et al. 1999, theorem 1; Ng and Russell 2000, section 3; Ziebart 2010, chapter 6"
HORIZON, CHANGES, POTENTIALS = 60, 10, 200
CONFIG = IrlConfig()
FORMS = {
    "linear": "linear",
    "state-action": "r(s, a)",
    "next-state": "r(s')",
    "transition": "r(s, s')",
    "r = 0": "r = 0",
}


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Shape the reward of Delivery by potentials, infer it in several forms, and change the board."""
    home = board_table(knox_board())
    report_progress("potentials")
    potentials = try_potentials(home, POTENTIALS, seed)
    shuffled = count_shuffled(home, POTENTIALS, seed)
    report_progress("forms of the reward")
    visits = exact_visits(home.process(), home.start, HORIZON)
    rows = compare_forms(visits, HORIZON, CHANGES, seed + 1, CONFIG)
    report_progress("permuted controls")
    shaping = compare_shaping(CHANGES, seed + 100)
    shaped, true = shaping["r(s, s'), shaped"], shaping["r(s, a), true"]
    cells = [[Cell(f"{value:.2f}") for value in (*shares(row), row.correlation)] for row in rows]
    columns = ["at home", "tiles moved", "controls permuted", "correlation with the true reward"]
    return Demonstration(
        f"{potentials.unchanged} of {potentials.count} rewards that differ from the true one have all of its optimal "
        "actions, and r = 0 makes every action optimal. After a change, only some forms of the inferred reward still "
        "work.",
        "A potential adds the same to every way from here to the end, so that no demonstration shows it. A table by "
        "place or by control cannot follow what moved. That is the form's doing, and not shaping's: where controls are "
        f"permuted, a shaped reward that is written as r(s, s') keeps {shaped:.0%} of the return, "
        f"and the true reward that is written as r(s, a) {true:.0%}.",
        "Features that keep their meaning after the change, or demonstrations from after it.",
        Measurement("shaped rewards with the same optimal actions", potentials.unchanged / potentials.count),
        Measurement("shuffled rewards with the same optimal actions", shuffled / POTENTIALS),
        [
            Plots([plot(rows)]),
            Table(columns, cells, [FORMS[row.name] for row in rows], "Share of the possible return"),
        ],
        [Measurement("correlation of shaped rewards with the true one", potentials.correlation)],
    )


def shares(row: FormRow) -> tuple[float, float, float]:
    """At home, with tiles moved, with controls permuted."""
    return row.home, row.rearranged, row.rewired


def count_shuffled(home: States, count: int, seed: int) -> int:
    """How many rewards that are shuffled among states and actions keep the optimal actions: none, if actions tell."""
    rng, starts = np.random.default_rng(seed), np.flatnonzero(home.start)
    best = best_actions(home.process(), HORIZON)[starts]
    unchanged = 0
    for _ in range(count):
        reward = rng.permutation(home.reward.ravel()).reshape(home.shape)
        unchanged += int((best_actions(home.process(reward), HORIZON)[starts] == best).all())
    return unchanged


def plot(rows: list[FormRow]) -> Plot:
    """Bars for each form."""
    figure, (axes,) = panels()
    for offset, colour in enumerate((MUTED, PREFERENCE, BASELINE)):
        positions = [index + 0.27 * (offset - 1) for index in range(len(rows))]
        axes.bar(positions, [shares(row)[offset] for row in rows], 0.25, color=colour)
    axes.set_xticks(range(len(rows)), [FORMS[row.name] for row in rows])
    axes.set_ylabel("share of the possible return")
    keys = (
        Key("muted", "at home", "square"),
        Key("preference", "tiles moved", "square"),
        Key("baseline", "controls permuted", "square"),
    )
    text = "Share of the possible return of each form of inferred reward, at home and after changes."
    caption = "0 is a random policy, and 1 the best one."
    return Plot("What an inferred reward is worth", inline(figure, "forms", text), caption, "", keys)
