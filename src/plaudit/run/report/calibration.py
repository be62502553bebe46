"""Reliability of a report's held-out comparisons; the formulas stand in :mod:`plaudit.functional.calibration`."""

from __future__ import annotations

from plaudit.functional.calibration import Reliability, temperature, wilson
from plaudit.functional.calibration import reliability as of_pairs
from plaudit.run.report.data import Calibration

__all__ = ["Reliability", "reliability", "temperature", "wilson"]


def reliability(calibration: Calibration, bins: int = 5) -> Reliability | None:
    """As :func:`plaudit.functional.calibration.reliability`."""
    return of_pairs(calibration.predicted, calibration.targets, bins)
