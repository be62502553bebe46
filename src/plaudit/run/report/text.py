"""The headline as plain text, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from plaudit.run.report.data import ReportData, column
from plaudit.run.report.words import SPACE, Tile, number, tiles, verdict
from plaudit.types import Array

BLOCKS = "▁▂▃▄▅▆▇█"


def headline(data: ReportData, width: int = 80) -> str:
    """Title, verdict, headline numbers and the curve of true return, at most ``width`` columns where words allow."""
    curves = [("True return", column(data.metrics, "true_return"))]
    if data.baseline is not None:
        curves.append(("Baseline", column(data.baseline, "true_return")))
    title = " · ".join(part for part in (data.title, data.environment) if part)
    rows = tiles(data)
    lines = block(title, verdict(data), rows, width)
    return written([*lines, *curves_of(curves, indent(rows), width)])


def block(title: str, sentence: str, rows: Sequence[Tile], width: int) -> list[str]:
    """Lines of a title, a sentence and the headline numbers."""
    first, second = indent(rows), max((len(row.value) for row in rows), default=0)
    table = [plain(f"  {row.label:<{first}}  {row.value:>{second}}  {row.note}".rstrip()) for row in rows]
    return [plain(title), *textwrap.wrap(plain(sentence.replace(SPACE, " ")), width), "", *table]


def indent(rows: Sequence[Tile]) -> int:
    """Columns that the labels take."""
    return max((len(row.label) for row in rows), default=0)


def written(lines: Sequence[str]) -> str:
    """Lines as one text, without the spaces that do not break."""
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


def curves_of(curves: Sequence[tuple[str, Array]], indent: int, width: int) -> list[str]:
    """Lines of sparklines on one scale, with the lowest and the highest value under them."""
    every = np.concatenate([values[np.isfinite(values)] for _, values in curves])
    if len(every) < 2:
        return []
    low, high = float(every.min()), float(every.max())
    room = max(8, min(48, width - indent - 4))
    lines = [f"  {name:<{indent}}  {sparkline(values, low, high, room)}".rstrip() for name, values in curves]
    return ["", *lines, f"  {'':<{indent}}  lowest {number(low)}, highest {number(high)}"]


def plain(text: str) -> str:
    """Control characters out: a title must not drive the terminal."""
    return "".join(letter if letter.isprintable() or letter == SPACE else " " for letter in text)
