"""Errors of a clone compound: its cost grows as T^2 and DAgger's as T, in a lane that is computed exactly."""

from __future__ import annotations

from pathlib import Path

from plaudit.baselines.lane import HORIZONS, SLIP, Slopes, compare_cloning
from plaudit.demos.demonstration import Demonstration, Measurement, ReportProgress
from plaudit.run.report.plots import DASHED, DOTTED, SOLID
from plaudit.run.report.sections import Cell, Key, Plot, Plots, Table
from plaudit.run.report.svg import BASELINE, MUTED, PREFERENCE, inline, panels

TITLE = "Errors of a clone compound"
SOURCE = "Ross and Bagnell 2010, theorem 2.1; Ross et al. 2011, algorithm 3.1"
SEEDS = 3
LINES = {
    "bc": ("behaviour cloning", PREFERENCE, SOLID),
    "dagger": ("DAgger", BASELINE, DASHED),
    "expert": ("the expert", MUTED, DOTTED),
}


def demonstrate(folder: Path, seed: int, report_progress: ReportProgress) -> Demonstration:
    """Clone calm demonstrations, and measure the exact cost where nudges come."""
    costs = compare_cloning(SEEDS, seed, lambda done: report_progress(f"seed {done} of {SEEDS}"))
    cloned, taught, expert = (costs[name] for name in ("bc", "dagger", "expert"))
    rows = [[*(Cell(f"{cost:.2f}") for cost in line.cost), Cell(f"{line.slope:.2f}")] for line in costs.values()]
    columns = [*(f"T = {horizon}" for horizon in HORIZONS), "slope, T = 8 to 32"]
    return Demonstration(
        f"Over 128 steps the clone pays {cloned.cost[-1]:.1f}, DAgger {taught.cost[-1]:.1f} and the expert "
        f"{expert.cost[-1]:.1f}: the clone's cost grows about as T squared, and DAgger's about as T.",
        f"Demonstrations of calm days never leave the middle of the lane. A nudge comes in {SLIP:.0%} of the steps, "
        "and nothing showed the clone how to steer back, so that it pays for one error until the end.",
        "Labels in the states that the learner visits: DAgger asks the expert there. It costs the expert's time in "
        "every round.",
        Measurement("slope of the clone's cost, 8 to 32 steps", cloned.slope),
        Measurement("slope of the expert's cost", expert.slope),
        [
            Plots([plot(costs)]),
            Table(columns, rows, [LINES[name][0] for name in costs], "Expected costs"),
        ],
        [Measurement("slope of DAgger's cost", taught.slope)],
    )


def plot(costs: dict[str, Slopes]) -> Plot:
    """Costs over horizons, on logarithmic axes."""
    figure, (axes,) = panels()
    for name, (_, colour, style) in LINES.items():
        axes.plot(HORIZONS, costs[name].cost, color=colour, linestyle=style, marker="o", markersize=3.5)
    axes.set(xscale="log", yscale="log", xlabel="steps T", ylabel="expected cost")
    axes.set_xticks(HORIZONS, [str(horizon) for horizon in HORIZONS])
    axes.minorticks_off()
    keys = (
        Key("preference", "behaviour cloning"),
        Key("baseline", "DAgger", "dashed"),
        Key("muted", "the expert", "dotted"),
    )
    text = "Expected costs of a clone, of DAgger and of the expert over the horizon."
    return Plot("Cost over the horizon", inline(figure, "costs", text), "Both axes are logarithmic.", "", keys)
