"""Plots of a language run's report. Each function returns inline SVG, or ``None`` where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from plaudit.language.evaluation import Evaluation
from plaudit.run.report.data import Record, column
from plaudit.run.report.plots import SOLID, Dashes, chance, curve
from plaudit.run.report.svg import BASELINE, MUTED, PREDICTED, PREFERENCE, inline, panels
from plaudit.run.report.text import plain
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
    """One panel of a stack: what its vertical axis says, and its curves."""

    label: str
    lines: tuple[Line, ...]
    share: bool = False
    level: tuple[float, str] | None = None  # a dotted line, and what it is


def stack(name: str, rows: Sequence[Record], x: str, x_label: str, wanted: Sequence[Panel]) -> Markup | None:
    """Panels above each other over one horizontal axis; those without a number are left out."""
    across = column(rows, x)
    if not (np.diff(across) > 0).all():  # missing, or counted anew in each round
        across = np.arange(1.0, len(rows) + 1)
    found = [each for each in wanted if any(has(rows, line.key) for line in each.lines)]
    if not found:
        return None
    figure, axes = panels(len(found), HEIGHTS[len(found)])
    said = []
    for panel, ax in zip(found, axes, strict=True):
        if panel.level is not None:
            chance(ax, *panel.level)
        for line in panel.lines:
            values = column(rows, line.key)
            known = values[np.isfinite(values)]
            curve(ax, across, values, line.colour, line.style, markers=2 * len(known) < len(rows))
            if len(known):
                said.append(f"{panel.label} from {number(float(known[0]))} to {number(float(known[-1]))}")
        ax.set_ylabel(panel.label)
        _ticks(ax, panel.share, bool((across == across.round()).all()))
    axes[-1].set_xlabel(x_label)
    figure.align_ylabels()
    return inline(figure, name, f"Over {x_label}: {', '.join(said)}.")


def has(rows: Sequence[Record], key: str) -> bool:
    """Whether a number stands under ``key`` in any row."""
    return bool(np.isfinite(column(rows, key)).any())


def frontier(rounds: Sequence[Record], evaluation: Evaluation | None) -> Markup | None:
    """Reward above and held-out share below, against the square root of KL; policies that were evaluated as diamonds.

    Gao et al. 2022, section 3: what the reward model promises rises almost in a line, what people would say does not.
    """
    far, score, share = (column(rounds, key) for key in ("kl", "score", "held_out"))
    far = np.sqrt(far.clip(min=0))
    ends = _points(evaluation)
    upper_known = bool((np.isfinite(far) & np.isfinite(score)).any())
    lower_known = bool((np.isfinite(far) & np.isfinite(share)).any()) or bool(ends)
    if not upper_known:
        return None
    figure, axes = panels(1 + lower_known, HEIGHTS[1 + lower_known])
    _path(axes[0], far, score, PREDICTED)
    axes[0].set_ylabel("reward")
    _ticks(axes[0], False)
    if lower_known:
        _path(axes[1], far, share, PREFERENCE)
        for name, x, y in ends:
            axes[1].plot([x], [y], "D", color=BASELINE, markersize=6)
            style = {"color": MUTED, "fontsize": 9.5, "va": "center"}
            label = axes[1].annotate(_short(plain(name)), (x, y), (7, 0), "data", "offset points", **style)
            label.set_in_layout(False)  # a name must not squeeze the plot
        axes[1].set_ylabel("held out")
        axes[1].margins(y=0.12)
        _ticks(axes[1], True)
    reach = max([1e-3, *far[np.isfinite(far)], *(x for _, x, _ in ends)])
    axes[-1].set_xlim(-0.04 * reach, 1.16 * reach)  # room for the name of what stands furthest out
    axes[-1].set_xlabel("√KL, nats of a response")
    figure.align_ylabels()
    return inline(figure, "frontier", "Reward and held-out share against the square root of KL.")


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _points(evaluation: Evaluation | None) -> list[tuple[str, float, float]]:
    """Name, sqrt(KL) and held-out share of each policy that was evaluated; what came before the reference is not on
    the way from it."""
    found = []
    columns = evaluation.columns if evaluation else ()
    names = [each.name for each in columns]
    begin = names.index(evaluation.reference) if evaluation and evaluation.reference in names else 0
    for each in columns[begin:]:
        far, share = each.measures.get("kl"), each.measures.get("share")
        if far is not None and share is not None:
            found.append((each.name, float(np.sqrt(max(far.value, 0.0))), share.value))
    return found


def _path(ax: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Rounds as dots that grow stronger as the run goes on."""
    fine = np.isfinite(x) & np.isfinite(y)
    x, y = x[fine], y[fine]
    for part, strength in zip(np.array_split(np.arange(len(x)), 4), (0.3, 0.5, 0.7, 1.0), strict=True):
        ax.plot(x[part], y[part], "o", color=colour, markersize=4, alpha=strength, markeredgewidth=0)


def _ticks(ax: Axes, share: bool, whole: bool = False) -> None:
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=2, integer=whole))
    ax.xaxis.set_major_formatter(COUNT)
    if share:
        ax.yaxis.set_major_formatter(SHARE)
