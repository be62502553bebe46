"""The page and the plot of baselines.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

Row = dict[str, Any]
TITLES = {"bc": "behaviour cloning", "dagger": "DAgger", "irl": "inverse RL, linear", "rlhf": "RLHF, oracle"}
COLOURS = {"bc": "#9a5b13", "dagger": "#7a3fa0", "irl": "#1f7a4d", "rlhf": "#1d5fa8"}
TASKS = {"delivery": "Delivery", "duel": "Duel", "cartpole": "CartPole-v1"}
FORMS = {
    "linear": "linear in 6 features",
    "state-action": "table r(s, a)",
    "next-state": "table r(s')",
    "transition": "table r(s, s')",
}


def minutes(row: Row, costs: dict[str, float]) -> float:
    """Minutes of a person's time behind a point."""
    seconds = row.get("answers", 0) * costs["answer"] + row.get("labels", 0) * costs["label"]
    return (seconds + row.get("demonstrations", 0) * costs["demonstration"]) / 60


def points(rows: list[Row], costs: dict[str, float]) -> list[tuple[str, float, list[float]]]:
    """(effort in words, mean minutes, returns) of each effort."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = "demonstration" if row.get("demonstrations") == 1 else "demonstrations"
        words = f"{row['answers']} answers" if "answers" in row else f"{row['demonstrations']} {name}"
        words = f"{words}, round {row['round']}" if "round" in row else words
        groups.setdefault(words, []).append(row)
    return [
        (words, float(np.mean([minutes(row, costs) for row in group])), [row["return"] for row in group])
        for words, group in groups.items()
    ]


def spread(values: list[float], digits: int = 1) -> str:
    """A mean, and the least and the largest value."""
    mean, low, high = np.mean(values), min(values), max(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def write_page(results: Row, costs: dict[str, float], path: Path) -> None:
    """Markdown from the parts that were measured."""
    lines = [
        "# What RLHF is held against",
        "",
        "Made by `benchmarks/baselines.py`. Means over seeds, with the least and the largest seed in brackets.",
    ]
    sections: dict[str, Callable[[Row], list[str]]] = {
        "cloning": cloning_lines,
        "lane": lane_lines,
        "forms": form_lines,
        "peer": peer_lines,
    }
    tasks = [name for name in TASKS if "expert" in results.get(name, {})]
    if tasks:
        lines += time_lines(results, tasks, costs)
    for name, section in sections.items():
        if name in results:
            lines += section(results[name])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def time_lines(results: Row, tasks: list[str], costs: dict[str, float]) -> list[str]:
    """A person's time against the return."""
    lines = [
        "",
        "## A person's time",
        "",
        f"Assumed: {costs['answer']:g} s for an answer, {costs['demonstration']:g} s for a demonstration and "
        f"{costs['label']:g} s for the label of a state; `--answer-seconds` and its like change it. No person took "
        "part: answers are the oracle's, demonstrations and labels the expert's. The expert is the exact optimum in "
        "Delivery, and a policy that the true reward trained elsewhere.",
        "",
        "![Return against minutes of a person's time](baselines.svg)",
        "",
        "| environment | learner | effort | minutes | true return | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for task in tasks:
        lines.append(f"| {TASKS[task]} | expert | | | {results[task]['expert']:.1f} | |")
        for name, title in TITLES.items():
            for words, time, values in points(results[task].get(name, []), costs):
                lines.append(f"| {TASKS[task]} | {title} | {words} | {time:.1f} | {spread(values)} | {len(values)} |")
    return lines


def cloning_lines(part: Row) -> list[str]:
    """Delivery from few demonstrations."""
    lines = [
        "",
        "## Cloning generalises weakly",
        "",
        f"Delivery, one-hot tiles; the optimum is {part['expert']:.1f}. The shares are those of optimal actions: on "
        "the demonstrated steps, on 400 fresh episodes of the expert, and on those of their steps whose tile no "
        "demonstration shows. Returns are exact, over 100 steps.",
        "",
        "| demonstrations | held-in | held-out | unseen tiles | return, likeliest actions | return, drawn actions |",
        "|---|---|---|---|---|---|",
    ]
    for count in sorted({row["count"] for row in part["rows"]}):
        rows = [row for row in part["rows"] if row["count"] == count]
        columns = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
        shares = " | ".join(f"{np.mean(columns[name]):.2f}" for name in ("held_in", "held_out", "unseen"))
        lines.append(f"| {count} | {shares} | {spread(columns['return'])} | {spread(columns['sampled'])} |")
    return lines


def lane_lines(part: Row) -> list[str]:
    """Slopes."""
    horizons = part["horizons"]
    lines = [
        "",
        "## Errors compound",
        "",
        "A lane of 21 cells, nudged aside in 1 step of 100; cost 1 for each step off the middle. Demonstrations are of "
        "calm days. Expected costs are exact. A slope of 2 is a cost that grows as T^2, as Ross and Bagnell 2010 bound "
        "cloning's; 1 is a cost that grows as T.",
        "",
        "| learner | " + " | ".join(f"cost, T = {horizon}" for horizon in horizons) + " | slope, T = 8 to 32 |",
        "|---" * (len(horizons) + 2) + "|",
    ]
    for name, learner in part["learners"].items():
        costs = " | ".join(f"{cost:.2f}" for cost in learner["cost"])
        lines.append(f"| {TITLES.get(name, name)} | {costs} | {learner['slope']:.2f} |")
    return lines


def form_lines(part: Row) -> list[str]:
    """Identifiability."""
    potentials, few = part["potentials"], part["few"]
    lines = [
        "",
        "## What demonstrations settle about a reward",
        "",
        "Maximum causal entropy on Delivery, 60 steps, soft-optimal expert (the expert and the model share one noise). "
        "A number is the share of the possible return of the policy that is optimal for the inferred reward: 0 is a "
        "random policy, 1 the best one. Changed boards: 30 with the tiles rearranged, 30 with the controls of a third "
        "of the tiles permuted; the inferred weights are kept.",
        "",
        "| reward | 1 demonstration | 10 | 100 | exact | tiles moved | controls permuted | correlation with truth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in part["forms"]:
        name = row["name"]
        counts = " | ".join(f"{few[count][name]:.2f}" if name in few[count] else "" for count in few)
        lines.append(
            f"| {FORMS.get(name, name)} | {counts} | {row['home']:.2f} | {row['rearranged']:.2f} | "
            f"{row['rewired']:.2f} | {row['correlation']:.2f} |"
        )
    shaping = "; ".join(f"{name} {share:.2f}" for name, share in part["shaping"].items())
    shifts = "; ".join(f"{shift} {share:.2f}" for shift, share in part["shifts"].items())
    return [
        *lines,
        "",
        f"- {potentials['unchanged']} of {potentials['count']} rewards, shaped by random potentials (standard "
        f"deviation 10), have the optimal actions of the true one; their mean correlation with it is "
        f"{potentials['correlation']:.2f}. r = 0 explains the demonstrations of an optimal expert as well.",
        f"- Where the controls are permuted, it is the form that fails and not the shaping: {shaping}.",
        f"- Comparisons of clips of one length leave a constant per step open. Share of the return at home after it is "
        f"added to the true reward: {shifts}.",
    ]


def peer_lines(part: Row) -> list[str]:
    """imitation beside ours."""
    lines = [
        "",
        "## imitation 1.0.1 on CartPole-v1",
        "",
        "The same demonstrations and expert, as many examples (102,400), drawn actions, 200 episodes. imitation's "
        "DAgger has its own defaults and 2,000 labels.",
        "",
        "| learner | effort | imitation | CPU s | Plaudit | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for count in sorted({row["count"] for row in part["ours"] if row["method"] == "bc"}):
        sides = [
            [row for row in part[side] if row["method"] == "bc" and row["count"] == count]
            for side in ("imitation", "ours")
        ]
        lines.append(f"| behaviour cloning | {count} demonstrations | {' | '.join(map(peer_cells, sides))} |")
    sides = [[row for row in part[side] if row["method"] == "dagger"] for side in ("imitation", "ours")]
    efforts = " and ".join(f"{np.mean([row['labels'] for row in rows]):,.0f}" for rows in sides)
    lines.append(f"| DAgger | {efforts} labels | {' | '.join(map(peer_cells, sides))} |")
    return lines


def peer_cells(rows: list[Row]) -> str:
    """Return and seconds of one side."""
    return f"{spread([row['return'] for row in rows])} | {np.mean([row['seconds'] for row in rows]):.1f}"


def draw(results: Row, costs: dict[str, float], path: Path) -> None:
    """Return against minutes, a panel for each environment: means as lines, seeds as points."""
    tasks = [name for name in TASKS if "expert" in results.get(name, {})]
    if not tasks:
        return
    figure = Figure(figsize=(4 * len(tasks), 3.4), layout="constrained")
    panels = np.atleast_1d(np.asarray(figure.subplots(1, len(tasks))))
    for axes, task in zip(panels, tasks, strict=True):
        for name, title in TITLES.items():
            curve = points(results[task].get(name, []), costs)
            if not curve:
                continue
            colour = COLOURS[name]
            axes.plot([x for _, x, _ in curve], [np.mean(y) for _, _, y in curve], color=colour, label=title)
            for _, x, values in curve:
                axes.plot([x] * len(values), values, ".", color=colour, markersize=3)
        axes.axhline(results[task]["expert"], color="grey", linestyle=":", label="expert")
        axes.set(xscale="log", xlabel="minutes of a person's time", title=TASKS[task])
    panels[0].set_ylabel("true return")
    panels[0].legend(frameon=False, fontsize="small", loc="lower right")
    with mpl.rc_context({"svg.hashsalt": "plaudit"}):  # the same rows make the same file
        figure.savefig(path, metadata={"Date": None})
