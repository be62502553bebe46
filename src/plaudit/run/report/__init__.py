"""The run's report: one self-contained HTML page, and its headline as plain text."""

from plaudit.run.report.data import Calibration, Clip, HeatMaps, ReportData, Scatter, Summary
from plaudit.run.report.html import render, write_report
from plaudit.run.report.text import headline

__all__ = [
    "Calibration",
    "Clip",
    "HeatMaps",
    "ReportData",
    "Scatter",
    "Summary",
    "headline",
    "render",
    "write_report",
]
