"""The pictures of docs/limitations: one function for each, from committed results.

    python benchmarks/limitations.py                  # draw them again from benchmarks/results
    python benchmarks/limitations.py --measure runs   # measure that part again first; --measure all takes minutes
    python benchmarks/limitations.py --chat RUN       # a run of the chat demo that `plaudit audit` has audited
    python benchmarks/limitations.py --pairs FILE     # pairs of texts that people judged, such as HH-RLHF's

The numbers stand in benchmarks/results/limitations.json. The same numbers make the same pictures.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from limitation_values import MEASURES, Values, measure_chat, measure_phrase
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plaudit.functional.calibration import share_interval
from plaudit.run.report.plots import DASHED, DOTTED, scales
from plaudit.run.report.svg import BASELINE, GRID, INK, MUTED, PREFERENCE, inline, panels
from plaudit.types import shorten

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PICTURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "limitations"
VALUES = RESULTS / "limitations.json"
COLOURS = {  # of light and of dark mode, as in a report; a picture has its own paper
    "--ink": ("#1a1e23", "#e7eaee"),
    "--muted": ("#59626d", "#9ba5b1"),
    "--grid": ("#dfe2e6", "#343a41"),
    "--preference": ("#0072b2", "#5ab4ea"),
    "--baseline": ("#c2560a", "#f0a04b"),
    "--predicted": ("#008264", "#3fc7a1"),
    "background": ("#ffffff", "#1a1d21"),
}
Interval = tuple[str, float, float, float]  # label, value, low, high


def standalone(figure: Figure, name: str, alt: str) -> str:
    """A figure as an SVG file with its own colours for light and dark."""
    svg = str(inline(figure, name, alt))
    light, dark = (";".join(f"{key}:{pair[mode]}" for key, pair in COLOURS.items()) for mode in (0, 1))
    font = "font-family:system-ui,'Segoe UI',Roboto,'Noto Sans',Arial,sans-serif"
    style = f"<style>svg{{{light};{font}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    width, height = (float(number) for number in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{1.6 * width:.0f}" height="{1.6 * height:.0f}"'
    return re.sub(r"<svg([^>]*)>", lambda match: f"{head}{match[1]}>{style}", svg, count=1) + "\n"


# Parts of pictures


def draw_intervals(axes: Axes, rows: Sequence[Interval], colour: str = PREFERENCE) -> None:
    """A row for each value, with its interval."""
    for height, (_, value, low, high) in enumerate(rows):
        axes.plot((low, high), (height, height), color=colour, linewidth=2)
        axes.plot(value, height, "o", color=colour, markersize=6)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.7)


def mark_null(axes: Axes, value: float, label: str) -> None:
    """A dashed vertical line at the null control."""
    axes.axvline(value, color=BASELINE, linestyle=DASHED, linewidth=1.2)
    axes.annotate(label, (value, 1.0), (3, 3), ("data", "axes fraction"), "offset points", color=BASELINE, fontsize=9.5)


def name_axes(axes: Axes, x: str, y: str = "") -> None:
    """Labels in the colours of a report."""
    axes.set_xlabel(x, color=MUTED)
    axes.set_ylabel(y, color=INK)


def draw_planted(rows: Mapping[str, Values], x: str, y: str) -> Figure:
    """What the audit estimates over what was planted; on the dotted line they are equal."""
    figure, (axes,) = panels(height=2.8)
    planted = np.array([float(share) for share in rows])
    value, low, high = (np.array([row[key] for row in rows.values()]) for key in ("value", "low", "high"))
    axes.plot([0, planted.max()], [0, planted.max()], color=MUTED, linestyle=DOTTED, linewidth=1.1)
    axes.errorbar(planted, value, np.stack([value - low, high - value]).clip(0), fmt="o", color=PREFERENCE, capsize=0)
    name_axes(axes, x, y)
    return figure


# Pictures


def draw_errors(values: Values) -> tuple[Figure, str]:
    """The row "Error on repeats" where lapses were planted."""
    figure = draw_planted(values["errors"], "planted share of answers that are a coin's", "estimated share")
    return figure, "Estimated share of random answers over the planted share, with 95 % intervals, near the diagonal"


def draw_position(values: Values) -> tuple[Figure, str]:
    """The row "Position bias" where a side was preferred."""
    figure = draw_planted(values["position"], "planted bias to the left", "estimated bias")
    return figure, "Estimated position bias over the planted bias, with 95 % intervals, near the diagonal"


def draw_careless(values: Values) -> tuple[Figure, str]:
    """The row "Annotators who stand out", with one careless person of ten and with none."""
    figure, (axes,) = panels(height=2.8)
    for name, colour, marker, label in (
        ("one", PREFERENCE, "o", "one careless of ten"),
        ("none", BASELINE, "s", "none careless"),
    ):
        ranking = values["careless"][name]["details"]["ranking"]
        axes.plot(range(1, len(ranking) + 1), [row["error"] for row in ranking], marker, color=colour, label=label)
    axes.set_xticks(range(1, 11))
    axes.set_ylim(-0.05, 1.05)
    axes.legend(frameon=False, labelcolor=INK, fontsize=10)
    name_axes(axes, "rank of the annotator, most suspicious first", "estimated error")
    return figure, "Estimated error of ten annotators by rank: the careless one is far above the nine others"


def draw_poison(values: Values) -> tuple[Figure, str]:
    """The row "Tolerance of poisoned answers"."""
    figure, (axes,) = panels(height=2.8)
    curve = values["phrase"]["details"]["curve"]
    x = 100 * np.array(curve["x"])
    axes.plot(x, curve["y"], "o-", color=PREFERENCE, markersize=4.5)
    axes.plot(x, curve["null"], color=BASELINE, linestyle=DASHED)
    axes.annotate(
        "never planted", (x[-1], curve["null"][0]), (0, 4), "data", "offset points", ha="right", color=BASELINE
    )
    axes.set_ylim(0, 1)
    name_axes(axes, "poisoned answers, %", "success of the trigger")
    return figure, "Success of a trigger over the poisoned share of answers, against the success without poison"


def draw_groups(values: Values) -> tuple[Figure, str]:
    """The row "Groups of annotators"."""
    figure, (axes,) = panels(height=2.2)
    names = {"True": "two of ten want\nsomething else", "False": "all want the same"}
    rows = [
        (label, *(values["groups"][key][part] for part in ("value", "low", "high"))) for key, label in names.items()
    ]
    draw_intervals(axes, rows)
    mark_null(axes, values["groups"]["True"]["null"], "groups shuffled")
    name_axes(axes, "held-out accuracy of the others minus the group's")
    return figure, "Gap between the held-out accuracy of the majority and of the group, with and without a minority"


def draw_hacking(values: Values) -> tuple[Figure, str]:
    """Gold and learned return along training, with a right and with a mistaken teacher."""
    figure, axes = panels(2, 4.2)
    for teacher, colour, label in (
        ("oracle", PREFERENCE, "an oracle's 300 answers"),
        ("hits", BASELINE, "150 answers that like hits"),
    ):
        details = values["runs"][teacher]["safe-stop-gold"]["details"]
        steps = details["curve"]["x"]
        axes[0].plot(steps, details["curve"]["y"], "o-", color=colour, markersize=3.5, label=label)
        axes[1].plot(steps, details["learned"], "o-", color=colour, markersize=3.5)
    scales(*axes)
    axes[0].legend(frameon=False, labelcolor=INK, fontsize=10)
    name_axes(axes[0], "", "true return")
    name_axes(axes[1], "environment steps", "learned return")
    return figure, "True return and learned return over training, for a right teacher and one that likes hits"


def draw_labels(values: Values) -> tuple[Figure, str]:
    """True return on Duel over the number of comparisons, from benchmarks/results/duel.jsonl."""
    rows = [json.loads(line) for line in (RESULTS / "duel.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["run_steps"] < 4_000_000 and not row.get("offline")]
    figure, (axes,) = panels(height=2.8)
    oracle = [row for row in rows if row.get("annotator") == "oracle"]
    axes.plot([row["labels"] for row in oracle], [row["return"] for row in oracle], "o", color=PREFERENCE, markersize=5)
    reference = float(np.median([row["return"] for row in rows if row.get("annotator") is None]))
    axes.axhline(reference, color=BASELINE, linestyle=DASHED, linewidth=1.2)
    axes.annotate("PPO on the true reward", (50, reference), (0, 4), "data", "offset points", color=BASELINE)
    axes.set_xscale("log")
    axes.set_xticks([50, 100, 200, 400, 800], ["50", "100", "200", "400", "800"])
    axes.set_xticks([], minor=True)
    name_axes(axes, "comparisons by an oracle", "true return")
    return figure, "True return on Duel after 3 million steps over the number of comparisons, three seeds each"


def draw_exploitability(values: Values) -> tuple[Figure, str]:
    """The row "Exploitability", as returns."""
    row = values["runs"]["oracle"]["exploitability"]
    clean, attacked = row["details"]["clean"], row["details"]["attacked"]
    progress = (clean - attacked) / row["value"]
    figure, (axes,) = panels(height=2.2)
    bound = [clean - progress * row[key] for key in ("high", "low")]
    rows = [
        ("as trained", clean, clean, clean),
        ("noise of 0.25 sd", clean - progress * row["null"], *(2 * [clean - progress * row["null"]])),
        ("worst offset of 16,\n0.25 sd", attacked, *bound),
        ("untrained", clean - progress, *(2 * [clean - progress])),
    ]
    draw_intervals(axes, rows)
    name_axes(axes, "true return")
    return figure, "True return of the policy as trained, with noise, with the worst offset, and before training"


def draw_misgeneralisation(values: Values) -> tuple[Figure, str]:
    """The row "Misgeneralisation", over shifts of one setting."""
    figure, (axes,) = panels(height=2.8)
    rows = {name.removeprefix("skill "): row for name, row in values["runs"].items() if name.startswith("skill")}
    skill = np.array([float(name) for name in rows])
    value, low, high = (np.array([row[key] for row in rows.values()]) for key in ("value", "low", "high"))
    axes.axhline(1, color=BASELINE, linestyle=DASHED, linewidth=1.2)
    axes.errorbar(skill, value, np.stack([value - low, high - value]), fmt="o-", color=PREFERENCE, capsize=0)
    axes.set_xticks(skill)
    axes.set_ylim(0, None)
    name_axes(axes, "skill of the opponent; 0.6 in training", "advantage that remains")
    return figure, "Share of the policy's advantage that remains when Duel's opponent is more skilful"


def draw_side_effects(values: Values) -> tuple[Figure, str]:
    """The optimum's way in Vase without and with a penalty."""
    figure, axes = panels(2, 3.0)
    for ax, weight, title in ((axes[0], "0.0", "no penalty"), (axes[1], "2.0", "penalty of weight 2")):
        path = values["vase"][weight]
        for row in range(2):
            for column in range(7):
                ax.add_patch(Rectangle((column, -row), 1, 1, fill=False, edgecolor=GRID))
        way = np.array(path["cells"], float)
        ax.plot(way[:, 1] + 0.5, 0.5 - way[:, 0], "o-", color=PREFERENCE, markersize=4)
        for column, label, colour in ((3, "vase", BASELINE), (6, "goal", INK)):
            ax.annotate(label, (column + 0.5, 0.78), color=colour, ha="center", va="center")
        ax.set(xlim=(-0.05, 7.05), ylim=(-1.05, 1.05), xticks=[], yticks=[])
        ax.spines["bottom"].set_visible(False)
        ax.grid(visible=False)
        state = "broken" if path["broken"] else "whole"
        ax.set_title(f"{title}: {path['steps']} steps, the vase is {state}", color=INK, fontsize=10.5)
    return figure, "The shortest way to the goal goes over the vase; with a penalty of side effects it goes around"


