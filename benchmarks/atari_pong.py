"""Atari's Pong from preferences for about an hour on two cores, beside the true reward: a curve, whatever it shows.

python benchmarks/atari_pong.py preferences   # train from 600 answers of an oracle: 54 minutes
python benchmarks/atari_pong.py true-reward   # the same steps on the environment's own reward
python benchmarks/atari_pong.py tables        # draw results/atari-pong.{md,svg} again from results/atari-pong.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, defaults
from plaudit.run.control.true_reward import true_reward_session

RESULTS = Path(__file__).parent / "results"
ROWS = RESULTS / "atari-pong.jsonl"
SERIES = {"preferences": preference_session, "true-reward": true_reward_session}
KEPT = ("round", "step", "labels", "true_return", "predicted_return", "holdout_accuracy", "seconds")


def train(series: str, folder: Path) -> None:
    """Train, or go on with, a run of this environment's defaults; its rows replace those of the same series."""
    run = Run.open(folder) if (folder / "config.json").exists() else Run.create(folder, defaults("ALE/Pong-v5"))
    with run.training():
        session, close = SERIES[series](run)
        for row in session.rounds():
            print(json.dumps({name: row[name] for name in KEPT if name in row}), flush=True)
        close()
    keep(series, run.metrics())


def keep(series: str, metrics: list[dict[str, Any]]) -> None:
    """Write the rows of ``series`` down, in place of older ones."""
    rows = [row for row in load() if row["series"] != series]
    rows += [{"series": series, **{name: row[name] for name in KEPT if row.get(name) is not None}} for row in metrics]
    ROWS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def load() -> list[dict[str, Any]]:
    """Every row that was written down."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: the return of the last five rounds, and on the way."""
    lines = [
        "# Atari's Pong",
        "",
        "`python benchmarks/atari_pong.py`: `plaudit train ALE/Pong-v5` with its defaults, one seed. "
        "Points won less points lost in a game, of the games that ended in a round; a random policy has about "
        "-20.4, 21 is the best.",
        "",
        "![True return over steps](atari-pong.svg)",
        "",
        "| steps | comparisons | from comparisons | on the true reward |",
        "|---|---|---|---|",
    ]
    by_round = {(row["series"], row["round"]): row for row in rows}
    last = max(row["round"] for row in rows)
    for round in [0, *range(4, last + 1, 5)]:
        cells = [by_round.get((series, round), {}) for series in SERIES]
        step = next(cell["step"] for cell in cells if cell)
        returns = [f"{cell['true_return']:.1f}" if cell else "" for cell in cells]
        lines.append(f"| {step:,} | {cells[0].get('labels', 0):.0f} | {' | '.join(returns)} |")
    return "\n".join(lines) + "\n"


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Both curves."""
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for series, label in (("preferences", "600 comparisons"), ("true-reward", "true reward")):
        some = [row for row in rows if row["series"] == series]
        axes.plot([row["step"] / 1e6 for row in some], [row["true_return"] for row in some], label=label)
    axes.set(xlabel="million steps", ylabel="points won less points lost")
    axes.legend(frameon=False, loc="upper left")
    with mpl.rc_context({"svg.hashsalt": "plaudit"}):
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Train one of the two, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*SERIES, "tables"])
    parser.add_argument("--folder", type=Path, help="run folder; default: runs/atari-pong-WHAT")
    arguments = parser.parse_args()
    if arguments.what != "tables":
        train(arguments.what, arguments.folder or Path("runs") / f"atari-pong-{arguments.what}")
    if not (rows := load()):
        sys.exit("nothing is measured yet: run it with preferences, which takes about an hour")
    (RESULTS / "atari-pong.md").write_text(table(rows), encoding="utf-8")
    picture(rows, RESULTS / "atari-pong.svg")


if __name__ == "__main__":
    main()
