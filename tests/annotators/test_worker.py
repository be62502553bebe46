"""Draining the queue: every question once, in batches, and nothing held back when the work is interrupted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plaudit.annotators.biased import simulated_annotator
from plaudit.annotators.truth import Ledger
from plaudit.annotators.undecided import LOST, UndecidedQuestion
from plaudit.annotators.worker import LEASE_SECONDS, drain, judgement_id
from plaudit.feedback.store import Store
from plaudit.types import Answer, PlauditError, Question, Segment, Source, TrueReward

from ..processes import Forked

COUNT = 30


def cut(start: int) -> Segment:
    return Segment(np.array([[start, step] for step in range(3)]), np.zeros(3), source=Source(0, 0, start))


class Fake:
    """Says what it is told to, and may fail on the way."""

    name = "fake"

    def __init__(self, fail_at: int | None = None, error: BaseException | None = None) -> None:
        self.seen: list[str] = []
        self.fail_at, self.error = fail_at, error

    def judge(self, question, items):
        assert [each.id for each in items] == list(question.items)
        if len(self.seen) == self.fail_at and self.error is not None:
            raise self.error
        self.seen.append(question.id)
        return Answer({"strength": 2}, rationale="because")


def ask(store: Store, count: int = COUNT) -> list[Question]:
    segments = [cut(start) for start in range(count + 1)]
    questions = [Question("comparison", (segments[i].id, segments[i + 1].id), "Which?", round=1) for i in range(count)]
    store.ask(questions, segments)
    return questions


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with Store.open(tmp_path / "feedback.sqlite") as opened:
        yield opened


def test_everything_is_judged_once(store):
    questions = ask(store)
    fake = Fake()
    assert drain(store, fake, batch=7) == COUNT
    assert sorted(fake.seen) == sorted(question.id for question in questions)
    counts = store.counts()
    assert (counts.open, counts.leased, counts.effective, counts.surplus) == (0, 0, COUNT, 0)
    assert drain(store, fake) == 0
    first = store.judgements()[0]
    assert (first.annotator, dict(first.value), first.order, first.rationale) == (
        "fake",
        {"strength": 2},
        (0, 1),
        "because",
    )
    assert first.shown_at <= first.first_input_at <= first.submitted_at


def test_limit_and_items(store):
    ask(store)
    asked: list[int] = []

    def items(ids):
        asked.append(len(ids))
        return store.segments(ids)

    assert drain(store, Fake(), items=items, limit=10, batch=4) == 10
    assert store.counts().effective == 10
    assert len(asked) == 3  # batches of 4, 4 and 2; each segment is looked up once in a batch
    assert asked == [5, 5, 3]
    assert drain(store, Fake(), limit=0) == 0
    with pytest.raises(PlauditError, match="drain"):
        drain(store, Fake(), batch=0)
    with pytest.raises(PlauditError, match="drain"):
        drain(store, Fake(), limit=-1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PlauditError("no truth")])
def test_an_interrupted_worker_leaves_no_lease(store, error):
    ask(store)
    with pytest.raises(type(error)):
        drain(store, Fake(fail_at=12, error=error), batch=10)
    counts = store.counts()
    assert (counts.leased, counts.effective) == (0, 12)  # the first batch, and what was judged of the second
    assert drain(store, Fake(), batch=10) == COUNT - 12


def test_a_slow_annotator_answers_while_its_leases_live(store):
    ask(store, 5)
    now = [1000.0]
    fake = Fake()

    def clock() -> float:
        now[0] += LEASE_SECONDS / 3  # so two judgements are half a lease
        return now[0]

    assert drain(store, fake, batch=5, clock=clock) == 5
    assert len(fake.seen) == 5
    assert store.counts(now=now[0]).leased == 0


class Unsure(Fake):
    """Cannot decide two questions of five, and then says so again."""

    def judge(self, question, items):
        answer = super().judge(question, items)
        if int(question.items[0], 16) % 5 < 2:
            raise UndecidedQuestion("hm")
        return answer


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_the_undecided_stay_open_and_are_asked_once(store, batch):
    ask(store)
    fake = Unsure()
    given = drain(store, fake, batch=batch)
    counts = store.counts()
    assert 0 < given < COUNT and (counts.open, counts.leased, counts.effective) == (COUNT - given, 0, given)
    assert len(fake.seen) == len(set(fake.seen)) == COUNT
    assert COUNT - given >= LOST  # which are met in a row from now on, and are no news
    more = ask(store, COUNT + 12)[COUNT:]
    again = Unsure()
    assert drain(store, again, batch=batch) > 0
    assert {each.id for each in more} < set(again.seen) and len(set(again.seen)) == len(again.seen)
    drain(store, Unsure(), batch=batch)
    drain(store, Fake(), batch=batch)  # by somebody who can
    assert store.counts().open == 0


def test_whoever_decides_nothing_is_stopped(store):
    ask(store)
    fake = Unsure()
    fake.judge = lambda question, items: (_ for _ in ()).throw(UndecidedQuestion("hm"))
    for _ in range(2):  # trying again changes nothing
        with pytest.raises(PlauditError, match="fake could not decide 10 questions in a row, the last because hm"):
            drain(store, fake)
    assert store.counts().leased == 0


def test_a_clock_set_back_does_no_harm(store):
    ask(store, 2)
    moments = iter([1000.0, 1000.0, 900.0, 890.0])
    assert drain(store, Fake(), wait=False, limit=2, clock=lambda: next(moments)) == 2
    assert [each.submitted_at for each in store.judgements()] == [1000.0, 1000.0]


def test_a_killed_workers_questions_are_waited_for(store, monkeypatch):
    ask(store, 5)
    now = [1000.0]
    assert len(store.claim("fake", 2, LEASE_SECONDS, now=now[0])) == 2  # and then it was killed
    assert drain(store, Fake(), wait=False, clock=lambda: now[0]) == 3
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += LEASE_SECONDS / 4

    monkeypatch.setattr("plaudit.annotators.worker.time.sleep", sleep)
    assert drain(store, Fake(), clock=lambda: now[0]) == 2
    assert len(slept) == 4
    assert store.counts(now=now[0]).effective == 5


def test_ids_name_question_and_annotator(store):
    question, other = ask(store, 2)
    identity = judgement_id(question, "oracle")
    assert uuid.UUID(identity).version == 5
    assert identity == judgement_id(question, "oracle")
    assert len({identity, judgement_id(other, "oracle"), judgement_id(question, "equal")}) == 3
    drain(store, Fake())
    assert {each.id for each in store.judgements()} == {judgement_id(each, "fake") for each in (question, other)}


def judge_elsewhere(folder: Path, name: str) -> None:
    with Store.open(folder / "feedback.sqlite") as store:
        drain(store, simulated_annotator(name, Ledger(folder / "truth.jsonl"), seed=5), batch=3)


@pytest.mark.parametrize("name", ["oracle", "mistake", "equal"])
def test_whoever_asks_hears_the_same(tmp_path, name):
    """Judged here at once, and by other processes that have only the folder: the same answers."""
    heard = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        ledger = Ledger(folder / "truth.jsonl")
        ledger.add(TrueReward(0, np.random.default_rng(0).normal(1.0, 1.0, (1, 64)).astype(np.float32)))
        with Store.open(folder / "feedback.sqlite") as store:
            ledger.keep([cut(start) for start in range(COUNT + 1)], round=1)
            ask(store)
            if folder.name == "here":
                drain(store, simulated_annotator(name, ledger, seed=5))
            else:
                workers = [Forked(judge_elsewhere, folder, name) for _ in range(2)]
                assert [worker.wait().status for worker in workers] == [0, 0]
            heard.append([(each.id, each.value, each.order) for each in store.judgements()])
            assert store.counts().surplus == 0
    assert heard[0] == heard[1] and len(heard[0]) == COUNT


@pytest.mark.parametrize("strength", [2, -3])
def test_what_was_withdrawn_is_judged_anew(store, strength):
    (question,) = ask(store, 1)
    said = {"strength": 2}

    class Fickle(Fake):
        def judge(self, question, items):
            assert len(self.seen) < 3, "the queue is drained for ever"
            return replace(super().judge(question, items), value=dict(said))

    fickle = Fickle()
    for time in range(2):
        assert drain(store, fickle) == 1 and store.open_count() == 0
        (judgement,) = store.judgements()
        assert len(fickle.seen) == time + 1 and judgement.value == said
        store.answer([replace(judgement, value={"withdrawn": True}, supersedes=judgement.id, id=str(uuid.uuid4()))])
        assert store.open_count() == 1 and not store.judgements()
        said["strength"] = strength
    assert store.judgements_by("fake", [question.id, "another"]) == {question.id: 4}
    assert store.judgements_by("another", [question.id]) == {} == store.judgements_by("fake", [])
