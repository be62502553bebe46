"""Any order of claims, answers, edits, withdrawals and lapses, by several annotators, against a plain model of it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from plaudit.feedback.ledger import ANY
from plaudit.feedback.queue import SKEW
from plaudit.feedback.store import Claim, Lease, Store
from plaudit.types import Judgement, PlauditError, Question

from .refusals import assert_refused

ANNOTATORS = st.sampled_from(["ann", "bob", "cyd"])
SECONDS = st.integers(1, 30).map(float)
STRENGTHS = st.sampled_from([-4, -1, 0, 4, None])
JUMPS = st.sampled_from([-1e6, -SKEW - 20, -10.0, SKEW + 20, 1e6])
PROJECTS = st.sampled_from([None, "a", "b"])
PURPOSES = st.sampled_from([("train",), ("gold",), ("repeat", "gold"), ("train", "gold", "repeat")])


@dataclass(frozen=True)
class Asked:
    """A question, and what the store adds to it."""

    question: Question
    wanted: int = 1
    purpose: Any = "train"
    only_for: str | None = None


@dataclass(frozen=True)
class Held:
    """A lease as the model has it."""

    question: str
    annotator: str
    expires_at: float
    claimed_at: float

    def live(self, now: float) -> bool:
        return self.expires_at > now

    def set_back(self, now: float) -> Held:
        if self.claimed_at <= now + SKEW:
            return self
        return replace(self, expires_at=now + (self.expires_at - self.claimed_at), claimed_at=now)


class Queue(RuleBasedStateMachine):
    """Two stores on one database stand for two processes; the model is a list of events and a dictionary of leases."""

    leases = Bundle("leases")
    said = Bundle("said")

    def __init__(self, make: Any, address: str, forget: Callable[[], None], asked: list[Asked]) -> None:
        super().__init__()
        self.make, self.forget = make, forget
        self.stores = [Store.open(address), Store.open(address)]
        self.calls = itertools.count()
        self.now = 1e9
        self.asked = {each.question.id: each for each in asked}
        self.held: dict[str, Held] = {}  # by token; one that has lapsed is there until somebody claims
        self.events: list[tuple[Judgement, str]] = []

    @property
    def store(self) -> Store:
        return self.stores[next(self.calls) % 2]

    # The model

    def standing(self, question: str) -> list[tuple[Judgement, str]]:
        superseded = {each.supersedes for each, _ in self.events}
        return [pair for pair in self.events if pair[0].question == question and pair[0].id not in superseded]

    def effective(self, question: str) -> list[Judgement]:
        return [each for each, status in self.standing(question) if status == "accepted"]

    def has_judged(self, question: str, annotator: str, beside: str | None = None) -> bool:
        return any(
            each.annotator == annotator and status != "withdrawal" and each.id != beside
            for each, status in self.standing(question)
        )

    def claimable(self, asked: Asked, wanted: Claim) -> bool:
        name, who = asked.question.id, wanted.annotator
        at_work = [each.annotator for each in self.held.values() if each.question == name]
        return (
            asked.wanted < ANY
            and asked.wanted > len(self.effective(name)) + len(at_work)
            and who not in at_work
            and not self.has_judged(name, who)
            and asked.only_for in (None, who)
            and asked.purpose in wanted.purposes
            and wanted.project in (None, asked.question.project)
        )

    def expect(self, wanted: Claim) -> list[Question]:
        """What a claim must bring; the lapsed leases end with it."""
        self.held = {token: each for token, each in self.held.items() if each.live(self.now)}
        return [each.question for each in self.asked.values() if self.claimable(each, wanted)][: wanted.limit]

    def take(self, leases: list[Lease], annotator: str, seconds: float) -> Any:
        if not leases:  # somebody goes without: leases claimed in what is now the future begin now
            self.held = {token: each.set_back(self.now) for token, each in self.held.items()}
        for lease in leases:
            assert lease.token not in self.held
            assert (lease.claimed_at, lease.expires_at) == (self.now, self.now + seconds)
            self.held[lease.token] = Held(lease.question.id, annotator, self.now + seconds, self.now)
        return multiple(*((lease, annotator) for lease in leases))

    def status(self, judgement: Judgement) -> str:
        """What ``judgement`` counts as when it arrives now."""
        if judgement.value == {"withdrawn": True}:
            return "withdrawal"
        taken = [each for each in self.effective(judgement.question) if each.id != judgement.supersedes]
        again = self.has_judged(judgement.question, judgement.annotator, beside=judgement.supersedes)
        return "surplus" if again or len(taken) >= self.asked[judgement.question].wanted else "accepted"

    def enter(self, judgement: Judgement, status: str, receipt: str) -> Judgement:
        assert receipt == ("surplus" if status == "surplus" else "accepted")
        self.events.append((judgement, status))
        if status != "withdrawal":
            pair = (judgement.question, judgement.annotator)
            self.held = {token: each for token, each in self.held.items() if (each.question, each.annotator) != pair}
        return judgement

    def answer_with(self, judgement: Judgement) -> Judgement:
        (receipt,) = self.store.answer([judgement])
        return self.enter(judgement, self.status(judgement), receipt.status)

    # What may happen

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=JUMPS)
    def the_clock_jumps(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=leases, annotator=ANNOTATORS, limit=st.integers(1, 3), seconds=SECONDS)
    def claim(self, annotator: str, limit: int, seconds: float) -> Any:
        expected = self.expect(Claim(annotator, limit))
        leases = self.store.claim(annotator, limit, seconds, now=self.now)
        assert [lease.question for lease in leases] == expected
        return self.take(leases, annotator, seconds)

    @rule(target=leases, annotator=ANNOTATORS, project=PROJECTS, purposes=PURPOSES, seconds=SECONDS)
    def claim_some(self, annotator: str, project: str | None, purposes: Any, seconds: float) -> Any:
        wanted = Claim(annotator, 2, project, purposes)
        expected = self.expect(wanted)
        leases = self.store.claim(wanted, lease_seconds=seconds, now=self.now)
        assert [lease.question for lease in leases] == expected
        return self.take(leases, annotator, seconds)

    @rule(target=leases, held=leases, strength=STRENGTHS, project=PROJECTS, seconds=SECONDS)
    def turn(self, held: Any, strength: int | None, project: str | None, seconds: float) -> Any:
        """Answer, and get the next: a repetition or a known one where there is one, something to learn from else."""
        lease, annotator = held
        judgement = self.make.judgement(lease.question, annotator, strength)
        status = self.status(judgement)
        wishes = [Claim(annotator, 1, project, ("repeat", "gold")), Claim(annotator, 1, project)]
        receipts, leases = self.store.turn([judgement], [lease.token], wishes, seconds, self.now)
        self.held.pop(lease.token, None)
        self.enter(judgement, status, receipts[0].status)
        assert [each.question for each in leases] == (self.expect(wishes[0]) or self.expect(wishes[1]))
        return self.take(leases, annotator, seconds)

    @rule(held=leases, seconds=SECONDS)
    def renew(self, held: Any, seconds: float) -> None:
        token = held[0].token
        before = self.held.get(token)
        expected = self.now + seconds if before and before.live(self.now) else None
        assert self.store.renew(token, seconds, now=self.now) == expected
        if before and expected is not None:
            self.held[token] = replace(before, expires_at=expected, claimed_at=min(before.claimed_at, self.now))

    @rule(annotator=ANNOTATORS)
    def start_again(self, annotator: str) -> None:
        ended = {token for token, each in self.held.items() if each.annotator == annotator}
        assert self.store.release_all(annotator) == len(ended)
        self.held = {token: each for token, each in self.held.items() if token not in ended}

    @rule(held=leases)
    def release(self, held: Any) -> None:
        assert self.store.release(held[0].token) == (self.held.pop(held[0].token, None) is not None)

    @rule(target=said, held=leases, strength=STRENGTHS)
    def answer(self, held: Any, strength: int | None) -> Judgement:
        """In time or late; the second time for the same lease, it is a second answer."""
        lease, annotator = held
        return self.answer_with(self.make.judgement(lease.question, annotator, strength))

    @rule(target=said, annotator=ANNOTATORS, place=st.integers(0, 5), strength=STRENGTHS)
    def answer_unasked(self, annotator: str, place: int, strength: int | None) -> Any:
        asked = list(self.asked.values())[place]
        judgement = self.make.judgement(asked.question, annotator, strength)
        if asked.only_for not in (None, annotator):
            with assert_refused("is for another annotator than", annotator):
                self.store.answer([judgement])
            return multiple()
        return self.answer_with(judgement)

    @rule(target=said, annotator=ANNOTATORS, strength=STRENGTHS)
    def record(self, annotator: str, strength: int | None) -> Judgement:
        """A question that comes with its answer, as in a live talk."""
        (question,), items = self.make.pairs(1)
        judgement = self.make.judgement(question, annotator, strength)
        self.asked[question.id] = Asked(question, ANY)
        (receipt,) = self.store.record([(question, judgement)], items)
        return self.enter(judgement, "accepted", receipt.status)

    @rule(before=said)
    def repeat(self, before: Judgement) -> None:
        assert [each.status for each in self.store.answer([before])] == ["duplicate"]

    @rule(target=said, before=said, strength=STRENGTHS)
    def edit(self, before: Judgement, strength: int | None) -> Any:
        edit = replace(self.make.judgement(before.question, before.annotator, strength), supersedes=before.id)
        if before.id in {each.id for each, _ in self.standing(before.question)}:
            return self.answer_with(edit)
        with pytest.raises(PlauditError, match="name the latest"):
            self.store.answer([edit])
        return multiple()

    @rule(target=said, before=said)
    def undo(self, before: Judgement) -> Any:
        standing = {each.id: status for each, status in self.standing(before.question)}
        if standing.get(before.id, "withdrawal") != "withdrawal":
            return self.answer_with(self.make.withdrawal(before))
        with pytest.raises(PlauditError, match=r"name the latest|a withdrawal already"):
            self.store.answer([self.make.withdrawal(before)])
        return multiple()

    @rule(back=st.integers(0, 6))
    def what_had_arrived_by_then(self, back: int) -> None:
        """Looked at from any event, later or earlier than the last time."""
        numbers = [0, *(event.number for event in self.store.events())]
        back = min(back, len(self.events))
        before = self.events[: len(self.events) - back]
        superseded = {each.supersedes for each, _ in before}
        counted = [each for each, status in before if status == "accepted" and each.id not in superseded]
        expected = [each for each in counted if self.asked[each.question].purpose == "train"]
        assert self.store.list_arrived(numbers[-1 - back]) == expected

    # What must hold after each step

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        assert [(event.judgement, event.status) for event in self.store.events()] == self.events

    @invariant()
    def what_counts_is_what_the_model_counts(self) -> None:
        training = [name for name, asked in self.asked.items() if asked.purpose == "train"]
        assert self.store.judgements() == [each for name in training for each in self.effective(name)]

    @invariant()
    def no_question_has_more_than_it_wants(self) -> None:
        for name, asked in self.asked.items():
            effective = self.effective(name)
            assert len(effective) <= asked.wanted and len({each.annotator for each in effective}) == len(effective)

    @invariant()
    def the_queue_follows_from_the_events(self) -> None:
        asked = {name: each.wanted for name, each in self.asked.items() if each.wanted < ANY}
        unsettled = [name for name, wanted in asked.items() if len(self.effective(name)) < wanted]
        live = [each for each in self.held.values() if each.live(self.now)]
        counts = self.store.counts(now=self.now)
        assert (counts.open, counts.leased, counts.judgements) == (len(unsettled), len(live), len(self.events))
        assert counts.questions == len(self.asked) and self.store.open_count() == len(unsettled)
        assert self.store.waiting() == sum(self.asked[name].purpose == "train" for name in unsettled)

    @invariant()
    def the_newest_event_is_the_last(self) -> None:
        numbers = [event.number for event in self.store.events()]
        assert numbers == sorted(set(numbers)) and self.store.last_event() == (numbers[-1] if numbers else 0)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.forget()


@pytest.fixture
def copies(request: pytest.FixtureRequest, address: str, tmp_path: Path) -> Iterator[Callable[[], tuple[str, Any]]]:
    """Makes copies of the store at ``address``, which nobody may have open: an address, and how to be rid of it."""
    numbers = itertools.count()

    def copy() -> tuple[str, Any]:
        if address.startswith("postgresql:"):
            server = request.getfixturevalue("postgres")
            name = server.create(address.partition("@/")[2].partition("?")[0])
            return server.address(name), lambda: server.drop(name)
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return str(shutil.copy(address, folder)), lambda: shutil.rmtree(folder)

    yield copy


@pytest.mark.parametrize("share", [0.3, pytest.param(1.0, marks=pytest.mark.thorough)])
def test_the_queue_behaves_like_its_model(
    address: str, copies: Callable[[], tuple[str, Any]], make: Any, share: float
) -> None:
    questions, segments = make.pairs(6)
    projects = ["a", "a", "b", "a", "b", "b"]
    questions = [replace(each, project=name) for each, name in zip(questions, projects, strict=True)]
    hows = [(1,), (2,), (1,), (3, "gold"), (1, "repeat", "ann"), (1, "train", "bob")]
    asked = [Asked(question, *how) for question, how in zip(questions, hows, strict=True)]
    with Store.open(address) as store:
        for each in asked:
            store.ask([each.question], segments, each.wanted, each.purpose, each.only_for)

    machines: list[Queue] = []

    def machine() -> Queue:
        machines.append(Queue(make, *copies(), asked))
        return machines[-1]

    # What is asserted stands in the machine: its rules compare every answer of the store with the model's, and its
    # invariants hold after every step. Shrinking would take minutes, for each step is a commit: forty steps can be
    # read as they are.
    examples = max(6, round(share * (7 if address.startswith("postgresql:") else 20)))  # of two, both may judge nothing
    short = settings(max_examples=examples, stateful_step_count=40, phases=[Phase.reuse, Phase.generate])
    run_state_machine_as_test(machine, settings=short)  # pyright: ignore[reportArgumentType]
    assert len(machines) >= short.max_examples and any(each.events for each in machines)  # they ran, and judged
