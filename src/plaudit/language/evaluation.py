"""What an evaluation found, as plain numbers and texts: written to evaluation.json, read by the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plaudit.types import Dialogue, Message, PlauditError

FORMAT = 1
FILE = "evaluation.json"
RESULT = "after"  # what a run calls the policy that it ends with


@dataclass(frozen=True)
class Measured:
    """A number and its 95 % interval; None where there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Column:
    """One policy: what was measured on it, by name, and how far that is from the first column, in pairs.

    ``share``: responses that satisfy the held-out rule. ``score``: mean of the held-out scores. ``win_rate``: against
    the first column. ``kl``, ``kl_token``: nats a response and a token, from the reference. ``tokens``, ``words``: of a
    response. ``ended``: share that ended by itself. ``distinct_1`` to ``distinct_3``, ``repetition``: of n-grams.
    ``loss``, ``perplexity``: on unrelated text, nats a token. What was not measured is not there.
    """

    name: str
    measures: Mapping[str, Measured]
    differences: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """One prompt, and what each column answered to it."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    ended: tuple[bool, ...]  # by itself, not by the limit
    satisfied: tuple[bool, ...] | None = None  # the held-out rule
    wins: tuple[float | None, ...] = ()  # of each column over the first: 1, 0.5 a tie, 0; None: not judged


@dataclass(frozen=True)
class Judging:
    """How the win rate came about."""

    name: str  # of the judge
    pairs: int  # of responses that it decided on, ties among them
    undecided: int = 0  # of which it could not tell
    flipped: float | None = None  # share that it judged otherwise in the other order; None: one order was asked


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured on held-out prompts. The first column is the model that training started from."""

    columns: tuple[Column, ...]
    prompts: int
    samples: int  # responses to each prompt
    settings: Mapping[str, Any] = field(default_factory=dict)  # that sampling and measuring ran under
    judges: Mapping[str, Judging] = field(default_factory=dict)  # by column
    windows: int = 0  # stretches of unrelated text
    reference: str = "before"  # the column from which KL is measured
    shown: tuple[Shown, ...] = ()

    @property
    def result(self) -> str | None:
        """The column that the run is about: "after", or else the second; None where there is one alone."""
        names = [each.name for each in self.columns[1:]]
        return RESULT if RESULT in names else next(iter(names), None)

    def measured(self, column: str | int, name: str) -> Measured | None:
        """One number of one column, by name or place; None where it was not measured."""
        found = self._column(column)
        return found.measures.get(name) if found else None

    def difference(self, column: str | int, name: str) -> Measured | None:
        """How far a number is from that of the first column; None where it was not measured."""
        found = self._column(column)
        return found.differences.get(name) if found else None

    def _column(self, column: str | int) -> Column | None:
        if isinstance(column, int):
            return self.columns[column] if column < len(self.columns) else None
        return next((each for each in self.columns if each.name == column), None)

    def save(self, path: Path) -> None:
        """Write JSON, replacing what was there only once it is complete.

        Raises:
            PlauditError: it cannot be written.
        """
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n", "utf-8")
            part.replace(path)
        except OSError as error:
            raise PlauditError(f"cannot write {path}: {error.strerror}; make room or choose another folder") from error

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """What :meth:`save` wrote.

        Raises:
            PlauditError: there is nothing, or no evaluation of this version.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise PlauditError(f"cannot read {path}: {error.strerror}; evaluate the run first") from error
        except ValueError as error:
            raise PlauditError(f"{path} is no JSON ({error}): delete it and evaluate the run again") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise PlauditError(f"{path} is no evaluation of this version: delete it and evaluate the run again")
        try:
            return cls(
                columns=tuple(
                    Column(each["name"], _measures(each["measures"]), _measures(each["differences"]))
                    for each in found["columns"]
                ),
                prompts=found["prompts"],
                samples=found["samples"],
                settings=found["settings"],
                judges={name: Judging(**each) for name, each in found["judges"].items()},
                windows=found["windows"],
                reference=found["reference"],
                shown=tuple(_shown(each) for each in found["shown"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise PlauditError(f"{path} lacks something ({error}): delete it and evaluate the run again") from error


def _measures(found: Mapping[str, Any]) -> dict[str, Measured]:
    return {name: Measured(**each) for name, each in found.items()}


def _shown(found: Mapping[str, Any]) -> Shown:
    prompt = tuple(Message(**each) for each in found["prompt"])
    satisfied = None if found["satisfied"] is None else tuple(found["satisfied"])
    return Shown(prompt, tuple(found["responses"]), tuple(found["ended"]), satisfied, tuple(found["wins"]))


def measured(value: float, low: float, high: float) -> Measured | None:
    """A number with an interval where that is known; None where the number is not."""
    if not math.isfinite(value):
        return None
    return Measured(value, low, high) if math.isfinite(low) and math.isfinite(high) else Measured(value)


def answered(prompt: tuple[Message, ...], response: str) -> Dialogue:
    """A response after its prompt, without a name: whoever judges it sees nothing else."""
    return Dialogue((*prompt, Message("assistant", response)))
