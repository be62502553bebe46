"""Several processes drain one queue; some are killed. Nothing acknowledged is lost, nothing is judged twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plaudit.feedback.store import Store

WORKERS = Path(__file__).with_name("store_workers.py")
KILLS = pytest.mark.parametrize("kills", [6, pytest.param(24, marks=pytest.mark.thorough)])  # half on PostgreSQL

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="annotators are forked, and killed by POSIX signals")


class Annotators:
    """Processes that drain the queue."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.reports: list[Path] = []
        self.nursery = subprocess.Popen(
            [sys.executable, str(WORKERS), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, name: str, lease_seconds: float, batch: int, pause: float) -> int:
        self.reports.append(self.folder / f"report-{len(self.reports)}")
        assert self.nursery.stdin is not None and self.nursery.stdout is not None
        self.nursery.stdin.write(f"{name} {self.reports[-1]} {lease_seconds} {batch} {pause}\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())

    def acknowledged(self) -> dict[str, str]:
        """What the annotators were told, by judgement."""
        lines = [line.split() for each in self.reports if each.exists() for line in each.read_text().splitlines()]
        assert len({line[0] for line in lines}) == len(lines)
        return {identity: status for identity, status in lines}

    def close(self) -> None:
        self.nursery.communicate(timeout=60)


@pytest.fixture
def annotators(address: str, tmp_path: Path) -> Iterator[Annotators]:
    made = Annotators(address, tmp_path)
    yield made
    made.close()


def wait_until_answered(store: Store, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while store.open_count():
        assert time.monotonic() < deadline, f"{store.counts()} after {seconds} s"
        time.sleep(0.02)


def faults(address: str) -> list[Any]:
    """What SQLite finds wrong with its file; a server looks after its own."""
    if address.startswith("postgresql:"):
        return []
    raw = sqlite3.connect(address)
    try:
        found = [*raw.execute("PRAGMA integrity_check"), *raw.execute("PRAGMA foreign_key_check")]
    finally:
        raw.close()
    return [each for each in found if each != ("ok",)]


def test_four_processes_answer_each_question_once(store: Store, make: Any, annotators: Annotators) -> None:
    questions, segments = make.pairs(80)
    store.ask(questions, segments)
    for name in ("ann", "bob", "cyd", "dan"):
        annotators.start(name, lease_seconds=60, batch=3, pause=0.002)
    wait_until_answered(store, 60)
    annotators.close()
    events = list(store.events())
    assert Counter(event.judgement.question for event in events) == {question.id: 1 for question in questions}
    assert annotators.acknowledged() == {event.judgement.id: "accepted" for event in events}
    assert len({event.judgement.annotator for event in events}) > 1
    assert faults(annotators.address) == []


@KILLS
def test_killed_at_random_nothing_acknowledged_is_lost(
    store: Store, make: Any, annotators: Annotators, kills: int
) -> None:
    kills = kills if Path(annotators.address).exists() else kills // 2
    chance = random.Random(int.from_bytes(os.urandom(4)))  # moments should differ between runs
    running: list[int] = []
    rounds = 0
    for kill in range(kills):
        if store.open_count() < 50:
            questions, segments = make.pairs(100, round=rounds)
            store.ask(questions, segments)
            rounds += 1
        while len(running) < 3:
            running.append(annotators.start(f"ann{kill % 5}", lease_seconds=1, batch=2, pause=0.004))
        time.sleep(chance.uniform(0.02, 0.3))
        try:
            os.kill(running.pop(chance.randrange(3)), signal.SIGKILL)
        except ProcessLookupError:
            continue  # had nothing left to do
    for name in ("eve", "flo"):
        annotators.start(name, lease_seconds=1, batch=2, pause=0.0)
    wait_until_answered(store, 60)
    annotators.close()

    events = {event.judgement.id: event for event in store.events()}
    told = annotators.acknowledged()
    assert told.items() <= {identity: event.status for identity, event in events.items()}.items()
    accepted = Counter(event.judgement.question for event in events.values() if event.status == "accepted")
    assert set(accepted.values()) == {1} and len(accepted) == store.counts().questions
    assert sorted(each.question for each in store.judgements()) == sorted(accepted)
    # A kill loses at most what was not yet acknowledged: a batch of two for each annotator killed.
    assert len(events) - len(told) <= 2 * kills
    assert faults(annotators.address) == []
