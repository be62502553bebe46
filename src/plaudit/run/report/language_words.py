"""The numbers of a language run as words: its headline, on the page and in the terminal, and its table."""

from __future__ import annotations

import numpy as np

from plaudit.language.evaluation import Column, Estimate, Evaluation
from plaudit.run.report.language_data import LanguageResults
from plaudit.run.report.sections import Cell, Table, Tile
from plaudit.run.report.values import column, is_known
from plaudit.run.report.words import SPACE, UNKNOWN, duration, number, percent

ARROW = "\u2192"
TABLE = {  # name in an evaluation: (label, whether it is a share)
    "answers": ("satisfies the held-out rule, and its prompt can be found", True),
    "share": ("satisfies the held-out rule", True),
    "retrieved": ("prompt found from the response, first of all", True),
    "retrieved_5": ("prompt found from the response, among five", True),
    "prompt_information": ("information on the prompt, nats per response", False),
    "stock": ("has a stock phrase", True),
    "repeated": ("given to another prompt as well", True),
    "most_prompts": ("prompts that got the same response, at most", False),
    "score": ("held-out score", False),
    "win_rate": ("preferred to before", True),
    "kl": ("KL, nats per response", False),
    "kl_token": ("KL, nats per token", False),
    "loss": ("loss on unrelated text, nats per token", False),
    "perplexity": ("perplexity on unrelated text", False),
    "tokens": ("tokens", False),
    "words": ("words", False),
    "ended": ("ended by itself", True),
    "distinct_1": ("distinct words", True),
    "distinct_2": ("distinct pairs of words", True),
    "distinct_3": ("distinct triples of words", True),
    "repetition": ("repeated 4-grams", True),
}


CONDITIONS = {  # what a response must do to count in the headline
    "answers": "satisfy a rule that training never saw and show which prompt they answer",
    "share": "satisfy a rule that training never saw",
}
LOST = 0.1  # fall of the share of prompts that are found from their responses, from which the report warns


def headline_measure(evaluation: Evaluation, result: str) -> str:
    """The measure that the headline gives: with the check that a response shows its prompt, where that was made."""
    return "answers" if evaluation.measure(result, "answers") else "share"


def relevance_remarks(evaluation: Evaluation | None) -> list[str]:
    """A warning if the final policy's responses depend less on their prompts than those of the first model."""
    result = evaluation.result if evaluation else None
    if evaluation is None or result is None:
        return []
    signs = []
    change = evaluation.difference(result, "retrieved")
    if change and change.value <= -LOST and change.high is not None and change.high < 0:
        before, after = evaluation.measure(0, "retrieved"), evaluation.measure(result, "retrieved")
        assert before is not None and after is not None  # they have a difference
        signs.append(f"the prompt is found from {percent(after.value)} of them, from {percent(before.value)} before")
    change = evaluation.difference(result, "prompt_information")
    start = evaluation.measure(0, "prompt_information")
    if change and start and change.high is not None and change.high < 0 and change.value < -start.value / 2:
        signs.append(
            f"they hold {number(start.value + change.value)} nats of information on it, {number(start.value)} before"
        )
    if not signs:
        return []
    return [
        f"Responses depend less on their prompts than before training: {' and '.join(signs)}. The policy may please "
        "the reward without answering: raise --kl, ask more questions, or use an annotator that reads the prompt."
    ]


def verdict(data: LanguageResults) -> str:
    """One sentence: the result of training, and the amount of feedback."""
    evaluation = data.evaluation
    result = evaluation.result if evaluation else None
    before, after, wins, condition = None, None, None, ""
    if evaluation is not None and result is not None:
        headline = headline_measure(evaluation, result)
        before, after = evaluation.measure(0, headline), evaluation.measure(result, headline)
        condition = CONDITIONS[headline]
        wins = evaluation.measure(result, "win_rate")
    parts = []
    if before and after:
        parts.append(
            f"{percent(after.value)} of the responses to held-out prompts {condition}, {percent(before.value)} before"
        )
    if wins:
        parts.append(f"the judge prefers the new policy {percent(wins.value)} of the time")
    if not parts:
        return "The policy has not been evaluated on held-out prompts yet."
    count = labels(data)
    start = f"From {number(count)} judgements: " if is_known(count) else ""
    sentence = ", and ".join(parts) + "."
    return start + sentence if start else sentence[:1].upper() + sentence[1:]


def labels(data: LanguageResults) -> float | None:
    """Judgements that the reward model learned from: the number in the last row that has one."""
    values = column(data.rounds, "labels")
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else None


