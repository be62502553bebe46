"""Matplotlib figures as inline SVG that follows the page: its colours, its font, its ids.

Plots are drawn in stand-in colours. On the way out each becomes a CSS variable, so that one drawing
serves light, dark and print.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, MUTED, GRID, PREFERENCE, BASELINE, PREDICTED = (f"#0{digit}0{digit}0{digit}" for digit in range(1, 7))
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PREFERENCE: "var(--preference)",
    BASELINE: "var(--baseline)",
    PREDICTED: "var(--predicted)",
}
WIDTH = 5.3  # inches: 382 units of the SVG, about the width of a phone, so that text is never scaled far down
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "path.simplify_threshold": 0.3,
    "axes.xmargin": 0.02,
}


def panels(rows: int = 1, height: float = 3.6, ratios: tuple[float, ...] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of stacked panels on one horizontal axis, without a frame, with a light horizontal grid."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        engine = figure.get_layout_engine()
        if isinstance(engine, ConstrainedLayoutEngine):
            engine.set(hspace=0.08, h_pad=0.06)
        grid = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=ratios)
        axes = [row[0] for row in grid]
        for ax in axes:
            ax.spines[["top", "right", "left"]].set_visible(False)
            ax.grid(axis="y", color=GRID, linewidth=0.7)
            ax.set_axisbelow(True)
            ax.tick_params(length=0, pad=5)
    return figure, axes


def inline(figure: Figure, name: str, alt: str, kind: str = "") -> Markup:
    """The figure as an ``<svg>`` element for an HTML page: no prologue, no metadata, no id shared with another.

    Args:
        name: distinct for each figure of a page; it seeds the ids.
        alt: what the picture shows, in words.
        kind: a further CSS class.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # Letters missing from matplotlib's font only make its estimate of widths rough: the browser has them.
        warnings.filterwarnings("ignore", message=r"(Glyph \d+|Matplotlib currently does not support)")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    box = re.search(r'viewBox="[\d. -]+"', text)
    body = text[text.index("<defs>") : text.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # these count from 1 in every figure; the others are hashes
    body = re.sub(r"font-family: [^;\"]*", "font-family: inherit", body).replace("xlink:href", "href")
    body = re.sub(r'style="[^"]*"', _apply_theme, body)
    body = re.sub(r"\n\s*", " ", body)
    head = f'<svg class="{f"plot {kind}".strip()}" role="img" aria-label="{escape(alt)}" {box[0] if box else ""}>'
    return Markup(head + body + "</svg>")  # matplotlib escapes its text, and alt is escaped above


def _apply_theme(style: re.Match[str]) -> str:
    text = style[0]
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text
