"""Plots of a control run's report. Each function returns inline SVG, or ``None`` when there is nothing to draw yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from plaudit.run.report.control_data import Scatter
from plaudit.run.report.plots import CHANCE, DASHED, DOTTED, UNKNOWING, curve, draw_level, scales
from plaudit.run.report.svg import BASELINE, GRID, INK, MUTED, PREDICTED, PREFERENCE, WIDTH, inline, panels
from plaudit.run.report.values import Number, Record, column, is_known
from plaudit.run.report.words import number
from plaudit.types import Array

POSITIVE, NEGATIVE = (0x2B, 0x84, 0xC6), (0xE3, 0x7B, 0x1C)  # blue and orange: told apart by colour-blind readers
POINTS = 800  # dots in a scatter: more only make the page heavier


def returns(
    metrics: Sequence[Record],
    baseline: Sequence[Record] | None,
    axis: Literal["step", "labels"],
    level: Number = None,
) -> Markup | None:
    """True return above, predicted return below, over environment steps or over judgements used.

    Over labels, a point is the last measurement made with that many. The baseline uses no labels, so
    there it is a level: ``level`` if known, or else the mean of its last tenth.
    """
    x, true, predicted = (column(metrics, key) for key in (axis, "true_return", "predicted_return"))
    if not (np.isfinite(x) & (np.isfinite(true) | np.isfinite(predicted))).any():
        return None
    figure, (upper, lower) = panels(2, 4.3, (2.1, 1.0))
    if axis == "labels":
        curve(upper, *_last_of_each(x, true), PREFERENCE, markers=True)
        curve(lower, *_last_of_each(x, predicted), PREDICTED, markers=True)
        level = level if is_known(level) else _tail(column(baseline, "true_return"))
        if level is not None and is_known(level):
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
    return inline(figure, f"returns-{axis}", f"True and predicted return over {axis}; last true return {final}.")


def accuracy(metrics: Sequence[Record]) -> Markup | None:
    """Accuracy on held-out comparisons above, cross-entropy on training and held-out ones below, over steps."""
    x, share = column(metrics, "step"), column(metrics, "holdout_accuracy")
    train, holdout = column(metrics, "reward_loss"), column(metrics, "holdout_loss")
    if not (np.isfinite(x) & (np.isfinite(share) | np.isfinite(holdout) | np.isfinite(train))).any():
        return None
    figure, (upper, lower) = panels(2, 4.3, (1.5, 1.0))
    draw_level(upper, CHANCE)
    curve(upper, x, share, PREFERENCE)
    draw_level(lower, UNKNOWING)
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
    ax.imshow(_tint(values, reach), interpolation="none", aspect="equal" if square else "auto")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    ax.spines[:].set_visible(True)
    scale = ax.inset_axes((0.0, 1.04, 1.0, 0.04))
    ramp = np.linspace(-reach, reach, 65)
    scale.imshow(_tint(ramp[None], reach), extent=(-1, 1, 0, 1), interpolation="none", aspect="auto")
    scale.set_yticks([])
    ticks = [number(-reach), "0", number(reach)]
    scale.set_xticks([-1, 0, 1], ticks, color=MUTED, fontsize=10)
    scale.tick_params(length=0, pad=2, top=False, labeltop=True, labelbottom=False)
    scale.spines[:].set_color(GRID)
    for label, side in zip(scale.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)
    return inline(figure, f"heat-{name}", f"Heat map of the {name} reward, from {ticks[0]} to {ticks[2]}.", "heat")


def align(learned: Array, true: Array) -> Array:
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
    indices = _spread_out(true, values) if strips else np.linspace(0, len(true) - 1, min(POINTS, len(true))).astype(int)
    x = np.searchsorted(values, true) if strips else true
    # Golden-ratio steps spread dots over a strip without chance, so that the same run makes the same page.
    shift = (np.arange(len(indices)) * 0.618034 % 1 - 0.5) * 0.5 if strips else 0.0
    ax.plot(x[indices] + shift, learned[indices], "o", color=PREFERENCE, markersize=3, alpha=0.4, markeredgewidth=0)
    if strips:
        for position, value in enumerate(values):
            low, middle, high = np.quantile(learned[true == value], (0.25, 0.5, 0.75))
            ax.plot([position, position], [low, high], color=INK, linewidth=3.2, solid_capstyle="butt")
            ax.plot([position - 0.3, position + 0.3], [middle, middle], color=INK, linewidth=1.6)
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


def _last_of_each(x: Array, y: Array) -> tuple[Array, Array]:
    fine = np.isfinite(x) & np.isfinite(y)
    positions, first = np.unique(x[fine][::-1], return_index=True)
    return positions, y[fine][::-1][first]


def _tail(values: Array) -> float | None:
    values = values[np.isfinite(values)]
    return float(values[-max(1, len(values) // 10) :].mean()) if len(values) else None


def _tint(values: Array, reach: float) -> Array:
    """(H, W) to RGBA (H, W, 4): the further from 0 the less transparent, so that the page shows through."""
    strength = np.nan_to_num(values / reach).clip(-1, 1)
    tint = np.empty((*values.shape, 4))
    tint[..., :3] = np.where(strength[..., None] >= 0, POSITIVE, NEGATIVE)
    tint[..., :3] /= 255
    tint[..., 3] = np.abs(strength) ** 0.8
    tint[~np.isfinite(values)] = (0.5, 0.5, 0.5, 0.35)
    return tint


def _spread_out(true: Array, values: Array) -> Array:
    """Indices of at most ``POINTS`` steps, as many of a rare value as of a common one."""
    share = POINTS // len(values)
    groups = []
    for value in values:
        indices = np.flatnonzero(true == value)
        groups.append(indices[np.linspace(0, len(indices) - 1, min(share, len(indices))).astype(int)])
    return np.concatenate(groups)