def tiles(data: LanguageResults) -> list[Tile]:
    """The headline numbers, in order of interest; what was not measured is left out."""
    result = (
        _evaluation_tiles(data.evaluation) if data.evaluation else [Tile("Held-out rule", UNKNOWN, "not evaluated yet")]
    )
    if data.accuracy is not None:
        length = f"length alone {percent(data.length_accuracy.value)}" if data.length_accuracy else ""
        result.append(
            Tile("Reward model, held out", percent(data.accuracy.value), _join(_range(data.accuracy), length))
        )
    count = labels(data)
    if is_known(count):
        result.append(Tile("Judgements used", number(count)))
    seconds = column(data.rounds, "seconds")
    if np.isfinite(seconds).any():
        rounds = f"{number(len(data.rounds))} rounds" if len(data.rounds) != 1 else "1 round"
        result.append(Tile("Training time", duration(float(seconds[np.isfinite(seconds)][-1])), rounds))
    return result


def _evaluation_tiles(evaluation: Evaluation) -> list[Tile]:
    result: list[Tile] = []
    name = evaluation.result
    if name is None:
        return result
    for measure, title in (("answers", "Held-out rule, on topic"), ("share", "Held-out rule")):
        before, after = evaluation.measure(0, measure), evaluation.measure(name, measure)
        if before and after:
            gain = evaluation.difference(name, measure)
            note = f"{_points(gain)}" if gain else ""
            result.append(Tile(title, f"{percent(before.value)} {ARROW} {percent(after.value)}", note))
            break
    start, end, gain = (
        evaluation.measure(0, "score"),
        evaluation.measure(name, "score"),
        evaluation.difference(name, "score"),
    )
    if start and end:
        note = with_sign(gain) if gain else ""
        result.append(Tile("Held-out score", f"{number(start.value)} {ARROW} {number(end.value)}", note))
    wins = evaluation.measure(name, "win_rate")
    if wins:
        result.append(Tile("Win rate", percent(wins.value), _join("against before", _range(wins))))
    kl, token = evaluation.measure(name, "kl"), evaluation.measure(name, "kl_token")
    if kl:
        note = f"{number(token.value)} a token" if token else ""
        result.append(Tile("KL", f"{number(kl.value)}{SPACE}nats", _join("a response", note)))
    tax = evaluation.difference(name, "loss")
    if tax:
        bounds = f"{_with_sign(tax.low)} to {_with_sign(tax.high)}" if is_known(tax.low) else ""
        result.append(Tile("Loss on unrelated text", _with_sign(tax.value), _join("nats per token", bounds)))
    return result


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _range(measure: Estimate, share: bool = True) -> str:
    """ "70 to 78 %"; empty without an interval."""
    if measure.low is None or measure.high is None:
        return ""
    if share:
        return f"{number(round(100 * measure.low))} to {percent(measure.high)}"
    return f"{number(measure.low)} to {number(measure.high)}"


def _with_sign(value: float | None) -> str:
    """A number with its sign."""
    return f"+{number(value)}" if value is not None and is_known(value) and value > 0 else number(value)


def with_sign(measure: Estimate) -> str:
    """ "+0.21 (0.12 to 0.30)"."""
    bounds = f" ({_with_sign(measure.low)} to {_with_sign(measure.high)})" if measure.low is not None else ""
    return _with_sign(measure.value) + bounds


def _points(measure: Estimate) -> str:
    """A difference of shares in percentage points."""
    scaled = [
        None if share is None else float(round(100 * share)) for share in (measure.value, measure.low, measure.high)
    ]
    return f"{_with_sign(scaled[0])}{SPACE}points" + (
        f" ({_with_sign(scaled[1])} to {_with_sign(scaled[2])})" if scaled[1] is not None else ""
    )


def table(evaluation: Evaluation) -> Table:
    """Every measure that a policy has, with a column for each policy."""
    rows = {name: line for name, line in TABLE.items() if any(name in policy.measures for policy in evaluation.columns)}
    return Table(
        [policy.name for policy in evaluation.columns],
        [[cell(policy, name, share) for policy in evaluation.columns] for name, (_, share) in rows.items()],
        [label for label, _ in rows.values()],
        "Evaluation",
    )


def cell(policy: Column, name: str, share: bool) -> Cell:
    """One number of one policy."""
    measure, difference = policy.measures.get(name), policy.differences.get(name)
    if measure is None:
        return Cell(UNKNOWN)
    change = "" if difference is None else _points(difference) if share else with_sign(difference)
    clear = bool(
        difference
        and difference.low is not None
        and difference.high is not None
        and (difference.low > 0 or difference.high < 0)
    )
    return Cell(percent(measure.value) if share else number(measure.value), _range(measure, share), change, clear)
