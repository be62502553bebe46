"""The results of an evaluation as plain numbers and texts: written to evaluation.json, read by the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plaudit.files import replace_text
from plaudit.types import Dialogue, Message, PlauditError

FORMAT = 1
STORED = {"finished": "ended"}  # fields of an example that have another name in the file
RESULT = "after"  # a run's name for its final policy


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; low and high are None if there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Column:
    """One policy: its measures by name, and their paired differences from the first column.

    ``share``: share of responses that satisfy the held-out rule. ``score``: mean of the held-out scores. ``win_rate``:
    against the first column. ``kl``, ``kl_token``: KL from the reference in nats per response and per token.
    ``tokens``, ``words``: mean length of a response. ``ended``: share of responses that ended before the limit.
    ``distinct_1`` to ``distinct_3``, ``repetition``: of n-grams. ``loss``, ``perplexity``: on unrelated text, in nats
    per token. A measure that was not taken is missing.
    """

    name: str
    measures: Mapping[str, Estimate]
    differences: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """One prompt, and each column's response to it."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    finished: tuple[bool, ...]  # before the limit
    satisfied: tuple[bool, ...] | None = None  # satisfies the held-out rule
    wins: tuple[float | None, ...] = ()  # of each column against the first: 1, 0.5 for a tie, 0; None: not judged


@dataclass(frozen=True)
class JudgeSummary:
    """The judge behind a win rate, and how it judged."""

    name: str  # of the judge
    pairs: int  # pairs of responses that it decided, ties included
    undecided: int = 0  # pairs that it could not decide
    flipped: float | None = None  # share judged otherwise in the other order; None: one order was asked


@dataclass(frozen=True)
class Evaluation:
    """All measures on held-out prompts. The first column is the model that training started from."""

    columns: tuple[Column, ...]
    prompts: int
    samples: int  # responses to each prompt
    settings: Mapping[str, Any] = field(default_factory=dict)  # of sampling and measuring
    judges: Mapping[str, JudgeSummary] = field(default_factory=dict)  # by column
    windows: int = 0  # windows of unrelated text
    reference: str = "before"  # the column from which KL is measured
    examples: tuple[Example, ...] = ()

    @property
    def result(self) -> str | None:
        """Name of the run's final policy: "after", or else the second column; None if there is only one column."""
        names = [column.name for column in self.columns[1:]]
        return RESULT if RESULT in names else next(iter(names), None)

    def measure(self, column: str | int, name: str) -> Estimate | None:
        """One measure of a column, which is given by name or index; None if it was not taken."""
        values = self._column(column)
        return values.measures.get(name) if values else None

    def difference(self, column: str | int, name: str) -> Estimate | None:
        """A measure's difference from the first column's; None if it was not taken."""
        values = self._column(column)
        return values.differences.get(name) if values else None

    def _column(self, column: str | int) -> Column | None:
        if isinstance(column, int):
            return self.columns[column] if column < len(self.columns) else None
        return next((candidate for candidate in self.columns if candidate.name == column), None)

    def save(self, path: Path) -> None:
        """Write JSON; a file that is there is replaced once the new one is complete.

        Raises:
            PlauditError: the file cannot be written.
        """
        fields = asdict(self)
        examples = [{STORED.get(key, key): value for key, value in row.items()} for row in fields.pop("examples")]
        stored = {"format": FORMAT, **fields, "shown": examples}
        try:
            replace_text(path, json.dumps(stored, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise PlauditError(f"cannot write {path}: {error.strerror}; make room or choose another folder") from error

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Read what :meth:`save` wrote.

        Raises:
            PlauditError: the file is missing, or holds no evaluation of this version.
        """
        try:
            stored = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise PlauditError(f"cannot read {path}: {error.strerror}; evaluate the run first") from error
        except ValueError as error:
            raise PlauditError(f"{path} is not JSON ({error}): delete it and evaluate the run again") from error
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise PlauditError(f"{path} is an evaluation by another version: delete it and evaluate the run again")
        try:
            return cls(
                columns=tuple(
                    Column(column["name"], _parse_measures(column["measures"]), _parse_measures(column["differences"]))
                    for column in stored["columns"]
                ),
                prompts=stored["prompts"],
                samples=stored["samples"],
                settings=stored["settings"],
                judges={name: JudgeSummary(**judging) for name, judging in stored["judges"].items()},
                windows=stored["windows"],
                reference=stored["reference"],
                examples=tuple(_parse_example(example) for example in stored["shown"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise PlauditError(f"{path} is incomplete ({error}): delete it and evaluate the run again") from error


def _parse_measures(stored: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**value) for name, value in stored.items()}


def _parse_example(stored: Mapping[str, Any]) -> Example:
    prompt = tuple(Message(**message) for message in stored["prompt"])
    satisfied = None if stored["satisfied"] is None else tuple(stored["satisfied"])
    return Example(prompt, tuple(stored["responses"]), tuple(stored["ended"]), satisfied, tuple(stored["wins"]))


def estimate(value: float, low: float, high: float) -> Estimate | None:
    """A number with its interval, if the interval is finite; None if the number is not."""
    if not math.isfinite(value):
        return None
    return Estimate(value, low, high) if math.isfinite(low) and math.isfinite(high) else Estimate(value)


def append_response(prompt: tuple[Message, ...], response: str) -> Dialogue:
    """A prompt with its response, without a model's name: a judge sees nothing else."""
    return Dialogue((*prompt, Message("assistant", response)))
