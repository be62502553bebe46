"""Measurements that a language run's report shows: plain numbers and texts. Anything may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plaudit.language.evaluation import Estimate, Evaluation
from plaudit.run.report.calibration import Calibration
from plaudit.run.report.values import Record


@dataclass(frozen=True, eq=False)
class LanguageResults:
    """Everything that the report shows. Rows are lines of the run's files, in order."""

    title: str
    model: str
    command: str = ""  # typed into a shell, it reproduces the run
    settings: Record = field(default_factory=dict)  # may be nested
    versions: Record = field(default_factory=dict)  # name -> version
    rounds: Sequence[Record] = ()  # metrics.jsonl
    updates: Sequence[Record] = ()  # updates.jsonl
    sft: Sequence[Record] = ()  # sft.jsonl
    reward: Sequence[Record] = ()  # reward.jsonl
    evaluation: Evaluation | None = None
    calibration: Calibration | None = None  # of the reward model, on held-out judgements
    accuracy: Estimate | None = None  # on the same, with its interval
    length_accuracy: Estimate | None = None  # of a rule that knows only the length, on the same
    remarks: Sequence[str] = ()  # sentences that a reader of the numbers should know
    counts: Record = field(default_factory=dict)  # judgements and data that were used, cut or refused; may be nested
