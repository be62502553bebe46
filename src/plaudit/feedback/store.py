"""The feedback store: questions and every judgement on them, in one database that survives a kill.

Questions and judgements are facts and are never changed; undo and edit are further judgements. The queue hands
questions to annotators under leases, so any number of processes can drain it at once. When a method returns, its
changes are on disk. Any method may raise :class:`plaudit.types.PlauditError`, whose one line names the fault and the
remedy.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from plaudit.feedback import counting, intake, queue, rows
from plaudit.feedback.counting import Counts
from plaudit.feedback.database import Database, StoreFault, StoreUnavailable, open_database
from plaudit.feedback.effective import EffectiveJudgements
from plaudit.feedback.intake import Receipt
from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import ANY, Conflict
from plaudit.feedback.queue import Claim
from plaudit.feedback.rows import Event, Purpose, Terms
from plaudit.feedback.schema import JUDGEMENTS, OPEN_QUESTIONS, QUESTIONS, SEGMENTS
from plaudit.resource import Resource
from plaudit.types import Item, Judgement, PlauditError, Question, Segment

__all__ = ["Claim", "Conflict", "Counts", "Event", "Lease", "Receipt", "Store", "StoreFault", "StoreUnavailable"]

PAGE = 1000  # events read at a time by Store.events


@dataclass(frozen=True)
class Lease:
    """One question, reserved for one annotator until ``expires_at`` (seconds since the epoch, UTC)."""

    question: Question
    token: str
    expires_at: float
    claimed_at: float = 0.0
    number: int = 0  # of the question, in the order in which they were asked
    purpose: Purpose = "train"


class Store(Resource):
    """One process's access to a store. Threads may share it; a forked process must open its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._effective, self._arrived = EffectiveJudgements(), EffectiveJudgements()
        self._memory = rows.Memory()
        self._cache = threading.Lock()

    @classmethod
    def open(cls, path_or_url: str | os.PathLike[str], create: bool = True, busy_seconds: float = 5.0) -> Store:
        """Open the store in a file (a path, or ``sqlite:///PATH``) or in a PostgreSQL database (``postgresql://...``).

        An older one is migrated; ``create`` makes a new one. ``busy_seconds`` is how long to wait for another program
        that has locked the file. Raises :class:`PlauditError` when there is no such folder, file or database, or when
        it is damaged, locked, not a Plaudit store, or from a newer version.
        """
        return cls(open_database(path_or_url, create, busy_seconds))

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        self.database.close()

    # Asking

    def add_items(self, items: Sequence[Item]) -> int:
        """Store items; the number of new ones. A segment keeps the first source that it came with."""
        with self.database.write() as connection:
            return rows.insert_items(connection, items)

    def items(self, ids: Sequence[str]) -> list[Item]:
        """The segments and dialogues called ``ids``, in that order, each checked against its hash."""
        with self.database.look() as connection:
            items = rows.load_items(connection, set(ids))
        return [items[identity] for identity in self._all_stored(ids, items, "item")]

    def segments(self, ids: Sequence[str]) -> list[Segment]:
        """As :meth:`items`, if all of them are segments; raises :class:`PlauditError` if one is a dialogue."""
        items = self.items(ids)
        segments = [item for item in items if isinstance(item, Segment)]
        if len(segments) < len(items):
            dialogue = next(item.id for item in items if not isinstance(item, Segment))
            raise PlauditError(f"item {dialogue} of {self.database.name} is a dialogue, but a segment was requested")
        return segments

    def ask(
        self,
        questions: Sequence[Question],
        items: Sequence[Item],
        judgements_wanted: int = 1,
        purpose: Purpose = "train",
        only_for: str | None = None,
    ) -> int:
        """Store ``items``, then put ``questions`` on the queue, in one transaction; the number of new questions.

        A question asked before is left as it is, so asking again after a crash is safe. ``purpose`` says what its
        answers are for (only "train" ones are learned from), ``only_for`` names the one annotator who may answer.
        Raises :class:`PlauditError` if an item is neither in ``items`` nor in the store, or if a kind refuses its
        question.
        """
        if judgements_wanted < 1:
            raise PlauditError(f"judgements_wanted must be at least 1, got {judgements_wanted}")
        for question in questions:
            kind(question.kind).check(question)
        with self.database.write() as connection:
            return self.ask_in(connection, questions, items, Terms(judgements_wanted, purpose, only_for))

    def record(self, judgements: Sequence[tuple[Question, Judgement]], items: Sequence[Item]) -> list[Receipt]:
        """Store questions together with their answers, as a live conversation makes them, in one transaction.

        They never come on the queue, not even after a withdrawal. If two annotators judge the same question, both
        judgements count. Raises as :meth:`ask` and :meth:`answer` do.
        """
        for question, _ in judgements:
            kind(question.kind).check(question)
        with self.database.write() as connection:
            self.ask_in(connection, [question for question, _ in judgements], items, Terms(ANY))
            # neither from memory nor into it, because these are not committed yet
            stored = rows.load_questions(connection, "id", {judgement.question for _, judgement in judgements})
            receipts, answered = intake.enter(connection, [judgement for _, judgement in judgements], stored)
            queue.end(connection, (), answered, None)
            return receipts

    def ask_in(
        self,
        connection: Connection,
        questions: Sequence[Question],
        items: Sequence[Item],
        terms: Terms,
    ) -> int:
        """As :meth:`ask`, in the caller's transaction, for questions that their kinds have checked."""
        rows.insert_items(connection, items)
        fresh = {question.id: question for question in questions}
        for identity in rows.select_stored(connection, QUESTIONS.c.id, fresh):
            del fresh[identity]
        ids = {item for question in fresh.values() for item in question.items}
        self._all_stored(ids, rows.select_stored(connection, SEGMENTS.c.id, ids), "item")
        inserted = rows.insert_questions(connection, list(fresh.values()), terms)
        queue.set_seats(connection, [(question, terms.judgements_wanted) for question in inserted])
        return len(inserted)

    def questions(self, ids: Sequence[str]) -> list[Question]:
        """The questions called ``ids``, in that order. Each is read from disk once, because it never changes."""
        stored = self._load_stored(ids)
        return [stored[identity].question for identity in ids]

    def _load_stored(self, ids: Sequence[str]) -> dict[str, rows.QuestionRow]:
        stored = self._memory.recall(ids)
        if len(stored) < len(set(ids)):
            with self.database.look() as connection:
                stored = self._memory.by_id(connection, set(ids))
        self._all_stored(ids, stored, "question")
        return stored

    def _load_numbered(self, numbers: Sequence[int]) -> dict[int, rows.QuestionRow]:
        if not numbers:
            return {}
        with self.database.look() as connection:
            return self._memory.by_number(connection, numbers)

    # The queue. `now` is in seconds since the epoch; None is the clock.

    def claim(
        self,
        annotator: str | Claim,
        limit: int = 1,
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> list[Lease]:
        """Lease up to ``limit`` questions, oldest first; none is left when the list is empty.

        ``annotator`` may be a :class:`Claim`, which also says of which project and for what purpose, and has its own
        limit. ``plaudit.feedback.queue`` says which questions an annotator may claim.
        """
        request = annotator if isinstance(annotator, Claim) else Claim(annotator, limit)
        return self.turn([], [], [request], lease_seconds, now)[1]

    def turn(
        self,
        judgements: Sequence[Judgement],
        tokens: Sequence[str],
        claims: Sequence[Claim],
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> tuple[list[Receipt], list[Lease]]:
        """Answer, then lease: :meth:`answer` and :meth:`claim` in one.

        ``claims`` are filled in their order, up to as many questions in all as the largest of them asks for. Judging
        is a sequence of turns; one transaction costs one write to the disk instead of two.
        """
        for claim in claims:
            if not claim.annotator.strip() or claim.limit < 1 or not lease_seconds > 0:
                raise PlauditError(
                    "claim needs an annotator's name, limit >= 1 and lease_seconds > 0, "
                    f"got {claim.annotator!r}, {claim.limit} and {lease_seconds}"
                )
        moment = time.time() if now is None else now
        with self.database.write() as connection:
            stored = self._memory.by_id(connection, {judgement.question for judgement in judgements})
            receipts, answered = intake.enter(connection, judgements, stored) if judgements else ([], [])
            queue.end(connection, tokens, answered, moment if claims else None)
            pairs = queue.claim_all(connection, claims, moment, moment + lease_seconds)
            if claims and not pairs:
                queue.set_back(connection, moment)
        questions = self._load_numbered([number for number, _ in pairs])  # while the next writer is at work already
        end = moment + lease_seconds
        leases = [
            Lease(questions[number].question, token, end, moment, number, questions[number].purpose)
            for number, token in pairs
        ]
        return receipts, leases

    def reserve(self, annotator: str, question: str, lease_seconds: float, now: float | None = None) -> Lease | None:
        """Lease the question with this id, by the rule of :meth:`claim`; the annotator's live lease on it if there is
        one, None if the question may not be claimed.
        """
        moment = time.time() if now is None else now
        stored = self._load_stored([question])[question]
        with self.database.write() as connection:
            row = queue.reserve(connection, stored.number, annotator, moment, moment + lease_seconds)
        return None if row is None else Lease(stored.question, row.token, row.expires_at, row.claimed_at, row.number)

    def find_abandoned(
        self, annotator: str, project: str, lease_seconds: float, now: float | None = None
    ) -> list[Lease]:
        """The annotator's live leases that were not renewed for half of ``lease_seconds``, oldest question first."""
        moment = time.time() if now is None else now
        with self.database.look() as connection:
            leases = queue.find_abandoned(connection, annotator, project, moment, lease_seconds)
        questions = self._load_numbered([row.number for row in leases])
        return [
            Lease(questions[row.number].question, row.token, row.expires_at, row.claimed_at, row.number)
            for row in leases
        ]

    def renew(self, token: str, lease_seconds: float = 120.0, now: float | None = None) -> float | None:
        """Let a live lease expire ``lease_seconds`` from now; its new end, or None if it has ended already.

        An answer under a lease that has ended is still kept.
        """
        return self.renew_all({token: lease_seconds}, now)[token]

    def renew_all(self, seconds: Mapping[str, float], now: float | None = None) -> dict[str, float | None]:
        """:meth:`renew` for several leases in one transaction: ``seconds`` by token, to new ends by token."""
        moment = time.time() if now is None else now
        ends: dict[str, float | None] = {token: moment + duration for token, duration in seconds.items()}
        if seconds:
            with self.database.write() as connection:
                for token, duration in seconds.items():
                    if not queue.renew(connection, token, moment, moment + duration):
                        ends[token] = None
        return ends

    def release(self, *tokens: str) -> bool:
        """End leases unanswered, so that others can claim the questions; False if all had ended already."""
        with self.database.write() as connection:
            return queue.release(connection, tokens) > 0

    def release_all(self, annotator: str) -> int:
        """End every lease of ``annotator`` unanswered, as after a kill; the number of leases.

        Call it only if no other process judges under this name, because the leases of that process would end too.
        """
        with self.database.write() as connection:
            return queue.release_all(connection, annotator)

    # Judgements

    def answer(self, judgements: Sequence[Judgement], tokens: Sequence[str] | None = None) -> list[Receipt]:
        """Append judgements, on disk when this returns: all of them or, with :class:`PlauditError`, none.

        The same id with the same body is a "duplicate", with another body an error. An answer to a settled question,
        and a second standing answer of one annotator, are kept as "surplus". An edit or a withdrawal
        (``{"withdrawn": True}``) names the author's own latest judgement in ``supersedes``; a withdrawal puts the
        question back on the queue. The annotator's leases on the questions end, and those called ``tokens``.
        """
        return self.turn(judgements, tokens or (), [])[0]

    def judgements(self, round_at_most: int | None = None) -> list[Judgement]:
        """The effective judgements in the order (round, question, arrival), of rounds up to ``round_at_most``.

        Effective: accepted (not surplus), not superseded, not withdrawn. Only events since the last call are read.
        """
        with self._cache:
            with self.database.read() as connection:
                fresh = rows.load_events(connection, JUDGEMENTS.c.event > self._effective.last)
            self._effective.take(fresh)
            return self._effective.up_to(round_at_most)

    def list_arrived(self, last: int) -> list[Judgement]:
        """The judgements that were effective when event ``last`` had arrived, in order of arrival.

        A later event than in the call before reads only what is new; an earlier one reads everything again.
        """
        with self._cache:
            if last < self._arrived.last:
                self._arrived = EffectiveJudgements()
            unread = (JUDGEMENTS.c.event > self._arrived.last) & (JUDGEMENTS.c.event <= last)
            with self.database.read() as connection:
                fresh = rows.load_events(connection, unread)
            self._arrived.take(fresh)
            return self._arrived.list_arrived()

    def reread(self) -> None:
        """Forget what was read, because names in it have changed (``plaudit.feedback.forget``)."""
        with self._cache:
            self._effective, self._arrived = EffectiveJudgements(), EffectiveJudgements()
            self._memory = rows.Memory()

    def last_event(self) -> int:
        """The number of the newest judgement, 0 before the first."""
        with self.database.look() as connection:
            return counting.last_event(connection)

    def newest_judged(self, annotator: str) -> int:
        """The number of the newest question, as they were asked, that ``annotator`` ever judged; 0 before the first."""
        with self.database.look() as connection:
            return counting.newest_judged(connection, annotator)

    def judgements_by(self, annotator: str, questions: Sequence[str]) -> dict[str, int]:
        """How many judgements ``annotator`` ever gave to each of these questions, by id, whatever their status."""
        with self.database.look() as connection:
            return counting.judgements_by(connection, annotator, questions)

    def waiting(self) -> int:
        """Questions asked for training that still want judgements, leased or not."""
        with self.database.read() as connection:
            return counting.count_open(connection, OPEN_QUESTIONS.c.purpose == "train")

    def events(self, after: int = 0) -> Iterator[Event]:
        """Every judgement ever acknowledged, withdrawals and surplus too, in order of arrival, with flat memory."""
        while True:
            with self.database.read() as connection:
                page = rows.load_events(connection, JUDGEMENTS.c.event > after, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number

    # Counting

    def open_count(self) -> int:
        """Questions that want further judgements, leased or not."""
        with self.database.read() as connection:
            return counting.count_open(connection)

    def counts(self, now: float | None = None) -> Counts:
        """How full the store is, in one snapshot."""
        with self.database.read() as connection:
            return counting.counts(connection, time.time() if now is None else now)

    def _all_stored(self, ids: Collection[str], stored: Collection[str], noun: str) -> Collection[str]:
        missing = [identity for identity in ids if identity not in stored]
        if missing:
            raise PlauditError(
                f"{self.database.name} has no {noun} {missing[0]}"
                + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
                + ": it was never stored there, or this is another run's store"
            )
        return ids
