"""The feedback store: what was asked, and everything anybody said about it, in one file that survives being killed.

Questions and judgements are facts and are never changed; undo and edit are further judgements. The queue hands
questions to annotators under leases, so any number of processes can drain it at once. When a method returns, what it
did is on disk. Any method may raise :class:`plaudit.types.PlauditError`, whose one line names the fault and the remedy.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Table, func, select

from plaudit.feedback import intake, queue, rows
from plaudit.feedback.database import Database, StoreFault, StoreUnavailable, open_database
from plaudit.feedback.effective import Effective
from plaudit.feedback.intake import Receipt
from plaudit.feedback.kinds import kind
from plaudit.feedback.ledger import ANY, Conflict
from plaudit.feedback.queue import Wanted
from plaudit.feedback.rows import Event, Purpose
from plaudit.feedback.schema import JUDGEMENTS, LEASES, OPEN_QUESTIONS, QUESTIONS, SEGMENTS
from plaudit.types import Item, Judgement, PlauditError, Question, Segment

__all__ = ["Conflict", "Counts", "Event", "Lease", "Receipt", "Store", "StoreFault", "StoreUnavailable", "Wanted"]

PAGE = 1000  # events read at a time by Store.events


@dataclass(frozen=True)
class Lease:
    """One question, reserved for one annotator until ``expires_at`` (seconds since the epoch, UTC)."""

    question: Question
    token: str
    expires_at: float
    claimed_at: float = 0.0
    number: int = 0  # of the question, in the order in which they were asked


@dataclass(frozen=True)
class Counts:
    """How full the store is."""

    segments: int
    questions: int
    open: int  # questions that want further judgements
    leased: int  # live leases
    judgements: int  # all events
    effective: int  # accepted, and superseded by none
    surplus: int  # kept, but not counted


class Store:
    """One process's access to a store. Threads may share it; a forked process must open its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._effective, self._arrived = Effective(), Effective()
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

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        self.database.close()

    # Asking

    def add_items(self, items: Sequence[Item]) -> int:
        """Store items; how many were new. A segment that is there already keeps the source it first came with."""
        with self.database.write() as connection:
            return rows.insert_items(connection, items)

    def items(self, ids: Sequence[str]) -> list[Item]:
        """The segments and dialogues called ``ids``, in that order, each checked against its hash."""
        with self.database.look() as connection:
            found = rows.load_items(connection, set(ids))
        return [found[each] for each in self._all_there(ids, found, "item")]

    def segments(self, ids: Sequence[str]) -> list[Segment]:
        """As :meth:`items`, where all of them are segments; raises :class:`PlauditError` where one is text."""
        found = self.items(ids)
        segments = [each for each in found if isinstance(each, Segment)]
        if len(segments) < len(found):
            text = next(each.id for each in found if not isinstance(each, Segment))
            raise PlauditError(f"item {text} of {self.database.name} is a dialogue, and a segment was looked for")
        return segments

    def ask(
        self,
        questions: Sequence[Question],
        items: Sequence[Item],
        judgements_wanted: int = 1,
        purpose: Purpose = "train",
        only_for: str | None = None,
    ) -> int:
        """Store ``items``, then put ``questions`` on the queue, in one transaction; how many questions were new.

        A question asked before is left as it is, so asking again after a crash is safe. ``purpose`` says what its
        answers are for (only "train" ones are learned from), ``only_for`` names the one annotator who may answer.
        Raises :class:`PlauditError` when an item is neither in ``items`` nor in the store, or a kind refuses its
        question.
        """
        if judgements_wanted < 1:
            raise PlauditError(f"judgements_wanted must be at least 1, got {judgements_wanted}")
        for question in questions:
            kind(question.kind).check(question)
        with self.database.write() as connection:
            return self.ask_in(connection, questions, items, (judgements_wanted, purpose, only_for))

    def record(self, judgements: Sequence[tuple[Question, Judgement]], items: Sequence[Item]) -> list[Receipt]:
        """Questions that arose and were answered in one breath, as in a live conversation; one transaction.

        Nobody is ever asked them, not even after a withdrawal; and two people who happen to get and judge the very same
        both count. Raises as :meth:`ask` and :meth:`answer` do.
        """
        for question, _ in judgements:
            kind(question.kind).check(question)
        with self.database.write() as connection:
            self.ask_in(connection, [question for question, _ in judgements], items, (ANY, "train", None))
            # not from memory, nor into it: these are not committed yet
            stored = rows.load_questions(connection, "id", {each.question for _, each in judgements})
            receipts, answered = intake.enter(connection, [judgement for _, judgement in judgements], stored)
            queue.end(connection, (), answered, None)
            return receipts

    def ask_in(
        self,
        connection: Connection,
        questions: Sequence[Question],
        items: Sequence[Item],
        how: tuple[int, Purpose, str | None],
    ) -> int:
        """As :meth:`ask`, in the caller's transaction, of questions that their kinds have checked.

        ``how`` is ``judgements_wanted``, ``purpose`` and ``only_for``.
        """
        rows.insert_items(connection, items)
        fresh = {question.id: question for question in questions}
        for identity in rows.known(connection, QUESTIONS.c.id, fresh):
            del fresh[identity]
        named = {item for question in fresh.values() for item in question.items}
        self._all_there(named, rows.known(connection, SEGMENTS.c.id, named), "item")
        stored = rows.insert_questions(connection, list(fresh.values()), *how)
        queue.set_seats(connection, [(each, how[0]) for each in stored])
        return len(stored)

    def questions(self, ids: Sequence[str]) -> list[Question]:
        """The questions called ``ids``, in that order. Each is read from disk once, for it never changes."""
        found = self._memory.known(ids)
        if len(found) < len(set(ids)):
            with self.database.look() as connection:
                found = self._memory.of_id(connection, set(ids))
        return [found[each].question for each in self._all_there(ids, found, "question")]

    def _numbered(self, numbers: Sequence[int]) -> dict[int, rows.Stored]:
        if not numbers:
            return {}
        with self.database.look() as connection:
            return self._memory.of_number(connection, numbers)

    # The queue. `now` is in seconds since the epoch; None is the clock.

    def claim(
        self,
        annotator: str | Wanted,
        limit: int = 1,
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> list[Lease]:
        """Lease up to ``limit`` questions, oldest first; none is left when the list is empty.

        ``annotator`` may be a :class:`Wanted`, which also says of which project and for what purpose, and then has
        the limit. A question can be claimed while it wants more effective judgements than there are live leases on
        it, by an annotator who has neither a standing judgement nor a live lease on it.
        """
        wanted = annotator if isinstance(annotator, Wanted) else Wanted(annotator, limit)
        return self.turn([], [], [wanted], lease_seconds, now)[1]

    def turn(
        self,
        judgements: Sequence[Judgement],
        tokens: Sequence[str],
        wanted: Sequence[Wanted],
        lease_seconds: float = 120.0,
        now: float | None = None,
    ) -> tuple[list[Receipt], list[Lease]]:
        """Answer, then claim what is first found of ``wanted``, in one transaction: :meth:`answer` and :meth:`claim`.

        Judging is a sequence of turns; together the two cost one write to the disk instead of two.
        """
        for each in wanted:
            if not each.annotator.strip() or each.limit < 1 or not lease_seconds > 0:
                raise PlauditError(
                    "claim needs an annotator's name, limit >= 1 and lease_seconds > 0, "
                    f"got {each.annotator!r}, {each.limit} and {lease_seconds}"
                )
        moment = time.time() if now is None else now
        with self.database.write() as connection:
            stored = self._memory.of_id(connection, {each.question for each in judgements})
            receipts, answered = intake.enter(connection, judgements, stored) if judgements else ([], [])
            queue.end(connection, tokens, answered, moment if wanted else None)
            taken: list[tuple[int, str]] = []
            for each in wanted:
                taken = taken or queue.claim(connection, each, moment, moment + lease_seconds)
            if wanted and not taken:
                queue.set_back(connection, moment)
        found = self._numbered([number for number, _ in taken])  # when the next writer is at work already
        until = moment + lease_seconds
        leases = [Lease(found[number].question, token, until, moment, number) for number, token in taken]
        return receipts, leases

    def renew(self, token: str, lease_seconds: float = 120.0, now: float | None = None) -> float | None:
        """Let a live lease end ``lease_seconds`` from now; its new end, or None when it has ended already.

        An answer under a lease that has ended is still kept.
        """
        moment = time.time() if now is None else now
        with self.database.write() as connection:
            renewed = queue.renew(connection, token, moment, moment + lease_seconds)
        return moment + lease_seconds if renewed else None

    def release(self, token: str) -> bool:
        """End a lease unanswered, so that others can claim the question; False when it had ended."""
        with self.database.write() as connection:
            return queue.release(connection, [token]) > 0

    def release_all(self, annotator: str) -> int:
        """End every lease of ``annotator`` unanswered, as when it starts again after a kill; how many there were.

        Only for an annotator that no other process works as: theirs would end too.
        """
        with self.database.write() as connection:
            return queue.release_all(connection, annotator)

    # Judgements

    def answer(self, judgements: Sequence[Judgement], tokens: Sequence[str] | None = None) -> list[Receipt]:
        """Append judgements, on disk when this returns: all of them or, with :class:`PlauditError`, none.

        The same id with the same body is a "duplicate", with another body an error. What arrives when the question
        is settled, or is a second standing answer of one annotator, is kept as "surplus". An edit or a withdrawal
        (``{"withdrawn": True}``) names the author's own latest judgement in ``supersedes``; a withdrawal puts the
        question back on the queue. The annotator's leases on the questions end, and those called ``tokens``.
        """
        return self.turn(judgements, tokens or (), [])[0]

    def judgements(self, round_at_most: int | None = None) -> list[Judgement]:
        """The effective judgements in the order (round, question asked, arrival), of rounds up to ``round_at_most``.

        Effective: accepted (not surplus), not superseded, not withdrawn. Only events since the last call are read.
        """
        with self._cache:
            with self.database.read() as connection:
                fresh = rows.load_events(connection, JUDGEMENTS.c.event > self._effective.last)
            self._effective.take(fresh)
            return self._effective.until(round_at_most)

    def arrived(self, until: int) -> list[Judgement]:
        """The judgements that were effective when event ``until`` had arrived, in order of arrival.

        Asking for later and later events reads only what is new; going back reads everything again.
        """
        with self._cache:
            if until < self._arrived.last:
                self._arrived = Effective()
            some = (JUDGEMENTS.c.event > self._arrived.last) & (JUDGEMENTS.c.event <= until)
            with self.database.read() as connection:
                fresh = rows.load_events(connection, some)
            self._arrived.take(fresh)
            return self._arrived.arrived()

    def reread(self) -> None:
        """Keep nothing in memory of what was read: names in it have changed (``plaudit.feedback.forget``)."""
        with self._cache:
            self._effective, self._arrived = Effective(), Effective()
            self._memory = rows.Memory()

    def last_event(self) -> int:
        """The number of the newest judgement, 0 before the first."""
        with self.database.look() as connection:
            return connection.execute(select(func.coalesce(func.max(JUDGEMENTS.c.event), 0))).scalar_one()

    def newest_judged(self, annotator: str) -> int:
        """The number of the newest question, as they were asked, that ``annotator`` ever judged; 0 before the first."""
        newest = select(func.coalesce(func.max(JUDGEMENTS.c.question), 0)).where(JUDGEMENTS.c.annotator == annotator)
        with self.database.look() as connection:
            return connection.execute(newest).scalar_one()

    def judgements_by(self, annotator: str, questions: Sequence[str]) -> dict[str, int]:
        """How many judgements ``annotator`` ever gave to each of these questions, by id, whatever became of them."""
        given = select(QUESTIONS.c.id, func.count()).join(JUDGEMENTS, JUDGEMENTS.c.question == QUESTIONS.c.number)
        given = given.where(JUDGEMENTS.c.annotator == annotator).group_by(QUESTIONS.c.id)
        found: dict[str, int] = {}
        with self.database.look() as connection:
            for chunk in rows.chunks(questions):
                found |= {name: count for name, count in connection.execute(given.where(QUESTIONS.c.id.in_(chunk)))}
        return found

    def waiting(self) -> int:
        """Questions asked for training that still want judgements, leased or not."""
        with self.database.read() as connection:
            return connection.execute(select(_count(OPEN_QUESTIONS, OPEN_QUESTIONS.c.purpose == "train"))).scalar_one()

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
            return connection.execute(select(_count(OPEN_QUESTIONS))).scalar_one()

    def counts(self, now: float | None = None) -> Counts:
        """How full the store is, in one snapshot."""
        moment = time.time() if now is None else now
        later = JUDGEMENTS.alias()
        superseded = select(later.c.event).where(later.c.supersedes == JUDGEMENTS.c.id).exists()
        wanted = (
            _count(SEGMENTS),
            _count(QUESTIONS),
            _count(OPEN_QUESTIONS),
            _count(LEASES, queue.live(moment)),
            _count(JUDGEMENTS),
            _count(JUDGEMENTS, JUDGEMENTS.c.status == "accepted", ~superseded),
            _count(JUDGEMENTS, JUDGEMENTS.c.status == "surplus", ~superseded),
        )
        with self.database.read() as connection:
            return Counts(*connection.execute(select(*wanted)).one())

    def _all_there(self, ids: Collection[str], found: Collection[str], noun: str) -> Collection[str]:
        missing = [each for each in ids if each not in found]
        if missing:
            raise PlauditError(
                f"{self.database.name} has no {noun} {missing[0]}"
                + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
                + ": it was never stored there, or this is another run's store"
            )
        return ids


def _count(table: Table, *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(*where).scalar_subquery()
