"""Training beside those who answer: it waits for nobody, keeps to the schedule, and is replayed bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from plaudit.annotators.biased import simulated_annotator
from plaudit.annotators.truth import Ledger
from plaudit.annotators.worker import drain
from plaudit.feedback.select import labels_due
from plaudit.feedback.store import Store
from plaudit.run.control import parallel
from plaudit.run.control.config import Run
from plaudit.run.control.replay import replay_of
from plaudit.run.stored import PEOPLE
from plaudit.types import PlauditError

PACE = ("learner/share", "learner/starts")  # what the one and the other remember of the pace


def quiet(answers: int, wanted: int) -> None:
    """Nobody looks."""


def train(run: Run, rounds: int | None = None) -> Run:
    with run.training():
        session, close = parallel.parallel_session(run, quiet)
        try:
            for row in session.rounds():
                if rounds is not None and row["round"] + 1 >= rounds:
                    break
        finally:
            close()
    return run


class Person(threading.Thread):
    """Somebody who answers as the oracle does, one question at a time, and takes ``seconds`` for each."""

    def __init__(self, folder: Path, seconds: float, most: int = 10**9) -> None:
        super().__init__(daemon=True)
        self.folder, self.seconds, self.most, self.given = folder, seconds, most, 0
        self.over = threading.Event()

    def run(self) -> None:
        """Answer until told to stop."""
        while not (self.folder / "feedback.sqlite").exists() and not self.over.is_set():
            time.sleep(0.01)
        with Store.open(self.folder / "feedback.sqlite") as store:
            oracle = simulated_annotator("oracle", Ledger(self.folder / "truth.jsonl"), 0)
            while not self.over.is_set() and self.given < self.most:
                self.given += drain(store, oracle, limit=1, wait=False)
                self.over.wait(self.seconds)

    def stop(self) -> None:
        """Go home."""
        self.over.set()
        self.join()


@pytest.fixture(scope="module")
def beside(forked: None, tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = tools.tiny(rounds=6, parallel=True)
    return train(Run.create(tmp_path_factory.mktemp("beside") / "run", config))


def test_every_answer_is_asked_for_and_heard(beside: Run) -> None:
    rows, labels = beside.metrics(), beside.config.feedback.labels
    assert rows[-1]["asked"] == labels and rows[-1]["progress"] == 1.0
    assert all(a["progress"] <= b["progress"] for a, b in itertools.pairwise(rows))
    assert rows[-1]["answers"] == labels and all(row["labels"] <= row["answers"] <= row["asked"] for row in rows)
    fits = [row["fit_until"] for row in rows if row["fit_until"]]
    assert fits == sorted(set(fits)) and len(fits) >= 2 and rows[0]["fit_round"] == 0
    assert all(row["fit_round"] < row["round"] for row in rows[1:] if row["fit_until"])  # taken over when it is ready
    with Store.open(beside.folder / "feedback.sqlite", create=False) as store:
        assert store.counts().open == 0 and len(store.judgements()) == labels


def test_no_more_is_asked_than_the_schedule_allows(beside: Run) -> None:
    feedback = beside.config.feedback
    for row in beside.metrics()[1:]:
        due = labels_due(int(row["progress"] * 10**6), 10**6, feedback.labels, feedback.upfront)
        assert row["asked"] <= due + parallel.BACKLOG // 2


def test_a_replay_ends_bit_for_bit_where_the_run_did(beside: Run, tools: Any, tmp_path: Path) -> None:
    again = replay_of(beside, tmp_path / "again")
    tools.train(again.folder)
    tools.assert_same(beside, again, PACE)


@pytest.mark.usefixtures("forked")
def test_a_run_that_was_stopped_goes_on_and_is_replayed(tools: Any, tmp_path: Path) -> None:
    run = train(Run.create(tmp_path / "run", tools.tiny(rounds=4, parallel=True)), rounds=2)
    train(Run.open(run.folder))
    assert [row["round"] for row in run.metrics()] == list(range(len(run.metrics())))
    again = replay_of(run, tmp_path / "again")
    tools.train(again.folder)
    tools.assert_same(run, again, PACE)


@pytest.mark.thorough
def test_processes_of_their_own(tools: Any, tmp_path: Path) -> None:
    """As `plaudit train` starts them: interpreters that import everything anew."""
    run = train(Run.create(tmp_path / "run", tools.tiny(rounds=4, parallel=True)))
    assert run.metrics()[-1]["asked"] == run.config.feedback.labels


@pytest.mark.usefixtures("forked")
def test_training_goes_on_while_people_think(tools: Any, tmp_path: Path) -> None:
    """40 answers at a twentieth of a second take longer than 6 rounds: there are more rounds, and none waits."""
    run = Run.create(tmp_path / "run", tools.tiny(rounds=6, annotator=PEOPLE))
    person = Person(run.folder, seconds=0.05)
    person.start()
    train(run)
    person.stop()
    rows = run.metrics()
    assert len(rows) > 6 and rows[-1]["progress"] == 1.0 and person.given == run.config.feedback.labels
    waiting = [row["asked"] - row["labels"] for row in rows[1:]]
    assert min(waiting) >= 0 and (run.folder / "latest.clip").stat().st_size > 100
    expected = json.loads((run.folder / "predictions.json").read_text())
    with Store.open(run.folder / "feedback.sqlite") as store:
        said = {each.id for each in store.judgements()}
    assert 0 < len(expected) <= len(said) and set(expected) <= said and all(0 <= p <= 1 for p in expected.values())


@pytest.mark.usefixtures("forked")
def test_a_person_who_has_said_enough_ends_the_run(tools: Any, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", tools.tiny(rounds=6, annotator=PEOPLE))
    (run.folder / "finish").touch()  # before anybody has answered
    with pytest.raises(PlauditError, match="none has a usable answer"):
        train(run)
    (run.folder / "finish").unlink()
    person = Person(run.folder, seconds=0.02, most=15)
    person.start()

    def enough() -> None:
        person.join()  # who has given 15
        (run.folder / "finish").touch()

    threading.Thread(target=enough, daemon=True).start()
    train(run)
    assert person.given == 15
    assert run.metrics()[-1]["progress"] == 1.0 and run.metrics()[-1]["labels"] <= 15


def test_a_run_that_had_its_answers_at_once_has_no_record(tools: Any, tmp_path: Path) -> None:
    run = tools.train(tmp_path / "run", tools.tiny(rounds=2))
    with pytest.raises(PlauditError, match="has no record of when answers came"):
        replay_of(run, tmp_path / "again")


def test_a_replay_of_something_else_says_so(beside: Run, tools: Any, tmp_path: Path) -> None:
    other = dataclasses.replace(beside.config, seed=beside.config.seed + 1)
    again = replay_of(beside, tmp_path / "again", other)
    with pytest.raises(PlauditError, match="asks a question that the recorded run did not ask"):
        tools.train(again.folder)
