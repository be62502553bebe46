"""The last line of the tests' output, and that skips can be made to fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TREE = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_page(n):
    pytest.skip("no Chromium here")

@pytest.mark.skipif(True, reason="no PostgreSQL here (initdb)")
def test_database():
    pass

@pytest.mark.skipif(True, reason="root may write anywhere")
def test_modes():
    pass

def test_sum():
    assert 1 + 1 == 2
"""
BOTH = (
    "skipped 3 tests because Chromium is missing and 1 test because PostgreSQL is missing: "
    "apt-get install chromium postgresql"
)


def run(folder: Path, *options: str, **variables: str) -> tuple[int, str]:
    """Run pytest with this plugin on ``TREE``: its exit status, and the last line of what it prints."""
    (folder / "test_tree.py").write_text(TREE)
    (folder / "conftest.py").write_text("from tests.missing import pytest_sessionfinish\n")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}"]
    process = subprocess.run([*command, *options, str(folder)], env=variables, stdout=subprocess.PIPE, text=True)
    return process.returncode, process.stdout.splitlines()[-1]


@pytest.mark.parametrize("options", [(), ("-pxdist", "-n1")], ids=["one process", "workers"])
def test_the_last_line_names_what_is_missing(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert run(tmp_path, *options, PLAUDIT_SKIPS="") == (0, f"NOTE: {BOTH}")


def test_skips_fail_where_the_programs_could_be_installed(tmp_path: Path) -> None:
    assert run(tmp_path, PLAUDIT_SKIPS="fail") == (1, f"FAILED: {BOTH}")


def test_other_skips_are_not_mentioned(tmp_path: Path) -> None:
    status, line = run(tmp_path, "-k", "sum or modes", PLAUDIT_SKIPS="fail")
    assert status == 0 and "1 passed, 1 skipped" in line
