"""The report's plots. Each function returns inline SVG, or ``None`` where there is nothing to draw yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from plaudit.run.report.calibration import Reliability
from plaudit.run.report.data import Number, Record, Scatter, column, known
from plaudit.run.report.svg import BASELINE, GRID, INK, MUTED, PREDICTED, PREFERENCE, WIDTH, inline, panels
from plaudit.run.report.words import number
from plaudit.types import Array

POSITIVE, NEGATIVE = (0x2B, 0x84, 0xC6), (0xE3, 0x7B, 0x1C)  # blue and orange: told apart by colour-blind readers
Dashes = tuple[float, tuple[float, ...] | None]
SOLID: Dashes = (0.0, None)
DASHED: Dashes = (0.0, (5.0, 2.5))
DOTTED: Dashes = (0.0, (2.0, 1.8))
POINTS = 800  # dots in a scatter: more only make the page heavier


def returns(
    metrics: Sequence[Record],
    baseline: Sequence[Record] | None,
    against: Literal["step", "labels"],
    level: Number = None,
) -> Markup | None:
    """True return above, predicted return below, over environment steps or over judgements used.

    Over labels, a point is the last measurement made with that many. The baseline uses no labels, so
    there it is a level: ``level`` if known, or else the mean of its last tenth.
    """
    x, true, predicted = (column(metrics, key) for key in (against, "true_return", "predicted_return"))
    if not (np.isfinite(x) & (np.isfinite(true) | np.isfinite(predicted))).any():
        return None
    figure, (upper, lower) = panels(2, 4.3, (2.1, 1.0))
    if against == "labels":
        curve(upper, *_last_of_each(x, true), PREFERENCE, markers=True)
        curve(lower, *_last_of_each(x, predicted), PREDICTED, markers=True)
        level = level if known(level) else _tail(column(baseline, "true_return"))
        if level is not None and known(level):
            upper.axhline(level, color=BASELINE, linewidth=1.6, linestyle=DASHED)
        lower.set_xlabel("comparisons used")
    else:
        curve(upper, x, true, PREFERENCE)
        curve(upper, column(baseline, "step"), column(baseline, "true_return"), BASELINE, DASHED)
        curve(lower, x, predicted, PREDICTED)
        lower.set_xlabel("environment steps")
    upper.set_ylabel("true return")
    lower.set_ylabel("predicted")
    scales(upper, lower)
    last = true[np.isfinite(true)]
    final = number(float(last[-1])) if len(last) else "not measured"
    return inline(figure, f"returns-{against}", f"True and predicted return over {against}; last true return {final}.")


def accuracy(metrics: Sequence[Record]) -> Markup | None:
    """Accuracy on held-out comparisons above, cross-entropy on training and held-out ones below, over steps."""
    x, share = column(metrics, "step"), column(metrics, "holdout_accuracy")
    train, holdout = column(metrics, "reward_loss"), column(metrics, "holdout_loss")
    if not (np.isfinite(x) & (np.isfinite(share) | np.isfinite(holdout) | np.isfinite(train))).any():
        return None
    figure, (upper, lower) = panels(2, 4.3, (1.5, 1.0))
    chance(upper, 0.5, "chance")
    curve(upper, x, share, PREFERENCE)
    chance(lower, float(np.log(2)), "ln 2: knows nothing")
    curve(lower, x, train, MUTED, DOTTED)
    curve(lower, x, holdout, PREFERENCE)
    lowest = share[np.isfinite(share)]
    upper.set_ylim(min(0.4, float(lowest.min()) - 0.05) if len(lowest) else 0.4, 1.02)
    upper.set_ylabel("accuracy")
    lower.set_ylabel("cross-entropy")
    lower.set_xlabel("environment steps")
    scales(lower)
    upper.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    final = number(float(lowest[-1])) if len(lowest) else "not measured"
    return inline(figure, "accuracy", f"Held-out accuracy over steps, last {final}, and cross-entropy below.")


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


def heat_map(
    values: Array, reach: float, x_label: str, y_label: str, name: Literal["learned", "true"]
) -> Markup | None:
    """A reward (H, W) as blue above 0 and orange below it, full colour at ``reach`` and beyond."""
    if not np.isfinite(values).any():
        return None
    height, width = values.shape
    square = height <= width * 1.2
    tall = (WIDTH - 1.0) * height / width if square else WIDTH - 1.0
    figure, (ax,) = panels(1, max(2.0, tall) + 0.75)
    ax.grid(False)
    ax.imshow(_tinted(values, reach), interpolation="none", aspect="equal" if square else "auto")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    ax.spines[:].set_visible(True)
    scale = ax.inset_axes((0.0, 1.04, 1.0, 0.04))
    ramp = np.linspace(-reach, reach, 65)
    scale.imshow(_tinted(ramp[None], reach), extent=(-1, 1, 0, 1), interpolation="none", aspect="auto")
    scale.set_yticks([])
    ticks = [number(-reach), "0", number(reach)]
    scale.set_xticks([-1, 0, 1], ticks, color=MUTED, fontsize=10)
    scale.tick_params(length=0, pad=2, top=False, labeltop=True, labelbottom=False)
    scale.spines[:].set_color(GRID)
    for label, side in zip(scale.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)
    return inline(figure, f"heat-{name}", f"Heat map of the {name} reward, from {ticks[0]} to {ticks[2]}.", "heat")


def aligned(learned: Array, true: Array) -> Array:
    """The learned reward (H, W), shifted and scaled to the mean and the spread of the true one.

    Preferences settle a reward only up to its zero and its scale. Least squares would settle them too,
    but shrinks a poor reward until it looks pale rather than wrong.
    """
    fine = np.isfinite(learned) & np.isfinite(true)
    if not fine.any():
        return learned
    spread = float(learned[fine].std())
    scale = float(true[fine].std()) / spread if spread > 0 else 0.0
    return (learned - learned[fine].mean()) * (scale or 1.0) + true[fine].mean()


def scatter(points: Scatter) -> Markup | None:
    """Learned reward against true reward of the same steps; a strip per value where the true reward has few."""
    fine = np.isfinite(points.learned) & np.isfinite(points.true)
    true, learned = points.true[fine].astype(float), points.learned[fine].astype(float)
    if len(true) == 0:
        return None
    figure, (ax,) = panels(1, 3.9)
    values = np.unique(true)
    strips = len(values) <= 9
    kept = _spread_out(true, values) if strips else np.linspace(0, len(true) - 1, min(POINTS, len(true))).astype(int)
    x = np.searchsorted(values, true) if strips else true
    # Golden-ratio steps spread dots over a strip without chance, so that the same run makes the same page.
    shift = (np.arange(len(kept)) * 0.618034 % 1 - 0.5) * 0.5 if strips else 0.0
    ax.plot(x[kept] + shift, learned[kept], "o", color=PREFERENCE, markersize=3, alpha=0.4, markeredgewidth=0)
    if strips:
        for place, value in enumerate(values):
            low, middle, high = np.quantile(learned[true == value], (0.25, 0.5, 0.75))
            ax.plot([place, place], [low, high], color=INK, linewidth=3.2, solid_capstyle="butt")
            ax.plot([place - 0.3, place + 0.3], [middle, middle], color=INK, linewidth=1.6)
        ax.set_xticks(range(len(values)), [number(value) for value in values])
        ax.set_xlim(-0.6, len(values) - 0.4)
    ax.set_xlabel("true reward of the step")
    ax.set_ylabel("learned reward of the step")
    return inline(figure, "scatter", f"Learned against true reward, correlation {number(correlation(learned, true))}.")


def correlation(a: Array, b: Array) -> float:
    """Pearson's r over the places where both are finite; NaN with fewer than two, or where one is constant."""
    fine = np.isfinite(a) & np.isfinite(b)
    a, b = a[fine].astype(float), b[fine].astype(float)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def smoothed(values: Array) -> Array:
    """Centred running mean of (n,) finite values over a twentieth of the curve, shortened at both ends."""
    half = len(values) // 40
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    start, stop = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return (total[stop] - total[start]) / (stop - start)