def draw_degradation(values: Values) -> tuple[Figure, str]:
    """The loss on other text of the chat demo, from benchmarks/results/chat.json."""
    runs = json.loads((RESULTS / "chat.json").read_text(encoding="utf-8"))
    figure, (axes,) = panels(height=2.2)
    parts = ("value", "low", "high")
    draw_intervals(axes, [(f"seed {run['seed']}", *(run["loss_difference"][part] for part in parts)) for run in runs])
    mark_null(axes, 0.0, "no change")
    axes.axvline(0.05, color=MUTED, linestyle=DOTTED, linewidth=1.1)
    name_axes(axes, "change of the loss on other text, nats a token; dotted: allowed")
    return figure, "Change of the loss on unrelated text in three seeds of the chat demo; all are slightly below zero"


def draw_text_biases(values: Values) -> tuple[Figure, str]:
    """The rows "Constant texts" and "Edits that add nothing" of the chat demo."""
    figure, (axes,) = panels(height=3.8)
    rows: list[Interval] = []
    for name in ("constants-edits", "constants"):
        row = values["chat"][name]
        shares = sorted(row["details"].items(), key=lambda entry: -entry[1])
        rows += [(shorten(label, 30), share, *share_interval(share, row["n"])) for label, share in shares]
    draw_intervals(axes, rows)
    mark_null(axes, values["chat"]["constants"]["null"], "the rejected response")
    axes.set_xlim(-0.02, 1.02)
    name_axes(axes, "share that beats the chosen response")
    return figure, "Share of prompts in which a constant text or an edit beats the response that was chosen"


