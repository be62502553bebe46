"""Measurements that a control run's report shows: plain numbers and bytes, so that a run folder alone gives them.

Anything may be missing, as it is in a run that has just begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plaudit.run.report.calibration import Calibration
from plaudit.run.report.sections import Clip
from plaudit.run.report.values import Number, Record
from plaudit.types import Array


@dataclass(frozen=True)
class Summary:
    """The numbers that a reader wants first. ``None`` or NaN for a number that does not exist yet."""

    final_return: Number = None  # true return of the policy at the end, mean over evaluation episodes
    final_interval: tuple[float | int, float | int] | None = None  # 95 % interval of that mean
    baseline_return: Number = None  # the same, for the policy trained on the true reward
    ratio: Number = None  # final_return / baseline_return; None if a return may be negative
    labels: Number = None  # judgements used
    steps: Number = None  # environment steps
    seconds: Number = None  # wall-clock time of training
    episodes: Number = None  # number of evaluation episodes


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Learned and true reward over a grid of two state variables; NaN where there is no such state.

    Raises:
        ValueError: the two maps are not (H, W) alike.
    """

    learned: Array  # (H, W)
    true: Array  # (H, W)
    x_label: str  # of the W columns
    y_label: str  # of the H rows; row 0 is drawn at the top
    note: str = ""  # one sentence: which variables are fixed or averaged over

    def __post_init__(self) -> None:
        if self.learned.ndim != 2 or self.learned.shape != self.true.shape:
            raise ValueError(f"HeatMaps needs two (H, W) arrays, got {self.learned.shape}, {self.true.shape}")


@dataclass(frozen=True, eq=False)
class Scatter:
    """Learned and true reward of the same steps.

    Raises:
        ValueError: the two arrays differ in shape, or are not (n,).
    """

    learned: Array  # (n,)
    true: Array  # (n,)

    def __post_init__(self) -> None:
        if self.learned.ndim != 1 or self.learned.shape != self.true.shape:
            raise ValueError(f"Scatter needs two (n,) arrays, got {self.learned.shape}, {self.true.shape}")


@dataclass(frozen=True, eq=False)
class ControlResults:
    """Everything that the report shows."""

    title: str
    environment: str
    command: str  # typed into a shell, it reproduces the run
    settings: Record  # may be nested
    versions: Record  # name -> version
    metrics: Sequence[Record]  # the lines of metrics.jsonl, in order
    baseline: Sequence[Record] | None = None  # the same, of the run on the true reward
    calibration: Calibration | None = None
    heat_maps: HeatMaps | None = None
    scatter: Scatter | None = None
    clips: Sequence[Clip] = ()
    summary: Summary = field(default_factory=Summary)
