"""Which preference model do people follow? Knox's human data, every model, with bootstrap intervals.

    python benchmarks/knox.py ../shared/data/knox

writes benchmarks/results/knox.md, benchmarks/results/knox.json and the picture of docs/preference-models.md. The same
seed gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import log
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from rich.progress import Progress

from plaudit.control.knox import REPLICATES, SEED, Condition, analyse, render
from plaudit.reward.preference_models import MODELS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "preference-models.svg"
# What the picture is drawn with: a colour in light, and what a viewer in dark mode sees in its place. The picture
# carries its own paper, so that it can be read whatever page it stands on.
INK, PAPER, FAINT = "#1f2328", "#fdfdfd", "#a8adb4"
WITHOUT, WITH = "#2a6fbb", "#c8641e"
DARK = {INK: "#e6edf3", PAPER: "#15191f", FAINT: "#5d646d", WITHOUT: "#6cb0ff", WITH: "#ff9a56"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT.parent / "shared" / "data" / "knox")
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("fitting", total=None)
        conditions = analyse(
            options.folder,
            options.replicates,
            options.seed,
            lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    head = "# Which preference model do people follow?\n\n"
    foot = (
        f"\n\nWritten by `python benchmarks/knox.py` with seed {options.seed}. "
        "What it means stands in [preference models](../../docs/preference-models.md).\n"
    )
    (RESULTS / "knox.md").write_text(head + render(conditions) + foot, encoding="utf-8")
    record = {"seed": options.seed, "replicates": options.replicates, "conditions": _records(conditions)}
    (RESULTS / "knox.json").write_text(json.dumps(_rounded(record), indent=1) + "\n", encoding="utf-8")
    draw(conditions, PICTURE)
    print(render(conditions))


def _records(conditions: Sequence[Condition]) -> dict[str, object]:
    """The results as plain numbers, for JSON; replicates are summed up by their intervals."""
    return {
        condition.name: {
            "judgements": condition.judgements,
            "ties": condition.ties,
            "mismatches": condition.mismatches,
            "fits": [
                {
                    "model": fit.model,
                    "lapse_fitted": fit.lapse_fitted,
                    "weights": fit.weights,
                    "lapse": fit.lapse,
                    "lapse_interval": fit.lapse_interval,
                    "loss": fit.loss,
                    "interval": fit.interval,
                    "held_out": float(fit.held_out.mean()),
                }
                for fit in condition.fits
            ],
            "pairs": [vars(pair) for pair in condition.pairs],
        }
        for condition in conditions
    }


def _rounded(value: object) -> object:
    """Six digits after the point: enough to compare runs, and the same on machines that add in another order."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def draw(conditions: Sequence[Condition], path: Path) -> None:
    """A panel for each condition, a line for each model: loss and interval, without and with a lapse rate."""
    with plt.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "plaudit",
            "font.family": "sans-serif",
            "font.size": 10,
            "text.color": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    ):
        figure, panels = plt.subplots(1, len(conditions), figsize=(9.5, 3.0), sharex=True, sharey=True, squeeze=False)
        figure.patch.set_facecolor(PAPER)
        for panel, condition in zip(panels[0], conditions, strict=True):
            _panel(panel, condition)
        panels[0, 0].set_yticks(range(len(MODELS)), MODELS)
        panels[0, 0].invert_yaxis()
        figure.text(0.115, 0.03, "cross-entropy in nats: smaller is better; dotted: chance", color=INK)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower right", ncols=2, frameon=False, borderaxespad=0.2)
        figure.subplots_adjust(left=0.115, right=0.985, top=0.83, bottom=0.22, wspace=0.08)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    path.write_text(_two_modes(path.read_text(encoding="utf-8")), encoding="utf-8")


def _panel(panel: Axes, condition: Condition) -> None:
    panel.axvline(log(2), color=FAINT, linestyle=":", linewidth=1.2)
    for lapse, colour, marker, label in (
        (False, WITHOUT, "o", "without lapse rate"),
        (True, WITH, "D", "with lapse rate"),
    ):
        for row, model in enumerate(MODELS):
            fit = condition.fit(model, lapse)
            height = row + (0.16 if lapse else -0.16)
            panel.plot(fit.interval, (height, height), color=colour, linewidth=1.6, solid_capstyle="round")
            panel.plot(fit.loss, height, marker, color=colour, markersize=5, label=None if row else label)
    panel.set_title(f"{condition.name}\n{condition.judgements:,} judgements", fontsize=10, color=INK)
    panel.set_facecolor(PAPER)
    panel.set_xlim(0.34, 0.72)
    panel.set_xticks((0.4, 0.5, 0.6, 0.7))
    panel.grid(axis="x", color=FAINT, linewidth=0.4, alpha=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(length=0)


def _two_modes(svg: str) -> str:
    """The picture's colours as variables, which change with the viewer's mode."""
    names = {colour: f"--c{index}" for index, colour in enumerate(DARK)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var({name})")
    light = "".join(f"{name}:{colour};" for colour, name in names.items())
    dark = "".join(f"{name}:{DARK[colour]};" for colour, name in names.items())
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return svg.replace("<defs>", f"{style}\n <defs>", 1)


if __name__ == "__main__":
    main()
