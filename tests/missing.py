"""Says in the last line of the output which tests were skipped because Chromium or PostgreSQL is missing.

A run without them is green although nothing has checked the pages or the second database, so the line names the number
of tests and the command that installs both. ``PLAUDIT_SKIPS=fail`` turns such skips into a failure; ``.ci/run`` sets it
where it may install packages.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

PACKAGES = {"Chromium": "chromium", "PostgreSQL": "postgresql"}  # a program, and Debian's name for its package


def count_skips(reasons: Iterable[str]) -> Counter[str]:
    """How many tests each missing program skipped. Their reasons begin with "no Chromium" or "no PostgreSQL"."""
    counts: Counter[str] = Counter()
    for reason in reasons:
        for program in PACKAGES:
            counts[program] += reason.removeprefix("Skipped: ").startswith(f"no {program}")
    return +counts


def describe(counts: Counter[str]) -> str:
    """One line: what is missing, what it cost, how to mend it."""
    parts = [f"{count} {'test' if count == 1 else 'tests'} because {name} is missing" for name, count in counts.items()]
    return f"skipped {' and '.join(parts)}: apt-get install {' '.join(PACKAGES[name] for name in counts)}"


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside pytest's own hook, which prints the line of totals
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = [] if reporter is None else reporter.stats.get("skipped", [])
    counts = count_skips(report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple))
    fail = bool(counts) and os.environ.get("PLAUDIT_SKIPS") == "fail"
    if fail and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    if reporter is not None and counts:
        reporter.write_line(f"{'FAILED' if fail else 'NOTE'}: {describe(counts)}", bold=True, yellow=True)
