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
from rich.progress import Progress

from plaudit.control.knox import REPLICATES, SEED, Condition, analyse, as_records, render
from plaudit.reward.preference_models import MODELS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "preference-models.svg"
INK, PAPER, FAINT, WITHOUT, WITH = "#010203", "#fdfcfb", "#a1a2a3", "#2a6fbb", "#c8641e"
# The picture carries its own paper, so that it can be read whatever page it stands on.
STYLE = (
    "<style>.ink{fill:#1f2328}.line{stroke:#1f2328}.paper{fill:#ffffff}.faint{stroke:#a8adb4}"
    "@media (prefers-color-scheme: dark){.ink{fill:#e6edf3}.line{stroke:#e6edf3}.paper{fill:#15191f}.faint{stroke:#5d646d}}"
    "</style>"
)


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
    foot = f"\n\nWritten by `python benchmarks/knox.py` with seed {options.seed}; what it means: `docs/preference-models.md`.\n"
    (RESULTS / "knox.md").write_text(head + render(conditions) + foot, encoding="utf-8")
    record = {"seed": options.seed, "replicates": options.replicates, "conditions": as_records(conditions)}
    (RESULTS / "knox.json").write_text(json.dumps(_rounded(record), indent=1) + "\n", encoding="utf-8")
    draw(conditions, PICTURE)
    print(render(conditions))


def _rounded(value: object) -> object:
    """Six digits after the point: enough to compare runs, and the same on machines that add in another order."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def draw(conditions: Sequence[Condition], path: Path) -> None:
    """A panel for each condition, a line for each model: loss and interval, without and with a lapse rate."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": "plaudit", "font.family": "sans-serif", "font.size": 10}
    colours = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with plt.rc_context(settings | colours):
        figure, panels = plt.subplots(1, len(conditions), figsize=(9.5, 2.9), sharex=True, sharey=True, squeeze=False)
        figure.patch.set_facecolor(PAPER)
        for panel, condition in zip(panels[0], conditions, strict=True):
            _panel(panel, condition)
        panels[0, 0].set_yticks(range(len(MODELS)), MODELS)
        panels[0, 0].invert_yaxis()
        figure.supxlabel("cross-entropy, nats (smaller is better); dotted: chance", fontsize=10, y=0.02)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=9.5, bbox_to_anchor=(0.995, 1.0))
        figure.subplots_adjust(left=0.105, right=0.985, top=0.8, bottom=0.2, wspace=0.08)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    text = path.read_text(encoding="utf-8")
    for colour, name, property in ((INK, "ink", "fill"), (PAPER, "paper", "fill"), (INK, "line", "stroke"), (FAINT, "faint", "stroke")):
        text = text.replace(f'style="{property}: {colour}', f'class="{name}" style="')
        text = text.replace(f"{property}: {colour}", f"--{name}: 0")
    path.write_text(text.replace("<defs>", f"{STYLE}<defs>", 1), encoding="utf-8")
