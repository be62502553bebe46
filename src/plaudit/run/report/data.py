"""What a report is made of: plain numbers and bytes, so that it can be made again from a run folder alone.

Anything may be missing, as it is in a run that has just begun: ``None``, NaN and empty arrays are shown as
"not measured yet", never as zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from plaudit.types import Array

Number = float | int | None
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Summary:
    """The numbers that a reader wants first. ``None`` or NaN where a number does not exist yet."""

    final_return: Number = None  # true return of the policy at the end, mean over evaluation episodes
    final_interval: tuple[float | int, float | int] | None = None  # 95 % interval of that mean
    baseline_return: Number = None  # the same, for the policy trained on the true reward
    ratio: Number = None  # final_return / baseline_return; leave out where returns can be negative
    labels: Number = None  # judgements used
    steps: Number = None  # environment steps
    seconds: Number = None  # wall-clock time of training


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out comparisons: what the reward model said, and what the annotators said.

    Raises:
        ValueError: the two arrays differ in shape, or are not (n,).
    """

    predicted: Array  # (n,) P[first better] of the reward model
    targets: Array  # (n,) mu: 1 first better, 0 second, 0.5 a tie

    def __post_init__(self) -> None:
        if self.predicted.ndim != 1 or self.predicted.shape != self.targets.shape:
            raise ValueError(f"Calibration needs two (n,) arrays, got {self.predicted.shape}, {self.targets.shape}")


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Learned and true reward over a grid of two state variables; NaN where there is no such state.

    Raises:
        ValueError: the two maps are not (H, W) alike.
    """

    learned: Array  # (H, W)
    true: Array  # (H, W)
    x_label: str  # what the W columns are
    y_label: str  # what the H rows are; row 0 is drawn at the top
    note: str = ""  # what is held fixed or averaged over, one sentence

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


@dataclass(frozen=True)
class Clip:
    """A clip of the agent, before training or after."""

    caption: str
    webm: bytes
    poster: bytes  # PNG
    kind: Literal["before", "after"]


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that a report shows."""

    title: str
    environment: str
    command: str  # typed into a shell, it reproduces the run
    settings: Record  # may be nested
    versions: Record  # name -> version
    metrics: Sequence[Record]  # the lines of metrics.jsonl, in order
    baseline: Sequence[Record] | None = None  # the lines of baseline.jsonl
    calibration: Calibration | None = None
    heat_maps: HeatMaps | None = None
    scatter: Scatter | None = None
    clips: Sequence[Clip] = ()
    summary: Summary = field(default_factory=Summary)


def column(records: Sequence[Record] | None, key: str) -> Array:
    """One metric over the records, (len(records),) float64, NaN where it is missing, null or no finite number."""
    values = np.full(len(records or ()), np.nan)
    for index, record in enumerate(records or ()):
        value = record.get(key)
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            values[index] = value
    values[~np.isfinite(values)] = np.nan
    return values


def known(value: Number) -> bool:
    """Whether a number was measured: neither ``None`` nor NaN nor infinite."""
    return value is not None and math.isfinite(value)
