"""The numbers of a language run as words: its headline, on the page and in the terminal, and its table."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.language.evaluation import Column, Evaluation, Measured
from plaudit.run.report.chat_data import ChatReportData
from plaudit.run.report.data import column, known
from plaudit.run.report.text import block, curves_of, indent, written
from plaudit.run.report.words import SPACE, UNKNOWN, Tile, duration, number, percent

ARROW = "\u2192"
TABLE = {  # name in an evaluation: (what it is called, whether it is a share)
    "share": ("satisfies the held-out rule", True),
    "score": ("held-out score", False),
    "win_rate": ("preferred to before", True),
    "kl": ("KL, nats a response", False),
    "kl_token": ("KL, nats a token", False),
    "loss": ("loss on unrelated text, nats a token", False),
    "perplexity": ("perplexity on unrelated text", False),
    "tokens": ("tokens", False),
    "words": ("words", False),
    "ended": ("ended by itself", True),
    "distinct_1": ("distinct words", True),
    "distinct_2": ("distinct pairs of words", True),
    "distinct_3": ("distinct triples of words", True),
    "repetition": ("repeated 4-grams", True),
}


@dataclass(frozen=True)
class Cell:
    """A number of the table, its interval, and how far it is from the first column."""

    value: str
    interval: str = ""
    difference: str = ""
    clear: bool = False  # the interval of the difference does not hold 0


def verdict(data: ChatReportData) -> str:
    """One sentence: what became of the policy, from how much feedback."""
    found = data.evaluation
    result = found.result if found else None
    before, after, wins = None, None, None
    if found is not None and result is not None:
        before, after = found.measured(0, "share"), found.measured(result, "share")
        wins = found.measured(result, "win_rate")
    parts = []
    if before and after:
        parts.append(
            f"{percent(after.value)} of the responses to held-out prompts satisfy a rule that training never saw, "
            f"{percent(before.value)} before"
        )
    if wins:
        parts.append(f"the judge prefers the new policy {percent(wins.value)} of the time")
    if not parts:
        return "The policy has not been evaluated on held-out prompts yet."
    asked = labels(data)
    start = f"From {number(asked)} judgements: " if known(asked) else ""
    sentence = ", and ".join(parts) + "."
    return start + sentence if start else sentence[:1].upper() + sentence[1:]


def labels(data: ChatReportData) -> float | None:
    """Judgements that the reward model learned from: those of the last round that says."""
    values = column(data.rounds, "labels")
    values = values[values == values]
    return float(values[-1]) if len(values) else None


def tiles(data: ChatReportData) -> list[Tile]:
    """The headline numbers, in order of interest; what was not measured is left out."""
    found = data.evaluation
    result = _evaluated(found) if found else [Tile("Held-out rule", UNKNOWN, "not evaluated yet")]
    if data.accuracy is not None:
        length = f"length alone {percent(data.length_accuracy.value)}" if data.length_accuracy else ""
        result.append(
            Tile("Reward model, held out", percent(data.accuracy.value), _joined(_range(data.accuracy), length))
        )
    asked = labels(data)
    if known(asked):
        result.append(Tile("Judgements used", number(asked)))
    seconds = column(data.rounds, "seconds")
    if (seconds == seconds).any():
        rounds = f"{number(len(data.rounds))} rounds" if len(data.rounds) != 1 else "1 round"
        result.append(Tile("Training time", duration(float(seconds[seconds == seconds][-1])), rounds))
    return result


def _evaluated(found: Evaluation) -> list[Tile]:
    result: list[Tile] = []
    name = found.result
    if name is None:
        return result
    before, after, gain = found.measured(0, "share"), found.measured(name, "share"), found.difference(name, "share")
    if before and after:
        note = f"{_points(gain)}" if gain else ""
        result.append(Tile("Held-out rule", f"{percent(before.value)} {ARROW} {percent(after.value)}", note))
    first, then, more = found.measured(0, "score"), found.measured(name, "score"), found.difference(name, "score")
    if first and then:
        note = signed(more) if more else ""
        result.append(Tile("Held-out score", f"{number(first.value)} {ARROW} {number(then.value)}", note))
    wins = found.measured(name, "win_rate")
    if wins:
        result.append(Tile("Win rate", percent(wins.value), _joined("against before", _range(wins))))
    far, token = found.measured(name, "kl"), found.measured(name, "kl_token")
    if far:
        note = f"{number(token.value)} a token" if token else ""
        result.append(Tile("KL", f"{number(far.value)}{SPACE}nats", _joined("a response", note)))
    tax = found.difference(name, "loss")
    if tax:
        bounds = f"{_signed(tax.low)} to {_signed(tax.high)}" if known(tax.low) else ""
        result.append(Tile("Loss on unrelated text", _signed(tax.value), _joined("nats a token", bounds)))
    return result


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _range(found: Measured, share: bool = True) -> str:
    """ "70 to 78 %"; nothing where there is no interval."""
    if found.low is None or found.high is None:
        return ""
    if share:
        return f"{number(round(100 * found.low))} to {percent(found.high)}"
    return f"{number(found.low)} to {number(found.high)}"


def _signed(value: float | None) -> str:
    """With its sign, where it has one."""
    return f"+{number(value)}" if value is not None and known(value) and value > 0 else number(value)


def signed(found: Measured) -> str:
    """ "+0.21 (0.12 to 0.30)"."""
    bounds = f" ({_signed(found.low)} to {_signed(found.high)})" if found.low is not None else ""
    return _signed(found.value) + bounds


def _points(found: Measured) -> str:
    """A difference of shares in percentage points."""
    scaled = [None if each is None else float(round(100 * each)) for each in (found.value, found.low, found.high)]
    return f"{_signed(scaled[0])}{SPACE}points" + (
        f" ({_signed(scaled[1])} to {_signed(scaled[2])})" if scaled[1] is not None else ""
    )


def table(evaluation: Evaluation) -> list[tuple[str, list[Cell]]]:
    """Every measure that a column has, with a cell for each column."""
    rows = []
    for name, (label, share) in TABLE.items():
        if any(name in each.measures for each in evaluation.columns):
            rows.append((label, [cell(each, name, share) for each in evaluation.columns]))
    return rows


def cell(of: Column, name: str, share: bool) -> Cell:
    """One number of one policy."""
    found, difference = of.measures.get(name), of.differences.get(name)
    if found is None:
        return Cell(UNKNOWN)
    said = "" if difference is None else _points(difference) if share else signed(difference)
    clear = bool(
        difference
        and difference.low is not None
        and difference.high is not None
        and (difference.low > 0 or difference.high < 0)
    )
    return Cell(percent(found.value) if share else number(found.value), _range(found, share), said, clear)


def headline(data: ChatReportData, width: int = 80) -> str:
    """Title, verdict, headline numbers and the curve of the held-out share, at most ``width`` columns wide."""
    rows = tiles(data)
    title = " · ".join(part for part in (data.title, data.model) if part)
    curves = [("Held-out share", column(data.rounds, "held_out"))]
    if not (curves[0][1] == curves[0][1]).any():
        curves = [("Reward", column(data.rounds, "score"))]
    return written([*block(title, verdict(data), rows, width), *curves_of(curves, max(indent(rows), 14), width)])
