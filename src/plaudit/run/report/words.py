"""Numbers as words, and the headline that the page and the terminal share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.run.report.calibration import reliability
from plaudit.run.report.data import Number, ReportData, column, known

SPACE = "\u00a0"  # a number and its unit stay on one line
UNKNOWN = "–"  # noqa: RUF001 (an en dash is meant)


@dataclass(frozen=True)
class Tile:
    """One headline number: what it is, the number, what to hold it against."""

    label: str
    value: str
    note: str = ""


def number(value: Number) -> str:
    """Three significant digits or so, thousands separated, a real minus sign; a dash for what is not known."""
    if value is None or not known(value):
        return UNKNOWN
    size = abs(value)
    if size >= 1e7:
        text = f"{value:.3g}"
    elif size >= 100 or value == int(value):
        text = f"{value:,.0f}"
    elif size >= 0.01:
        text = f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    else:
        text = f"{value:.1g}"
    return text.replace("-", "\u2212")


def percent(value: Number) -> str:
    """A share as a whole percentage."""
    return f"{number(round(100 * value))}{SPACE}%" if value is not None and known(value) else UNKNOWN


def duration(seconds: Number) -> str:
    """Seconds as "48 s", "2 min 41 s", "1 h 5 min"."""
    if seconds is None or not known(seconds) or seconds < 0:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{number(seconds) if seconds < 10 else whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60}{SPACE}min"


def interval(pair: tuple[float | int, float | int] | None) -> str:
    """ "0.90 to 0.96", or nothing where the interval is not known."""
    return f"{number(pair[0])} to {number(pair[1])}" if pair and known(pair[0]) and known(pair[1]) else ""


def verdict(data: ReportData) -> str:
    """One sentence: what the run reached, from how much feedback."""
    summary = data.summary
    if not known(summary.final_return):
        return "The final policy has not been evaluated yet."
    labels = f"{number(summary.labels)} comparisons" if known(summary.labels) else "comparisons"
    if known(summary.ratio):
        start = f"From {labels}, the policy reached {percent(summary.ratio)} of the true-reward baseline's return"
    else:
        start = f"From {labels}, the policy reached a true return of {number(summary.final_return)}"
    return f"{start}, in {duration(summary.seconds)}." if known(summary.seconds) else f"{start}."


def tiles(data: ReportData) -> list[Tile]:
    """The headline numbers, in order of interest."""
    summary = data.summary
    spread = interval(summary.final_interval)
    result = [
        Tile("Final true return", number(summary.final_return), f"95{SPACE}% interval {spread}" if spread else "")
    ]
    if known(summary.baseline_return):
        note = f"the run reached {percent(summary.ratio)}" if known(summary.ratio) else "trained on the true reward"
        result.append(Tile("True-reward baseline", number(summary.baseline_return), note))
    result.append(Tile("Comparisons used", number(summary.labels), _asked(data)))
    result.append(_accuracy(data))
    rate = summary.steps / summary.seconds if summary.steps and summary.seconds else None
    speed = f"{number(summary.steps)} steps, {number(rate)} a second" if known(rate) else ""
    result.append(Tile("Training time", duration(summary.seconds), speed))
    return result


def _asked(data: ReportData) -> str:
    labels = column(data.metrics, "labels")
    batches = len(np.unique(labels[labels > 0]))
    return f"in {number(batches)} batches" if batches > 1 else ""


def _accuracy(data: ReportData) -> Tile:
    diagram = reliability(data.calibration) if data.calibration is not None else None
    if diagram is None:
        return Tile("Held-out accuracy", UNKNOWN, "no held-out comparisons yet")
    return Tile("Held-out accuracy", percent(diagram.accuracy), f"on {number(int(diagram.counts.sum()))} comparisons")
