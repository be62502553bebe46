"""The headline as plain text, for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from plaudit.run.report.data import ReportData, column
from plaudit.run.report.words import SPACE, number, tiles, verdict
from plaudit.types import Array

BLOCKS = "▁▂▃▄▅▆▇█"


def headline(data: ReportData, width: int = 80) -> str:
    """Title, verdict, headline numbers and the curve of true return, at most ``width`` columns where words allow."""
    rows = [(tile.label, tile.value, tile.note) for tile in tiles(data)]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    table = [f"  {label:<{first}}  {value:>{second}}  {note}".rstrip() for label, value, note in rows]
    title = " · ".join(part for part in (data.title, data.environment) if part)
    sentence = textwrap.wrap(verdict(data).replace(SPACE, " "), width)
    lines = [_plain(title), *sentence, "", *table, *_curves(data, first, width)]
    return "\n".join(lines).replace(SPACE, " ") + "\n"


def sparkline(values: Array, low: float | int, high: float | int, width: int) -> str:
    """Values (n,) as at most ``width`` blocks, each the mean of its share; a blank where nothing was measured."""
    if len(values) == 0 or width < 1:
        return ""
    marks = []
    for part in np.array_split(values, min(width, len(values))):
        fine = part[np.isfinite(part)]
        if len(fine) == 0:
            marks.append(" ")
            continue
        height = (fine.mean() - low) / (high - low) if high > low else 0.5
        marks.append(BLOCKS[int(np.clip(height * len(BLOCKS), 0, len(BLOCKS) - 1))])
    return "".join(marks)


def _curves(data: ReportData, indent: int, width: int) -> list[str]:
    curves = [("True return", column(data.metrics, "true_return"))]
    if data.baseline is not None:
        curves.append(("Baseline", column(data.baseline, "true_return")))
    every = np.concatenate([values[np.isfinite(values)] for _, values in curves])
    if len(every) < 2:
        return []
    low, high = float(every.min()), float(every.max())
    room = max(8, min(48, width - indent - 4))
    lines = [f"  {name:<{indent}}  {sparkline(values, low, high, room)}".rstrip() for name, values in curves]
    return ["", *lines, f"  {'':<{indent}}  lowest {number(low)}, highest {number(high)}"]


def _plain(text: str) -> str:
    """Control characters out: a title must not drive the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