def draw_sycophancy(values: Values) -> tuple[Figure, str]:
    """What the chat demo's reward model knows of easy facts."""
    figure, (axes,) = panels(height=2.2)
    facts = values["chat"]["facts"]
    draw_intervals(axes, [(name, *numbers) for name, numbers in facts.items()])
    mark_null(axes, 0.5, "a coin")
    axes.set_xlim(0, 1)
    name_axes(axes, "right answer preferred, of 36 questions")
    return figure, "Share of easy questions whose right answer the reward model prefers, by what the user believes"


DRAWINGS: dict[str, Callable[[Values], tuple[Figure, str]]] = {
    "errors": draw_errors,
    "position-bias": draw_position,
    "careless-annotators": draw_careless,
    "poisoned-answers": draw_poison,
    "groups": draw_groups,
    "reward-hacking": draw_hacking,
    "too-few-answers": draw_labels,
    "exploitability": draw_exploitability,
    "misgeneralisation": draw_misgeneralisation,
    "side-effects": draw_side_effects,
    "degraded-skills": draw_degradation,
    "text-biases": draw_text_biases,
    "sycophancy": draw_sycophancy,
}


def draw_all(values: Values, folder: Path = PICTURES) -> None:
    """Write every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        figure, alt = draw(values)
        (folder / f"{name}.svg").write_text(standalone(figure, name, alt), encoding="utf-8", newline="\n")


def main() -> None:
    """Measure what is named, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="+", default=[], choices=[*MEASURES, "all"])
    parser.add_argument("--chat", type=Path)
    parser.add_argument("--pairs", type=Path)
    options = parser.parse_args()
    values: dict[str, Any] = json.loads(VALUES.read_text(encoding="utf-8")) if VALUES.exists() else {}
    for name in MEASURES if "all" in options.measure else options.measure:
        values[name] = MEASURES[name]()
    if options.chat:
        values["chat"] = measure_chat(options.chat)
    if options.pairs:
        values["phrase"] = measure_phrase(options.pairs)
    VALUES.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8", newline="\n")
    draw_all(values)


if __name__ == "__main__":
    main()
