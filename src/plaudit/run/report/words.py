"""Numbers as words, the same on the page and in the terminal."""

from __future__ import annotations

from plaudit.run.report.values import Number, is_known

SPACE = "\u00a0"  # a number and its unit stay on one line
UNKNOWN = "–"  # noqa: RUF001 (an en dash is meant)


def number(value: Number) -> str:
    """Three significant digits or so, thousands separated, a real minus sign; a dash for what is not known."""
    if value is None or not is_known(value):
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
    return f"{number(round(100 * value))}{SPACE}%" if value is not None and is_known(value) else UNKNOWN


def duration(seconds: Number) -> str:
    """Seconds as "48 s", "2 min 41 s", "1 h 5 min"."""
    if seconds is None or not is_known(seconds) or seconds < 0:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{number(seconds) if seconds < 10 else whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60}{SPACE}min"


def interval(pair: tuple[float | int, float | int] | None) -> str:
    """ "0.90 to 0.96", or nothing where the interval is not known."""
    return f"{number(pair[0])} to {number(pair[1])}" if pair and is_known(pair[0]) and is_known(pair[1]) else ""
