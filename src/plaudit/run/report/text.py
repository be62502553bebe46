"""The headline as plain text, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from plaudit.run.report.sections import Report, Tile
from plaudit.run.report.words import SPACE, number
from plaudit.types import Array

BLOCKS = "▁▂▃▄▅▆▇█"


def headline(report: Report, width: int = 80) -> str:
    """Title, verdict, headline numbers and curves, at most ``width`` columns where words allow."""
    title = " · ".join(text for text in (report.title, report.subject) if text)
    labels = max((len(tile.label) for tile in report.tiles), default=0)
    verdict = textwrap.wrap(plain(report.verdict.replace(SPACE, " ")), width)
    indent = max(labels, *(len(name) for name, _ in report.curves), 0)
    lines = [plain(title), *verdict, "", *_table(report.tiles, labels), *_curves(report.curves, indent, width)]
    return "\n".join(lines).replace(SPACE, " ") + "\n"


def _table(tiles: Sequence[Tile], labels: int) -> list[str]:
    """The headline numbers; their labels take ``labels`` columns."""
    values = max((len(tile.value) for tile in tiles), default=0)
    return [plain(f"  {tile.label:<{labels}}  {tile.value:>{values}}  {tile.note}".rstrip()) for tile in tiles]


def sparkline(values: Array, low: float | int, high: float | int, width: int) -> str:
    """Values (n,) as at most ``width`` blocks, each the mean of its share; a blank where nothing was measured."""
    if len(values) == 0 or width < 1:
        return ""
    marks = []
    for share in np.array_split(values, min(width, len(values))):
        finite = share[np.isfinite(share)]
        if len(finite) == 0:
            marks.append(" ")
            continue
        height = (finite.mean() - low) / (high - low) if high > low else 0.5
        marks.append(BLOCKS[int(np.clip(height * len(BLOCKS), 0, len(BLOCKS) - 1))])
    return "".join(marks)


def _curves(curves: Sequence[tuple[str, Array]], indent: int, width: int) -> list[str]:
    """Sparklines on one scale, with the lowest and the highest value under them."""
    finite = [values[np.isfinite(values)] for _, values in curves]
    if sum(map(len, finite)) < 2:
        return []
    low, high = float(min(map(np.min, filter(len, finite)))), float(max(map(np.max, filter(len, finite))))
    room = max(8, min(48, width - indent - 4))
    lines = [f"  {name:<{indent}}  {sparkline(values, low, high, room)}".rstrip() for name, values in curves]
    return ["", *lines, f"  {'':<{indent}}  lowest {number(low)}, highest {number(high)}"]


def plain(text: str) -> str:
    """Control characters out: a title must not drive the terminal."""
    return "".join(letter if letter.isprintable() or letter == SPACE else " " for letter in text)
