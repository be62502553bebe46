"""Reliability of a report's held-out comparisons; the formulas stand in :mod:`plaudit.functional.calibration`."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.functional.calibration import Reliability, temperature
from plaudit.functional.calibration import reliability as reliability_of_pairs
from plaudit.types import Array

__all__ = ["Calibration", "Reliability", "reliability", "temperature"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Held-out comparisons: the reward model's predictions, and the annotators' answers.

    Raises:
        ValueError: the two arrays differ in shape, or are not (n,).
    """

    predicted: Array  # (n,) P[first better] of the reward model
    targets: Array  # (n,) mu: 1 first better, 0 second, 0.5 a tie

    def __post_init__(self) -> None:
        if self.predicted.ndim != 1 or self.predicted.shape != self.targets.shape:
            raise ValueError(f"Calibration needs two (n,) arrays, got {self.predicted.shape}, {self.targets.shape}")


def reliability(calibration: Calibration | None, bins: int = 5) -> Reliability | None:
    """As :func:`plaudit.functional.calibration.reliability`; None without comparisons."""
    if calibration is None:
        return None
    return reliability_of_pairs(calibration.predicted, calibration.targets, bins)
