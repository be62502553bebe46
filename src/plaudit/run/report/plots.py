"""Curves and the reliability diagram, which the reports of every domain draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from plaudit.functional.calibration import Reliability
from plaudit.run.report.svg import MUTED, PREFERENCE, inline, panels
from plaudit.run.report.words import number
from plaudit.types import Array

Dashes = tuple[float, tuple[float, ...] | None]
SOLID: Dashes = (0.0, None)
DASHED: Dashes = (0.0, (5.0, 2.5))
DOTTED: Dashes = (0.0, (2.0, 1.8))


def calibration(diagram: Reliability) -> Markup:
    """Reliability diagram: agreement against confidence with 95 % intervals, counts below."""
    figure, (upper, lower) = panels(2, 4.3, (2.6, 1.0))
    full = diagram.counts > 0
    x, y = diagram.confidence[full], diagram.agreement[full]
    spread = np.stack([y - diagram.low[full], diagram.high[full] - y]).clip(0)
    upper.plot([0.5, 1], [0.5, 1], color=MUTED, linewidth=1.1, linestyle=DOTTED)
    upper.errorbar(x, y, spread, color=PREFERENCE, fmt="o-", markersize=5.5, elinewidth=1.3, capsize=0)
    floor = float(np.min(diagram.low[full]))
    upper.set_ylim(max(-0.02, min(0.4, floor - 0.05)), 1.03)
    upper.set_ylabel("annotators agree")
    width = np.diff(diagram.edges)
    bars = lower.bar(diagram.edges[:-1] + width / 2, diagram.counts, width * 0.86, color=PREFERENCE, alpha=0.45)
    lower.bar_label(bars, [str(count) for count in diagram.counts], color=MUTED, fontsize=10, padding=2)
    lower.set_ylim(0, max(1, diagram.counts.max()) * 1.35)
    lower.yaxis.set_ticks([])
    lower.grid(False)
    lower.set_ylabel("count")
    lower.set_xlabel("confidence of the reward model")
    lower.set_xlim(0.49, 1.01)
    lower.set_xticks(diagram.edges)
    figure.align_ylabels()
    alt = f"Agreement against confidence in {int(full.sum())} bins; calibration error {number(diagram.error)}."
    return inline(figure, "calibration", alt)


def smooth(values: Array) -> Array:
    """Centred running mean of (n,) finite values over a twentieth of the curve, shortened at both ends."""
    half = len(values) // 40
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    start, stop = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (total[stop] - total[start]) / (stop - start)


def curve(ax: Axes, x: Array, y: Array, colour: str, style: Dashes = SOLID, markers: bool = False) -> None:
    """Draw (n,) values where they are known; a long curve is smoothed over its own pale one."""
    fine = np.isfinite(x) & np.isfinite(y)
    x, y = x[fine], y[fine]
    if len(x) == 0:
        return
    if len(x) > 80 and not markers:
        ax.plot(*_thin(x, y), color=colour, linewidth=0.8, alpha=0.3)
        x, y = _thin(x, smooth(y))
    few = len(x) == 1 or (markers and len(x) <= 40)
    ax.plot(x, y, color=colour, linestyle=style, marker="o" if few else None, markersize=3.5)


@dataclass(frozen=True)
class Level:
    """The value that chance reaches, and its label."""

    value: float
    label: str


CHANCE = Level(0.5, "chance")
UNKNOWING = Level(math.log(2), "ln 2: knows nothing")


def draw_level(ax: Axes, level: Level) -> None:
    """A dotted line at a level."""
    ax.axhline(level.value, color=MUTED, linewidth=1.0, linestyle=DOTTED)
    point, offset = (1.0, level.value), (0, 2.5)
    style = {"ha": "right", "va": "bottom", "color": MUTED, "fontsize": 9.5}
    ax.annotate(level.label, point, offset, ax.get_yaxis_transform(), "offset points", **style)


def scales(*axes: Axes) -> None:
    """Few ticks, and 20k for 20,000 on the horizontal axis."""
    for ax in axes:
        ax.yaxis.set_major_locator(MaxNLocator(5 if ax is axes[0] else 4))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    figure = axes[0].figure
    figure.align_ylabels()


def _thin(x: Array, y: Array, most: int = 600) -> tuple[Array, Array]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).astype(int))
    return x[keep], y[keep]
