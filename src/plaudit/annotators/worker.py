"""How any annotator that is a program works through the queue: claim, judge, answer, until nothing is left."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from plaudit.annotators.undecided import Streak, Undecided
from plaudit.feedback.store import Lease, Store
from plaudit.interfaces import Annotator
from plaudit.types import Answer, Item, Judgement, PlauditError, Question

NAMESPACE = uuid.UUID("6d0f2d55-5a53-5b0c-9d0e-6f1f4f3b8c1a")  # any fixed one: ids are names within it


LEASE_SECONDS = 30.0  # how long a killed worker's questions stay out of reach
POLL_SECONDS = 0.1


def drain(
    store: Store,
    annotator: Annotator,
    *,
    items: Callable[[Sequence[str]], Sequence[Item]] | None = None,
    limit: int | None = None,
    batch: int = 64,
    wait: bool = True,
    clock: Callable[[], float] = time.time,
) -> int:
    """Judge until the queue is empty for ``annotator``, or ``limit`` judgements; how many were given.

    ``items`` finds what is judged by id, in the order asked; by default the store does. Each batch is claimed in one
    transaction and answered in one. Whatever interrupts the work, what was judged is kept, and what was not goes back
    to the queue at once. With ``wait``, questions that are leased elsewhere count as not yet judged: a run that was
    killed and resumed waits for its own old leases to end, and so hears every answer that it would have heard.
    A question that is Undecided stays open, and is not asked again here.
    Raises PlauditError as the annotator and the store do, and where too many in a row are undecided that are not older
    than what it has judged before: those were left open then, and meeting them again says nothing new about it.
    """
    if batch < 1 or (limit is not None and limit < 0):
        raise PlauditError(f"drain: needs batch >= 1 and limit >= 0, got {batch} and {limit}")
    find = store.items if items is None else items
    undecided = _UndecidedQuestions(store, annotator.name)
    judged, last_look = 0, not wait
    while limit is None or judged < limit:
        count = batch if limit is None else min(batch, limit - judged)
        claimed = store.claim(annotator.name, count + len(undecided.questions), LEASE_SECONDS, now=clock())
        leases = [lease for lease in claimed if lease.question.id not in undecided.questions][:count]
        if len(leases) < len(claimed):
            store.answer([], [lease.token for lease in claimed if lease not in leases])
        if leases:
            judged += _answer(store, annotator, leases, find, clock, undecided)
            last_look = not wait
            if len(leases) < count and not store.open_count():  # a read, where another claim would be a write
                break
        elif last_look:
            break
        elif store.counts(now=clock()).leased > 0:
            time.sleep(POLL_SECONDS)
        else:
            last_look = True  # a lease may have ended since the claim
    return judged


@dataclass
class _UndecidedQuestions:
    """What was left open, here and before."""

    store: Store
    annotator: str
    questions: set[str] = field(default_factory=set)
    streak: Streak = field(default_factory=Streak)

    @cached_property
    def newest(self) -> int:
        """The newest question that was judged: questions are claimed oldest first, so older ones were left open."""
        return self.store.newest_judged(self.annotator)

    def leave(self, lease: Lease, reason: str) -> None:
        """Leave one open; PlauditError where that are too many."""
        self.questions.add(lease.question.id)
        if lease.number > self.newest:
            self.streak.undecided(self.annotator, reason)


def judgement_id(question: Question, annotator: str, before: int = 0) -> str:
    """One question, one annotator, one event: saying the same again after a crash adds nothing.

    before: how many events there were of the two when the question was put to the annotator again, as it is after a
    withdrawal: what is said then is something new.
    """
    suffix = f"\x1f{before}" if before else ""
    return str(uuid.uuid5(NAMESPACE, f"{question.id}\x1f{annotator}{suffix}"))


def _answer(
    store: Store,
    annotator: Annotator,
    leases: Sequence[Lease],
    find: Callable[[Sequence[str]], Sequence[Item]],
    clock: Callable[[], float],
    undecided: _UndecidedQuestions,
) -> int:
    tokens = [lease.token for lease in leases]
    judgements: list[Judgement] = []
    try:
        try:
            _judge(annotator, leases, find, clock, judgements, undecided)
        finally:  # Ctrl-C too: an answer that was given may have cost a model's time, or a person's
            store.answer(judgements, tokens)
    except BaseException:
        store.answer([], tokens)
        raise
    return len(judgements)


def _judge(
    annotator: Annotator,
    leases: Sequence[Lease],
    find: Callable[[Sequence[str]], Sequence[Item]],
    clock: Callable[[], float],
    judgements: list[Judgement],
    undecided: _UndecidedQuestions,
) -> None:
    """Judge leased questions; at half the lease stop, so that what is there arrives while the leases live.

    ``judgements`` takes each as it is given, so that those before a failure are not lost.
    """
    ids = list(dict.fromkeys(item for lease in leases for item in lease.question.items))
    segments = dict(zip(ids, find(ids), strict=True))
    before = undecided.store.judgements_by(annotator.name, [lease.question.id for lease in leases])
    started_at = shown_at = clock()
    for lease in leases:
        question = lease.question
        try:
            answer = annotator.judge(question, [segments[item] for item in question.items])
        except Undecided as error:
            undecided.leave(lease, str(error))
            answer = None
        now = max(shown_at, clock())  # the clock may be set back
        if answer is not None:
            undecided.streak.decided()
            identity = judgement_id(question, annotator.name, before.get(question.id, 0))
            judgements.append(_judgement(question, annotator.name, answer, identity, shown_at, now))
        shown_at = now
        if now - started_at > LEASE_SECONDS / 2:
            break


def _judgement(
    question: Question, annotator: str, answer: Answer, identity: str, shown_at: float, now: float
) -> Judgement:
    return Judgement(
        question=question.id,
        annotator=annotator,
        value=answer.value,
        order=answer.order or tuple(range(len(question.items))),
        shown_at=shown_at,
        first_input_at=now,
        submitted_at=now,
        id=identity,
        rationale=answer.rationale,
    )
