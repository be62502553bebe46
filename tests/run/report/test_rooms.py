"""A report of one domain does not load the other domain."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONTROL = ("plaudit.control", "plaudit.run.control", "plaudit.run.report.control")
LANGUAGE = ("plaudit.language", "plaudit.run.language", "plaudit.run.report.language")


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("plaudit.run.report.control", (*LANGUAGE, "torch", "gymnasium", "transformers")),
        ("plaudit.run.report.language", (*CONTROL, "torch", "gymnasium", "transformers")),
        ("plaudit.run.report.page", (*CONTROL, *LANGUAGE)),
        ("plaudit.run.language.evaluate", CONTROL),  # makes the report of a run
        ("plaudit.run.control.look", (*LANGUAGE, "transformers")),
    ],
)
def test_a_report_loads_its_own_domain_only(module: str, foreign: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in modules
    loaded = [name for name in modules for domain in foreign if name == domain or name.startswith(domain + ".")]
    assert loaded == []
