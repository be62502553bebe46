"""A server that is killed again and again while people judge; benchmarks/kills.py does the same two hundred times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ...postgres import Server

KILLS = Path(__file__).parents[3] / "benchmarks" / "kills.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="who is dead is read from Linux's /proc"),
]


def killed(kills: int, *more: str) -> dict[str, Any]:
    """What was found, of which nothing is bad."""
    seed = str(int.from_bytes(os.urandom(3)))  # moments should differ between runs
    command = [sys.executable, str(KILLS), "--kills", str(kills), "--seed", seed, "--keep", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["kills"], found["lost"], found["doubled"], found["faults"]) == (kills, 0, 0, [])
    assert (found["unanswerable"], found["never_expired"]) == (0, 0)
    assert found["acknowledged"] >= 5 * kills and found["broken"] > 0  # it was at work, and in the middle of it
    return found


def test_killed_under_load_nothing_acknowledged_is_lost_or_doubled() -> None:
    assert killed(8)["database_kills"] == 0


def test_killed_under_load_with_its_postgresql(postgres: Server) -> None:
    """On a server of its own: this one stands for PostgreSQL being here at all."""
    assert postgres.sql("SELECT 1") == [(1,)]
    assert killed(4, "--postgres")["database_kills"] == 1
