"""A server that is killed while people judge: once here, more often by ``make test-all``, and two hundred times by
benchmarks/kills.py."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from ...postgres import Server
from .real import Real, answer_to, claimed

KILLS = Path(__file__).parents[3] / "benchmarks" / "kills.py"

MANY = pytest.mark.thorough
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="who is dead is read from Linux's /proc")


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


@MANY
@LINUX
def test_killed_under_load_nothing_acknowledged_is_lost_or_doubled() -> None:
    assert killed(8)["database_kills"] == 0


@MANY
@LINUX
def test_killed_under_load_with_its_postgresql(postgres: Server) -> None:
    """On a server of its own: this one stands for PostgreSQL being here at all."""
    assert postgres.sql("SELECT 1") == [(1,)]
    assert killed(4, "--postgres")["database_kills"] == 1


def judge(site: Real, name: str, acknowledged: list[str], sent: dict[str, dict[str, Any]]) -> None:
    """Claim and answer until the server is gone; what was sent, and which of it was acknowledged."""
    with suppress(httpx.TransportError), site.browser(name) as browser:
        while assignments := claimed(browser):
            for assignment in assignments:
                body = answer_to(assignment)
                sent[body["judgement"]] = body
                response = browser.post("/api/work/answer", json=body)
                assert response.status_code == 200, response.text
                acknowledged.append(response.json()["receipt"]["id"])


@pytest.mark.usefixtures("forked_servers")
def test_killed_once_nothing_acknowledged_is_lost_and_what_is_sent_again_counts_once(tmp_path: Path) -> None:
    """SIGKILL at a random moment between the tenth and the last of 300 judgements by two people."""
    site = Real(str(tmp_path / "feedback.sqlite"), tmp_path, questions=300)
    site.start(process=True)
    acknowledged: list[str] = []
    sent: dict[str, dict[str, Any]] = {}
    threads = [Thread(target=judge, args=(site, name, acknowledged, sent)) for name in ("Ada", "Boss")]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(acknowledged) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(os.urandom(4)).uniform(0.0, 0.2))
    site.kill()
    for thread in threads:
        thread.join(30)
    assert 10 <= len(acknowledged) < 300
    kept = site.judgements()
    assert set(acknowledged) <= set(kept) <= set(sent) and len(set(kept)) == len(kept)
    site.start()
    annotators = {each.id: each.annotator for each in site.kept()}
    for name in ("Ada", "Boss"):
        browser = site.browser(name)
        for identity, body in sent.items():
            if annotators.get(identity, name) == name and identity in annotators:
                assert browser.post("/api/work/answer", json=body).json()["receipt"]["status"] == "accepted"
        assert claimed(browser)  # work goes on
    assert site.judgements() == kept
    questions = [each.question for each in site.kept()]
    assert len(set(questions)) == len(questions)
    site.close()