def curve(ax: Axes, x: Array, y: Array, colour: str, style: Dashes = SOLID, markers: bool = False) -> None:
    """Draw (n,) values where they are known; a long curve is smoothed over its own pale one."""
    fine = np.isfinite(x) & np.isfinite(y)
    x, y = x[fine], y[fine]
    if len(x) == 0:
        return
    if len(x) > 80 and not markers:
        ax.plot(*_thinned(x, y), color=colour, linewidth=0.8, alpha=0.3)
        x, y = _thinned(x, smoothed(y))
    few = len(x) == 1 or (markers and len(x) <= 40)
    ax.plot(x, y, color=colour, linestyle=style, marker="o" if few else None, markersize=3.5)


def _thinned(x: Array, y: Array, most: int = 600) -> tuple[Array, Array]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).astype(int))
    return x[keep], y[keep]


def _last_of_each(x: Array, y: Array) -> tuple[Array, Array]:
    fine = np.isfinite(x) & np.isfinite(y)
    places, first = np.unique(x[fine][::-1], return_index=True)
    return places, y[fine][::-1][first]


def _tail(values: Array) -> float | None:
    values = values[np.isfinite(values)]
    return float(values[-max(1, len(values) // 10) :].mean()) if len(values) else None


def chance(ax: Axes, level: float, label: str) -> None:
    """A dotted line at what knowing nothing gives."""
    ax.axhline(level, color=MUTED, linewidth=1.0, linestyle=DOTTED)
    place, above = (1.0, level), (0, 2.5)
    style = {"ha": "right", "va": "bottom", "color": MUTED, "fontsize": 9.5}
    ax.annotate(label, place, above, ax.get_yaxis_transform(), "offset points", **style)


def scales(*axes: Axes) -> None:
    """Few ticks, and 20k for 20,000 on the horizontal axis."""
    for ax in axes:
        ax.yaxis.set_major_locator(MaxNLocator(5 if ax is axes[0] else 4))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    figure = axes[0].figure
    figure.align_ylabels()


def _tinted(values: Array, reach: float) -> Array:
    """(H, W) to RGBA (H, W, 4): the further from 0 the less transparent, so that the page shows through."""
    away = np.nan_to_num(values / reach).clip(-1, 1)
    tint = np.empty((*values.shape, 4))
    tint[..., :3] = np.where(away[..., None] >= 0, POSITIVE, NEGATIVE)
    tint[..., :3] /= 255
    tint[..., 3] = np.abs(away) ** 0.8
    tint[~np.isfinite(values)] = (0.5, 0.5, 0.5, 0.35)
    return tint


def _spread_out(true: Array, values: Array) -> Array:
    """Indices of at most ``POINTS`` steps, as many of a rare value as of a common one."""
    share = POINTS // len(values)
    kept = []
    for value in values:
        places = np.flatnonzero(true == value)
        kept.append(places[np.linspace(0, len(places) - 1, min(share, len(places))).astype(int)])
    return np.concatenate(kept)
