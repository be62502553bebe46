"""A program works through the queue as an annotator: claim, judge and answer until the queue is empty."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from plaudit.annotators.undecided import Streak, UndecidedQuestion
from plaudit.feedback.store import Lease, Store
from plaudit.interfaces import Annotator
from plaudit.types import Answer, Item, Judgement, PlauditError, Question

NAMESPACE = uuid.UUID("6d0f2d55-5a53-5b0c-9d0e-6f1f4f3b8c1a")  # any fixed UUID: judgements' ids are names within it


LEASE_SECONDS = 30.0  # a killed worker's questions stay leased this long
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
    """Judge until the queue is empty for ``annotator``, or ``limit`` judgements; returns their number.

    ``items`` finds items by id, in the order of the ids; by default the store does. Each batch is claimed in one
    transaction and answered in one. After any interruption, judgements are kept, and the other questions return to the
    queue at once. With ``wait``, questions that are leased elsewhere count as not yet judged: a resumed run waits for
    its own old leases to expire, and so gets every answer that an uninterrupted run would get.
    An undecided question stays open, and this call does not ask it again.
    Raises PlauditError as the annotator and the store do, and if too many questions in a row are undecided. Questions
    older than its newest judgement do not count, because they were left open then and are no new evidence about it.
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
            if len(leases) < count and not store.open_count():  # a read; another claim would be a write
                break
        elif last_look:
            break
        elif store.counts(now=clock()).leased > 0:
            time.sleep(POLL_SECONDS)
        else:
            last_look = True  # a lease may have expired since the claim
    return judged


@dataclass
class _UndecidedQuestions:
    """The questions that the annotator left open, in this call and before."""

    store: Store
    annotator: str
    questions: set[str] = field(default_factory=set)
    streak: Streak = field(default_factory=Streak)

    @cached_property
    def newest(self) -> int:
        """Number of the newest question judged before; open ones below it were left, as claims go oldest first."""
        return self.store.newest_judged(self.annotator)

    def leave(self, lease: Lease, reason: str) -> None:
        """Leave a question open; PlauditError if these are too many in a row."""
        self.questions.add(lease.question.id)
        if lease.number > self.newest:
            self.streak.count_undecided(self.annotator, reason)


def judgement_id(question: Question, annotator: str, before: int = 0) -> str:
    """One id per question, annotator and event, so that a repeated answer after a crash adds no judgement.

    before: the number of earlier events of the two. It makes the id new if the question is asked again after a
    withdrawal.
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
        finally:  # after Ctrl-C too: an answer may have cost a model's or a person's time
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
    """Judge leased questions; stop at half the lease, so that the judgements arrive before the leases expire.

    Each judgement is added to ``judgements`` at once, so that a failure loses none of the earlier ones.
    """
    ids = list(dict.fromkeys(item for lease in leases for item in lease.question.items))
    segments = dict(zip(ids, find(ids), strict=True))
    before = undecided.store.judgements_by(annotator.name, [lease.question.id for lease in leases])
    started_at = shown_at = clock()
    for lease in leases:
        question = lease.question
        try:
            answer = annotator.judge(question, [segments[item] for item in question.items])
        except UndecidedQuestion as error:
            undecided.leave(lease, str(error))
            answer = None
        now = max(shown_at, clock())  # the clock may be set back
        if answer is not None:
            undecided.streak.reset()
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
