"""Plots of a language run's report. Each function returns inline SVG, or ``None`` where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from plaudit.language.evaluation import Evaluation
from plaudit.run.report.plots import SOLID, Dashes, Level, curve, draw_level
from plaudit.run.report.svg import BASELINE, MUTED, PREDICTED, PREFERENCE, inline, panels
from plaudit.run.report.text import plain
from plaudit.run.report.values import Record, column
from plaudit.run.report.words import number

HEIGHTS = {1: 3.1, 2: 4.3, 3: 5.2}  # inches, by number of panels
COUNT = FuncFormatter(lambda value, _: f"{value:g}" if value < 10_000 else f"{value / 1000:g}k")
SHARE = FuncFormatter(lambda value, _: f"{100 * value:.0f}\u00a0%")


@dataclass(frozen=True)
class Line:
    """One curve of a panel."""

    key: str  # of the rows
    colour: str = PREFERENCE
    style: Dashes = SOLID


@dataclass(frozen=True)
class Panel:
    """One panel of a stack: the label of its vertical axis, and its curves."""

    label: str
    lines: tuple[Line, ...]
    share: bool = False
    level: Level | None = None  # a dotted line


def stack(name: str, rows: Sequence[Record], x: str, x_label: str, candidates: Sequence[Panel]) -> Markup | None:
    """Panels above each other over one horizontal axis; those without a number are left out."""
    steps = column(rows, x)
    if not (np.diff(steps) > 0).all():  # missing, or counted anew in each round
        steps = np.arange(1.0, len(rows) + 1)
    available = [panel for panel in candidates if any(has(rows, line.key) for line in panel.lines)]
    if not available:
        return None
    figure, axes = panels(len(available), HEIGHTS[len(available)])
    ranges = []
    for panel, ax in zip(available, axes, strict=True):
        if panel.level is not None:
            draw_level(ax, panel.level)
        for line in panel.lines:
            values = column(rows, line.key)
            finite = values[np.isfinite(values)]
            curve(ax, steps, values, line.colour, line.style, markers=2 * len(finite) < len(rows))
            if len(finite):
                ranges.append(f"{panel.label} from {number(float(finite[0]))} to {number(float(finite[-1]))}")
        ax.set_ylabel(panel.label)
        _ticks(ax, panel.share, bool((steps == steps.round()).all()))
    axes[-1].set_xlabel(x_label)
    figure.align_ylabels()
    return inline(figure, name, f"Over {x_label}: {', '.join(ranges)}.")


def has(rows: Sequence[Record], key: str) -> bool:
    """Whether a number stands under ``key`` in any row."""
    return bool(np.isfinite(column(rows, key)).any())


def frontier(rounds: Sequence[Record], evaluation: Evaluation | None) -> Markup | None:
    """Reward above and held-out share below, against the square root of KL; policies that were evaluated as diamonds.

    Gao et al. 2022, section 3: the reward model's score rises almost in a line, people's preference does not.
    """
    kl, score, share = (column(rounds, key) for key in ("kl", "score", "held_out"))
    distance = np.sqrt(kl.clip(min=0))
    ends = _points(evaluation)
    upper_known = bool((np.isfinite(distance) & np.isfinite(score)).any())
    lower_known = bool((np.isfinite(distance) & np.isfinite(share)).any()) or bool(ends)
    if not upper_known:
        return None
    figure, axes = panels(1 + lower_known, HEIGHTS[1 + lower_known])
    _path(axes[0], distance, score, PREDICTED)
    axes[0].set_ylabel("reward")
    _ticks(axes[0], False)
    if lower_known:
        _path(axes[1], distance, share, PREFERENCE)
        for name, x, y in ends:
            axes[1].plot([x], [y], "D", color=BASELINE, markersize=6)
            style = {"color": MUTED, "fontsize": 9.5, "va": "center"}
            label = axes[1].annotate(_short(plain(name)), (x, y), (7, 0), "data", "offset points", **style)
            label.set_in_layout(False)  # a name must not squeeze the plot
        axes[1].set_ylabel("held out")
        axes[1].margins(y=0.12)
        _ticks(axes[1], True)
    reach = max([1e-3, *distance[np.isfinite(distance)], *(x for _, x, _ in ends)])
    axes[-1].set_xlim(-0.04 * reach, 1.16 * reach)  # room for the name of the furthest policy
    axes[-1].set_xlabel("√KL, nats of a response")
    figure.align_ylabels()
    return inline(figure, "frontier", "Reward and held-out share against the square root of KL.")


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _points(evaluation: Evaluation | None) -> list[tuple[str, float, float]]:
    """Name, sqrt(KL) and held-out share of each evaluated policy from the reference on: KL is measured from there."""
    points = []
    policies = evaluation.columns if evaluation else ()
    names = [policy.name for policy in policies]
    begin = names.index(evaluation.reference) if evaluation and evaluation.reference in names else 0
    for policy in policies[begin:]:
        kl, share = policy.measures.get("kl"), policy.measures.get("share")
        if kl is not None and share is not None:
            points.append((policy.name, float(np.sqrt(max(kl.value, 0.0))), share.value))
    return points


def _path(ax: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Rounds as dots that grow stronger as the run continues."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    for part, strength in zip(np.array_split(np.arange(len(x)), 4), (0.3, 0.5, 0.7, 1.0), strict=True):
        ax.plot(x[part], y[part], "o", color=colour, markersize=4, alpha=strength, markeredgewidth=0)


def _ticks(ax: Axes, share: bool, whole: bool = False) -> None:
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=2, integer=whole))
    ax.xaxis.set_major_formatter(COUNT)
    if share:
        ax.yaxis.set_major_formatter(SHARE)
